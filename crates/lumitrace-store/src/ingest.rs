//! The thread on which batches become durable, then searchable, then acknowledged.

use std::time::Duration;

use crate::append::{AppendError, AppendReceipt};
use crate::engine::Engine;
use crate::log::queue::{NextGroup, WaitingBatch};
use crate::log::writer::{LogFailure, LogWriter};
use crate::stored::Origins;

/// Batches are written together up to this size; larger groups sync no faster.
const GROUP_BYTES: usize = 1 << 20;

/// Writes groups of batches until the queue is closed and empty, or the log fails.
pub(crate) fn run(engine: &Engine, mut log: LogWriter) {
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
        fail_if_fatal(engine, log.sync());
    }
}

fn fail_if_fatal(engine: &Engine, result: Result<(), LogFailure>) {
    if let Err(LogFailure::Fatal(reason)) = result {
        engine.fail(reason);
    }
}

fn store_group(
    engine: &Engine,
    log: &mut LogWriter,
    origins: &mut Origins,
    group: Vec<WaitingBatch>,
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

fn acknowledge(
    engine: &Engine,
    origins: &mut Origins,
    group: Vec<WaitingBatch>,
    mut first_seq: u64,
) {
    for waiting in group {
        let stored = origins.store(waiting.batch, first_seq, waiting.received_unix_nano);
        let span_count = stored.len();
        engine.insert(&stored);
        engine.subscribers.publish(stored);
        engine.counters.count_append(span_count as u64);
        // The sender may have stopped waiting.
        let _ = waiting.answer.send(Ok(AppendReceipt {
            span_count,
            first_seq,
        }));
        first_seq += span_count as u64;
    }
}

fn refuse(engine: &Engine, group: Vec<WaitingBatch>, error: &AppendError) {
    for batch in group {
        batch.refuse(&engine.counters, error);
    }
}
