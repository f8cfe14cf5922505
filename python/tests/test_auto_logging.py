"""``logging`` and ``structlog`` in programs that are traced as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from collector import Collector
from programs import run_traced

FORMAT = "%(levelname)s %(trace_id)s %(span_id)s %(otelTraceID)s %(otelSpanID)s %(message)s"

LOGS = f"""
import logging, sys
logging.basicConfig(format={FORMAT!r}, level=logging.INFO, stream=sys.stdout)
log = logging.getLogger("app")
from lumitrace.tracing import TracingContext
log.info("before")
with TracingContext(None, "work"):
    log.info("within")
    log.error("lost %d rows", 3)
    try:
        raise KeyError("pair")
    except KeyError:
        log.exception("caught")
"""


def test_S23_records_carry_the_ids_of_their_span(collector: Collector, tmp_path: Path) -> None:
    result = run_traced(tmp_path, LOGS, collector)
    span = collector.one("work")
    before, within = result.stdout.splitlines()[:2]
    assert before == "INFO 0 0 0 0 before"
    ids = f"{span.trace_id} {span.span_id}"
    assert within == f"INFO {ids} {ids} within"


def test_S23_errors_that_are_logged_within_a_span_are_its_events(
    collector: Collector, tmp_path: Path
) -> None:
    from collector import attributes_of

    run_traced(tmp_path, LOGS, collector)
    span = collector.one("work")
    lost, caught = span.proto.events
    assert [lost.name, caught.name] == ["log", "log"]
    assert attributes_of(lost.attributes) == {
        "level": "ERROR",
        "logger": "app",
        "message": "lost 3 rows",
    }
    assert attributes_of(caught.attributes) == {
        "level": "ERROR",
        "logger": "app",
        "message": "caught",
        "exception.type": "KeyError",
        "exception.message": "'pair'",
    }
    # T21: whoever logs an exception has caught it.
    assert span.proto.status.code == 0


def test_S23_factories_extras_and_arguments_that_do_not_fit_stay_the_programs_own(
    collector: Collector, tmp_path: Path
) -> None:
    program = """
import logging, sys
class Record(logging.LogRecord):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.colour = "blue"
logging.setLogRecordFactory(Record)
logging.basicConfig(format="%(colour)s %(trace_id)s %(message)s", stream=sys.stdout)
logging.raiseExceptions = False
from lumitrace.tracing import TracingContext
with TracingContext(None, "work"):
    logging.warning("own", extra={"trace_id": "theirs"})
    logging.error("%d rows", "three")
class Text:
    def __str__(self):
        raise ValueError("no text")
with TracingContext(None, "more"):
    logging.error(Text())
print("still runs")
"""
    result = run_traced(tmp_path, program, collector)
    assert result.stdout.splitlines() == ["blue theirs own", "still runs"]
    (event,) = collector.one("work").proto.events
    assert event.attributes[2].value.string_value == "%d rows"
    assert len(collector.one("more").proto.events) == 1


def test_S23_without_the_integration_records_are_as_they_were(
    collector: Collector, tmp_path: Path
) -> None:
    program = """
import logging
record = logging.getLogger("app").makeRecord("app", 20, "f", 1, "m", (), None)
print(hasattr(record, "trace_id"))
"""
    result = run_traced(tmp_path, program, collector, LUMITRACE_AUTO_DISABLED="logging")
    assert result.stdout == "False\n"


def test_S23_structlog_events_carry_the_ids_and_errors_are_events_of_the_span(
    collector: Collector, tmp_path: Path
) -> None:
    pytest.importorskip("structlog", reason="structlog is not installed")
    program = """
import structlog
from lumitrace.tracing import TracingContext
structlog.configure(processors=[structlog.processors.JSONRenderer()])
log = structlog.get_logger()
log.info("before")
with TracingContext(None, "work"):
    log.info("model_execution", model_name="m", latency_ms=3)
    log.error("failed", exc_info=ValueError("wrong"))
"""
    result = run_traced(tmp_path, program, collector)
    span = collector.one("work")
    before, within, _ = map(json.loads, result.stdout.splitlines())
    assert before == {"event": "before"}
    assert within == {
        "event": "model_execution",
        "model_name": "m",
        "latency_ms": 3,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
    }
    (event,) = span.proto.events
    assert event.name == "log"
    texts = [pair.value.string_value for pair in event.attributes]
    assert texts == ["ERROR", "structlog", "failed", "ValueError", "wrong"]


def test_S23_structlog_over_logging_gives_one_event(collector: Collector, tmp_path: Path) -> None:
    pytest.importorskip("structlog", reason="structlog is not installed")
    program = """
import logging, structlog
logging.basicConfig(format="%(message)s")
from lumitrace.tracing import TracingContext
structlog.configure(
    processors=[structlog.processors.JSONRenderer()],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)
with TracingContext(None, "work"):
    structlog.get_logger("app").error("failed")
"""
    run_traced(tmp_path, program, collector)
    (event,) = collector.one("work").proto.events
    assert event.attributes[1].value.string_value == "app"
