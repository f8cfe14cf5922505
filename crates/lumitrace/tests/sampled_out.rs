//! A span that is not recorded costs no memory, whichever sampler said so.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::NonZeroU32;

use lumitrace::TracerProvider;
use lumitrace::sampler::{
    AlwaysOff, AlwaysOn, BatchInterval, ComponentSwitches, JaegerRemote, JaegerRemoteSettings,
    ParentBased, RateLimited, Rule, RuleBased, Sampler, TraceIdRatio,
};
use support::{Answer, Receiver, ask};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands everything on to the system's allocator, and counts without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more.
        let _counted = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the system's allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl Fn()) -> usize {
    // Threads and lists that are made once.
    work();
    let before = ALLOCATIONS.with(Cell::get);
    (0..100).for_each(|_| work());
    ALLOCATIONS.with(Cell::get) - before
}

fn samplers() -> Vec<(&'static str, Box<dyn Sampler>)> {
    let rules = RuleBased::new(AlwaysOn).rule(
        Rule::new().name("w*k").scope("*").attribute("key", "value"),
        AlwaysOn,
    );
    let dropping = rules.rule(Rule::new().name("work"), AlwaysOff);
    let three = NonZeroU32::new(3).unwrap();
    vec![
        ("always off", Box::new(AlwaysOff)),
        ("ratio", Box::new(TraceIdRatio::new(0.0))),
        ("below a parent", Box::new(ParentBased::new(AlwaysOff))),
        (
            "limit",
            Box::new(RateLimited::per_second(f64::MIN_POSITIVE)),
        ),
        ("rules", Box::new(dropping)),
        ("batches", Box::new(BatchInterval::new(three, AlwaysOff))),
        (
            "switch",
            Box::new(ComponentSwitches::new(["work"], AlwaysOn)),
        ),
    ]
}

#[test]
fn a_span_that_is_sampled_out_allocates_nothing() {
    for (name, sampler) in samplers() {
        let provider = TracerProvider::builder().sampler(sampler).build();
        let tracer = provider.tracer("t");
        let allocations = allocations_of(|| {
            let outer = tracer.span("work").enter();
            let inner = tracer.span("work").start();
            assert!(!inner.is_recording());
            drop((inner, outer));
        });
        assert_eq!(allocations, 0, "{name}");
    }
}

#[test]
fn what_a_server_says_is_decided_without_an_allocation() {
    let server = Receiver::start(|_, _| Answer {
        body: br#"{"operationSampling":{"perOperationStrategies":[{"operation":"other"}]}}"#
            .to_vec(),
        ..Answer::status(200)
    });
    let mut settings = JaegerRemoteSettings::default();
    settings.endpoint = format!("http://{}", server.address());
    settings.polling_interval = std::time::Duration::from_millis(10);
    settings.initial_sampling_rate = 0.0;
    let sampler = JaegerRemote::new("t", settings);
    ask(&sampler);
    server.wait_for(|requests| (requests.len() > 1).then_some(()));
    assert_eq!(
        allocations_of(|| assert!(ask(&sampler).attributes().is_empty())),
        0
    );
}
