//! A trace by its id: its spans out of memtables and blocks, each once.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use lumitrace_model::{SpanId, TraceId};

use crate::engine::Sources;
use crate::error::{Corruption, ReadError};
use crate::identity::{Identity, Version};
use crate::shelf::Shelf;
use crate::spans::Spans;
use crate::{Damaged, Exhausted, LookupError, QueryBudget, SpanParts, SpanRecord};

/// Which trace is wanted, and how much of its spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceLookup {
    pub(crate) trace_id: TraceId,
    /// Of a large value that is damaged, a span comes with what the columns have of it.
    pub(crate) parts: SpanParts,
}

/// Makes of a record what is kept of it, which it has a budget hold.
pub(crate) type Keep<'a, T> = dyn FnMut(SpanRecord) -> Result<T, Exhausted> + 'a;

/// Spans of a trace, each once, and what of the trace could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSpans<T> {
    /// The spans, by start.
    pub spans: Vec<T>,
    /// Damage that was met: spans may have been left out for it.
    pub damaged: Damaged,
}

impl<T> TraceSpans<T> {
    /// The spans, if none was left out.
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/example.rs")); }
    /// # let (_dir, store) = example::filled()?;
    /// use lumitrace_store::{QueryBudget, SpanParts};
    ///
    /// # let trace_id = example::trace_id();
    /// let found = store.trace_parts(trace_id, SpanParts::ALL, &QueryBudget::unlimited())?;
    /// assert_eq!(found.whole()?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The damage for which some may have been.
    pub fn whole(self) -> Result<Vec<T>, ReadError> {
        match self.damaged.first() {
            None => Ok(self.spans),
            Some(damage) => Err(Corruption::clone(damage).into()),
        }
    }
}

/// Of the records of some spans, those that count, or what is kept of them.
pub(crate) struct SpansThatCount<T> {
    places: HashMap<Identity, usize>,
    kept: Vec<Kept<T>>,
    damaged: Damaged,
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
            damaged: Damaged::default(),
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
        let mut damaged = Damaged::default();
        let mut spans = Self::default();
        visit_records(sources, lookup, budget, &mut damaged, &mut |record| {
            budget.hold(size_of::<(Identity, usize)>() + size_of::<Kept<()>>())?;
            spans.add(record, keep).map_err(LookupError::from)
        })?;
        Ok(Self { damaged, ..spans })
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
        self.damaged.extend(archived.damaged);
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

    /// Which record of each span counts, and damage for which spans may be missing.
    pub(crate) fn into_versions(self) -> (HashMap<Identity, Version>, Damaged) {
        let kept = self.kept.into_iter();
        let versions = kept.map(|kept| (kept.identity, kept.version));
        (versions.collect(), self.damaged)
    }

    /// All of them, by start.
    pub(crate) fn by_start(mut self) -> TraceSpans<T> {
        let place = |kept: &Kept<T>| (kept.start_unix_nano, kept.version.seq);
        self.kept.sort_unstable_by_key(place);
        TraceSpans {
            spans: self.kept.into_iter().map(|kept| kept.value).collect(),
            damaged: self.damaged,
        }
    }
}

/// Hands every record of a trace in these sources to `visit`: those in memory newest first, then those
/// of the blocks, some of a block in memory at a time. What is damaged is left out, and noted in
/// `damaged`.
pub(crate) fn visit_records<E: From<ReadError> + From<Exhausted>>(
    sources: &Sources<Spans>,
    lookup: TraceLookup,
    budget: &QueryBudget,
    damaged: &mut Damaged,
    visit: &mut dyn FnMut(SpanRecord) -> Result<(), E>,
) -> Result<(), E> {
    for memtable in sources.memtables() {
        let records = memtable.trace(lookup.trace_id);
        budget.look_at(records.len() as u64)?;
        for span in records.iter() {
            visit(span.record(lookup.parts))?;
        }
    }
    damaged.extend(left_out_blocks(sources));
    for block in &sources.blocks {
        budget.check()?;
        let visited = block.visit_trace::<Stopped<E>>(lookup, &mut |records| {
            let looked_at = budget.look_at(records.len() as u64);
            looked_at.map_err(|exhausted| Stopped::Visit(exhausted.into()))?;
            let visited = records.into_iter().try_for_each(&mut *visit);
            visited.map_err(Stopped::Visit)
        });
        match visited {
            Ok(()) => {}
            Err(Stopped::Read(error)) => sources.damage_log.leave_out(error, damaged)?,
            Err(Stopped::Visit(error)) => return Err(error),
        }
    }
    Ok(())
}

/// Why the visit of a block ended early.
enum Stopped<E> {
    /// It cannot be read.
    Read(ReadError),
    /// Whoever is shown the records has enough.
    Visit(E),
}

impl<E> From<ReadError> for Stopped<E> {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
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
        let mut damaged = left_out_blocks(&sources);
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
            if let Err(error) = block.visit_span(trace_id, span_id, &mut add) {
                sources.damage_log.leave_out(error, &mut damaged)?;
            }
        }
        Ok(Self { damaged, ..spans })
    }
}

/// Any block that cannot be opened may have spans of a trace.
pub(crate) fn left_out_blocks(sources: &Sources<Spans>) -> Damaged {
    let mut damaged = Damaged::default();
    let blocks = sources.damaged.iter();
    blocks.for_each(|block| sources.damage_log.leave_out_block(block, &mut damaged));
    damaged
}

/// A record of the archive, as it is shown among those of the spans' shelf. The archive numbers its
/// copies by itself: here they get number 0, since they are older than whatever comes.
pub(crate) fn archived(record: SpanRecord) -> SpanRecord {
    SpanRecord { seq: 0, ..record }
}
