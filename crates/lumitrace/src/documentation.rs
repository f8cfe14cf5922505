//! That the guide says what the code does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lumitrace_model::Span;

use crate::environment::{Environment, ExporterName};
use crate::exporter::{Compression, Endpoint, InMemoryExporter, OtlpProtocol, OtlpSettings};
use crate::provider::TracerProvider;
use crate::sampler::{COMPONENT_SWITCHES, NamedSampler, SPAN_FAMILIES};
use crate::training::{
    TrainingSpan, batch_processing, data_loading, feature_engineering, training_epoch, validation,
};
use crate::{BatchSettings, SpanLimits, setup_tracing};

const GUIDE: &str = include_str!("../../../docs/tracing.md");

/// The cells of the rows of the table with this heading.
fn table(first_heading: &str) -> Vec<Vec<&'static str>> {
    let start = format!("| {first_heading} |");
    let rows = GUIDE.lines().skip_while(|line| !line.starts_with(&start));
    rows.take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn documented_defaults() -> BTreeMap<&'static str, &'static str> {
    let rows = table("variable").into_iter();
    rows.flat_map(|row| quoted(row[0]).map(move |name| (name, row[1].trim_matches('`'))))
        .collect()
}

fn ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn defaults_of_batches_and_limits() -> BTreeMap<&'static str, String> {
    let (batch, limits) = (BatchSettings::default(), SpanLimits::default());
    assert!(limits.value_length.is_none());
    BTreeMap::from([
        (
            "OTEL_BSP_SCHEDULE_DELAY",
            format!(
                "{}; {} towards a Lumitrace server",
                ms(batch.delay(false)),
                ms(batch.delay(true))
            ),
        ),
        (
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            batch.max_batch_spans.to_string(),
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", batch.max_queue_spans.to_string()),
        ("OTEL_BSP_EXPORT_TIMEOUT", ms(batch.export_timeout)),
        (
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            limits.attributes.to_string(),
        ),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", limits.events.to_string()),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", limits.links.to_string()),
        (
            "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
            limits.attributes_per_event.to_string(),
        ),
        (
            "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
            limits.attributes_per_link.to_string(),
        ),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "–".to_owned()),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "–".to_owned()),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "–".to_owned()),
    ])
}

fn defaults_of_other_exporters() -> BTreeMap<&'static str, String> {
    let others = Environment::default().other_exporters;
    assert!(others.jaeger_collector.is_none());
    BTreeMap::from([
        ("OTEL_EXPORTER_JAEGER_AGENT_HOST", others.jaeger_agent.host),
        (
            "OTEL_EXPORTER_JAEGER_AGENT_PORT",
            others.jaeger_agent.port.to_string(),
        ),
        ("OTEL_EXPORTER_JAEGER_ENDPOINT", "–".to_owned()),
        ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", others.zipkin.url),
        ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", ms(others.zipkin.timeout)),
        ("LUMITRACE_FILE", others.file.path.display().to_string()),
        (
            "LUMITRACE_FILE_MAX_BYTES",
            others.file.max_file_bytes.to_string(),
        ),
        (
            "LUMITRACE_FILE_MAX_FILES",
            others.file.max_files.to_string(),
        ),
    ])
}

#[test]
fn c3_the_guide_describes_each_exporter_that_can_be_named() {
    let mut known: Vec<_> = ExporterName::ALL.iter().map(|(name, _)| *name).collect();
    known.push("none");
    let rows = table("exporter");
    let mut documented: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    known.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, known);
}

#[test]
fn t10_the_defaults_in_the_guide_are_those_of_the_code() {
    let local = Endpoint::local(OtlpProtocol::HttpProtobuf);
    let otlp = OtlpSettings::new(local.clone());
    assert_eq!(otlp.compression, Compression::None);
    assert!(NamedSampler::new("parentbased_always_on").is_ok());
    let environment = Environment::default();
    assert!(!environment.is_disabled);
    let resource = setup_tracing("named")
        .with_environment(environment)
        .build()
        .resource();
    let fact = |key| {
        let value = lumitrace_model::value::find(&resource.attributes, key);
        format!("{key}={}", value.unwrap().as_str().unwrap())
    };
    let mut in_code = defaults_of_batches_and_limits();
    in_code.extend(defaults_of_other_exporters());
    in_code.extend([
        ("OTEL_SDK_DISABLED", "false".to_owned()),
        (
            "OTEL_SERVICE_NAME",
            "the program's name, `sequence` in Python".to_owned(),
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            [fact("deployment.environment.name"), fact("service.version")].join(","),
        ),
        ("OTEL_PROPAGATORS", "tracecontext,baggage".to_owned()),
        ("OTEL_TRACES_EXPORTER", "otlp".to_owned()),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            local.url().trim_end_matches("/v1/traces").to_owned(),
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "–".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "–".to_owned()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", ms(otlp.timeout)),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none".to_owned()),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on".to_owned()),
        ("OTEL_TRACES_SAMPLER_ARG", "1".to_owned()),
    ]);
    let documented = documented_defaults();
    for (variable, default) in &in_code {
        assert_eq!(documented.get(variable), Some(&&**default), "{variable}");
    }
    assert_eq!(documented.len(), in_code.len());
}

#[test]
fn t10_the_guide_lists_the_variables_that_are_read() {
    let read = RefCell::new(BTreeSet::new());
    Environment::from_lookup(|name| {
        read.borrow_mut().insert(name.to_owned());
        (name == "OTEL_TRACES_SAMPLER").then(|| "traceidratio".to_owned())
    });
    let documented = documented_defaults();
    for variable in read.borrow().iter() {
        // The guide says of these in a sentence that they exist.
        let general = variable.replace("OTLP_TRACES_", "OTLP_");
        assert!(
            documented.contains_key(&**variable) || documented.contains_key(&*general),
            "{variable}"
        );
    }
    for variable in documented.keys() {
        assert!(read.borrow().contains(*variable), "{variable}");
    }
}

#[test]
fn t13_the_guide_lists_the_component_switches_and_families_that_act() {
    let documented: Vec<_> = table("switch")
        .into_iter()
        .map(|row| {
            let prefixes: Vec<_> = quoted(row[1]).collect();
            (row[0].trim_matches('`'), prefixes)
        })
        .collect();
    let in_code = COMPONENT_SWITCHES.map(|(switch, prefixes)| (switch, prefixes.to_vec()));
    assert_eq!(documented, in_code);
    let listed = SPAN_FAMILIES.map(|family| format!("`{family}`"));
    let (last, others) = listed.split_last().unwrap();
    let listed = format!("{} and {last}", others.join(", "));
    assert!(GUIDE.replace('\n', " ").contains(&listed), "{listed}");
}

#[test]
fn s19_t10_the_guide_lists_the_samplers_and_their_default_arguments() {
    let mut documented = BTreeSet::new();
    for row in table("sampler") {
        let mut arguments = row[2].rsplit_once("; ").map(|(_, default)| quoted(default));
        for name in quoted(row[0]) {
            documented.insert(name);
            let default = NamedSampler::new(name).unwrap();
            let argument = arguments.as_mut().map(|it| it.collect::<Vec<_>>());
            let argument = match &argument.unwrap_or_default()[..] {
                [endpoint, interval, rate] => format!(
                    "endpoint={endpoint},pollingIntervalMs={interval},initialSamplingRate={rate}"
                ),
                one => one.concat(),
            };
            let with_argument = default.clone().with_argument(&argument);
            assert_eq!(with_argument, Ok(default), "{name} {argument}");
        }
    }
    let in_code = NamedSampler::NAMES.iter().copied();
    let in_code: BTreeSet<_> = in_code
        .map(|name| name.trim_start_matches("parentbased_"))
        .collect();
    assert_eq!(documented, in_code);
}

/// The spans of a program that uses everything in the module for training.
fn spans_of_training() -> Vec<Span> {
    let exporter = InMemoryExporter::default();
    let provider = TracerProvider::builder().exporter(exporter.clone()).build();
    let tracer = provider.tracer("train");
    data_loading(&tracer, "gbpusd", Some(400)).start().end();
    feature_engineering(&tracer, "gbpusd", Some(27))
        .start()
        .end();
    {
        let epoch = training_epoch(&tracer, 1, 3).enter();
        let batch = batch_processing(&tracer, 1, 32).enter();
        batch.record_loss(0.5);
        batch.record_task_loss("name", 0.25);
        drop(batch);
        let check = validation(&tracer).enter();
        check.record_validation(0.5, Some(0.6));
        check.record_validation_metric("metric", 0.6);
        epoch.record_step_loss(1, 0.5);
        epoch.record_epoch(0.5, Some(0.5), Some(0.6));
    }
    provider.force_flush(Duration::from_secs(20)).unwrap();
    let finished = exporter.finished_spans().into_iter();
    finished.map(|finished| finished.span).collect()
}

#[test]
fn t15_every_documented_helper_emits_its_span_with_the_documented_attributes() {
    let spans = spans_of_training();
    let rows = table("helper");
    assert_eq!(rows.len(), spans.len());
    for row in rows {
        let name = quoted(row[1]).next().unwrap();
        let span = spans.iter().find(|span| span.name == name).unwrap();
        let mut documented: BTreeSet<String> = quoted(row[2])
            .map(|key| key.replace("_N", "_1").replace(['<', '>'], ""))
            .collect();
        if name == "validation" {
            // From the epoch around it.
            documented.insert("epoch".to_owned());
        }
        let emitted: BTreeSet<String> = span
            .attributes
            .iter()
            .map(|attribute| attribute.key.to_string())
            .collect();
        assert_eq!(emitted, documented, "{name}");
    }
}
