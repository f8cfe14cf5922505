//! A trace by its id: its spans out of memtables and blocks, each once.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use lumitrace_model::{SpanId, TraceId};

use crate::engine::Sources;
use crate::error::ReadError;
use crate::identity::{Identity, Version};
use crate::shelf::Shelf;
use crate::spans::Spans;
use crate::{Exhausted, LookupError, QueryBudget, SpanParts, SpanRecord};

/// Which trace is wanted, and how much of its spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceLookup {
    pub(crate) trace_id: TraceId,
    pub(crate) parts: SpanParts,
}

/// Makes of a record what is kept of it, which it has a budget hold.
pub(crate) type Keep<'a, T> = dyn FnMut(SpanRecord) -> Result<T, Exhausted> + 'a;

/// Of the records of some spans, those that count, or what is kept of them.
pub(crate) struct SpansThatCount<T> {
    places: HashMap<Identity, usize>,
    kept: Vec<Kept<T>>,
}

struct Kept<T> {
    identity: Identity,
    version: Version,
    start_unix_nano: u64,
    value: T,
}

impl<T> Default for SpansThatCount<T> {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            kept: Vec::new(),
        }
    }
}

impl<T> SpansThatCount<T> {
    /// The spans of a trace on this shelf.
    pub(crate) fn of_trace(
        shelf: &Shelf<Spans>,
        lookup: TraceLookup,
        budget: &QueryBudget,
        keep: &mut Keep<'_, T>,
    ) -> Result<Self, LookupError> {
        Self::of_sources(&shelf.snapshot(), lookup, budget, keep)
    }

    /// The spans of a trace in these sources.
    pub(crate) fn of_sources(
        sources: &Sources<Spans>,
        lookup: TraceLookup,
        budget: &QueryBudget,
        keep: &mut Keep<'_, T>,
    ) -> Result<Self, LookupError> {
        let mut spans = Self::default();
        visit_records(sources, lookup, budget, &mut |record| {
            budget.hold(size_of::<(Identity, usize)>() + size_of::<Kept<()>>())?;
            spans.add(record, keep).map_err(LookupError::from)
        })?;
        Ok(spans)
    }

    fn add(&mut self, record: SpanRecord, keep: &mut Keep<'_, T>) -> Result<(), Exhausted> {
        let identity = Identity::of(&record.span);
        let version = Version::of(&record);
        let place = match self.places.entry(identity) {
            Entry::Occupied(known) => {
                let place = *known.get();
                if !version.supersedes(self.kept[place].version) {
                    return Ok(());
                }
                Some(place)
            }
            Entry::Vacant(new) => {
                new.insert(self.kept.len());
                None
            }
        };
        let kept = Kept {
            identity,
            version,
            start_unix_nano: record.span.start_unix_nano,
            value: keep(record)?,
        };
        match place {
            Some(place) => self.kept[place] = kept,
            None => self.kept.push(kept),
        }
        Ok(())
    }

    /// Adds what only the archive has: spans that are not there, and the ends of announced ones.
    pub(crate) fn add_archived(&mut self, archived: Self) {
        for mut kept in archived.kept {
            // As in the records themselves; see `archived`.
            kept.version.seq = 0;
            match self.places.entry(kept.identity) {
                Entry::Occupied(known) => {
                    let known = &mut self.kept[*known.get()];
                    if known.version.pending && !kept.version.pending {
                        *known = kept;
                    }
                }
                Entry::Vacant(new) => {
                    new.insert(self.kept.len());
                    self.kept.push(kept);
                }
            }
        }
    }

    /// Those of which `others` have no final record.
    pub(crate) fn retain_not_final_in<U>(&mut self, others: &SpansThatCount<U>) {
        let is_final = |identity: &Identity| {
            let other = others.places.get(identity);
            other.is_some_and(|other| !others.kept[*other].version.pending)
        };
        self.kept.retain(|kept| !is_final(&kept.identity));
        self.places.clear();
        let places = self.kept.iter().enumerate();
        self.places
            .extend(places.map(|(place, kept)| (kept.identity, place)));
    }

    /// Which record of each span counts.
    pub(crate) fn into_versions(self) -> HashMap<Identity, Version> {
        let kept = self.kept.into_iter();
        kept.map(|kept| (kept.identity, kept.version)).collect()
    }

    /// All of them, by start.
    pub(crate) fn by_start(mut self) -> Vec<T> {
        let place = |kept: &Kept<T>| (kept.start_unix_nano, kept.version.seq);
        self.kept.sort_unstable_by_key(place);
        self.kept.into_iter().map(|kept| kept.value).collect()
    }
}

/// Hands every record of a trace in these sources to `visit`: those in memory newest first, then those
/// of the blocks, some of a block in memory at a time.
pub(crate) fn visit_records<E: From<ReadError> + From<Exhausted>>(
    sources: &Sources<Spans>,
    lookup: TraceLookup,
    budget: &QueryBudget,
    visit: &mut dyn FnMut(SpanRecord) -> Result<(), E>,
) -> Result<(), E> {
    for memtable in sources.memtables() {
        let records = memtable.trace(lookup.trace_id);
        budget.look_at(records.len() as u64)?;
        for span in records.iter() {
            visit(span.record(lookup.parts))?;
        }
    }
    for block in &sources.blocks {
        budget.check()?;
        block.visit_trace::<E>(lookup, &mut |records| {
            budget.look_at(records.len() as u64)?;
            records.into_iter().try_for_each(&mut *visit)
        })?;
    }
    Ok(())
}

impl SpansThatCount<Arc<SpanRecord>> {
    /// The spans of a trace on this shelf that have this id, as `keep` makes them.
    pub(crate) fn of_span(
        shelf: &Shelf<Spans>,
        trace_id: TraceId,
        span_id: SpanId,
        keep: fn(SpanRecord) -> SpanRecord,
    ) -> Result<Self, ReadError> {
        let sources = shelf.snapshot();
        let mut spans = Self::default();
        let mut add = |record| {
            // Nothing is held, so nothing can be exhausted.
            let _ = spans.add(record, &mut |record| Ok(Arc::new(keep(record))));
        };
        for memtable in sources.memtables() {
            let records = memtable.trace(trace_id);
            let wanted = records.iter().filter(|span| span.span_id() == span_id);
            wanted.for_each(|span| add(span.record(SpanParts::ALL)));
        }
        for block in &sources.blocks {
            let records = block.span(trace_id, span_id)?;
            records.into_iter().for_each(&mut add);
        }
        Ok(spans)
    }
}

/// A record of the archive, as it is shown among those of the spans' shelf. The archive numbers its
/// copies by itself: here they get number 0, since they are older than whatever comes.
pub(crate) fn archived(record: SpanRecord) -> SpanRecord {
    SpanRecord { seq: 0, ..record }
}
