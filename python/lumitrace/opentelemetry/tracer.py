"""Tracers that are tracers of OpenTelemetry's SDK, and start native spans."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator as SdkRandomIdGenerator

from lumitrace import _lumitrace
from lumitrace.opentelemetry.failure import tell_once
from lumitrace.opentelemetry.id_generator import RandomIdGenerator
from lumitrace.opentelemetry.processor import SpanProcessors
from lumitrace.opentelemetry.sampling import NativeSampler, PassThrough
from lumitrace.opentelemetry.span import KINDS, Span

# What decides whether spans can be native.
_PARTS = frozenset({"id_generator", "sampler", "span_processor", "_tracer_config"})

_native_start_span: Any = _lumitrace.DropInTracer.start_span


def _start_span(tracer: Any, *args: Any, **kwargs: Any) -> Any:
    """Starts a span of ``tracer``, or of the tracer that it is a proxy of."""
    while not issubclass(type(tracer), Tracer):
        # wrapt's proxies; any other is made to do by the SDK's code with what it offers.
        wrapped = getattr(tracer, "__wrapped__", None)
        if wrapped is None:
            return sdk.Tracer.start_span(tracer, *args, **kwargs)
        tracer = wrapped
    return _native_start_span(tracer, *args, **kwargs)


class _TracerClass(ABCMeta):
    """The class of :class:`Tracer`, which has the method of a proxy where it is asked for it."""

    @property
    def start_span(cls) -> Callable[..., Any]:
        """``Tracer.start_span(tracer, …)`` with a proxy in the place of a tracer, as OpenInference
        calls it. A tracer's own ``start_span`` does not come by here.
        """
        return _start_span


class Tracer(_lumitrace.DropInTracer, sdk.Tracer, metaclass=_TracerClass):  # type: ignore[misc]
    """Starts spans, in the name of one library or module.

    Has the attributes of the SDK's tracer. Spans are native unless a processor, a sampler or an
    id generator is written in Python.
    """

    _native_sampler: Any

    @classmethod
    def of_provider(
        cls, native: _lumitrace.TracerProvider | None, sdk_tracer: sdk.Tracer, **parts: Any
    ) -> Tracer:
        """A tracer with the attributes of ``sdk_tracer`` whose spans go to ``native``."""
        scope = sdk_tracer._instrumentation_scope
        tracer = cls.__new__(cls, native, Span, scope.name, scope.version, scope.attributes)
        tracer.__dict__.update(sdk_tracer.__dict__, **parts)
        if isinstance(tracer.span_processor, SpanProcessors):
            tracer.span_processor.watch(tracer)
        tracer._choose_path()
        return tracer

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _PARTS:
            self._choose_path()

    def _choose_path(self) -> None:
        """Lets the native half make spans, or the SDK's code where a part of it asks for that."""
        config = self.__dict__.get("_tracer_config")
        is_native = (
            isinstance(self.span_processor, SpanProcessors)
            and self.span_processor.are_native()
            and self._samples_natively()
            and type(self.id_generator) in (RandomIdGenerator, SdkRandomIdGenerator)
            and (config is None or config.is_enabled)
        )
        self._set_in_python(not is_native)

    def _samples_natively(self) -> bool:
        return type(self.sampler) is NativeSampler or self.sampler is self._native_sampler

    def _start_in_python(self, name: str, context: Any, kind: str, *args: Any) -> trace.Span:
        try:
            span_kind = KINDS.get(kind, trace.SpanKind.INTERNAL)
            return sdk.Tracer.start_span(self, name, context, span_kind, *args)
        except PassThrough:
            return trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())
        except Exception as problem:
            # Processors keep their exceptions to themselves.
            part = self.id_generator if self._samples_natively() else self.sampler
            tell_once(part, "start_span", problem)
            return trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())
