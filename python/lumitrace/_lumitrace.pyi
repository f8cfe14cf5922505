"""The native half: spans, tracers and context over Lumitrace's Rust SDK."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from os import PathLike
from types import TracebackType
from typing import Any, Literal, TypeVar, final

from typing_extensions import Self, disjoint_base

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Kind = Literal["internal", "server", "client", "producer", "consumer"]

__version__: str

@final
class StatusCode:
    """The outcome of a span."""

    UNSET: StatusCode
    OK: StatusCode
    ERROR: StatusCode

    name: str

@final
class SpanContext:
    """What of a span travels: its ids and flags. Where OpenTelemetry's API is in use, spans return
    OpenTelemetry's class instead, which has the same attributes.
    """

    @property
    def trace_id(self) -> int: ...
    @property
    def span_id(self) -> int: ...
    @property
    def is_remote(self) -> bool: ...
    @property
    def trace_flags(self) -> int: ...
    @property
    def trace_state(self) -> str: ...
    @property
    def is_valid(self) -> bool: ...

@disjoint_base
class Span:
    """A piece of work. Also a context manager that records an exception and ends the span, without
    making it the current one; asynchronous too. Nothing here raises because of a value, and after
    the end every change is ignored and counted. A span that is forgotten ends with its last
    reference.
    """

    @property
    def name(self) -> str:
        """Its name; empty where nothing is recorded."""
    @property
    def kind(self) -> Any:
        """Its role in a call between processes: a word, or OpenTelemetry's ``SpanKind`` where the
        span is one of OpenTelemetry's SDK too.
        """
    @property
    def _tracer(self) -> Any: ...
    @property
    def _times(self) -> tuple[int, int] | None: ...
    @property
    def _on_exception(self) -> tuple[bool, bool]: ...
    def _move_to_python(self) -> FinishedSpan | None: ...
    @property
    def context(self) -> SpanContext: ...
    def get_span_context(self) -> SpanContext:
        """Its ids."""
    def is_recording(self) -> bool:
        """Whether it is sampled and has not ended."""
    def set_attribute(self, key: str, value: Any) -> None:
        """Set one attribute. Numbers, also those in numpy scalars and in tensors of one element,
        text, bytes, lists and dictionaries keep their type; other objects become text.
        """
    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
    def add_event(
        self,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Add something that happened at one moment: now, or ``timestamp`` (unix nanoseconds)."""
    def add_link(self, context: Any, attributes: Mapping[str, Any] | None = None) -> None:
        """Point at the span with this context."""
    def update_name(self, name: str) -> None:
        """Change the name."""
    def set_status(self, status: Any, description: str | None = None) -> None:
        """Declare the outcome: a :class:`StatusCode`, its name, or OpenTelemetry's ``Status``."""
    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add an ``exception`` event with type, message and stack trace. The status stays."""
    def record_error(self, exception: BaseException) -> None:
        """Mark the span as failed: status ERROR, ``error.type``, ``error.message`` and, unless a
        span below it already has one for this exception, the exception event.
        """
    def end(self, end_time: int | None = None) -> None:
        """End it, now or at ``end_time`` (unix nanoseconds); only the first call counts."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]: ...

@final
class TracingContext:
    """A span around a block: ``with`` or ``async with`` starts it, makes it current and yields it;
    leaving ends it. An exception that passes through makes its status ERROR and is recorded.

    Without a tracer, the tracer ``lumitrace.tracing`` is used. Also a decorator.
    """

    def __new__(
        cls,
        tracer: Any,
        span_name: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> Self: ...
    def __enter__(self) -> Span: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]: ...
    async def __aenter__(self) -> Span: ...
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]: ...
    def __call__(self, function: _Function) -> _Function: ...
    def _again(self) -> Self: ...

@final
class use_span:  # noqa: N801 (a function to its users, as in OpenTelemetry)
    """Make a span current for a block, without ending it afterwards."""

    def __new__(cls, span: Any) -> Self: ...
    def __enter__(self) -> Any: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]: ...

@disjoint_base
class Tracer:
    """Starts spans, in the name of one module."""

    def __new__(cls, module_name: str) -> Self: ...
    @property
    def name(self) -> str:
        """The module's name."""
    def start_span(
        self,
        name: str,
        context: Any = None,
        kind: Any = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Any] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """Start a span below the current one (or the one in ``context``: a context of
        OpenTelemetry's, a span, or the ids of one), without making it current. The caller ends it.

        Attributes may also come second: a plain dictionary is no context.
        """
    def start_as_current_span(
        self,
        name: str,
        context: Any = None,
        kind: Any = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Any] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> TracingContext:
        """A span around a block, or around a function as a decorator."""
    def trace_operation(
        self,
        name: str,
        attributes: Mapping[str, Any] | None = None,
        events: Mapping[str, Mapping[str, Any] | None] | None = None,
    ) -> TracingContext:
        """A span around a block. ``events`` maps the names of what has happened already to
        attributes.
        """
    def add_trace_event(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Add something that happened now to the current span."""
    def set_trace_attribute(self, key: str, value: Any) -> None:
        """Set one attribute of the current span."""
    def record_exception(
        self, exception: BaseException, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Add an ``exception`` event to the current span, whose status stays."""
    def is_enabled(self) -> bool:
        """Whether spans that are started now are recorded: tracing is set up and switched on."""
    def current_span(self) -> Any:
        """The same as :func:`current_span`."""
    def statistics(self) -> dict[str, int]:
        """The same as :meth:`TracerProvider.statistics`; empty before the set-up."""

@disjoint_base
class DropInTracer:
    """Starts spans that are spans of OpenTelemetry's SDK too: the base of
    :class:`lumitrace.opentelemetry.Tracer`.
    """

    def __new__(
        cls,
        provider: TracerProvider | None,
        span_class: type[Span],
        name: str,
        version: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Self: ...
    def start_span(
        self,
        name: str,
        context: Any = None,
        kind: Any = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Any] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Any:
        """As :meth:`Tracer.start_span`."""
    def start_as_current_span(
        self,
        name: str,
        context: Any = None,
        kind: Any = None,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Any] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> TracingContext:
        """As :meth:`Tracer.start_as_current_span`."""
    @property
    def _is_in_python(self) -> bool: ...
    def _set_in_python(self, is_in_python: bool) -> None: ...

@final
class TracerProvider:
    """Owns what all spans of a process share: resource, sampler, queue and exporters.

    Takes the keyword arguments of :func:`lumitrace.tracing.setup_tracing`; what is absent is left
    to the environment, and then to the defaults. ``defaults`` are variables and what they mean
    where neither says. With ``listeners_only``, spans go to the process's listeners and nowhere
    else. ``span_limits`` are those of OpenTelemetry's SDK: ``attributes``, ``events``, ``links``,
    ``attributes_per_event``, ``attributes_per_link`` and ``value_length``, of which an absent one
    is no limit; what is oldest goes when a span is full.
    """

    def __new__(
        cls,
        *,
        service_name: str | None = None,
        otlp_endpoint: str | None = None,
        environment: str | None = None,
        service_version: str | None = None,
        resource_attributes: Mapping[str, Any] | None = None,
        exporters: Sequence[Any] | None = None,
        jaeger_host: str | None = None,
        jaeger_port: int | None = None,
        jaeger_endpoint: str | None = None,
        protocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        compression: str | None = None,
        timeout_ms: int | None = None,
        sampler: str | None = None,
        sampler_ratio: float | None = None,
        sampler_arg: str | None = None,
        switched_off: Sequence[str] | None = None,
        schedule_delay_ms: int | None = None,
        max_queue_size: int | None = None,
        max_export_batch_size: int | None = None,
        enabled: bool | None = None,
        defaults: Mapping[str, str] | None = None,
        listeners_only: bool | None = None,
        span_limits: Mapping[str, int | None] | None = None,
    ) -> Self: ...
    @property
    def resource(self) -> Resource:
        """What every exported span says about this process."""
    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Tracer:
        """The tracer of a module."""
    def statistics(self) -> dict[str, int]:
        """What was recorded, exported and lost so far in this process: ``started_spans`` and
        ``ended_spans`` (of those that are recorded), ``exported_spans``, ``announced_spans``,
        ``queue_full_spans``, ``refused_spans``, ``unsent_spans``, ``failed_exports``,
        ``late_changes`` (changes after a span's end) and ``waiting_spans``.
        """
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send every span that has ended; returns whether that was done within the time."""
    def shutdown(self, timeout_millis: int = 30_000) -> bool:
        """Send every span that has ended and stop; returns whether all was sent in time."""

@final
class Resource:
    """The process that made spans."""

    @property
    def attributes(self) -> dict[str, Any]: ...

@final
class InstrumentationScope:
    """The module that made spans."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...

@final
class Status:
    """The outcome of a span that ended."""

    @property
    def status_code(self) -> StatusCode: ...
    @property
    def description(self) -> str | None: ...

@final
class Event:
    """Something that happened at one moment of a span."""

    @property
    def name(self) -> str: ...
    @property
    def timestamp(self) -> int:
        """Unix nanoseconds."""
    @property
    def attributes(self) -> dict[str, Any]: ...

@final
class Link:
    """A pointer to another span."""

    @property
    def context(self) -> SpanContext: ...
    @property
    def attributes(self) -> dict[str, Any]: ...

@final
class FinishedSpan:
    """A span as it was exported."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> _Kind: ...
    @property
    def context(self) -> SpanContext: ...
    @property
    def parent(self) -> SpanContext | None: ...
    @property
    def start_time(self) -> int:
        """Unix nanoseconds."""
    @property
    def end_time(self) -> int:
        """Unix nanoseconds."""
    @property
    def attributes(self) -> dict[str, Any]: ...
    @property
    def events(self) -> list[Event]: ...
    @property
    def links(self) -> list[Link]: ...
    @property
    def dropped_attributes(self) -> int: ...
    @property
    def dropped_events(self) -> int: ...
    @property
    def dropped_links(self) -> int: ...
    @property
    def status(self) -> Status: ...
    @property
    def resource(self) -> Resource: ...
    @property
    def instrumentation_scope(self) -> InstrumentationScope: ...

@final
class InMemorySpanExporter:
    """Keeps finished spans, for tests."""

    def __new__(cls) -> Self: ...
    def get_finished_spans(self) -> tuple[FinishedSpan, ...]:
        """The spans that ended since the last :meth:`clear`, in the order in which they ended."""
    def clear(self) -> None:
        """Forget them."""

@final
class ConsoleSpanExporter:
    """Prints each finished span on the standard error: one line in the form of ``logging``,
    ``INFO:root:TRACE: <name> (<start>-<end>) status=UNSET`` with times in seconds, or with
    ``pretty`` several lines with everything that was recorded.
    """

    def __new__(cls, *, pretty: bool = False) -> Self: ...

@final
class FileSpanExporter:
    """Writes a line of OTLP/JSON for each batch to a file. At ``max_file_bytes`` (64 MiB by
    default) a new one begins; ``max_files`` (5) are kept, older ones with ``.1``, ``.2`` and so on
    after the name.
    """

    def __new__(
        cls,
        path: str | PathLike[str],
        *,
        max_file_bytes: int | None = None,
        max_files: int | None = None,
    ) -> Self: ...

@final
class JaegerSpanExporter:
    """Sends spans to Jaeger: to its agent over UDP (``localhost`` and 6831 by default), or over
    HTTP to the collector at ``collector_endpoint``, such as ``http://localhost:14268/api/traces``.

    Raises ``ValueError`` where the endpoint is no address.
    """

    def __new__(
        cls,
        agent_host: str | None = None,
        agent_port: int | None = None,
        *,
        collector_endpoint: str | None = None,
    ) -> Self: ...

@final
class ZipkinSpanExporter:
    """Sends spans to Zipkin, at ``http://localhost:9411/api/v2/spans`` by default.

    Raises ``ValueError`` where the endpoint is no address.
    """

    def __new__(cls, endpoint: str | None = None) -> Self: ...

def get_tracer(
    module_name: str,
    version: str | None = None,
    schema_url: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Tracer:
    """The tracer of a module; usable before the set-up, it records from then on."""

def get_tracer_provider() -> TracerProvider | None:
    """The provider that :func:`get_tracer` follows."""

def current_span() -> Any:
    """The current span; one that records nothing where there is none. A span of another
    implementation of OpenTelemetry's API is returned as it is.
    """

def inject(carrier: Any = None, *, span: Any = None) -> Any:
    """Write the ids of the current span, or of ``span``, into the headers of a request, and return
    those; a new dictionary by default. W3C Trace Context, or what ``OTEL_PROPAGATORS`` says.
    """

def extract(carrier: Any) -> SpanContext | None:
    """The ids of the caller's span in the headers of a request, as a mapping or as pairs: the
    ``context`` of the span that answers it.
    """

def trace_training_epoch(tracer: Any, epoch: int, num_epochs: int) -> TracingContext:
    """A span ``training_epoch`` with ``epoch`` and ``total_epochs`` around one pass over the data.

    Set ``train_loss``, ``val_loss``, ``val_metric`` and ``loss_at_step_N`` on it once they are
    known.
    """

def trace_batch_processing(tracer: Any, batch_idx: int, batch_size: int) -> TracingContext:
    """A span ``batch_processing`` with ``batch_index`` and ``batch_size`` around one batch.

    Set ``loss``, and ``task.{task_name}`` for each task, on it as they become known.
    """

def trace_validation(
    tracer: Any,
    val_loss: Any = None,
    val_metric: Any = None,
    *,
    epoch: int | None = None,
) -> TracingContext:
    """A span ``validation`` around an evaluation. Its ``epoch``, unless given, is that of the
    current span, if that has one.

    ``val_loss`` and ``val_metric`` may be given here or be set later, like ``val.{metric_name}``.
    """

def trace_data_loading(tracer: Any, pair: str, num_samples: int) -> TracingContext:
    """A span ``data_loading`` with ``pair`` and ``num_samples``."""

def trace_feature_engineering(tracer: Any, pair: str, feature_count: int) -> TracingContext:
    """A span ``feature_engineering`` with ``pair`` and ``feature_count``."""

def _start_training_run(
    tracer: Tracer,
    start_time: int | None = None,
    rank: int | None = None,
    world_size: int | None = None,
) -> Span: ...
def _set_tracer_provider(provider: TracerProvider | None, options: dict[str, Any]) -> None: ...
def _tracer_provider_options() -> dict[str, Any] | None: ...
def _listen(listener: Callable[[tuple[FinishedSpan, ...]], object]) -> None: ...
def _stop_listening(listener: Callable[[tuple[FinishedSpan, ...]], object]) -> None: ...
def _otlp_json(spans: Sequence[FinishedSpan]) -> str: ...
def _shut_down_at_exit(timeout_millis: int) -> None: ...
def _record_ended(provider: TracerProvider | None, span: Any) -> None: ...
def _has_sampler(name: str) -> bool: ...
def _sample(
    provider: TracerProvider | None,
    parent: Any,
    trace_id: int,
    name: str,
    kind: Any,
    attributes: Mapping[str, Any] | None,
) -> tuple[str, dict[str, Any], str | None]: ...
def _use_opentelemetry_context(
    variable: ContextVar[Any],
    context_class: type[dict[str, object]],
    span_key: str,
    span_context: Callable[[int, int, bool, int, str], Any],
) -> None: ...
