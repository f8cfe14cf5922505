"""Our provider in the place of OpenTelemetry's SDK: its classes, its parts, its private state."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from collector import Collector
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import sampling
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter as SdkExporter,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator
from spans import exceptions, is_child, one

from lumitrace import tracing
from lumitrace.opentelemetry import NativeSpanProcessor, Span, Tracer, TracerProvider
from lumitrace.tracing import InMemorySpanExporter


class Setup:
    """A provider with an exporter that keeps spans, and a tracer."""

    def __init__(self, **settings: Any) -> None:
        self.memory = InMemorySpanExporter()
        self.provider = TracerProvider(exporters=[self.memory], shutdown_on_exit=False, **settings)
        self.tracer = self.get_tracer("library", "1.2", attributes={"a": 1})

    def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
        return self.provider.get_tracer(*args, **kwargs)

    def names(self) -> list[str]:
        return [span.name for span in self.memory.get_finished_spans()]


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    setup.provider.shutdown()


class Recorder(sdk.SpanProcessor):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.parents: list[Any] = []

    def on_start(self, span: sdk.Span, parent_context: Any = None) -> None:
        self.calls.append(f"start {span.name}")
        self.parents.append(parent_context)
        span.set_attribute("started", True)

    def _on_ending(self, span: sdk.Span) -> None:
        self.calls.append(f"ending {span.name}")

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self.calls.append(f"end {span.name} {dict(span.attributes or {})}")

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.calls.append("flush")
        return True


def test_S36_our_objects_are_instances_of_the_sdks_classes(setup: Setup) -> None:
    assert isinstance(setup.provider, sdk.TracerProvider)
    assert isinstance(setup.tracer, sdk.Tracer)
    for span in (setup.tracer.start_span("one"), setup.tracer.start_as_current_span("two")):
        with span as entered:
            for its_class in (trace.Span, sdk.Span, sdk.ReadableSpan, tracing.Span):
                assert isinstance(entered, its_class)
            assert type(entered) is Span
    assert setup.names() == ["one", "two"]


def test_S36_a_native_span_has_what_instrumentations_ask_for(setup: Setup) -> None:
    with setup.tracer.start_as_current_span(
        "request", kind=trace.SpanKind.SERVER, attributes={"a": 1}
    ) as span:
        current: Any = trace.get_current_span()
        assert current is span
        assert span.is_recording()
        assert (span.name, span.kind) == ("request", trace.SpanKind.SERVER)
        trace_id, span_id, is_remote, flags, state, is_valid = span.get_span_context()
        assert span.context is span.get_span_context()
        assert (is_remote, flags.sampled, len(state), is_valid) == (False, True, 0, True)
        span.set_attributes({"b": 2.5, "c": [1, 2]})
        span.add_event("happened", {"key": "value"})
        span.set_status(trace.Status(trace.StatusCode.ERROR, "broken"))
        span.update_name("renamed")
        span.link_to = "any attribute of the program's"
        assert span.link_to.startswith("any")
        assert type(span) is Span, "nothing of this takes the span to Python"
    exported = one(setup.memory, "renamed")
    assert exported.attributes == {"a": 1, "b": 2.5, "c": [1, 2]}
    assert (exported.context.trace_id, exported.context.span_id) == (trace_id, span_id)
    assert [event.name for event in exported.events] == ["happened"]
    assert exported.status.description == "broken"
    scope = exported.instrumentation_scope
    assert (scope.name, scope.version) == ("library", "1.2")


def test_S36_reading_private_state_leaves_the_span_as_it_was(setup: Setup) -> None:
    link = trace.Link(trace.SpanContext(1, 2, True, trace.TraceFlags(1)), {"why": "because"})
    with setup.tracer.start_as_current_span("parent") as parent:
        span = setup.tracer.start_span("child", links=[link], start_time=1_000)
        span.set_attribute("before", (1, 2))
        span.add_event("early", {"key": "value"}, timestamp=1_001)
        # Each of these is what some package reads of spans that are open.
        assert span._attributes["before"] == (1, 2)
        assert span.attributes == {"before": (1, 2)}
        assert (span._start_time, span.start_time, span.end_time) == (1_000, 1_000, None)
        assert span.parent == span._parent == parent.get_span_context()
        assert [(event.name, event.timestamp) for event in span.events] == [("early", 1_001)]
        assert [(to.context, to.attributes["why"]) for to in span.links] == [
            (link.context, "because")
        ]
        assert span.status.status_code is trace.StatusCode.UNSET
        assert span.resource is setup.provider.resource
        assert span.instrumentation_scope.name == "library"
        assert '"name": "child"' in span.to_json()
        assert span.is_recording()
        assert trace.get_current_span() is parent
        span.set_attribute("after", True)
        with trace.use_span(span):
            setup.tracer.start_span("grandchild").end()
        span.end(2_000)
        assert not span.is_recording()
        assert span.attributes == {"before": (1, 2), "after": True}
    child = one(setup.memory, "child")
    assert child.attributes == {"before": [1, 2], "after": True}
    assert (child.start_time, child.end_time) == (1_000, 2_000)
    assert is_child(child, one(setup.memory, "parent"))
    assert is_child(one(setup.memory, "grandchild"), child)
    assert [event.attributes for event in child.events] == [{"key": "value"}]
    assert [link.attributes for link in child.links] == [{"why": "because"}]
    assert child.links[0].context.trace_id == 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("_name", "changed", ("changed", "internal", {"a": 1}, "UNSET")),
        ("_kind", trace.SpanKind.CLIENT, ("work", "client", {"a": 1}, "UNSET")),
        ("_attributes", BoundedAttributes(4, {"b": 2}), ("work", "internal", {"b": 2}, "UNSET")),
        ("_attributes", {"b": 2}, ("work", "internal", {"b": 2}, "UNSET")),
        ("_status", trace.Status(trace.StatusCode.OK), ("work", "internal", {"a": 1}, "OK")),
    ],
)
def test_S36_setting_private_state_is_exported(
    setup: Setup, name: str, value: Any, expected: tuple[Any, ...]
) -> None:
    with setup.tracer.start_as_current_span("work", attributes={"a": 1}) as span:
        setattr(span, name, value)
    (exported,) = setup.memory.get_finished_spans()
    code = exported.status.status_code.name
    assert (exported.name, exported.kind, exported.attributes, code) == expected


def test_T20_an_exception_is_recorded_after_a_span_moved_to_python(setup: Setup) -> None:
    with (
        pytest.raises(ValueError, match="wrong"),
        setup.tracer.start_as_current_span("as current") as span,
    ):
        assert span.attributes == {}
        raise ValueError("wrong")
    with (
        pytest.raises(ValueError, match="wrong"),
        setup.tracer.start_span("by itself") as span,
    ):
        assert span._start_time
        raise ValueError("wrong")
    for name in ("as current", "by itself"):
        exported = one(setup.memory, name)
        assert exported.status.description == "ValueError: wrong"
        (exception,) = exceptions(exported)
        assert exception["exception.type"] == "ValueError"


def test_S40_a_span_that_ended_or_is_not_recorded_can_be_asked(setup: Setup) -> None:
    with setup.tracer.start_as_current_span("ended", attributes={"a": 1}) as span:
        pass
    assert (span.name, span.attributes, tuple(span.events)) == ("ended", {}, ())
    exported = one(setup.memory, "ended")
    assert (span.start_time, span.end_time) == (exported.start_time, exported.end_time)
    with setup.tracer.start_as_current_span("unread") as unread:
        pass
    assert unread.end_time - unread.start_time >= 0
    assert not span.is_recording()
    span.set_attribute("late", 1)
    span.end()
    off = Setup(sampler=sampling.ALWAYS_OFF)
    with off.tracer.start_as_current_span("dropped") as span:
        assert span.attributes == {}
        assert not span.is_recording()
        assert not span.get_span_context().trace_flags.sampled
    assert off.names() == []
    assert setup.names() == ["ended", "unread"]
    off.provider.shutdown()


def test_S36_processors_in_python_see_every_span_and_change_what_is_exported(setup: Setup) -> None:
    class Changer(sdk.SpanProcessor):
        def on_end(self, span: sdk.ReadableSpan) -> None:
            span._name = f"changed {span._name}"
            attributes: Any = span._attributes
            attributes._immutable = False
            attributes["changed"] = True
            span._status = trace.Status(trace.StatusCode.ERROR, "by a processor")
            span._kind = trace.SpanKind.PRODUCER

    recorder = Recorder()
    setup.provider.add_span_processor(recorder)
    setup.provider.add_span_processor(Changer())
    with setup.tracer.start_as_current_span("outer", attributes={"a": 1}):
        assert recorder.parents == [None]
        context = trace.set_span_in_context(trace.get_current_span())
        setup.tracer.start_span("inner", context).end()
        assert recorder.parents[1] is context
    assert recorder.calls == [
        "start outer",
        "start inner",
        "ending inner",
        "end inner {'started': True}",
        "ending outer",
        "end outer {'a': 1, 'started': True}",
    ]
    inner, outer = setup.memory.get_finished_spans()
    assert (inner.name, outer.name) == ("changed inner", "changed outer")
    assert outer.attributes == {"a": 1, "started": True, "changed": True}
    assert outer.status.description == "by a processor"
    assert outer.kind == "producer"
    assert is_child(inner, outer)
    assert setup.provider.force_flush()
    setup.provider.shutdown()
    assert recorder.calls[-2:] == ["flush", "shutdown"]


def test_S36_spans_are_native_again_without_processors_in_python(setup: Setup) -> None:
    assert not setup.tracer._is_in_python
    processors = setup.provider._active_span_processor
    native = processors._span_processors
    assert [type(it) for it in native] == [NativeSpanProcessor]
    recorder = Recorder()
    processors._span_processors = (recorder, *native)
    assert setup.tracer._is_in_python
    setup.tracer.start_span("seen").end()
    processors._span_processors = native
    assert not setup.tracer._is_in_python
    setup.tracer.start_span("unseen").end()
    processors._span_processors = ()
    setup.tracer.start_span("for nobody").end()
    assert recorder.calls[0] == "start seen"
    assert len(recorder.calls) == 3
    assert setup.names() == ["seen", "unseen"]


def test_S36_a_decorator_made_before_serves_processors_added_later(setup: Setup) -> None:
    @setup.tracer.start_as_current_span("decorated", attributes={"a": 1})  # type: ignore[untyped-decorator]
    def function() -> int:
        return 1

    @setup.tracer.start_as_current_span("awaited")  # type: ignore[untyped-decorator]
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return 2

    recorder = Recorder()
    assert function() + asyncio.run(coroutine()) == 3
    setup.provider.add_span_processor(recorder)
    assert function() + asyncio.run(coroutine()) == 3
    assert [call for call in recorder.calls if call.startswith("start")] == [
        "start decorated",
        "start awaited",
    ]
    assert setup.names() == ["decorated", "awaited"] * 2


def test_S36_a_processor_hears_of_the_end_of_spans_that_were_open_when_it_came(
    setup: Setup,
) -> None:
    recorder = Recorder()
    by_itself = setup.tracer.start_span("by itself", attributes={"a": 1})
    with setup.tracer.start_as_current_span("as current"), setup.tracer.start_span("entered"):
        setup.provider.add_span_processor(recorder)
    by_itself.end()
    assert recorder.calls[1::2] == ["end entered {}", "end as current {}", "end by itself {'a': 1}"]
    assert setup.names() == ["entered", "as current", "by itself"]


def test_B25_what_processors_and_exporters_raise_reaches_nobody(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(sdk.SpanProcessor):
        def on_start(self, span: sdk.Span, parent_context: Any = None) -> None:
            raise RuntimeError("on_start broke")

        def on_end(self, span: sdk.ReadableSpan) -> None:
            raise RuntimeError("on_end broke")

        def shutdown(self) -> None:
            raise RuntimeError("shutdown broke")

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            raise RuntimeError("force_flush broke")

    recorder = Recorder()
    setup.provider.add_span_processor(Broken())
    setup.provider.add_span_processor(recorder)
    with caplog.at_level(logging.WARNING, "lumitrace"):
        for _ in range(3):
            with setup.tracer.start_as_current_span("work"):
                pass
        assert not setup.provider.force_flush()
    assert setup.names() == ["work"] * 3
    assert len([call for call in recorder.calls if call.startswith("end")]) == 6
    setup.provider.shutdown()
    messages = [record.getMessage() for record in caplog.records if record.name == "lumitrace"]
    assert sum("Broken failed in on_start" in message for message in messages) == 1
    assert sum("Broken failed in on_end" in message for message in messages) == 1
    assert recorder.calls[-1] == "shutdown"


@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
def test_B25_exporters_in_python_get_readable_spans(setup: Setup, processor: Any) -> None:
    class Exporter(SpanExporter):
        def __init__(self) -> None:
            self.spans: list[sdk.ReadableSpan] = []

        def export(self, spans: Sequence[sdk.ReadableSpan]) -> SpanExportResult:
            self.spans.extend(spans)
            return SpanExportResult.SUCCESS

    exporter = Exporter()
    setup.provider.add_span_processor(processor(exporter))
    with setup.tracer.start_as_current_span("work") as span:
        span.add_event("happened")
    assert setup.provider.force_flush()
    (exported,) = exporter.spans
    assert exported.context == span.get_span_context()
    assert exported.resource is setup.provider.resource
    assert [event.name for event in exported.events] == ["happened"]
    assert setup.names() == ["work"]
    assert one(setup.memory, "work").context == exported.context


def test_T12_exporters_of_both_kinds_get_every_span(setup: Setup) -> None:
    exporter = SdkExporter()
    setup.provider.add_span_processor(SimpleSpanProcessor(exporter))
    for index in range(20):
        setup.tracer.start_span(f"span {index}").end()
    names = [f"span {index}" for index in range(20)]
    assert setup.names() == names
    assert [span.name for span in exporter.get_finished_spans()] == names


class Deciding(sampling.Sampler):
    """Decides by name, and adds an attribute."""

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> sampling.SamplingResult:
        decision = sampling.Decision[name]
        return sampling.SamplingResult(decision, {**(attributes or {}), "sampled by": "rule"})

    def get_description(self) -> str:
        return "by name"


def test_S36_a_sampler_in_python_decides_and_adds_attributes() -> None:
    setup = Setup(sampler=Deciding())
    seen = SdkExporter()
    recorder = Recorder()
    setup.provider.add_span_processor(recorder)
    setup.provider.add_span_processor(SimpleSpanProcessor(seen))
    for decision in sampling.Decision:
        with setup.tracer.start_as_current_span(decision.name, attributes={"a": 1}) as span:
            assert span.is_recording() is (decision.name != "DROP")
            is_sampled = decision.name == "RECORD_AND_SAMPLE"
            assert span.get_span_context().trace_flags.sampled is is_sampled
    exported = one(setup.memory, "RECORD_AND_SAMPLE")
    assert exported.attributes == {"a": 1, "sampled by": "rule", "started": True}
    assert setup.names() == ["RECORD_AND_SAMPLE"]
    assert "start RECORD_ONLY" in recorder.calls
    setup.provider.shutdown()


@pytest.mark.parametrize(
    ("sampler", "share"),
    [
        (sampling.ALWAYS_ON, 1.0),
        (sampling.ALWAYS_OFF, 0.0),
        (sampling.DEFAULT_ON, 1.0),
        (sampling.DEFAULT_OFF, 0.0),
        (sampling.TraceIdRatioBased(0.5), 0.5),
        (sampling.ParentBasedTraceIdRatio(0.5), 0.5),
    ],
)
def test_S19_the_sdks_own_samplers_are_sampled_natively(
    sampler: sampling.Sampler, share: float
) -> None:
    setup = Setup(sampler=sampler, max_queue_size=4096)
    assert setup.provider.sampler is sampler
    assert not setup.tracer._is_in_python
    for _ in range(400):
        with setup.tracer.start_as_current_span("root"):
            setup.tracer.start_span("child").end()
    names = setup.names()
    assert abs(names.count("root") / 400 - share) <= 0.15
    if isinstance(sampler, sampling.ParentBased):
        assert names.count("root") == names.count("child")
    setup.provider.shutdown()


def test_S19_the_environments_sampler_decides_for_spans_that_python_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    setup = Setup(max_queue_size=4096)
    decisions = {}
    for is_python in (False, True):
        if is_python:
            setup.provider.add_span_processor(Recorder())
        for trace_id in range(1, 1 << 56, 1 << 49):
            parent = trace.SpanContext(trace_id, 1, True, trace.TraceFlags(1))
            for flags in (0, 1):
                parent = trace.SpanContext(trace_id, 1, True, trace.TraceFlags(flags))
                context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
                span = setup.tracer.start_span("child", context)
                decisions[trace_id, flags, is_python] = span.is_recording()
                span.end()
        roots = [setup.tracer.start_span("root") for _ in range(200)]
        assert 50 < sum(span.is_recording() for span in roots) < 150
        for span in roots:
            span.end()
    for (trace_id, flags, _), is_recording in decisions.items():
        assert is_recording is bool(flags), trace_id
    setup.provider.shutdown()


@pytest.mark.parametrize("part", ["sampler", "id_generator"])
def test_B25_what_samplers_and_id_generators_raise_reaches_nobody(
    part: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Deciding, IdGenerator):
        def should_sample(self, *args: Any, **kwargs: Any) -> sampling.SamplingResult:
            raise RuntimeError("should_sample broke")

        def generate_span_id(self) -> int:
            raise RuntimeError("generate_span_id broke")

        def generate_trace_id(self) -> int:
            raise RuntimeError("generate_trace_id broke")

    setup = Setup(**{part: Broken()})
    for _ in range(2):
        with setup.tracer.start_as_current_span("lost") as span:
            assert not span.is_recording()
        setup.tracer.start_span("lost").end()
    assert setup.names() == []
    messages = [record.getMessage() for record in caplog.records if record.name == "lumitrace"]
    assert len([message for message in messages if "broke" in message]) == 1
    setup.provider.shutdown()


@pytest.mark.parametrize("is_python", [False, True])
def test_A4_what_is_switched_off_is_left_out_of_its_trace(is_python: bool) -> None:
    setup = Setup(switched_off=["websocket_events"])
    if is_python:
        setup.provider.add_span_processor(Recorder())
    with (
        setup.tracer.start_as_current_span("outer"),
        setup.tracer.start_as_current_span("websocket_events.open"),
        setup.tracer.start_as_current_span("inner"),
    ):
        pass
    assert setup.names() == ["inner", "outer"]
    assert is_child(one(setup.memory, "inner"), one(setup.memory, "outer"))
    setup.provider.shutdown()


def test_S36_an_id_generator_in_python_names_spans() -> None:
    class Counting(IdGenerator):
        def __init__(self) -> None:
            self.count = 0

        def generate_span_id(self) -> int:
            self.count += 1
            return self.count

        def generate_trace_id(self) -> int:
            return 77

    setup = Setup(id_generator=Counting())
    with setup.tracer.start_as_current_span("one"):
        setup.tracer.start_span("two").end()
    assert one(setup.memory, "one").context.trace_id == 77
    assert one(setup.memory, "two").context.span_id == 2
    setup.provider.shutdown()


@pytest.mark.parametrize("is_python", [False, True])
def test_S36_a_seeded_random_module_changes_no_ids(setup: Setup, is_python: bool) -> None:
    if is_python:
        setup.provider.add_span_processor(Recorder())
    ids = set()
    for _ in range(10):
        random.seed(42)
        context = setup.tracer.start_span("work").get_span_context()
        ids.add((context.trace_id, context.span_id))
    assert len(ids) == 10


@pytest.mark.parametrize("is_python", [False, True])
def test_S36_beyond_a_limit_the_oldest_goes(is_python: bool) -> None:
    limits = sdk.SpanLimits(
        max_span_attributes=2,
        max_events=1,
        max_links=1,
        max_event_attributes=1,
        max_span_attribute_length=3,
    )
    setup = Setup(span_limits=limits)
    if is_python:
        setup.provider.add_span_processor(Recorder())
    links = [trace.Link(trace.SpanContext(7, number, False)) for number in (1, 2)]
    with setup.tracer.start_as_current_span("full", links=links) as span:
        for key, value in [("a", "abcdef"), ("b", 1), ("a", "uvwxyz"), ("c", 2)]:
            span.set_attribute(key, value)
        span.add_event("first", {"x": 1, "y": 2})
        span.add_event("second", {"x": 1, "y": 2})
    full = one(setup.memory, "full")
    assert full.attributes == {"a": "uvw", "c": 2}
    assert full.dropped_attributes == 1 + is_python
    assert [event.name for event in full.events] == ["second"]
    assert full.events[0].attributes == {"y": 2}
    assert [link.context.span_id for link in full.links] == [2]
    assert (full.dropped_events, full.dropped_links) == (1, 1)
    setup.provider.shutdown()


def test_S36_limits_that_make_no_sense_leave_the_defaults(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "many")
    setup = Setup()
    assert "many" in caplog.text
    setup.tracer.start_span("work").end()
    assert setup.names() == ["work"]
    setup.provider.shutdown()


def test_S36_values_that_the_api_allows_arrive(setup: Setup) -> None:
    values = {
        "bytes": b"\x00\xff",
        "none": None,
        "mixed": (1, "two", 3.0, None),
        "nested": {"list": [{"deep": True}], "text": "ä"},
    }
    setup.tracer.start_span("native", attributes=values).end()
    setup.provider.add_span_processor(Recorder())
    setup.tracer.start_span("python", attributes=values).end()
    native, python = setup.memory.get_finished_spans()
    assert native.attributes == {**values, "mixed": [1, "two", 3.0, None]}
    assert python.attributes == {**native.attributes, "started": True}


def test_T5_the_resource_of_the_program_is_exported() -> None:
    resource = Resource.create({"service.name": "shop", "team": "checkout"})
    setup = Setup(resource=resource)
    setup.tracer.start_span("work").end()
    exported = one(setup.memory, "work").resource.attributes
    assert exported["service.name"] == "shop"
    assert exported["team"] == "checkout"
    assert dict(setup.provider.resource.attributes) == exported
    assert setup.provider._resource is setup.provider.resource is setup.tracer.resource
    setup.provider.shutdown()


def test_T5_without_a_name_the_service_is_called_after_the_program() -> None:
    setup = Setup()
    name = str(setup.provider.resource.attributes["service.name"])
    assert name
    assert not name.startswith("unknown_service")
    setup.provider.shutdown()


def test_S36_tracers_have_the_sdks_attributes(setup: Setup) -> None:
    assert setup.get_tracer("library", "1.2", attributes={"a": 1}) is setup.tracer
    assert setup.provider.get_tracer("other") is not setup.tracer
    assert setup.tracer.sampler is setup.provider.sampler
    assert setup.tracer.id_generator is setup.provider.id_generator
    assert setup.tracer.span_processor is setup.provider._active_span_processor
    assert setup.tracer.instrumentation_info.name == "library"
    setup.tracer.sampler = Deciding()
    assert setup.tracer._is_in_python


def test_S36_a_tracer_can_be_switched_off_by_configuration(setup: Setup) -> None:
    off = sdk._disable_tracer_configurator
    setup.provider._set_tracer_configurator(tracer_configurator=off)
    assert not setup.tracer.start_span("nothing").is_recording()
    with setup.tracer.start_as_current_span("nothing") as span:
        assert not span.is_recording()
    on = sdk._default_tracer_configurator
    setup.provider._set_tracer_configurator(tracer_configurator=on)
    setup.tracer.start_span("something").end()
    assert setup.names() == ["something"]


def test_S36_a_proxy_may_stand_for_a_tracer(setup: Setup) -> None:
    import wrapt

    proxy: Any = wrapt.ObjectProxy(setup.tracer)
    span = proxy.__class__.start_span(proxy, name="by proxy", attributes={"a": 1})
    assert type(span) is Span
    span.end()
    assert one(setup.memory, "by proxy").attributes == {"a": 1}
    assert issubclass(proxy.__class__, Tracer)


def test_S36_spans_that_refer_to_themselves_are_freed(setup: Setup) -> None:
    gone = []
    for is_python in (False, True):
        span = setup.tracer.start_span("cyclic")
        span.itself = span
        if is_python:
            assert span.attributes == {}
        span.end()
        gone.append(weakref.ref(span))
        del span
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_S36_both_faces_share_one_provider() -> None:
    setup = Setup()
    assert tracing.setup_tracing(exporters=["none"]) is setup.provider._native
    with tracing.get_tracer("ours").start_as_current_span("outer"):
        setup.tracer.start_span("inner").end()
    assert is_child(one(setup.memory, "inner"), one(setup.memory, "outer"))
    setup.provider.shutdown()


@pytest.mark.parametrize("is_python", [False, True])
def test_S36_a_forked_child_is_traced(collector: Collector, is_python: bool) -> None:
    program = f"""
import os
from lumitrace.opentelemetry import TracerProvider
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
provider = TracerProvider()
trace.set_tracer_provider(provider)
if {is_python}:
    provider.add_span_processor(SpanProcessor())
tracer = trace.get_tracer("app")
with tracer.start_as_current_span("parent"):
    child = os.fork()
    if child == 0:
        tracer.start_span("child").end()
        provider.force_flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    parent, child = collector.one("parent"), collector.one("child")
    assert child.parent_id == parent.span_id
    assert child.resource["process.pid"] != parent.resource["process.pid"]


def test_S36_a_span_is_started_by_tracers_alone() -> None:
    with pytest.raises(TypeError, match="started by tracers"):
        Span()  # type: ignore[call-arg]


def test_T14_the_snippets_of_the_guide_run(collector: Collector) -> None:
    guide = Path(__file__).parents[2] / "docs" / "opentelemetry.md"
    snippets = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    assert len(snippets) == 2
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    for snippet in snippets:
        subprocess.run([sys.executable, "-c", snippet], env=environment, check=True)
    assert collector.one("checkout").attributes == {"items": 3}
