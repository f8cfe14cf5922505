//! Reading the catalog of all runs, without holding up the arrival of new spans.

use std::ops::Range;
use std::sync::Arc;

use lumitrace_store::{Damaged, LookupError, QueryBudget, ScanRequest, SpanParts, SpanRecord};
use parking_lot::MutexGuard;

use super::kept::{ReadBlocks, close_ended, kept_blocks, merge_blocks};
use super::{ATTEMPTS, Arriving, LiveRuns, State, Visit, end_seq, scan};
use crate::training::catalog::RunCatalog;

impl LiveRuns {
    /// The state, with a catalog in it that has missed nothing: read from the store if need be.
    ///
    /// Who reads it reads it for all, and to its end: what is cut short is of use to nobody, and the next
    /// to ask would begin anew. Others wait for it as long as their budgets last.
    pub(super) fn with_catalog(
        &self,
        budget: &QueryBudget,
    ) -> Result<MutexGuard<'_, State>, LookupError> {
        let state = self.state.lock();
        if state.is_current() {
            return Ok(state);
        }
        drop(state);
        let _reading = self.wait_to_read(budget)?;
        let mut attempt = 1;
        loop {
            let mut state = self.state.lock();
            if state.is_current() {
                return Ok(state);
            }
            let (mut catalog, from_seq) = match state.catalog.take() {
                Some(catalog) => (catalog, state.seen_until_seq),
                None => {
                    let assigned = std::mem::take(&mut state.assigned);
                    (RunCatalog::new(self.names.clone(), assigned), 0)
                }
            };
            state.is_behind = false;
            let read = self.catch_up(state, &mut catalog, from_seq);
            let mut state = match read {
                Ok(state) => state,
                Err(error) => {
                    self.state.lock().forget(catalog);
                    return Err(error);
                }
            };
            if catalog.is_stale() && attempt < ATTEMPTS {
                // What was learned about assignments makes the next attempt succeed.
                attempt += 1;
                state.forget(catalog);
                continue;
            }
            catalog.accept();
            state.catalog = Some(catalog);
            return Ok(state);
        }
    }

    /// Shows `catalog`, which was taken out of `state`, and the runs that are open everything from
    /// this sequence number on, until nothing is missing.
    fn catch_up<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        catalog: &mut RunCatalog,
        mut from_seq: u64,
    ) -> Result<MutexGuard<'a, State>, LookupError> {
        let open = state.open.clone();
        let (mut except, mut damaged) = (ReadBlocks::default(), Damaged::default());
        if from_seq == 0 {
            state.damaged = self.store.left_out_blocks();
        }
        if from_seq == 0 && open.is_empty() {
            drop(state);
            // What blocks keep is no more than the store has by then.
            let seqs = 0..self.store.end_seq();
            except = merge_blocks(&kept_blocks(&self.store)?, &seqs, catalog)?;
            state = self.state.lock();
        }
        let observe = |catalog: &mut RunCatalog, record: &Arc<SpanRecord>| {
            let run = catalog.observe(record).and_then(|id| open.get(&id));
            if let Some(run) = run {
                run.observe(record, self.tick());
            }
        };
        loop {
            state.arriving = Some(Arriving::default());
            drop(state);
            let until_seq = self.store.end_seq();
            let mut visit = |record: &Arc<SpanRecord>| {
                observe(catalog, record);
                Ok(())
            };
            let seqs = from_seq..until_seq;
            let read = self.read_catalog(seqs, &except, &mut damaged, &mut visit);
            let read = read.and_then(|()| match except.is_empty() {
                true => Ok(()),
                false => {
                    catalog.end_merging();
                    close_ended(&self.store, catalog, &mut damaged)
                }
            });
            state = self.state.lock();
            let arriving = state.arriving.take().unwrap_or_default();
            state.damaged.extend(std::mem::take(&mut damaged));
            read?;
            if !arriving.is_incomplete {
                let arrived = arriving.records.iter();
                arrived
                    .filter(|record| record.seq >= until_seq)
                    .for_each(|record| observe(catalog, record));
                state.seen_until_seq = until_seq.max(end_seq(&arriving.records));
                return Ok(state);
            }
            from_seq = until_seq;
        }
    }

    /// Hands out the spans of the services that train with these sequence numbers, oldest first.
    fn read_catalog(
        &self,
        seqs: Range<u64>,
        except: &ReadBlocks,
        damaged: &mut Damaged,
        observe: &mut Visit<'_>,
    ) -> Result<(), LookupError> {
        let trains = |service: &str| {
            let mut operations = self.store.operations(service).into_iter();
            operations.any(|operation| self.names.role(&operation.name).is_stage())
        };
        // Runs that are open show errors, which need events.
        let parts = SpanParts {
            attributes: true,
            events: seqs.start > 0,
            links: false,
            large_values: false,
        };
        let services = self
            .store
            .services()
            .into_iter()
            .map(|service| service.name);
        for service in services.filter(|service| trains(service)) {
            let request = ScanRequest {
                seqs: seqs.clone(),
                except_seqs: except.seqs(&service),
                service: Some(service),
                newest_first: false,
                parts,
                ..ScanRequest::default()
            };
            scan(&self.store, &request, damaged, observe)?;
        }
        Ok(())
    }
}
