"""Lumitrace in the place of OpenTelemetry's SDK.

Programs and instrumentations that are written for OpenTelemetry run unchanged, and their spans are
recorded and sent by Lumitrace's Rust core. Without a change to the program:

    opentelemetry-instrument python app.py

In code, where a program makes its own provider:

    from lumitrace.opentelemetry import TracerProvider
    from opentelemetry import trace

    trace.set_tracer_provider(TracerProvider())

Needs the packages ``opentelemetry-api`` and ``opentelemetry-sdk``, and the first of these ways
``opentelemetry-instrumentation``. Modules in reading order: ``provider``, ``tracer``, ``span``,
``processor``, ``sampling``, ``id_generator``; ``distro`` and ``configurator`` are what
``opentelemetry-instrument`` finds.
"""

from lumitrace.opentelemetry.id_generator import RandomIdGenerator
from lumitrace.opentelemetry.processor import NativeSpanProcessor
from lumitrace.opentelemetry.provider import TracerProvider
from lumitrace.opentelemetry.span import Span
from lumitrace.opentelemetry.tracer import Tracer

__all__ = ["NativeSpanProcessor", "RandomIdGenerator", "Span", "Tracer", "TracerProvider"]
