//! A forked child asks the sampling server by itself.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::time::{Duration, Instant};

use lumitrace::TracerProvider;
use lumitrace::sampler::{JaegerRemote, JaegerRemoteSettings};
use support::{Answer, PATIENCE, Receiver};

/// The only test of its program: a fork copies whatever other tests are doing.
#[test]
fn the_sampler_of_a_forked_child_polls_anew_and_begins_with_what_the_parent_knew() {
    // The first process that asks is told to record nothing, the others to record all.
    let server = Receiver::start(|number, _| {
        let rate = number.min(1);
        Answer {
            body: format!(r#"{{"probabilisticSampling":{{"samplingRate":{rate}}}}}"#).into_bytes(),
            ..Answer::status(200)
        }
    });
    let mut settings = JaegerRemoteSettings::default();
    settings.endpoint = format!("http://{}", server.address());
    settings.polling_interval = Duration::from_secs(3600);
    settings.initial_sampling_rate = 0.0;
    let sampler = JaegerRemote::new("forking", settings);
    let provider = TracerProvider::builder().sampler(sampler).build();
    assert!(
        !provider
            .tracer("t")
            .span("in parent")
            .start()
            .is_recording()
    );
    server.wait_for(|requests| (requests.len() == 1).then_some(()));

    // SAFETY: the child calls nothing but the SDK under test and `_exit`; that it may do so although
    // the parent has a polling thread is what this test is about.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let has_answer = is_sampled_in_time(provider) && provider.shutdown().is_ok();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(if has_answer { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `child` is a child of this process, and `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child got no strategy of its own");
    assert_eq!(server.requests().len(), 2, "each process has asked once");
    assert!(
        !provider
            .tracer("t")
            .span("in parent")
            .start()
            .is_recording()
    );
    provider.shutdown().unwrap();
}

/// Starts spans until one is sampled: nothing else tells the child that its answer is there.
fn is_sampled_in_time(provider: TracerProvider) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if provider.tracer("t").span("in child").start().is_recording() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}
