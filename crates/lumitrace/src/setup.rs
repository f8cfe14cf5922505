//! Setting tracing up for a whole program, in one call.

use std::time::Duration;

use lumitrace_model::{KeyValue, Text, Value, names};

use crate::environment::{Environment, ExporterName, OtherExporters};
use crate::exporter::{
    Compression, ConsoleExporter, Endpoint, FileExporter, JaegerAgentExporter, JaegerHttpExporter,
    OtlpHttpExporter, OtlpProtocol, OtlpSettings, SpanExporter, ZipkinExporter,
};
use crate::notice::{Notice, NoticeHandler};
use crate::propagation::{self, Propagators};
use crate::provider::TracerProviderBuilder;
use crate::resource::{ProcessFacts, ResourceArguments};
use crate::sampler::Sampler;
use crate::{
    BatchSettings, FlushError, RECORDS, SpanLimits, Tracer, TracerProvider, global, resource,
};

/// Begins setting tracing up for the service `service_name`; finish with
/// [`install`](TracingSetup::install). An empty name leaves it to the environment.
///
/// Each setting is taken from the calls on the builder, else from the `OTEL_*` variables, else from
/// the defaults: OTLP over HTTP to `http://localhost:4318`, environment `development`, everything
/// sampled. Nothing here fails, and nothing waits for the receiver; a setting that cannot be used
/// leaves a notice on the standard error.
///
/// ```no_run
/// let _tracing = lumitrace::setup_tracing("sequence-training")
///     .endpoint("http://localhost:4318")
///     .environment("development")
///     .install();
/// // ... the program; dropping the guard sends what is left
/// ```
pub fn setup_tracing(service_name: impl Into<String>) -> TracingSetup {
    TracingSetup {
        arguments: ResourceArguments {
            service_name: Some(service_name.into()).filter(|name| !name.is_empty()),
            ..ResourceArguments::default()
        },
        environment: None,
        is_enabled: true,
        endpoint: None,
        protocol: None,
        headers: None,
        timeout: None,
        compression: None,
        sampler: None,
        switched_off: Vec::new(),
        propagators: None,
        batch: None,
        limits: None,
        exporters: Vec::new(),
        observers: Vec::new(),
        named_exporters: None,
        notice_handler: NoticeHandler::default(),
    }
}

/// Tracing that is not set up yet; see [`setup_tracing`].
#[must_use = "tracing starts with install()"]
pub struct TracingSetup {
    arguments: ResourceArguments,
    environment: Option<Environment>,
    is_enabled: bool,
    endpoint: Option<String>,
    protocol: Option<OtlpProtocol>,
    headers: Option<Vec<(String, String)>>,
    timeout: Option<Duration>,
    compression: Option<Compression>,
    sampler: Option<Box<dyn Sampler>>,
    switched_off: Vec<String>,
    propagators: Option<Propagators>,
    batch: Option<BatchSettings>,
    limits: Option<SpanLimits>,
    exporters: Vec<AddExporter>,
    observers: Vec<AddExporter>,
    named_exporters: Option<Vec<ExporterName>>,
    notice_handler: NoticeHandler,
}

type AddExporter = Box<dyn FnOnce(TracerProviderBuilder) -> TracerProviderBuilder>;

impl TracingSetup {
    /// Where to send spans: a URL or `host:port`; [`Endpoint::parse`] says what each form means.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// How to send them, where the endpoint alone does not tell.
    pub fn protocol(mut self, protocol: OtlpProtocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// A header to send along, such as an API key.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers
            .get_or_insert_default()
            .push((name.into(), value.into()));
        self
    }

    /// How long one request may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How requests are compressed.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// The deployment environment, such as `production`.
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.arguments.environment = Some(environment.into());
        self
    }

    /// The version of the service, `env!("CARGO_PKG_VERSION")` for instance; `unknown` where
    /// neither this nor `OTEL_RESOURCE_ATTRIBUTES` names it.
    pub fn service_version(self, version: impl Into<String>) -> Self {
        self.resource(names::SERVICE_VERSION, version.into())
    }

    /// A further attribute of the resource, such as `run.id`.
    pub fn resource(mut self, key: impl Into<Text>, value: impl Into<Value>) -> Self {
        self.arguments.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Which traces are recorded.
    pub fn sampler(mut self, sampler: impl Sampler + 'static) -> Self {
        self.sampler = Some(Box::new(sampler));
        self
    }

    /// Switches off the spans whose names begin with `prefix`, whatever the sampler says; what they
    /// contain stays in the trace. May be called several times.
    ///
    /// ```no_run
    /// let _tracing = lumitrace::setup_tracing("gpu-platform")
    ///     .switch_off("websocket_events")
    ///     .install();
    /// ```
    pub fn switch_off(mut self, prefix: impl Into<String>) -> Self {
        self.switched_off.push(prefix.into());
        self
    }

    /// In which formats traces are carried into other processes, instead of those of
    /// `OTEL_PROPAGATORS`; see [`propagation`].
    pub fn propagators(mut self, propagators: Propagators) -> Self {
        self.propagators = Some(propagators);
        self
    }

    /// How spans are gathered.
    pub fn batch(mut self, batch: BatchSettings) -> Self {
        self.batch = Some(batch);
        self
    }

    /// How much one span may hold.
    pub fn limits(mut self, limits: SpanLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Sends spans there. May be called several times: each exporter gets every span. Where it is
    /// called, OTLP is used as well only if an endpoint is given.
    pub fn exporter(mut self, exporter: impl SpanExporter + Clone + Sync + 'static) -> Self {
        self.exporters
            .push(Box::new(move |builder| builder.exporter(exporter)));
        self
    }

    /// Shows spans to `observer` too, wherever else they go. Where they go nowhere, nothing is
    /// observed either; see [`SpanExporter::takes_spans`].
    pub fn observer(mut self, observer: impl SpanExporter + Clone + Sync + 'static) -> Self {
        self.observers
            .push(Box::new(move |builder| builder.exporter(observer)));
        self
    }

    /// Sends spans to these exporters, set up by the environment like those that
    /// `OTEL_TRACES_EXPORTER` names, and to none beside them but those given to
    /// [`exporter`](TracingSetup::exporter).
    ///
    /// ```no_run
    /// use lumitrace::environment::ExporterName;
    /// let _tracing = lumitrace::setup_tracing("my-service")
    ///     .exporters_by_name([ExporterName::Otlp, ExporterName::File])
    ///     .install();
    /// ```
    pub fn exporters_by_name(mut self, names: impl IntoIterator<Item = ExporterName>) -> Self {
        self.named_exporters = Some(names.into_iter().collect());
        self
    }

    /// Switches tracing off, or leaves it on; `OTEL_SDK_DISABLED=true` switches it off too.
    pub fn enabled(mut self, is_enabled: bool) -> Self {
        self.is_enabled = is_enabled;
        self
    }

    /// Who is told of problems, instead of the standard error.
    pub fn on_notice(mut self, handler: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.notice_handler = NoticeHandler::new(handler);
        self
    }

    /// Takes this environment instead of the process's.
    pub fn with_environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Makes this the tracing of the whole program, unless it is set up already: then everything
    /// stays as it is, and the guard ends nothing.
    pub fn install(mut self) -> Tracing {
        let environment = self
            .environment
            .get_or_insert_with(Environment::from_process);
        let names = environment.propagators.as_ref();
        let of_environment =
            || names.map(|names| Propagators::by_names(names.iter().map(String::as_str)));
        let propagators = self.propagators.take().or_else(of_environment);
        let (provider, is_new) = global::provider_or_set(|| self.build());
        if let Some(propagators) = propagators.filter(|_| is_new) {
            propagation::set_global(propagators);
        }
        Tracing {
            provider,
            ends_tracing: is_new,
        }
    }

    /// A provider with these settings that is not the program's.
    pub fn build(mut self) -> TracerProvider {
        if !RECORDS {
            return TracerProvider::disabled();
        }
        let mut environment = self
            .environment
            .take()
            .unwrap_or_else(Environment::from_process);
        if !self.is_enabled || environment.is_disabled {
            return TracerProvider::disabled();
        }
        let handler = self.notice_handler.clone();
        environment
            .notices
            .iter()
            .for_each(|notice| handler.tell(notice));
        let environment_resource = std::mem::take(&mut environment.resource);
        let arguments = std::mem::take(&mut self.arguments);
        let resource = resource::resolve(arguments, environment_resource, ProcessFacts::detect());
        let named = environment.sampler.as_ref();
        let of_environment = || Some(named?.build(resource.service_name(), &handler));
        let sampler = self.sampler.take().or_else(of_environment);
        let mut builder = TracerProvider::builder()
            .resource(resource)
            .batch(
                self.batch
                    .take()
                    .unwrap_or_else(|| environment.batch.clone()),
            )
            .limits(
                self.limits
                    .take()
                    .unwrap_or_else(|| environment.limits.clone()),
            )
            .on_notice({
                let handler = handler.clone();
                move |notice| handler.tell(notice)
            });
        if let Some(sampler) = sampler {
            builder = builder.sampler(sampler);
        }
        for prefix in std::mem::take(&mut self.switched_off) {
            builder = builder.switch_off(prefix);
        }
        self.add_exporters(builder, &environment).build()
    }

    /// Adds the exporters of the program, and those that it leaves to the environment.
    fn add_exporters(
        mut self,
        mut builder: TracerProviderBuilder,
        environment: &Environment,
    ) -> TracerProviderBuilder {
        let own = std::mem::take(&mut self.exporters);
        let observers = std::mem::take(&mut self.observers);
        let named = self.named_exporters.take();
        let named = named.unwrap_or_else(|| match &environment.exporters {
            Some(named) if own.is_empty() && named.contains(&ExporterName::Otlp) => named.clone(),
            _ if self.endpoint.is_some() => vec![ExporterName::Otlp],
            _ if !own.is_empty() => Vec::new(),
            Some(named) => named.clone(),
            None => vec![ExporterName::Otlp],
        });
        let is_exported = !own.is_empty() || !named.is_empty();
        let observers = observers.into_iter().filter(|_| is_exported);
        for add in own.into_iter().chain(observers) {
            builder = add(builder);
        }
        let settings = &environment.other_exporters;
        for name in named {
            builder = match name {
                ExporterName::Otlp => add_otlp(builder, self.otlp_settings(environment)),
                ExporterName::Console => builder.exporter(ConsoleExporter::default()),
                ExporterName::Jaeger => add_jaeger(builder, settings),
                ExporterName::Zipkin => {
                    builder.exporter(ZipkinExporter::new(settings.zipkin.clone()))
                }
                ExporterName::File => builder.exporter(FileExporter::new(settings.file.clone())),
            };
        }
        builder
    }

    fn otlp_settings(&self, environment: &Environment) -> OtlpSettings {
        let otlp = &environment.otlp;
        let protocol = self.protocol.or(otlp.protocol);
        let given = self.endpoint.as_deref().and_then(|text| {
            let parsed = Endpoint::parse(text, protocol);
            parsed
                .map_err(|error| self.complain(error.to_string()))
                .ok()
        });
        let is_left_to_environment = self.endpoint.is_none() && self.protocol.is_none();
        let endpoint = given
            .or_else(|| otlp.endpoint.clone().filter(|_| is_left_to_environment))
            .unwrap_or_else(|| Endpoint::local(protocol.unwrap_or(OtlpProtocol::HttpProtobuf)));
        let default = OtlpSettings::new(endpoint);
        OtlpSettings {
            headers: self.headers.clone().unwrap_or_else(|| otlp.headers.clone()),
            timeout: self.timeout.or(otlp.timeout).unwrap_or(default.timeout),
            compression: self
                .compression
                .or(otlp.compression)
                .unwrap_or(default.compression),
            ..default
        }
    }

    fn complain(&self, problem: String) {
        self.notice_handler.tell(&Notice::Setting { problem });
    }
}

/// Adds the OTLP exporter that the endpoint's protocol calls for.
fn add_otlp(builder: TracerProviderBuilder, settings: OtlpSettings) -> TracerProviderBuilder {
    #[cfg(feature = "grpc")]
    if settings.endpoint.protocol() == OtlpProtocol::Grpc {
        return builder.exporter(crate::exporter::OtlpGrpcExporter::new(settings));
    }
    builder.exporter(OtlpHttpExporter::new(settings))
}

/// Adds the Jaeger exporter for the collector, or without one for the agent.
fn add_jaeger(builder: TracerProviderBuilder, settings: &OtherExporters) -> TracerProviderBuilder {
    match &settings.jaeger_collector {
        Some(collector) => builder.exporter(JaegerHttpExporter::new(collector.clone())),
        None => builder.exporter(JaegerAgentExporter::new(settings.jaeger_agent.clone())),
    }
}

/// The tracing of the program. Dropped, it sends what is left and ends tracing, within
/// [`SHUTDOWN_TIMEOUT`](crate::provider::SHUTDOWN_TIMEOUT) and sooner while the receiver cannot be
/// reached: keep it to the end of `main`.
#[must_use = "dropping it ends tracing: keep it to the end of main"]
#[derive(Debug)]
pub struct Tracing {
    provider: TracerProvider,
    ends_tracing: bool,
}

impl Tracing {
    /// The provider.
    pub fn provider(&self) -> TracerProvider {
        self.provider
    }

    /// A tracer for the library or module `name`.
    pub fn tracer(&self, name: impl Into<Text>) -> Tracer {
        self.provider.tracer(name)
    }

    /// Ends tracing now, as dropping does, and tells how that went.
    ///
    /// # Errors
    /// Not everything was sent.
    pub fn shutdown(mut self) -> Result<(), FlushError> {
        if std::mem::take(&mut self.ends_tracing) {
            self.provider.shutdown()
        } else {
            Ok(())
        }
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if self.ends_tracing {
            // What was lost has been told in a notice.
            let _ended = self.provider.shutdown();
        }
    }
}
