//! The `OTEL_*` variables: the only place that reads the environment.
//!
//! Rules of the OpenTelemetry specification ("SDK environment variables", "OTLP exporter"): an
//! empty value counts as unset, a boolean is true only for `true` in any case, durations are
//! milliseconds, and a value that cannot be used leaves a notice and the default.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use lumitrace_model::KeyValue;
use percent_encoding::percent_decode_str;

use crate::exporter::{
    Compression, Endpoint, FileSettings, HttpSettings, JaegerAgentSettings, OtlpProtocol,
};
use crate::notice::Notice;
use crate::propagation::Propagators;
use crate::resource::ResourceEnvironment;
use crate::sampler::NamedSampler;
use crate::{BatchSettings, SpanLimits};

/// What the environment asks for.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Environment {
    /// `OTEL_SDK_DISABLED`: tracing is off.
    pub is_disabled: bool,
    pub(crate) resource: ResourceEnvironment,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: Option<NamedSampler>,
    /// `OTEL_PROPAGATORS`: names of [`Propagators::NAMES`].
    pub propagators: Option<Vec<String>>,
    /// `OTEL_TRACES_EXPORTER`; empty for `none`.
    pub exporters: Option<Vec<ExporterName>>,
    /// `OTEL_EXPORTER_OTLP_*`.
    pub otlp: OtlpEnvironment,
    /// `OTEL_EXPORTER_JAEGER_*`, `OTEL_EXPORTER_ZIPKIN_*` and `LUMITRACE_FILE*`.
    pub other_exporters: OtherExporters,
    /// `OTEL_BSP_*`, over the defaults.
    pub batch: BatchSettings,
    /// `OTEL_SPAN_*_LIMIT` and the like, over the defaults.
    pub limits: SpanLimits,
    /// Values that could not be used.
    pub notices: Vec<Notice>,
}

/// An exporter that `OTEL_TRACES_EXPORTER` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExporterName {
    /// OTLP, over HTTP or gRPC.
    Otlp,
    /// Lines on the console.
    Console,
    /// Jaeger's agent over UDP, or its collector over HTTP where an address of it is set.
    Jaeger,
    /// Zipkin's API.
    Zipkin,
    /// A file of OTLP in JSON.
    File,
}

impl ExporterName {
    /// All of them, by the names that `OTEL_TRACES_EXPORTER` has for them.
    pub const ALL: [(&'static str, Self); 5] = [
        ("otlp", ExporterName::Otlp),
        ("console", ExporterName::Console),
        ("jaeger", ExporterName::Jaeger),
        ("zipkin", ExporterName::Zipkin),
        ("file", ExporterName::File),
    ];
}

/// What the environment says about the OTLP exporter.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct OtlpEnvironment {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or `OTEL_EXPORTER_OTLP_ENDPOINT` with the path for
    /// traces.
    pub endpoint: Option<Endpoint>,
    /// `..._PROTOCOL`.
    pub protocol: Option<OtlpProtocol>,
    /// `..._HEADERS`.
    pub headers: Vec<(String, String)>,
    /// `..._TIMEOUT`.
    pub timeout: Option<Duration>,
    /// `..._COMPRESSION`.
    pub compression: Option<Compression>,
}

/// What the environment says about the other exporters, over their defaults.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OtherExporters {
    /// `OTEL_EXPORTER_JAEGER_AGENT_HOST` and `_PORT`.
    pub jaeger_agent: JaegerAgentSettings,
    /// `OTEL_EXPORTER_JAEGER_ENDPOINT`: takes the place of the agent.
    pub jaeger_collector: Option<HttpSettings>,
    /// `OTEL_EXPORTER_ZIPKIN_ENDPOINT` and `_TIMEOUT`.
    pub zipkin: HttpSettings,
    /// `LUMITRACE_FILE`, `LUMITRACE_FILE_MAX_BYTES` and `LUMITRACE_FILE_MAX_FILES`.
    pub file: FileSettings,
}

impl Default for OtherExporters {
    fn default() -> Self {
        Self {
            jaeger_agent: JaegerAgentSettings::default(),
            jaeger_collector: None,
            zipkin: HttpSettings::local_zipkin(),
            file: FileSettings::default(),
        }
    }
}

impl Environment {
    /// What the environment of this process asks for.
    pub fn from_process() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// What an environment in which `lookup` finds the variables asks for.
    ///
    /// ```
    /// use lumitrace::environment::Environment;
    /// let environment = Environment::from_lookup(|name| match name {
    ///     "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => Some("64".to_owned()),
    ///     _ => None,
    /// });
    /// assert_eq!(environment.batch.max_batch_spans, 64);
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let mut variables = Variables {
            lookup,
            notices: Vec::new(),
        };
        Self {
            is_disabled: variables.flag("OTEL_SDK_DISABLED"),
            resource: resource(&mut variables),
            sampler: sampler(&mut variables),
            propagators: propagators(&mut variables),
            exporters: exporters(&mut variables),
            otlp: otlp(&mut variables),
            other_exporters: other_exporters(&mut variables),
            batch: batch(&mut variables),
            limits: limits(&mut variables),
            notices: variables.notices,
        }
    }
}

/// The variables, and what was wrong with them.
struct Variables<L> {
    lookup: L,
    notices: Vec<Notice>,
}

impl<L: Fn(&str) -> Option<String>> Variables<L> {
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    fn flag(&mut self, name: &str) -> bool {
        let flag = self.value(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("it is true or false; false is used"),
        });
        flag.unwrap_or(false)
    }

    /// The value as `read` understands it; otherwise a notice.
    fn value<T, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        read(&text)
            .map_err(|reason| self.complain(format!("{name}={text:?} is not used: {reason}")))
            .ok()
    }

    fn number<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        self.value(name, str::parse)
    }

    fn milliseconds(&mut self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_millis)
    }

    /// The variable for traces, or else the one for all signals.
    fn otlp<T, E: Display>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let for_traces = self.value(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), &read);
        for_traces.or_else(|| self.value(&format!("OTEL_EXPORTER_OTLP_{name}"), &read))
    }

    fn complain(&mut self, problem: String) {
        self.notices.push(Notice::Setting { problem });
    }
}

fn resource<L: Fn(&str) -> Option<String>>(variables: &mut Variables<L>) -> ResourceEnvironment {
    let attributes = variables
        .value("OTEL_RESOURCE_ATTRIBUTES", pairs)
        .unwrap_or_default();
    ResourceEnvironment {
        service_name: variables.text("OTEL_SERVICE_NAME"),
        attributes: attributes
            .into_iter()
            .map(|(key, value)| KeyValue::new(key, value))
            .collect(),
    }
}

fn sampler<L: Fn(&str) -> Option<String>>(variables: &mut Variables<L>) -> Option<NamedSampler> {
    let sampler = variables.value("OTEL_TRACES_SAMPLER", NamedSampler::new)?;
    let with_argument = variables.value("OTEL_TRACES_SAMPLER_ARG", |argument| {
        sampler.clone().with_argument(argument)
    });
    Some(with_argument.unwrap_or(sampler))
}

fn propagators<L: Fn(&str) -> Option<String>>(variables: &mut Variables<L>) -> Option<Vec<String>> {
    let list = variables.text("OTEL_PROPAGATORS")?;
    let names = list.split(',').map(str::trim);
    let (known, unknown): (Vec<_>, Vec<_>) = names
        .filter(|name| !name.is_empty())
        .partition(|name| Propagators::NAMES.contains(name));
    for name in unknown {
        let known = Propagators::NAMES.join(", ");
        variables.complain(format!(
            "OTEL_PROPAGATORS: {name:?} is not used: it is one of {known}"
        ));
    }
    (!known.is_empty()).then(|| known.into_iter().map(str::to_owned).collect())
}

fn exporters<L: Fn(&str) -> Option<String>>(
    variables: &mut Variables<L>,
) -> Option<Vec<ExporterName>> {
    const NONE: &str = "none";
    let list = variables.text("OTEL_TRACES_EXPORTER")?;
    let names = list.split(',').map(str::trim);
    let mut exporters = Vec::new();
    for name in names.clone().filter(|name| !name.is_empty()) {
        match ExporterName::ALL.iter().find(|(known, _)| *known == name) {
            // Named twice, it would get every span twice.
            Some((_, exporter)) if exporters.contains(exporter) => {}
            Some((_, exporter)) => exporters.push(*exporter),
            None if name == NONE => {}
            None => {
                let known: Vec<_> = ExporterName::ALL.iter().map(|(known, _)| *known).collect();
                variables.complain(format!(
                    "OTEL_TRACES_EXPORTER names the exporter {name:?}, which is not built in: use \
                     {} or {NONE}",
                    known.join(", ")
                ));
            }
        }
    }
    // Nothing that can be used is no wish for nothing.
    let is_usable = !exporters.is_empty() || names.clone().any(|name| name == NONE);
    is_usable.then_some(exporters)
}

fn other_exporters<L: Fn(&str) -> Option<String>>(variables: &mut Variables<L>) -> OtherExporters {
    let mut exporters = OtherExporters::default();
    if let Some(host) = variables.text("OTEL_EXPORTER_JAEGER_AGENT_HOST") {
        exporters.jaeger_agent.host = host;
    }
    if let Some(port) = variables.number("OTEL_EXPORTER_JAEGER_AGENT_PORT") {
        exporters.jaeger_agent.port = port;
    }
    exporters.jaeger_collector =
        variables.value("OTEL_EXPORTER_JAEGER_ENDPOINT", HttpSettings::jaeger);
    if let Some(zipkin) = variables.value("OTEL_EXPORTER_ZIPKIN_ENDPOINT", HttpSettings::zipkin) {
        exporters.zipkin = zipkin;
    }
    if let Some(milliseconds) = variables.number("OTEL_EXPORTER_ZIPKIN_TIMEOUT") {
        exporters.zipkin.timeout = timeout(milliseconds);
    }
    if let Some(path) = variables.text("LUMITRACE_FILE") {
        exporters.file.path = path.into();
    }
    if let Some(bytes) = positive(variables, "LUMITRACE_FILE_MAX_BYTES") {
        exporters.file.max_file_bytes = bytes as u64;
    }
    if let Some(files) = positive(variables, "LUMITRACE_FILE_MAX_FILES") {
        exporters.file.max_files = files;
    }
    exporters
}

fn otlp<L: Fn(&str) -> Option<String>>(variables: &mut Variables<L>) -> OtlpEnvironment {
    let protocol = variables.otlp("PROTOCOL", |text| match text {
        "http/protobuf" => Ok(OtlpProtocol::HttpProtobuf),
        "http/json" => Ok(OtlpProtocol::HttpJson),
        "grpc" => Ok(OtlpProtocol::Grpc),
        _ => Err("use http/protobuf, http/json or grpc"),
    });
    let endpoint = variables
        .value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", |text| {
            Endpoint::parse(text, protocol)
        })
        .or_else(|| {
            variables.value("OTEL_EXPORTER_OTLP_ENDPOINT", |text| {
                Endpoint::below(text, protocol)
            })
        });
    OtlpEnvironment {
        endpoint,
        protocol,
        headers: variables.otlp("HEADERS", pairs).unwrap_or_default(),
        timeout: variables.otlp("TIMEOUT", |text| text.parse().map(timeout)),
        compression: variables.otlp("COMPRESSION", |text| match text {
            "none" => Ok(Compression::None),
            "gzip" => Ok(Compression::Gzip),
            _ => Err("use gzip or none"),
        }),
    }
}

fn batch<L: Fn(&str) -> Option<String>>(variables: &mut Variables<L>) -> BatchSettings {
    let schedule_delay = variables.milliseconds("OTEL_BSP_SCHEDULE_DELAY");
    let mut batch = BatchSettings {
        schedule_delay,
        ..BatchSettings::default()
    };
    if let Some(export_timeout) = variables.number("OTEL_BSP_EXPORT_TIMEOUT") {
        batch.export_timeout = timeout(export_timeout);
    }
    if let Some(spans) = positive(variables, "OTEL_BSP_MAX_QUEUE_SIZE") {
        batch.max_queue_spans = spans;
    }
    if let Some(spans) = positive(variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE") {
        batch.max_batch_spans = spans;
    }
    if batch.max_batch_spans > batch.max_queue_spans {
        // The specification asks for at most the queue's size.
        batch.max_batch_spans = batch.max_queue_spans;
    }
    batch
}

fn limits<L: Fn(&str) -> Option<String>>(variables: &mut Variables<L>) -> SpanLimits {
    let default = SpanLimits::default();
    let all = variables.number("OTEL_ATTRIBUTE_COUNT_LIMIT");
    let all_lengths = variables.number("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT");
    let mut limit = |name, or: usize| variables.number(name).unwrap_or(or);
    SpanLimits {
        attributes: limit(
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            all.unwrap_or(default.attributes),
        ),
        events: limit("OTEL_SPAN_EVENT_COUNT_LIMIT", default.events),
        links: limit("OTEL_SPAN_LINK_COUNT_LIMIT", default.links),
        attributes_per_event: limit(
            "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
            all.unwrap_or(default.attributes_per_event),
        ),
        attributes_per_link: limit(
            "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
            all.unwrap_or(default.attributes_per_link),
        ),
        value_length: variables
            .number("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT")
            .or(all_lengths),
        overflow: default.overflow,
    }
}

fn positive<L: Fn(&str) -> Option<String>>(
    variables: &mut Variables<L>,
    name: &str,
) -> Option<usize> {
    variables.value(name, |text| match text.parse::<usize>() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    })
}

/// A limit in milliseconds, of which zero means none. A day is as good as none.
fn timeout(milliseconds: u64) -> Duration {
    match milliseconds {
        0 => Duration::from_secs(86_400),
        some => Duration::from_millis(some),
    }
}

/// `key=value` pairs, separated by commas and percent-encoded (W3C Baggage).
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let decode = |text: &str| {
        let decoded = percent_decode_str(text.trim()).decode_utf8();
        decoded
            .map(|text| text.into_owned())
            .map_err(|_| format!("{text:?} is not UTF-8"))
    };
    let entries = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty());
    entries
        .map(|entry| match entry.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((decode(key)?, decode(value)?)),
            _ => Err(format!("{entry:?} is not key=value")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Environment::from_lookup(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn t8_batch_settings_come_from_the_environment() {
        let batch = environment(&[
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "32"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64"),
        ])
        .batch;
        assert_eq!(batch.schedule_delay, Some(Duration::from_millis(100)));
        assert_eq!(batch.export_timeout, Duration::from_secs(86_400));
        assert_eq!((batch.max_queue_spans, batch.max_batch_spans), (32, 32));
    }

    /// Each variable with a value that changes something, and one that cannot be used, if there is.
    const VARIABLES: [(&str, &str, Option<&str>); 37] = [
        ("OTEL_EXPORTER_JAEGER_AGENT_HOST", "agent", None),
        ("OTEL_EXPORTER_JAEGER_AGENT_PORT", "7", Some("65536")),
        (
            "OTEL_EXPORTER_JAEGER_ENDPOINT",
            "http://host",
            Some("ftp://host"),
        ),
        (
            "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
            "http://host",
            Some("ftp://host"),
        ),
        ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "7", Some("soon")),
        ("LUMITRACE_FILE", "spans.jsonl", None),
        ("LUMITRACE_FILE_MAX_BYTES", "7", Some("0")),
        ("LUMITRACE_FILE_MAX_FILES", "7", Some("0")),
        ("OTEL_PROPAGATORS", "b3", Some("carrier-pigeon")),
        ("OTEL_SDK_DISABLED", "true", Some("1")),
        ("OTEL_SERVICE_NAME", "train", None),
        ("OTEL_RESOURCE_ATTRIBUTES", "run.id=7", Some("run.id")),
        ("OTEL_TRACES_SAMPLER", "always_off", Some("sometimes")),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5", Some("half")),
        ("OTEL_TRACES_EXPORTER", "console", Some("carrier-pigeon")),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://host",
            Some("ftp://host"),
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://host",
            Some("ftp://host"),
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", Some("smoke")),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", Some("smoke")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=value", Some("key")),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "key=value",
            Some("key"),
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "7", Some("soon")),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "7", Some("soon")),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", Some("zip")),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip", Some("zip")),
        ("OTEL_BSP_SCHEDULE_DELAY", "7", Some("soon")),
        ("OTEL_BSP_EXPORT_TIMEOUT", "7", Some("soon")),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "7", Some("0")),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "7", Some("0")),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "7", Some("-1")),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "7", Some("-1")),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "7", Some("-1")),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "7", Some("-1")),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "7", Some("-1")),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7", Some("-1")),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "7", Some("-1")),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7", Some("-1")),
    ];
    /// Without it, nobody asks for the sampler's argument.
    const SAMPLER: (&str, &str) = ("OTEL_TRACES_SAMPLER", "traceidratio");

    #[test]
    fn t13_each_variable_that_is_read_has_an_effect_and_no_other_is_read() {
        let before = environment(&[SAMPLER]);
        for (variable, value, _) in VARIABLES {
            let read = environment(&[(variable, value), SAMPLER]);
            assert_ne!(read, before, "{variable}");
            assert_eq!(read.notices, [], "{variable}");
        }
        let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
        Environment::from_lookup(|name| {
            asked.borrow_mut().insert(name.to_owned());
            (name == SAMPLER.0).then(|| SAMPLER.1.to_owned())
        });
        let known = VARIABLES.map(|(variable, ..)| variable.to_owned());
        assert_eq!(*asked.borrow(), known.into());
    }

    #[test]
    fn t13_a_value_that_cannot_be_used_is_told_by_the_name_of_its_variable() {
        for (variable, _, invalid) in VARIABLES {
            let Some(invalid) = invalid else { continue };
            let read = environment(&[(variable, invalid), SAMPLER]);
            let [Notice::Setting { problem }] = &read.notices[..] else {
                panic!("{variable}: {:?}", read.notices);
            };
            assert!(problem.starts_with(variable), "{problem}");
        }
    }

    #[test]
    fn nothing_set_means_the_defaults_and_no_notice() {
        for variables in [
            &[][..],
            &[
                ("OTEL_TRACES_SAMPLER", ""),
                ("OTEL_BSP_MAX_QUEUE_SIZE", " "),
            ],
        ] {
            assert_eq!(environment(variables), Environment::default());
        }
    }

    #[test]
    fn invalid_values_leave_the_default_and_one_notice_each() {
        let read = environment(&[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_EXPORTER", "carrier-pigeon"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://host"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "no pair"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=7"),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1"),
        ]);
        assert_eq!(read.notices.len(), 9, "{:#?}", read.notices);
        assert_eq!(
            Environment {
                notices: Vec::new(),
                ..read
            },
            Environment::default()
        );
    }

    #[test]
    fn s19_an_argument_that_cannot_be_used_is_told_and_replaced() {
        let name = "parentbased_traceidratio";
        let read = |argument| {
            let sampler = ("OTEL_TRACES_SAMPLER", name);
            environment(&[sampler, ("OTEL_TRACES_SAMPLER_ARG", argument)])
        };
        let default = NamedSampler::new(name).unwrap();
        let half = default.clone().with_argument("0.5").unwrap();
        for (argument, sampler, notices) in [("0.5", half, 0), ("2", default, 1)] {
            let read = read(argument);
            assert_eq!(read.sampler, Some(sampler), "{argument}");
            assert_eq!(read.notices.len(), notices, "{argument}");
        }
    }

    #[test]
    fn s19_the_sampler_of_aws_xray_is_refused_with_a_notice() {
        let read = environment(&[("OTEL_TRACES_SAMPLER", "xray")]);
        assert_eq!(read.sampler, None);
        let [Notice::Setting { problem }] = &read.notices[..] else {
            panic!("{:?}", read.notices);
        };
        assert!(
            problem.starts_with("OTEL_TRACES_SAMPLER=\"xray\""),
            "{problem}"
        );
    }

    #[test]
    fn variables_for_traces_win_over_those_for_all_signals() {
        let otlp = environment(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/base"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://traces:4318/own",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,x=1"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ])
        .otlp;
        assert_eq!(otlp.endpoint.unwrap().url(), "http://traces:4318/own");
        assert_eq!(otlp.timeout, Some(Duration::from_secs(2)));
        assert_eq!(otlp.headers[0], ("api-key".to_owned(), "a b".to_owned()));
        assert_eq!(otlp.compression, Some(Compression::Gzip));
        let otlp = environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/base")]).otlp;
        assert_eq!(
            otlp.endpoint.unwrap().url(),
            "http://all:4318/base/v1/traces"
        );
    }

    #[test]
    fn c3_c27_exporters_are_a_list_and_none_means_none() {
        let exporters = |list| environment(&[("OTEL_TRACES_EXPORTER", list)]).exporters;
        assert_eq!(exporters("none"), Some(Vec::new()));
        for (name, exporter) in ExporterName::ALL {
            assert_eq!(exporters(name), Some(vec![exporter]));
        }
        let both = Some(vec![ExporterName::Console, ExporterName::Otlp]);
        assert_eq!(exporters("console, otlp,console"), both);
        assert_eq!(exporters("carrier-pigeon"), None);
    }

    #[test]
    fn c3_an_unknown_exporter_is_told_and_the_others_are_used() {
        let read = environment(&[("OTEL_TRACES_EXPORTER", "carrier-pigeon,file")]);
        assert_eq!(read.exporters, Some(vec![ExporterName::File]));
        let [Notice::Setting { problem }] = &read.notices[..] else {
            panic!("{:?}", read.notices);
        };
        assert!(problem.contains("carrier-pigeon"), "{problem}");
        assert!(
            problem.contains("otlp, console, jaeger, zipkin, file or none"),
            "{problem}"
        );
    }

    #[test]
    fn c22_a22_addresses_of_jaeger_and_zipkin_are_completed() {
        let others = environment(&[]).other_exporters;
        assert_eq!(
            others.jaeger_agent,
            JaegerAgentSettings::new("localhost", 6831)
        );
        assert_eq!(others.jaeger_collector, None);
        assert_eq!(others.zipkin.url, "http://localhost:9411/api/v2/spans");
        let others = environment(&[
            ("OTEL_EXPORTER_JAEGER_AGENT_HOST", "jaeger-agent.monitoring"),
            ("OTEL_EXPORTER_JAEGER_ENDPOINT", "http://jaeger:14268"),
            ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "zipkin:9411/own"),
            ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "0"),
        ])
        .other_exporters;
        let agent = JaegerAgentSettings::new("jaeger-agent.monitoring", 6831);
        assert_eq!(others.jaeger_agent, agent);
        let collector = others.jaeger_collector.unwrap();
        assert_eq!(collector.url, "http://jaeger:14268/api/traces");
        assert_eq!(others.zipkin.url, "http://zipkin:9411/own");
        assert_eq!(others.zipkin.timeout, Duration::from_secs(86_400), "none");
    }

    #[test]
    fn resource_attributes_are_decoded() {
        let resource = environment(&[
            ("OTEL_SERVICE_NAME", "train"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=fx%2Cml, run.id=7"),
        ])
        .resource;
        assert_eq!(resource.service_name.as_deref(), Some("train"));
        let attributes = [KeyValue::new("team", "fx,ml"), KeyValue::new("run.id", "7")];
        assert_eq!(resource.attributes, attributes);
    }

    #[test]
    fn only_the_word_true_disables() {
        assert!(environment(&[("OTEL_SDK_DISABLED", "TRUE")]).is_disabled);
        assert!(!environment(&[("OTEL_SDK_DISABLED", "1")]).is_disabled);
    }
}
