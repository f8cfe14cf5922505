//! The thread on which batches become durable, then searchable, then acknowledged.

use std::time::Duration;

use crate::append::{AppendError, AppendReceipt};
use crate::engine::Engine;
use crate::failpoint::{Failpoint, reached};
use crate::origins::Origins;
use crate::retries::RecentRequests;
use crate::signal::{Batch, Signal};
use crate::stats::count;
use crate::wal::queue::{NextGroup, WaitingBatch};
use crate::wal::writer::{LogFailure, LogWriter};

/// Batches are written together up to this size; larger groups sync no faster.
const GROUP_BYTES: usize = 1 << 20;

/// What is remembered of earlier batches.
#[derive(Default)]
struct Known {
    origins: Origins,
    requests: RecentRequests,
}

/// Writes groups of batches until the queue is closed and empty, or the log fails.
pub(crate) fn run<S: Signal>(engine: &Engine<S>, mut log: LogWriter) {
    let mut known = Known::default();
    loop {
        match engine.queue.next_group(GROUP_BYTES, log.sync_due_in()) {
            NextGroup::Write(group) => {
                let group = answer_repeated(engine, &mut known.requests, group);
                if !group.is_empty() {
                    store_group(engine, &mut log, &mut known, group);
                }
            }
            NextGroup::TimedOut => fail_if_fatal(engine, log.sync()),
            NextGroup::Ended => break,
        }
        // A steady stream must not put off a sync that is due.
        if log.sync_due_in() == Some(Duration::ZERO) {
            fail_if_fatal(engine, log.sync());
        }
    }
    if engine.failure().is_none() {
        fail_if_fatal(engine, log.close());
    }
}

fn fail_if_fatal<S: Signal>(engine: &Engine<S>, result: Result<(), LogFailure>) {
    if let Err(LogFailure::Fatal(reason)) = result {
        engine.fail(reason);
    }
}

/// Acknowledges the batches that were stored before and still are. Returns the others.
fn answer_repeated<S: Signal>(
    engine: &Engine<S>,
    requests: &mut RecentRequests,
    group: Vec<WaitingBatch<S::Batch>>,
) -> Vec<WaitingBatch<S::Batch>> {
    if engine.failure().is_some() {
        return group;
    }
    let mut others = Vec::with_capacity(group.len());
    for waiting in group {
        let key = waiting.batch.retry_key();
        let known = key.and_then(|key| requests.answer_of(key, waiting.received_unix_nano));
        match known {
            Some(answer) if engine.holds(answer.first_seq) => {
                count(&engine.counters.repeated_batches, 1);
                // The sender may have stopped waiting.
                let _ = waiting.answer.send(Ok(answer));
            }
            _ => others.push(waiting),
        }
    }
    others
}

fn store_group<S: Signal>(
    engine: &Engine<S>,
    log: &mut LogWriter,
    known: &mut Known,
    group: Vec<WaitingBatch<S::Batch>>,
) {
    if engine.failure().is_some() {
        return refuse(engine, group, &engine.refusal());
    }
    match log.write_group(&group) {
        Ok(first_seq) => acknowledge(engine, known, group, first_seq),
        Err(LogFailure::Refused(error)) => {
            tracing::warn!(%error, batches = group.len(), "refused batches");
            refuse(engine, group, &error);
        }
        Err(LogFailure::Fatal(reason)) => {
            engine.fail(reason);
            refuse(engine, group, &engine.refusal());
        }
    }
}

fn acknowledge<S: Signal>(
    engine: &Engine<S>,
    known: &mut Known,
    group: Vec<WaitingBatch<S::Batch>>,
    mut first_seq: u64,
) {
    for waiting in group {
        let (record_count, bytes) = (waiting.batch.record_count(), waiting.batch.memory_bytes());
        let received_unix_nano = waiting.received_unix_nano;
        let key = waiting.batch.retry_key();
        let stored = waiting
            .batch
            .into_stored(first_seq, received_unix_nano, &mut known.origins);
        engine.insert(&stored);
        reached(Failpoint::BatchInserted);
        engine.subscribers.publish(stored, bytes);
        engine.counters.count_append(record_count as u64);
        let answer = AppendReceipt {
            record_count,
            first_seq,
        };
        if let Some(key) = key {
            known.requests.remember(key, received_unix_nano, answer);
        }
        // The sender may have stopped waiting.
        let _ = waiting.answer.send(Ok(answer));
        first_seq += record_count as u64;
    }
}

fn refuse<S: Signal>(engine: &Engine<S>, group: Vec<WaitingBatch<S::Batch>>, error: &AppendError) {
    for batch in group {
        batch.refuse(&engine.counters, error);
    }
}
