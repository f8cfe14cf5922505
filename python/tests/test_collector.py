"""Collecting spans, keeping them, looking at them and handing them on."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from collector import Collector
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from lumitrace import tracing
from lumitrace.tracing import (
    InMemorySpanExporter,
    TraceCollector,
    TraceExporter,
    create_span,
    get_tracer,
    setup_tracing,
    visualize_trace,
)


def spans_in(trace: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [scope for it in trace["resourceSpans"] for scope in it["scopeSpans"]]
    return [span for group in groups for span in group["spans"]]


def names_in(trace: dict[str, Any]) -> list[str]:
    return [span["name"] for span in spans_in(trace)]


def test_B3_a_collector_collects_what_ends_while_it_runs(memory: InMemorySpanExporter) -> None:
    collector = TraceCollector()
    with create_span("before"):
        pass
    collector.start()
    with create_span("outer"), create_span("inner"):
        pass
    assert names_in(collector.get_trace()) == ["inner", "outer"]
    collector.stop()
    with create_span("after"):
        pass
    assert names_in(collector.get_trace()) == ["inner", "outer"]
    # The exporters get everything all the same.
    names = [span.name for span in memory.get_finished_spans()]
    assert names == ["before", "inner", "outer", "after"]


def test_B3_without_set_up_a_collector_collects_and_nothing_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with TraceCollector() as collector, create_span("work") as span:
        assert span.is_recording()
    assert names_in(collector.get_trace()) == ["work"]
    (resource,) = {
        span.resource.attributes["service.name"] for span in collector.get_finished_spans()
    }
    assert resource == "sequence"
    assert caplog.records == []


def test_B3_a_set_up_that_comes_later_takes_over_and_the_collector_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory = InMemorySpanExporter()
    with TraceCollector() as collector:
        with create_span("first"):
            pass
        setup_tracing(service_name="later", exporters=[memory])
        with create_span("second"):
            pass
    trace = collector.get_trace()
    assert names_in(trace) == ["first", "second"]
    assert [span.name for span in memory.get_finished_spans()] == ["second"]
    assert caplog.records == []


def test_B3_a_collector_sees_spans_that_no_server_takes() -> None:
    provider = setup_tracing(otlp_endpoint="http://127.0.0.1:9")
    with TraceCollector() as collector:
        for _ in range(3):
            with create_span("work"):
                pass
        assert names_in(collector.get_trace()) == ["work"] * 3
    assert provider.statistics()["queue_full_spans"] == 0
    tracing.shutdown(100)


def test_B3_where_tracing_is_off_nothing_is_collected() -> None:
    setup_tracing(exporters=["none"])
    with TraceCollector() as collector, create_span("work"):
        pass
    assert collector.get_trace() == {"resourceSpans": []}


def test_B3_the_memory_of_a_collector_is_bounded(memory: InMemorySpanExporter) -> None:
    with TraceCollector(max_spans=10) as collector:
        for _ in range(25):
            with create_span("work"):
                pass
    assert len(collector.get_finished_spans()) == 10
    assert collector.dropped_spans == 15


def test_B3_starting_again_begins_anew_and_starting_twice_does_not(
    memory: InMemorySpanExporter,
) -> None:
    collector = TraceCollector()
    collector.start()
    with create_span("first"):
        pass
    collector.start()
    assert names_in(collector.get_trace()) == ["first"]
    collector.stop()
    collector.stop()
    collector.start()
    assert names_in(collector.get_trace()) == []
    collector.stop()


def test_B3_several_collectors_do_not_disturb_each_other(memory: InMemorySpanExporter) -> None:
    with TraceCollector() as outer:
        with create_span("first"):
            pass
        with TraceCollector() as inner, create_span("second"):
            pass
        with create_span("third"):
            pass
    assert names_in(outer.get_trace()) == ["first", "second", "third"]
    assert names_in(inner.get_trace()) == ["second"]


def test_B3_a_saved_trace_is_otlp_json_as_others_read_it(
    memory: InMemorySpanExporter, tmp_path: Path
) -> None:
    with TraceCollector() as collector:
        with create_span("work", attributes={"loss": 0.5, "step": 3, "tags": ["a", "b"]}) as span:
            span.add_event("checkpoint", {"nan": float("nan")})
        with pytest.raises(ValueError, match="wrong"), create_span("fails"):
            raise ValueError("wrong")
    collector.save_trace(tmp_path / "trace.json")
    text = (tmp_path / "trace.json").read_text()
    assert json.loads(text) == collector.get_trace()
    json_format = pytest.importorskip("google.protobuf.json_format")
    # OpenTelemetry's own classes know every field; ids are hexadecimal in OTLP's JSON.
    readable = re.sub(r'"(trace|span|parentSpan)Id": "[0-9a-f]+"', r'"\1Id": "AAAA"', text)
    request = json_format.Parse(readable, ExportTraceServiceRequest())
    (group,) = request.resource_spans
    assert [it.key for it in group.resource.attributes if it.key == "service.name"]
    first, second = group.scope_spans[0].spans
    assert (first.name, second.status.code) == ("work", 2)
    assert first.attributes[0].value.double_value == 0.5


def test_B3_a_trace_may_be_saved_for_chrome(memory: InMemorySpanExporter, tmp_path: Path) -> None:
    tracer = get_tracer("test")
    with TraceCollector() as collector:
        parent = tracer.start_span("parent", start_time=1_000_000)
        child = tracer.start_span("child", context=parent, start_time=2_000_000)
        beside = tracer.start_span("beside", context=parent, start_time=3_000_000)
        child.add_event("moment", timestamp=2_500_000)
        child.end(4_000_000)
        beside.end(5_000_000)
        parent.end(6_000_000)
        later = tracer.start_span("later", start_time=7_000_000)
        later.end(8_000_000)
    collector.save_trace(tmp_path / "trace.json", format="chrome")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    spans = {event["name"]: event for event in events if event["ph"] == "X"}
    assert (spans["child"]["ts"], spans["child"]["dur"]) == (2_000.0, 2_000.0)
    # The one that overlaps its sibling without lying in it is on another thread.
    threads = {name: span["tid"] for name, span in spans.items()}
    assert threads == {"parent": 0, "child": 0, "beside": 1, "later": 0}
    (moment,) = [event for event in events if event["ph"] == "i"]
    assert (moment["name"], moment["ts"], moment["tid"]) == ("moment", 2_500.0, 0)
    assert [event["args"]["name"] for event in events if event["ph"] == "M"] == ["sequence"]


def test_B3_an_unknown_format_and_an_impossible_path_are_refused(tmp_path: Path) -> None:
    collector = TraceCollector()
    with pytest.raises(ValueError, match="nonsense"):
        collector.save_trace(tmp_path / "trace", format="nonsense")  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No such file"):
        collector.save_trace(tmp_path / "missing" / "trace.json")


class Keeping(TraceExporter):
    def __init__(self) -> None:
        self.names: list[str] = []
        self.threads: set[int] = set()

    def export(self, trace_data: dict[str, Any]) -> None:
        self.names += names_in(trace_data)
        self.threads.add(threading.get_ident())


def test_B25_an_exporter_gets_what_was_collected_and_what_comes(
    memory: InMemorySpanExporter,
) -> None:
    exporter = Keeping()
    with TraceCollector() as collector:
        with create_span("first"):
            pass
        collector.get_trace()
        collector.add_exporter(exporter)
        assert exporter.names == ["first"]
        with create_span("second"):
            pass
    assert exporter.names == ["first", "second"]


def test_B25_an_exporter_that_raises_costs_one_warning_and_nobody_else_anything(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(TraceExporter):
        def export(self, trace_data: dict[str, Any]) -> None:
            raise RuntimeError("no")

    exporter = Keeping()
    with TraceCollector() as collector:
        collector.add_exporter(Broken())
        collector.add_exporter(exporter)
        for name in ("first", "second"):
            with create_span(name):
                pass
            collector.get_trace()
    assert exporter.names == ["first", "second"]
    assert [span.name for span in memory.get_finished_spans()] == ["first", "second"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "Broken" in record.message


def test_B25_an_exporter_without_export_is_told_of(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with TraceCollector() as collector:
        collector.add_exporter(TraceExporter())
        with create_span("work"):
            pass
    assert "NotImplementedError" in caplog.text


def test_B25_exporters_may_trace_and_flush_themselves(memory: InMemorySpanExporter) -> None:
    class Tracing(TraceExporter):
        def export(self, trace_data: dict[str, Any]) -> None:
            if "exporting" not in names_in(trace_data):
                with create_span("exporting"):
                    pass

    with TraceCollector() as collector:
        collector.add_exporter(Tracing())
        with create_span("work"):
            pass
        collector.get_trace()
    assert "exporting" in names_in(collector.get_trace())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_collects_its_own_spans(collector: Collector) -> None:
    setup_tracing(otlp_endpoint=collector.endpoint)
    traces = TraceCollector()
    traces.start()
    with create_span("parent"):
        pass
    traces.get_trace()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with create_span("child"):
                pass
            status = 0 if names_in(traces.get_trace()) == ["parent", "child"] else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    traces.stop()
    assert names_in(traces.get_trace()) == ["parent"]


HOSTILE = "</script><script>document.title = 'changed'</script><img src=x onerror=alert(1)>"


def page_of(tmp_path: Path) -> Path:
    with TraceCollector() as collector:
        with (
            create_span("model_inference", attributes={HOSTILE: HOSTILE, "loss": 0.25}) as span,
            create_span(HOSTILE),
        ):
            span.add_event("checkpoint")
        with pytest.raises(ValueError, match="wrong"), create_span("fails"):
            raise ValueError("wrong")
    page = tmp_path / "trace_visualization.html"
    assert visualize_trace(collector.get_trace(), output_file=page) == str(page)
    return page


def test_B7_a_trace_is_one_file_that_needs_nothing_else(
    memory: InMemorySpanExporter, tmp_path: Path
) -> None:
    text = page_of(tmp_path).read_text()
    assert "model_inference" in text
    assert HOSTILE not in text
    assert not re.search(r"""(src|href)\s*=\s*["']""", text)
    assert "http:" not in text
    assert "default-src 'none'" in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
def test_B7_a_browser_shows_the_spans_and_text_stays_text(
    memory: InMemorySpanExporter, tmp_path: Path
) -> None:
    page = page_of(tmp_path)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    result = subprocess.run(
        ["chromium", *options, "--virtual-time-budget=2000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    shown = result.stdout
    assert 'id="title">sequence<' in shown
    assert "3 spans in 2 traces, 1 failed" in shown
    assert shown.count('class="row') == 3
    assert 'class="row error"' in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert "<title>Trace</title>" in shown


def test_B7_a_saved_trace_can_be_shown_and_an_empty_one_too(
    memory: InMemorySpanExporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with TraceCollector() as collector, create_span("work"):
        pass
    collector.save_trace("trace.json")
    assert visualize_trace("trace.json") == "trace_visualization.html"
    assert '"work"' in Path("trace_visualization.html").read_text()
    visualize_trace({"resourceSpans": []}, "empty.html")
    assert Path("empty.html").exists()


@pytest.mark.parametrize("odd", [{}, {"spans": []}, []])
def test_B7_what_is_no_trace_is_refused(odd: Any, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError)):
        visualize_trace(odd, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
