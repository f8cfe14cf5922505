//! Counts and durations of a block's spans by service, operation, kind and outcome, in steps of time:
//! what answers "how many, how slow" without reading spans.
//!
//! A step is as short as keeps the rollup small beside its block: it begins with a minute and grows
//! while the block is written. Announcements are not counted.

use std::io::{self, Read};
use std::ops::RangeInclusive;

use lumitrace_model::StatusCode;

use super::columns::{duration_of_stored, stored_duration_nano};
use super::rollup_keys::{RollupKey, RollupKeyRef, RollupKeys};
use super::row::Row;
use crate::DurationSketch;
use crate::binary::{Fields, PutFields};

const SECOND_NANO: u64 = 1_000_000_000;
/// How long steps can be, in seconds. Each length is a multiple of the one before, and of the windows
/// by which a block is sorted.
const STEP_SECONDS: [u64; 4] = [60, 600, 3_600, 86_400];
/// A rollup may have this many bytes in any case: small blocks are merged soon.
const FREE_BYTES: usize = 64 << 10;
/// Half a byte for each span, about a hundredth of what a span takes: beyond it, before it is
/// compressed, steps get longer.
const LONGER_STEPS_BEYOND: (usize, usize) = (1, 2);
/// Two and a half bytes for each span: what has more even with the longest steps has nearly as many
/// operations as spans, and reading it would save nothing.
const NONE_BEYOND: (usize, usize) = (5, 2);
/// Of zstd, which halves it.
const COMPRESSION_LEVEL: i32 = 3;

/// A step whose spans all came.
#[derive(Debug, Clone)]
struct Step {
    span: StepSpan,
    /// Encoded.
    entries: Vec<u8>,
}

/// Which step, and when its first and its last span start.
#[derive(Debug, Clone, Copy)]
struct StepSpan {
    number: u64,
    first_start: u64,
    last_start: u64,
}

impl StepSpan {
    fn include(&mut self, first_start: u64, last_start: u64) {
        self.first_start = self.first_start.min(first_start);
        self.last_start = self.last_start.max(last_start);
    }
}

/// Durations by the number of their key, while they are counted.
#[derive(Debug, Default)]
struct Entries {
    /// By number; many are empty.
    sketches: Vec<DurationSketch>,
    /// Numbers of those that are not.
    used: Vec<u32>,
    scratch: DurationSketch,
}

impl Entries {
    fn sketch(&mut self, number: u32) -> &mut DurationSketch {
        let place = number as usize;
        if self.sketches.len() <= place {
            self.sketches.resize_with(place + 1, Default::default);
        }
        let sketch = &mut self.sketches[place];
        if sketch.is_empty() {
            self.used.push(number);
        }
        sketch
    }

    /// Adds what [`take`](Self::take) wrote.
    fn add(&mut self, encoded: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = each_entry(encoded, &mut scratch, |number, sketch| {
            self.sketch(number).merge(sketch);
        });
        debug_assert!(read.is_some(), "it was written here");
        self.scratch = scratch;
    }

    /// Writes all durations. None are left.
    fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.used.sort_unstable();
        let mut last = 0;
        for number in self.used.drain(..) {
            let sketch = &mut self.sketches[number as usize];
            out.put_varint(u64::from(number - last));
            sketch.encode(&mut out);
            sketch.clear();
            last = number;
        }
        out
    }
}

/// Counts the spans of a block, which come in the block's order.
#[derive(Debug, Default)]
pub(crate) struct RollupBuilder {
    keys: RollupKeys,
    rows: usize,
    /// Which of [`STEP_SECONDS`].
    length: usize,
    /// Steps before the current one.
    steps: Vec<Step>,
    /// Bytes of their entries.
    entry_bytes: usize,
    current: Option<StepSpan>,
    entries: Entries,
}

impl RollupBuilder {
    pub(crate) fn add(&mut self, row: &Row<'_>) {
        self.rows += 1;
        if row.pending {
            return;
        }
        let start = row.start_unix_nano;
        match &mut self.current {
            Some(step) if step.number == start / step_nano(self.length) => {
                step.include(start, start);
            }
            _ => {
                self.end_step();
                self.begin_step(start);
            }
        }
        let number = self.keys.number(RollupKeyRef::of(row));
        let stored_duration = stored_duration_nano(start, row.end_unix_nano);
        let duration = duration_of_stored(stored_duration);
        self.entries.sketch(number).add(duration);
    }

    fn begin_step(&mut self, start: u64) {
        let mut step = StepSpan {
            number: start / step_nano(self.length),
            first_start: start,
            last_start: start,
        };
        // When steps got longer, the last one may have become this one.
        if let Some(last) = self.steps.pop_if(|last| last.span.number == step.number) {
            self.entry_bytes -= last.entries.len();
            step.include(last.span.first_start, last.span.last_start);
            self.entries.add(&last.entries);
        }
        self.current = Some(step);
    }

    fn end_step(&mut self) {
        let Some(span) = self.current.take() else {
            return;
        };
        let entries = self.entries.take();
        self.push(Step { span, entries });
        while self.length + 1 < STEP_SECONDS.len() && self.bytes() > self.limit(LONGER_STEPS_BEYOND)
        {
            self.lengthen_steps();
        }
    }

    fn push(&mut self, step: Step) {
        self.entry_bytes += step.entries.len();
        self.steps.push(step);
    }

    fn lengthen_steps(&mut self) {
        self.length += 1;
        self.entry_bytes = 0;
        let longer = STEP_SECONDS[self.length] / STEP_SECONDS[self.length - 1];
        let mut steps = std::mem::take(&mut self.steps).into_iter().peekable();
        while let Some(Step {
            mut span,
            mut entries,
        }) = steps.next()
        {
            span.number /= longer;
            let number = span.number;
            let is_same = |next: &Step| next.span.number / longer == number;
            if steps.peek().is_some_and(is_same) {
                self.entries.add(&entries);
                while let Some(next) = steps.next_if(is_same) {
                    span.include(next.span.first_start, next.span.last_start);
                    self.entries.add(&next.entries);
                }
                entries = self.entries.take();
            }
            self.push(Step { span, entries });
        }
    }

    /// About how many bytes the section has.
    fn bytes(&self) -> usize {
        self.keys.bytes() + self.entry_bytes + 16 * self.steps.len()
    }

    fn limit(&self, share: (usize, usize)) -> usize {
        limit(self.rows, share)
    }

    /// Writes the section of the sidecar.
    ///
    /// # Errors
    /// It cannot be compressed.
    pub(crate) fn encode(mut self) -> io::Result<Vec<u8>> {
        self.end_step();
        if self.bytes() > self.limit(NONE_BEYOND) {
            return Ok(Vec::new());
        }
        let mut content = Vec::new();
        self.encode_content(&mut content);
        let mut out = Vec::new();
        out.put_varint(STEP_SECONDS[self.length]);
        out.put_varint(content.len() as u64);
        out.extend(zstd::bulk::compress(&content, COMPRESSION_LEVEL)?);
        Ok(out)
    }

    fn encode_content(&self, out: &mut Vec<u8>) {
        self.keys.encode(out);
        out.put_varint(self.steps.len() as u64);
        let (mut last, length) = (0, step_nano(self.length));
        for Step { span, entries } in &self.steps {
            out.put_varint(span.number - last);
            out.put_varint(span.first_start - span.number * length);
            out.put_varint(span.last_start - span.first_start);
            out.put_bytes(entries);
            last = span.number;
        }
    }
}

impl<'a> RollupKeyRef<'a> {
    fn of(row: &Row<'a>) -> Self {
        Self {
            service: row.service_name,
            name: row.name,
            kind: row.kind,
            failed: row.status_code == StatusCode::Error.code(),
        }
    }
}

/// How many bytes the rollup of `rows` spans may have, at so many bytes for so many spans.
fn limit(rows: usize, (bytes, spans): (usize, usize)) -> usize {
    (rows / spans)
        .saturating_mul(bytes)
        .saturating_add(FREE_BYTES)
}

fn step_nano(length: usize) -> u64 {
    STEP_SECONDS[length] * SECOND_NANO
}

/// Hands each entry to `visit`: the number of its key, and the durations. `None` if the bytes are
/// something else.
fn each_entry(
    entries: &[u8],
    scratch: &mut DurationSketch,
    mut visit: impl FnMut(u32, &DurationSketch),
) -> Option<()> {
    let mut fields = Fields::new(entries);
    let mut number = 0_u32;
    while !fields.is_empty() {
        let step = u32::try_from(fields.varint()?).ok()?;
        number = number.checked_add(step)?;
        if !scratch.decode(&mut fields) {
            return None;
        }
        visit(number, scratch);
    }
    Some(())
}

/// The `len` bytes that were compressed; `None` if it is something else. Memory is taken as they come.
fn decompress(bytes: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes).ok()?;
    let read = decoder
        .take(len as u64 + 1)
        .read_to_end(&mut content)
        .ok()?;
    (read == len).then_some(content)
}

/// A rollup that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BlockRollup {
    keys: Vec<RollupKey>,
    steps: Vec<RollupStep>,
}

/// The spans of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RollupStep {
    /// From their earliest to their latest start.
    pub(crate) starts: RangeInclusive<u64>,
    /// Numbers of keys, and the durations of their spans; keys ascend.
    entries: Vec<u8>,
}

impl BlockRollup {
    /// Reads the section of a block of `rows` spans; `None` if it is something else, and an inner none
    /// if the block has no rollup, since it would have been too large.
    pub(crate) fn decode(bytes: &[u8], rows: usize) -> Option<Option<Self>> {
        if bytes.is_empty() {
            return Some(None);
        }
        let mut fields = Fields::new(bytes);
        let seconds = fields.varint()?;
        if !STEP_SECONDS.contains(&seconds) {
            return None;
        }
        let len = usize::try_from(fields.varint()?).ok()?;
        // What it may have is an estimate.
        let is_plausible = len / 2 <= limit(rows, NONE_BEYOND);
        let content = is_plausible
            .then(|| decompress(fields.rest(), len))
            .flatten()?;
        Self::decode_content(&content, seconds).map(Some)
    }

    fn decode_content(content: &[u8], seconds: u64) -> Option<Self> {
        let mut fields = Fields::new(content);
        let keys = RollupKeys::decode(&mut fields)?;
        let count = fields.varint()?;
        let mut number = 0_u64;
        let mut step = || {
            number = number.checked_add(fields.varint()?)?;
            let begin = number.checked_mul(seconds * SECOND_NANO)?;
            let first = begin.checked_add(fields.varint()?)?;
            let last = first.checked_add(fields.varint()?)?;
            Some(RollupStep {
                starts: first..=last,
                entries: fields.bytes()?.to_vec(),
            })
        };
        let steps = (0..count).map(|_| step()).collect::<Option<_>>()?;
        fields.is_empty().then_some(Self { keys, steps })
    }

    /// By number.
    pub(crate) fn keys(&self) -> &[RollupKey] {
        &self.keys
    }

    pub(crate) fn steps(&self) -> &[RollupStep] {
        &self.steps
    }
}

impl RollupStep {
    /// Hands the number of each key and the durations of its spans to `visit`; `None` if the entries
    /// are damaged.
    pub(crate) fn each_entry(&self, visit: impl FnMut(u32, &DurationSketch)) -> Option<()> {
        each_entry(&self.entries, &mut DurationSketch::default(), visit)
    }
}

#[cfg(test)]
mod tests {
    use lumitrace_model::Span;

    use super::*;
    use crate::batch::testing::{span, stored};

    fn encoded(spans: impl Iterator<Item = Span>) -> Vec<u8> {
        let mut builder = RollupBuilder::default();
        for span in spans {
            let batch = stored(vec![span], 1);
            builder.add(&Row::from(batch.span(0)));
        }
        builder.encode().unwrap()
    }

    /// A span with this name that starts in this minute of 1970.
    fn in_minute(minute: u64, name: String, duration_nano: u64) -> Span {
        let start_unix_nano = minute * 60 * SECOND_NANO + 7;
        Span {
            name: name.into(),
            start_unix_nano,
            end_unix_nano: start_unix_nano + duration_nano,
            ..span(1, 1)
        }
    }

    /// Length of steps in seconds, number of steps, spans in all of them.
    fn summary(bytes: &[u8]) -> Option<(u64, usize, u64)> {
        let seconds = Fields::new(bytes).varint()?;
        let rollup = BlockRollup::decode(bytes, 30_000)??;
        let mut spans = 0;
        for step in rollup.steps() {
            step.each_entry(|_, durations| spans += durations.count())?;
        }
        Some((seconds, rollup.steps().len(), spans))
    }

    #[test]
    fn steps_are_as_short_as_keeps_the_rollup_small() {
        let few = |minute| in_minute(minute, format!("operation {}", minute % 5), minute);
        assert_eq!(
            summary(&encoded((0..1_000).map(few))),
            Some((60, 1_000, 1_000))
        );
        // In steps of a minute, or of ten, each span would be alone in its entry.
        let many = |number: u64| {
            let name = format!("operation {}", number % 50);
            in_minute(number / 50 * 10, name, number * 1_000)
        };
        let bytes = encoded((0..30_000).map(many));
        assert_eq!(summary(&bytes), Some((3_600, 100, 30_000)));
        assert!(bytes.len() <= FREE_BYTES + 30_000 / 2, "{}", bytes.len());
    }

    #[test]
    fn a_rollup_of_as_many_operations_as_spans_is_left_out() {
        let unique = |number| in_minute(number, format!("GET /users/{number}"), number);
        let bytes = encoded((0..20_000).map(unique));
        assert_eq!(BlockRollup::decode(&bytes, 20_000), Some(None));
    }

    #[test]
    fn a_damaged_rollup_is_refused_or_read_to_an_end() {
        let whole = encoded((0..20).map(|number| in_minute(number, "a".to_owned(), number)));
        let mut fields = Fields::new(&whole);
        let (_, len) = (fields.varint(), fields.varint());
        let content = decompress(fields.rest(), len.unwrap() as usize).unwrap();
        for at in 0..content.len() {
            for bit in 0..8 {
                let mut damaged = content.clone();
                damaged[at] ^= 1 << bit;
                let rollup = BlockRollup::decode_content(&damaged, 60);
                let steps = rollup.iter().flat_map(BlockRollup::steps);
                steps.for_each(|step| {
                    let _ = step.each_entry(|_, _| {});
                });
            }
            assert_eq!(BlockRollup::decode_content(&content[..at], 60), None);
        }
        for end in 1..whole.len() {
            assert_eq!(BlockRollup::decode(&whole[..end], 20), None);
        }
    }

    #[test]
    fn a_length_that_no_rollup_has_is_refused_before_memory_is_taken() {
        let zeros = vec![0; 10 << 20];
        let mut bytes = Vec::new();
        bytes.put_varint(60);
        bytes.put_varint(zeros.len() as u64);
        bytes.extend(zstd::bulk::compress(&zeros, 1).unwrap());
        assert_eq!(BlockRollup::decode(&bytes, 20), None);
    }
}
