//! When the spans of a block were received: once for each batch, not for each span.

use crate::binary::{Fields, PutFields};

/// Spans of one batch whose sequence numbers follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch {
    first_seq: u64,
    last_seq: u64,
    received_unix_nano: u64,
}

/// Collects when spans were received, in any order of them.
#[derive(Debug, Default)]
pub(crate) struct ReceivedBuilder {
    stretches: Vec<Stretch>,
    /// How many there were when they were last joined.
    joined: usize,
}

impl ReceivedBuilder {
    pub(crate) fn add(&mut self, seq: u64, received_unix_nano: u64) {
        if let Some(last) = self.stretches.last_mut()
            && last.last_seq.wrapping_add(1) == seq
            && last.received_unix_nano == received_unix_nano
        {
            last.last_seq = seq;
            return;
        }
        self.stretches.push(Stretch {
            first_seq: seq,
            last_seq: seq,
            received_unix_nano,
        });
        // Spans come in the order of their traces: what belongs together meets little by little.
        if self.stretches.len() > 2 * self.joined + 65_536 {
            self.join(false);
        }
    }

    /// Joins what follows each other; over gaps, too, once no more comes that could be in them.
    fn join(&mut self, over_gaps: bool) {
        self.stretches.sort_unstable();
        self.stretches.dedup_by(|next, last| {
            let follows = over_gaps || last.last_seq.wrapping_add(1) == next.first_seq;
            let joins = follows && last.received_unix_nano == next.received_unix_nano;
            if joins {
                last.last_seq = next.last_seq;
            }
            joins
        });
        self.joined = self.stretches.len();
    }

    pub(crate) fn finish(mut self) -> ReceivedTable {
        self.join(true);
        let batches = self.stretches.iter();
        ReceivedTable {
            batches: batches
                .map(|stretch| (stretch.first_seq, stretch.received_unix_nano))
                .collect(),
        }
    }
}

/// For the first sequence number of each batch when it was received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReceivedTable {
    batches: Vec<(u64, u64)>,
}

impl ReceivedTable {
    /// About how many bytes of memory it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self.batches.as_slice())
    }

    /// When span number `seq` was received; zero if the table does not reach that far back.
    pub(crate) fn at(&self, seq: u64) -> u64 {
        let after = self.batches.partition_point(|(first, _)| *first <= seq);
        let batch = after
            .checked_sub(1)
            .and_then(|index| self.batches.get(index));
        batch.map_or(0, |(_, received_unix_nano)| *received_unix_nano)
    }

    /// When the first and the last span were received; none if the table is empty.
    pub(crate) fn range_unix_nano(&self) -> Option<(u64, u64)> {
        let times = || self.batches.iter().map(|(_, received)| *received);
        times().min().zip(times().max())
    }

    /// Writes the section of the sidecar.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_varint(self.batches.len() as u64);
        let (mut last_seq, mut last_received) = (0_u64, 0_u64);
        for (seq, received) in &self.batches {
            out.put_varint(seq.wrapping_sub(last_seq));
            out.put_varint(zigzag(received.wrapping_sub(last_received) as i64));
            (last_seq, last_received) = (*seq, *received);
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let count = fields.varint()?;
        let (mut seq, mut received) = (0_u64, 0_u64);
        let mut batch = || {
            seq = seq.wrapping_add(fields.varint()?);
            received = received.wrapping_add(unzigzag(fields.varint()?) as u64);
            Some((seq, received))
        };
        let batches = (0..count).map(|_| batch()).collect::<Option<_>>()?;
        Some(Self { batches })
    }
}

/// Small numbers of either sign as small ones without.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_batch_takes_one_entry_however_its_spans_are_ordered_and_whatever_is_missing() {
        let mut builder = ReceivedBuilder::default();
        for seq in [7, 9, 3, 1, 2, 8, 4] {
            builder.add(seq, if seq < 5 { 100 } else { 90 });
        }
        let table = builder.finish();
        assert_eq!(table.batches, [(1, 100), (7, 90)]);
        assert_eq!((table.at(0), table.at(4), table.at(9)), (0, 100, 90));
    }

    proptest! {
        #[test]
        fn every_span_gets_back_when_it_was_received(
            received in proptest::collection::vec(prop_oneof![0..3_u64, any::<u64>()], 0..50),
            first in any::<u32>(),
            step in 1..5_usize,
        ) {
            let spans: Vec<_> = (u64::from(first)..).zip(received).collect();
            let mut builder = ReceivedBuilder::default();
            for offset in 0..step {
                for (seq, received) in spans.iter().skip(offset).step_by(step) {
                    builder.add(*seq, *received);
                }
                builder.join(false);
            }
            let table = builder.finish();
            for (seq, received) in &spans {
                prop_assert_eq!(table.at(*seq), *received);
            }
            prop_assert_eq!(ReceivedTable::decode(&table.encode()), Some(table));
        }
    }
}
