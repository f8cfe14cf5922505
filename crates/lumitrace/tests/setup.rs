//! Setting tracing up for a whole program: one process, one test.
#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use lumitrace::environment::Environment;
use lumitrace::exporter::InMemoryExporter;
use lumitrace::notice::Severity;
use lumitrace::{Notice, setup_tracing};
use support::{Notices, PATIENCE};

#[test]
fn setting_up_is_idempotent_never_fails_and_brings_earlier_tracers_to_life() {
    let tracer = lumitrace::tracer("made-before");
    tracer.span("before").start().end();
    let memory = InMemoryExporter::default();
    let first = setup_tracing("first")
        .exporter(memory.clone())
        .with_environment(Environment::default())
        .install();
    let second = setup_tracing("second")
        .with_environment(Environment::default())
        .install();
    assert_eq!(second.provider().resource().service_name(), "first");
    drop(second);
    assert!(tracer.is_enabled(), "the second guard ends nothing");
    tracer.span("after").start().end();
    first.provider().force_flush(PATIENCE).unwrap();
    let spans = memory.finished_spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].span.name, "after");
    drop(first);
    assert!(!tracer.is_enabled());

    // Set up again, towards a collector that is not there and with an endpoint that is none.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let started = Instant::now();
    let notices = Notices::default();
    let told = notices.clone();
    let third = setup_tracing("third")
        .endpoint(closed.to_string())
        .with_environment(Environment::default())
        .on_notice(move |notice| told.0.lock().unwrap().push(notice.clone()))
        .install();
    assert!(
        tracer.is_enabled(),
        "tracers live on with the next provider"
    );
    tracer.span("lost").start().end();
    drop(third);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    let warnings = |notice: &&Notice| notice.severity() == Severity::Warning;
    assert_eq!(notices.all().iter().filter(warnings).count(), 1);

    let notices = Notices::default();
    let told = notices.clone();
    let fourth = setup_tracing("fourth")
        .endpoint("ftp://nowhere")
        .with_environment(Environment::default())
        .on_notice(move |notice| told.0.lock().unwrap().push(notice.clone()))
        .build();
    assert!(fourth.is_running());
    assert!(matches!(&notices.all()[0], Notice::Setting { problem } if problem.contains("ftp")));
}

#[test]
fn tracing_can_be_switched_off_by_the_program_and_by_the_environment() {
    let off = |name: &str| (name == "OTEL_SDK_DISABLED").then(|| "true".to_owned());
    let by_environment = setup_tracing("off")
        .with_environment(Environment::from_lookup(off))
        .build();
    let by_program = setup_tracing("off")
        .with_environment(Environment::default())
        .enabled(false)
        .build();
    for provider in [by_environment, by_program] {
        assert!(!provider.is_running());
        provider.tracer("t").span("s").start().end();
        assert_eq!(provider.force_flush(PATIENCE), Ok(()));
        assert_eq!(provider.shutdown(), Ok(()));
    }
}

#[test]
fn the_environment_is_used_where_the_program_says_nothing() {
    let variables = |name: &str| {
        let value = match name {
            "OTEL_TRACES_EXPORTER" => "none",
            "OTEL_TRACES_SAMPLER" => "always_off",
            "OTEL_RESOURCE_ATTRIBUTES" => "service.version=7,deployment.environment.name=ci",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let provider = setup_tracing("named")
        .with_environment(Environment::from_lookup(variables))
        .build();
    let resource = provider.resource();
    assert_eq!(resource.service_name(), "named");
    let fact = |key| {
        lumitrace::model::value::find(&resource.attributes, key)
            .unwrap()
            .as_str()
    };
    assert_eq!(fact("service.version"), Some("7"));
    assert_eq!(fact("deployment.environment"), Some("ci"));
    assert!(!provider.tracer("t").span("s").start().is_recording());
}

#[test]
fn s24_c27_without_exporters_spans_are_recorded_for_the_program_and_none_is_reported_as_lost() {
    let notices = Notices::default();
    let told = notices.clone();
    let provider = setup_tracing("quiet")
        .with_environment(Environment::from_lookup(|name| {
            (name == "OTEL_TRACES_EXPORTER").then(|| "none".to_owned())
        }))
        .on_notice(move |notice| told.0.lock().unwrap().push(notice.clone()))
        .build();
    for _ in 0..10_000 {
        let span = provider.tracer("t").span("work").start();
        assert!(span.context().is_valid());
    }
    let stats = provider.stats();
    assert_eq!((stats.queue_full_spans, stats.waiting_spans), (0, 0));
    assert_eq!(provider.force_flush(PATIENCE), Ok(()));
    assert_eq!(provider.shutdown(), Ok(()));
    let stats = provider.stats();
    assert_eq!((stats.started_spans, stats.ended_spans), (10_000, 10_000));
    assert_eq!((stats.exported_spans, stats.unsent_spans), (0, 0));
    assert_eq!((stats.queue_full_spans, stats.refused_spans), (0, 0));
    assert_eq!(notices.all(), []);
}

#[test]
fn s2_the_version_is_the_arguments_or_the_environments_or_unknown() {
    let version = |argument: Option<&str>, variables: &str| {
        let environment = Environment::from_lookup(|name| {
            (name == "OTEL_RESOURCE_ATTRIBUTES").then(|| variables.to_owned())
        });
        let mut setup = setup_tracing("versioned").with_environment(environment);
        if let Some(argument) = argument {
            setup = setup.service_version(argument);
        }
        let resource = setup
            .exporter(InMemoryExporter::default())
            .build()
            .resource();
        let found = lumitrace::model::value::find(&resource.attributes, "service.version");
        found.unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(version(Some("1.2"), "service.version=7"), "1.2");
    assert_eq!(version(None, "service.version=7"), "7");
    assert_eq!(version(None, ""), "unknown");
}
