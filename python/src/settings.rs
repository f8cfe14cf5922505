//! What a program asks for when it sets tracing up.
//!
//! Arguments are stronger than the environment. Those that have a variable take the variable's
//! place, so that one parser, the SDK's, knows what each value means.

use std::collections::{BTreeMap, HashMap};

use lumitrace::environment::Environment;
use lumitrace::propagation::{self, Propagators};
use lumitrace::setup::TracingSetup;
use lumitrace::{Notice, Overflow, SpanLimits, TracerProvider};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::exporter::{
    ConsoleSpanExporter, FileSpanExporter, InMemorySpanExporter, JaegerSpanExporter,
    ZipkinSpanExporter,
};
use crate::listener::ListenerExporter;
use crate::{notice, value};

/// The keyword arguments of a provider; what is absent is left to the environment.
#[derive(Default)]
pub(crate) struct Settings<'py> {
    service_name: Option<String>,
    /// Variables and what they mean where neither an argument nor the environment says: the
    /// defaults of the entry point that was called.
    defaults: Option<HashMap<String, String>>,
    enabled: Option<bool>,
    /// Spans go to listeners alone, and not to what the environment names.
    listeners_only: Option<bool>,
    otlp_endpoint: Option<String>,
    environment: Option<String>,
    service_version: Option<String>,
    resource_attributes: Option<Bound<'py, PyMapping>>,
    exporters: Option<Vec<Bound<'py, PyAny>>>,
    jaeger_host: Option<String>,
    jaeger_port: Option<i64>,
    jaeger_endpoint: Option<String>,
    protocol: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    compression: Option<String>,
    timeout_ms: Option<i64>,
    sampler: Option<String>,
    sampler_ratio: Option<f64>,
    sampler_arg: Option<String>,
    switched_off: Option<Vec<String>>,
    schedule_delay_ms: Option<i64>,
    max_queue_size: Option<i64>,
    max_export_batch_size: Option<i64>,
    /// Limits as OpenTelemetry's SDK for Python has them: what is oldest goes when a span is full.
    /// Those without a number are not there.
    span_limits: Option<HashMap<String, Option<usize>>>,
}

/// A variable, the argument that takes its place, and the value.
type Substitute = (&'static str, &'static str, String);

impl<'py> Settings<'py> {
    /// The settings in keyword arguments.
    ///
    /// # Errors
    /// An argument that does not exist, or a value of the wrong type.
    pub(crate) fn from_keywords(keywords: &Bound<'py, PyDict>) -> PyResult<Self> {
        let mut settings = Self::default();
        for (name, value) in keywords.iter() {
            let name: String = name.extract()?;
            match name.as_str() {
                "service_name" => settings.service_name = read(&name, &value)?,
                "defaults" => settings.defaults = read(&name, &value)?,
                "enabled" => settings.enabled = read(&name, &value)?,
                "listeners_only" => settings.listeners_only = read(&name, &value)?,
                "otlp_endpoint" => settings.otlp_endpoint = read(&name, &value)?,
                "environment" => settings.environment = read(&name, &value)?,
                "service_version" => settings.service_version = read(&name, &value)?,
                "resource_attributes" => settings.resource_attributes = read(&name, &value)?,
                "exporters" => settings.exporters = read(&name, &value)?,
                "jaeger_host" => settings.jaeger_host = read(&name, &value)?,
                "jaeger_port" => settings.jaeger_port = read(&name, &value)?,
                "jaeger_endpoint" => settings.jaeger_endpoint = read(&name, &value)?,
                "protocol" => settings.protocol = read(&name, &value)?,
                "headers" => settings.headers = read(&name, &value)?,
                "compression" => settings.compression = read(&name, &value)?,
                "timeout_ms" => settings.timeout_ms = read(&name, &value)?,
                "sampler" => settings.sampler = read(&name, &value)?,
                "sampler_ratio" => settings.sampler_ratio = read(&name, &value)?,
                "sampler_arg" => settings.sampler_arg = read(&name, &value)?,
                "switched_off" => settings.switched_off = read(&name, &value)?,
                "schedule_delay_ms" => settings.schedule_delay_ms = read(&name, &value)?,
                "max_queue_size" => settings.max_queue_size = read(&name, &value)?,
                "max_export_batch_size" => settings.max_export_batch_size = read(&name, &value)?,
                "span_limits" => settings.span_limits = read(&name, &value)?,
                _ => {
                    return Err(PyTypeError::new_err(format!(
                        "{name} is no setting of tracing"
                    )));
                }
            }
        }
        if settings.sampler_ratio.is_some() && settings.sampler_arg.is_some() {
            return Err(PyTypeError::new_err(
                "sampler_ratio and sampler_arg are both the sampler's argument: give one of them",
            ));
        }
        Ok(settings)
    }
}

/// The value of the setting `name`; `None` leaves it to the environment.
fn read<'py, T>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<Option<T>>
where
    T: FromPyObjectOwned<'py>,
{
    value.extract::<Option<T>>().map_err(|error| {
        let error: PyErr = error.into();
        PyTypeError::new_err(format!("{name}: {}", error.value(value.py())))
    })
}

impl Settings<'_> {
    /// The provider that these settings describe.
    ///
    /// # Errors
    /// A value of the wrong type. Values that make no sense are told in a warning and not used.
    pub(crate) fn provider(&self) -> PyResult<TracerProvider> {
        let exporters = self.chosen_exporters()?;
        let environment = self.read_environment(&exporters);
        if let Some(names) = &environment.propagators {
            let names = names.iter().map(String::as_str);
            propagation::set_global(Propagators::by_names(names));
        }
        let mut setup = lumitrace::setup_tracing(self.service_name.as_deref().unwrap_or_default())
            .resource("telemetry.sdk.language", "python")
            .enabled(self.enabled.unwrap_or(true))
            .on_notice(notice::log);
        if let Some(environment) = &self.environment {
            setup = setup.environment(environment);
        }
        if let Some(version) = &self.service_version {
            setup = setup.service_version(version);
        }
        if let Some(attributes) = &self.resource_attributes {
            for attribute in value::attributes_of(Some(attributes.as_any()))? {
                setup = setup.resource(attribute.key, attribute.value);
            }
        }
        for prefix in self.switched_off.iter().flatten() {
            setup = setup.switch_off(prefix);
        }
        for (name, value) in self.headers.iter().flatten() {
            setup = setup.header(name, value);
        }
        if exporters.otlp
            && let Some(endpoint) = &self.otlp_endpoint
        {
            setup = setup.endpoint(endpoint);
        }
        if exporters.names.is_some()
            && let Some(names) = environment.exporters.clone()
        {
            setup = setup.exporters_by_name(names);
        }
        for exporter in &exporters.own {
            setup = exporter.add_to(setup);
        }
        if let Some(limits) = &self.span_limits {
            setup = setup.limits(limits_of_opentelemetry(limits));
        }
        let setup = if self.listeners_only == Some(true) {
            setup.exporter(ListenerExporter::Alone)
        } else {
            setup.observer(ListenerExporter::BesideOthers)
        };
        let provider = setup.with_environment(environment).build();
        exporters
            .own
            .iter()
            .for_each(|exporter| exporter.serve(provider));
        Ok(provider)
    }

    /// The environment of the process, with arguments in the place of their variables.
    fn read_environment(&self, exporters: &Exporters<'_>) -> Environment {
        let substitutes = self.substitutes(exporters);
        let values: HashMap<_, _> = substitutes
            .iter()
            .map(|(variable, _, value)| (*variable, value.clone()))
            .collect();
        let set = |name: &str| {
            let value = std::env::var(name).ok();
            value.filter(|value| !value.trim().is_empty())
        };
        // A name among the resource's attributes stands above the default too.
        let is_named =
            set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|it| it.contains("service.name="));
        let default = |name: &str| {
            let defaults = self.defaults.as_ref();
            let defaults = defaults.filter(|_| name != "OTEL_SERVICE_NAME" || !is_named);
            defaults?.get(name).cloned()
        };
        let mut environment = Environment::from_lookup(|name| {
            let given = values.get(name).cloned();
            given.or_else(|| set(name)).or_else(|| default(name))
        });
        for notice in &mut environment.notices {
            if let Notice::Setting { problem } = notice {
                *problem = in_words_of_arguments(problem, &substitutes);
            }
        }
        environment
    }

    fn substitutes(&self, exporters: &Exporters<'_>) -> Vec<Substitute> {
        let number = |number: Option<i64>| number.map(|number| number.to_string());
        let is_set = |name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
        let sampler = self.sampler.clone().or_else(|| {
            let is_wanted = self.sampler_ratio.is_some() && !is_set("OTEL_TRACES_SAMPLER");
            is_wanted.then(|| "parentbased_traceidratio".to_owned())
        });
        [
            ("OTEL_TRACES_EXPORTER", "exporters", exporters.names.clone()),
            ("OTEL_TRACES_SAMPLER", "sampler", sampler),
            (
                "OTEL_TRACES_SAMPLER_ARG",
                "sampler_ratio",
                self.sampler_ratio.map(|ratio| ratio.to_string()),
            ),
            (
                "OTEL_TRACES_SAMPLER_ARG",
                "sampler_arg",
                self.sampler_arg.clone(),
            ),
            (
                "OTEL_EXPORTER_JAEGER_AGENT_HOST",
                "jaeger_host",
                self.jaeger_host.clone(),
            ),
            (
                "OTEL_EXPORTER_JAEGER_AGENT_PORT",
                "jaeger_port",
                number(self.jaeger_port),
            ),
            (
                "OTEL_EXPORTER_JAEGER_ENDPOINT",
                "jaeger_endpoint",
                self.jaeger_endpoint.clone(),
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                "protocol",
                self.protocol.clone(),
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
                "compression",
                self.compression.clone(),
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                "timeout_ms",
                number(self.timeout_ms),
            ),
            (
                "OTEL_BSP_SCHEDULE_DELAY",
                "schedule_delay_ms",
                number(self.schedule_delay_ms),
            ),
            (
                "OTEL_BSP_MAX_QUEUE_SIZE",
                "max_queue_size",
                number(self.max_queue_size),
            ),
            (
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                "max_export_batch_size",
                number(self.max_export_batch_size),
            ),
        ]
        .into_iter()
        .filter_map(|(variable, argument, value)| Some((variable, argument, value?)))
        .collect()
    }

    fn chosen_exporters(&self) -> PyResult<Exporters<'_>> {
        let Some(chosen) = &self.exporters else {
            return Ok(Exporters {
                names: None,
                own: Vec::new(),
                otlp: true,
            });
        };
        let (mut names, mut own) = (Vec::new(), Vec::new());
        for exporter in chosen {
            if let Ok(name) = exporter.cast::<PyString>() {
                names.push(name.to_string_lossy().into_owned());
            } else if let Ok(memory) = exporter.cast::<InMemorySpanExporter>() {
                own.push(OwnExporter::InMemory(memory.get()));
            } else if let Ok(console) = exporter.cast::<ConsoleSpanExporter>() {
                own.push(OwnExporter::Console(console.get()));
            } else if let Ok(file) = exporter.cast::<FileSpanExporter>() {
                own.push(OwnExporter::File(file.get()));
            } else if let Ok(jaeger) = exporter.cast::<JaegerSpanExporter>() {
                own.push(OwnExporter::Jaeger(jaeger.get()));
            } else if let Ok(zipkin) = exporter.cast::<ZipkinSpanExporter>() {
                own.push(OwnExporter::Zipkin(zipkin.get()));
            } else {
                let class = exporter.get_type().name()?;
                return Err(PyTypeError::new_err(format!("{class} is no exporter")));
            }
        }
        let otlp = names.iter().any(|name| name == "otlp");
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(",")
        };
        Ok(Exporters {
            names: Some(names),
            own,
            otlp,
        })
    }
}

/// The exporters that a program chose.
struct Exporters<'a> {
    /// By name, as the variable lists them; `None` where the choice is left to the environment.
    names: Option<String>,
    /// By object.
    own: Vec<OwnExporter<'a>>,
    /// Whether OTLP may be among them.
    otlp: bool,
}

enum OwnExporter<'a> {
    InMemory(&'a InMemorySpanExporter),
    Console(&'a ConsoleSpanExporter),
    File(&'a FileSpanExporter),
    Jaeger(&'a JaegerSpanExporter),
    Zipkin(&'a ZipkinSpanExporter),
}

impl OwnExporter<'_> {
    fn add_to(&self, setup: TracingSetup) -> TracingSetup {
        match self {
            OwnExporter::InMemory(memory) => setup.exporter(memory.exporter()),
            OwnExporter::Console(console) => setup.exporter(console.exporter()),
            OwnExporter::File(file) => file.add_to(setup),
            OwnExporter::Jaeger(jaeger) => jaeger.add_to(setup),
            OwnExporter::Zipkin(zipkin) => zipkin.add_to(setup),
        }
    }

    fn serve(&self, provider: TracerProvider) {
        if let OwnExporter::InMemory(memory) = self {
            memory.serve(provider);
        }
    }
}

/// The limits by these names; those without a number are not there.
fn limits_of_opentelemetry(limits: &HashMap<String, Option<usize>>) -> SpanLimits {
    let limit = |name: &str| limits.get(name).copied().flatten();
    let count = |name: &str| limit(name).unwrap_or(usize::MAX);
    SpanLimits {
        attributes: count("attributes"),
        events: count("events"),
        links: count("links"),
        attributes_per_event: count("attributes_per_event"),
        attributes_per_link: count("attributes_per_link"),
        value_length: limit("value_length"),
        overflow: Overflow::Oldest,
    }
}

/// A problem with a variable that an argument stands in for, as a problem with the argument.
fn in_words_of_arguments(problem: &str, substitutes: &[Substitute]) -> String {
    for (variable, argument, _) in substitutes {
        if let Some(rest) = problem.strip_prefix(variable)
            && rest.starts_with(['=', ' '])
        {
            return format!("{argument}{rest}");
        }
    }
    problem.to_owned()
}
