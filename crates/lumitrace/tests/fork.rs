//! A forked child starts clean and sends its own spans.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use lumitrace::model::{names, value};
use support::{PATIENCE, Receiver, Request, exporting_to, named, without_schedule};

/// The only test of its program: a fork copies whatever other tests are doing.
#[test]
fn a_forked_child_has_an_empty_queue_its_own_worker_and_its_own_ids() {
    let receiver = Receiver::accepting();
    let provider = exporting_to(receiver.address())
        .0
        .batch(without_schedule())
        .build();
    let tracer = provider.tracer("train");
    // The worker has a connection, and spans wait in the queue.
    tracer.span("warm_up").start().end();
    provider.force_flush(PATIENCE).unwrap();
    let epoch = tracer.span("training_epoch").enter();
    tracer.span("waiting_in_parent").start().end();

    // Threads that record while the fork happens, so that locks are held.
    let busy = std::sync::Arc::new(AtomicBool::new(true));
    let recording = std::sync::Arc::clone(&busy);
    let thread = std::thread::spawn(move || {
        while recording.load(Ordering::Relaxed) {
            tracer.span("noise").start().set_attribute("key", "value");
        }
    });

    for _ in 0..5 {
        // SAFETY: the child calls nothing but the SDK under test and `_exit`; that it may do so
        // although other threads were running is what this test is about.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let sent = in_child(provider, &epoch);
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(if sent { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `child` is a child of this process, and `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child could not send");
    }
    busy.store(false, Ordering::Relaxed);
    thread.join().unwrap();
    // Makes room: the busy thread has filled the queue.
    provider.force_flush(PATIENCE).unwrap();
    let epoch_id = epoch.context().span_id();
    drop(epoch);
    provider.force_flush(PATIENCE).unwrap();

    let received: Vec<_> = receiver
        .requests()
        .iter()
        .flat_map(Request::spans)
        .collect();
    let spans: Vec<_> = received.iter().map(|(_, span)| span.clone()).collect();
    named(&spans, "waiting_in_parent");
    assert_eq!(named(&spans, "training_epoch").attribute("in_child"), None);
    let of_children: Vec<_> = received
        .iter()
        .filter(|(_, span)| span.name == "load_in_child")
        .collect();
    assert_eq!(of_children.len(), 5);
    let mut ids = std::collections::HashSet::new();
    for (resource, span) in of_children {
        assert_eq!(span.parent_span_id, Some(epoch_id));
        assert!(ids.insert(span.span_id), "ids of children differ");
        let pid = value::find(&resource.attributes, names::PROCESS_PID);
        assert_ne!(
            pid.and_then(|pid| pid.as_i64()),
            Some(i64::from(std::process::id()))
        );
    }
}

fn in_child(provider: lumitrace::TracerProvider, epoch: &lumitrace::Span) -> bool {
    if provider.stats().waiting_spans != 0 || epoch.is_recording() {
        return false;
    }
    // The parent's span is not the child's to change or end.
    epoch.set_attribute("in_child", true);
    epoch.end();
    provider.tracer("train").span("load_in_child").start().end();
    provider.force_flush(PATIENCE).is_ok() && provider.shutdown().is_ok()
}
