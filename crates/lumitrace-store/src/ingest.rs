//! The thread on which batches become durable, then searchable, then acknowledged.

use std::time::Duration;

use crate::append::{AppendError, AppendReceipt};
use crate::engine::Engine;
use crate::failpoint::{Failpoint, reached};
use crate::signal::{Batch, Signal};
use crate::stored::Origins;
use crate::wal::queue::{NextGroup, WaitingBatch};
use crate::wal::writer::{LogFailure, LogWriter};

/// Batches are written together up to this size; larger groups sync no faster.
const GROUP_BYTES: usize = 1 << 20;

/// Writes groups of batches until the queue is closed and empty, or the log fails.
pub(crate) fn run<S: Signal>(engine: &Engine<S>, mut log: LogWriter) {
    let mut origins = Origins::default();
    loop {
        match engine.queue.next_group(GROUP_BYTES, log.sync_due_in()) {
            NextGroup::Write(group) => store_group(engine, &mut log, &mut origins, group),
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

fn store_group<S: Signal>(
    engine: &Engine<S>,
    log: &mut LogWriter,
    origins: &mut Origins,
    group: Vec<WaitingBatch<S::Batch>>,
) {
    if engine.failure().is_some() {
        return refuse(engine, group, &engine.refusal());
    }
    match log.write_group(&group) {
        Ok(first_seq) => acknowledge(engine, origins, group, first_seq),
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
    origins: &mut Origins,
    group: Vec<WaitingBatch<S::Batch>>,
    mut first_seq: u64,
) {
    for waiting in group {
        let (record_count, bytes) = (waiting.batch.record_count(), waiting.batch.memory_bytes());
        let received_unix_nano = waiting.received_unix_nano;
        let stored = waiting
            .batch
            .into_stored(first_seq, received_unix_nano, origins);
        engine.insert(&stored);
        reached(Failpoint::BatchInserted);
        engine.subscribers.publish(stored, bytes);
        engine.counters.count_append(record_count as u64);
        // The sender may have stopped waiting.
        let _ = waiting.answer.send(Ok(AppendReceipt {
            record_count,
            first_seq,
        }));
        first_seq += record_count as u64;
    }
}

fn refuse<S: Signal>(engine: &Engine<S>, group: Vec<WaitingBatch<S::Batch>>, error: &AppendError) {
    for batch in group {
        batch.refuse(&engine.counters, error);
    }
}
