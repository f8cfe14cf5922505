"""Logs and spans: captured records, logged events, logged blocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from spans import exceptions, one

from lumitrace import tracing
from lumitrace.tracing import (
    InMemorySpanExporter,
    StatusCode,
    create_span,
    enable_tracing,
    execution_context,
    log_event,
    setup_tracing,
)


@pytest.fixture(autouse=True)
def _same_logging() -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


@pytest.fixture
def program() -> Iterator[logging.Logger]:
    """A logger that lets everything through."""
    logger = logging.getLogger("program")
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.setLevel(logging.NOTSET)


def logged(span: tracing.FinishedSpan) -> list[dict[str, Any]]:
    return [event.attributes for event in span.events if event.name == "log"]


def test_B1_one_call_turns_tracing_and_log_capture_on(
    memory: InMemorySpanExporter, program: logging.Logger
) -> None:
    enable_tracing(level=logging.DEBUG)
    with create_span("model_inference"):
        program.debug("loaded %s", "model")
    assert logged(one(memory, "model_inference")) == [
        {"log.severity": "DEBUG", "log.logger": "program", "log.message": "loaded model"}
    ]


def test_B1_without_earlier_set_up_it_sets_tracing_up() -> None:
    provider = enable_tracing()
    assert tracing.setup_tracing() is provider
    assert tracing.get_tracer().enabled


@pytest.mark.parametrize(
    ("level", "captured"),
    [
        (logging.DEBUG, ["DEBUG", "INFO", "WARNING", "ERROR"]),
        ("warning", ["WARNING", "ERROR"]),
        (logging.ERROR, ["ERROR"]),
    ],
)
def test_T33_the_level_filters(
    memory: InMemorySpanExporter, program: logging.Logger, level: int | str, captured: list[str]
) -> None:
    enable_tracing(level=level)
    with create_span("work"):
        for severity in ("debug", "info", "warning", "error"):
            getattr(program, severity)("message")
    assert [it["log.severity"] for it in logged(one(memory, "work"))] == captured


def test_B26_the_level_of_the_environment_counts_unless_another_is_passed(
    memory: InMemorySpanExporter, program: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACE_LEVEL", "ERROR")
    enable_tracing()
    with create_span("quiet"):
        program.warning("message")
    enable_tracing(level="INFO")
    with create_span("talkative"):
        program.warning("message")
    assert logged(one(memory, "quiet")) == []
    assert len(logged(one(memory, "talkative"))) == 1


def test_B26_a_level_that_makes_no_sense_warns(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACE_LEVEL", "LOUD")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    enable_tracing()
    assert "LOUD" in caplog.text


def test_B2_capturing_changes_no_logger_and_no_handler(memory: InMemorySpanExporter) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    enable_tracing()
    assert (root.level, list(root.handlers)) == before


def test_B1_capture_ends_with_tracing(
    memory: InMemorySpanExporter, program: logging.Logger
) -> None:
    enable_tracing()
    tracing.shutdown()
    after = InMemorySpanExporter()
    setup_tracing(exporters=[after])
    with create_span("work"):
        program.error("message")
    assert logged(one(after, "work")) == []


def test_B1_what_is_logged_is_bounded_redacted_and_never_raises(
    memory: InMemorySpanExporter, program: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    enable_tracing()
    with create_span("work"):
        program.info("password=%s %s", "hunter2", "x" * 10_000)
        program.info("%d", "no number")
        try:
            raise ValueError("wrong")
        except ValueError:
            program.exception("failed")
    first, second, third = logged(one(memory, "work"))
    assert "hunter2" not in first["log.message"]
    assert len(first["log.message"]) < 1_100
    assert second["log.message"] == "%d"
    assert third["error.type"] == "ValueError"
    assert third["error.message"] == "wrong"
    assert exceptions(one(memory, "work")) == []


def test_B1_our_own_messages_are_not_captured(memory: InMemorySpanExporter) -> None:
    enable_tracing()
    with create_span("work"):
        logging.getLogger("lumitrace").warning("message")
    assert logged(one(memory, "work")) == []


def test_B5_an_event_within_a_span_belongs_to_it_with_its_types(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with create_span("work"):
        log_event("model_loaded", {"model_type": "transformer", "parameters": 7e9})
    (event,) = one(memory, "work").events
    assert event.name == "model_loaded"
    assert event.attributes == {"model_type": "transformer", "parameters": 7e9}
    assert isinstance(event.attributes["parameters"], float)
    assert caplog.records == []


def test_B5_an_event_outside_of_spans_is_a_log_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_event("model_loaded", {"parameters": 7e9, "name": "100%"})
    log_event("done")
    record, done = caplog.records
    assert record.name == "lumitrace.events"
    assert record.getMessage() == "model_loaded parameters=7000000000.0 name=100%"
    assert record.__dict__["event_name"] == "model_loaded"
    assert record.__dict__["event_attributes"] == {"parameters": 7e9, "name": "100%"}
    assert done.getMessage() == "done"


class StructuredLogger:
    """Takes keywords, as structlog's loggers do."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []

    def info(self, event: str, **keywords: Any) -> None:
        self.told.append(("info", event, keywords))

    def error(self, event: str, **keywords: Any) -> None:
        self.told.append(("error", event, keywords))


def test_T37_a_block_tells_a_standard_logger(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with execution_context("load", logging.getLogger("program"), pair="gbpusd") as span:
        span.set_attribute("rows", 3)
    started, completed = caplog.records
    assert started.getMessage() == "Starting load pair=gbpusd"
    assert completed.getMessage().startswith("Completed load elapsed_seconds=")
    assert completed.__dict__["context"]["pair"] == "gbpusd"
    attributes = one(memory, "load").attributes
    assert attributes["pair"] == "gbpusd"
    assert attributes["rows"] == 3
    assert attributes["elapsed_seconds"] >= 0


def test_T37_a_block_tells_a_structured_logger() -> None:
    logger = StructuredLogger()
    with execution_context("load", logger, pair="gbpusd"):
        pass
    started, completed = logger.told
    assert started == ("info", "Starting load", {"pair": "gbpusd"})
    assert completed[:2] == ("info", "Completed load")
    assert completed[2]["elapsed_seconds"] >= 0


def test_T37_structlog_takes_what_it_is_told() -> None:
    structlog = pytest.importorskip("structlog")
    with structlog.testing.capture_logs() as told:
        logger = structlog.get_logger()
        with execution_context("load", logger, pair="gbpusd"):
            pass
        with pytest.raises(ValueError, match="wrong"), execution_context("load", logger):
            raise ValueError("wrong")
    levels = [(entry["log_level"], entry["event"]) for entry in told]
    assert levels == [
        ("info", "Starting load"),
        ("info", "Completed load"),
        ("info", "Starting load"),
        ("error", "Failed load"),
    ]
    assert told[1]["pair"] == "gbpusd"
    assert told[3]["error_type"] == "ValueError"


def test_T37_failure_is_told_differently_from_success(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    logger = StructuredLogger()
    for chosen in (logger, None):
        with pytest.raises(ValueError, match="wrong"), execution_context("load", chosen):
            raise ValueError("wrong")
    level, event, keywords = logger.told[-1]
    assert (level, event) == ("error", "Failed load")
    assert keywords["error_type"] == "ValueError"
    assert isinstance(keywords["exc_info"], ValueError)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    span = memory.get_finished_spans()[0]
    assert span.status.status_code == StatusCode.ERROR
    assert len(exceptions(span)) == 1


def test_T37_a_cancelled_block_has_not_failed(
    memory: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lumitrace.execution")

    async def main() -> None:
        async def block() -> None:
            async with execution_context("load"):
                await asyncio.Event().wait()

        task = asyncio.ensure_future(block())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert one(memory, "load").status.status_code == StatusCode.UNSET
    assert caplog.records[-1].getMessage().startswith("Left load")


def test_T37_metadata_that_the_logger_does_not_take_costs_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with execution_context("load", StructuredLogger(), event="taken"):
        pass
    assert "cannot log" in caplog.text
