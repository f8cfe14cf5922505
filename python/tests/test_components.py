"""What the parts of an agent platform tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from spans import one

from lumitrace.metrics import instrument_of, record_metric
from lumitrace.tracing import (
    AgentInstrumentation,
    APIInstrumentation,
    CacheInstrumentation,
    DatabaseInstrumentation,
    ExternalServiceInstrumentation,
    InMemorySpanExporter,
    KnowledgeGraphInstrumentation,
    OrchestratorInstrumentation,
    StatusCode,
    get_tracer,
    log_event,
)

LONG = "x" * 1_000
CUT_AT_100 = "x" * 100 + "… (900 more)"
CUT_AT_200 = "x" * 200 + "… (800 more)"

Case = tuple[Callable[..., None], dict[str, Any], str, dict[str, Any], str]
CASES: dict[str, Case] = {
    "C11_submission": (
        OrchestratorInstrumentation.trace_exploration_submission,
        {"concept": "artificial intelligence", "exploration_id": "exp_123"},
        "exploration_submitted",
        {"concept": "artificial intelligence", "exploration.id": "exp_123"},
        "internal",
    ),
    "C12_task": (
        OrchestratorInstrumentation.trace_task_processing,
        {
            "task_id": "task_1",
            "task_type": "research",
            "agent_name": "ResearchAgent",
            "success": True,
        },
        "task_processed",
        {
            "task.id": "task_1",
            "task.type": "research",
            "agent": "ResearchAgent",
            "gen_ai.agent.name": "ResearchAgent",
            "success": True,
        },
        "internal",
    ),
    "C13_status": (
        OrchestratorInstrumentation.trace_exploration_status,
        {"exploration_id": "exp_123", "status": "running", "task_count": 3},
        "exploration_status",
        {"exploration.id": "exp_123", "status": "running", "task_count": 3},
        "internal",
    ),
    "C14_agent": (
        AgentInstrumentation.trace_agent_execution,
        {
            "agent_name": "ResearchAgent",
            "task_id": "task_1",
            "success": True,
            "confidence": 0.9,
            "data_size": 2_048,
        },
        "agent_executed",
        {
            "agent": "ResearchAgent",
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "ResearchAgent",
            "task.id": "task_1",
            "success": True,
            "confidence": 0.9,
            "data_size_bytes": 2_048,
        },
        "internal",
    ),
    "C15_result": (
        AgentInstrumentation.trace_agent_result,
        {"agent_name": "A", "result_type": "report", "key_metrics": {"sources": 3}},
        "agent_result",
        {
            "agent": "A",
            "gen_ai.agent.name": "A",
            "result_type": "report",
            "key_metrics": {"sources": 3},
        },
        "internal",
    ),
    "C16_node": (
        KnowledgeGraphInstrumentation.trace_node_operation,
        {"operation": "add", "node_id": "n1", "concept": "AI", "success": True},
        "graph_node_add",
        {"operation": "add", "node_id": "n1", "concept": "AI", "success": True},
        "internal",
    ),
    "C16_edge": (
        KnowledgeGraphInstrumentation.trace_edge_operation,
        {
            "operation": "add",
            "source_id": "n1",
            "target_id": "n2",
            "relationship_type": "is_a",
            "success": True,
        },
        "graph_edge_add",
        {
            "operation": "add",
            "source_id": "n1",
            "target_id": "n2",
            "relationship_type": "is_a",
            "success": True,
        },
        "internal",
    ),
    "C16_search": (
        KnowledgeGraphInstrumentation.trace_search_operation,
        {"query_type": "text", "query": LONG, "result_count": 3, "duration_ms": 20.0},
        "graph_search",
        {"query_type": "text", "query": CUT_AT_100, "result_count": 3, "duration_ms": 20.0},
        "internal",
    ),
    "C17_request": (
        APIInstrumentation.trace_http_request,
        {
            "method": "GET",
            "path": "/api/items?token=hunter2",
            "status_code": 200,
            "duration_ms": 20.0,
            "user_id": "u1",
        },
        "http_request",
        {
            "http.request.method": "GET",
            "url.path": "/api/items",
            "http.response.status_code": 200,
            "duration_ms": 20.0,
            "user.id": "u1",
        },
        "server",
    ),
    "C17_error": (
        APIInstrumentation.trace_api_error,
        {
            "method": "GET",
            "path": "/api/items",
            "error_type": "NotFound",
            "error_message": LONG,
            "status_code": 404,
        },
        "api_error",
        {
            "http.request.method": "GET",
            "url.path": "/api/items",
            "error.type": "NotFound",
            "error.message": CUT_AT_200,
            "http.response.status_code": 404,
        },
        "server",
    ),
    "C18_hit": (
        CacheInstrumentation.trace_cache_hit,
        {"cache_type": "memory", "key": LONG},
        "cache_hit",
        {"cache.type": "memory", "cache.key": CUT_AT_100},
        "internal",
    ),
    "C18_miss": (
        CacheInstrumentation.trace_cache_miss,
        {"cache_type": "memory", "key": "k"},
        "cache_miss",
        {"cache.type": "memory", "cache.key": "k"},
        "internal",
    ),
    "C18_operation": (
        CacheInstrumentation.trace_cache_operation,
        {
            "operation": "set",
            "cache_type": "memory",
            "key": "k",
            "success": True,
            "duration_ms": 20.0,
        },
        "cache_set",
        {"cache.type": "memory", "cache.key": "k", "success": True, "duration_ms": 20.0},
        "internal",
    ),
    "C19_query": (
        DatabaseInstrumentation.trace_db_query,
        {
            "operation": "SELECT",
            "table": "items",
            "success": True,
            "duration_ms": 20.0,
            "row_count": 3,
        },
        "db_query",
        {
            "db.operation.name": "SELECT",
            "db.collection.name": "items",
            "db.response.returned_rows": 3,
            "success": True,
            "duration_ms": 20.0,
        },
        "client",
    ),
    "C19_transaction": (
        DatabaseInstrumentation.trace_db_transaction,
        {"transaction_id": "t1", "operation_count": 3, "success": True, "duration_ms": 20.0},
        "db_transaction",
        {"transaction.id": "t1", "operation_count": 3, "success": True, "duration_ms": 20.0},
        "client",
    ),
    "C20_call": (
        ExternalServiceInstrumentation.trace_external_call,
        {
            "service_name": "search",
            "operation": "find",
            "status": 200,
            "duration_ms": 20.0,
            "success": True,
        },
        "external_service_call",
        {
            "peer.service": "search",
            "operation": "find",
            "status": 200,
            "success": True,
            "duration_ms": 20.0,
        },
        "client",
    ),
    "C20_search": (
        ExternalServiceInstrumentation.trace_web_search,
        {
            "provider": "example",
            "query": LONG,
            "result_count": 3,
            "duration_ms": 20.0,
            "success": True,
        },
        "web_search",
        {
            "provider": "example",
            "query": CUT_AT_100,
            "result_count": 3,
            "success": True,
            "duration_ms": 20.0,
        },
        "client",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_C11_to_C20_T34_within_a_span_each_is_an_event_of_it(
    memory: InMemorySpanExporter, case: str
) -> None:
    function, arguments, name, attributes, _ = CASES[case]
    with get_tracer("test").start_as_current_span("operation"):
        function(**arguments)
    (span,) = memory.get_finished_spans()
    (event,) = span.events
    assert (event.name, event.attributes) == (name, attributes)
    assert span.attributes == {}
    assert span.status.status_code == StatusCode.UNSET


@pytest.mark.parametrize("case", CASES)
def test_T25_without_a_span_each_makes_one(memory: InMemorySpanExporter, case: str) -> None:
    function, arguments, name, attributes, kind = CASES[case]
    function(**arguments)
    span = one(memory, name)
    (event,) = span.events
    assert (event.name, event.attributes) == (name, attributes)
    assert span.attributes == attributes
    assert span.kind == kind
    assert span.status.status_code == StatusCode.UNSET
    took_ms = (span.end_time - span.start_time) / 1e6
    assert took_ms >= arguments.get("duration_ms", 0.0) - 0.001


@pytest.mark.parametrize("case", [name for name in CASES if "success" in CASES[name][1]])
def test_T25_the_span_of_a_failure_says_so(memory: InMemorySpanExporter, case: str) -> None:
    function, arguments, name, _, _ = CASES[case]
    function(**{**arguments, "success": False})
    assert one(memory, name).status.status_code == StatusCode.ERROR


@pytest.mark.parametrize(
    ("status", "fails"), [(200, False), (404, False), (499, False), (500, True)]
)
def test_T31_a_status_below_500_is_no_failure_of_the_server(
    memory: InMemorySpanExporter, status: int, fails: bool
) -> None:
    APIInstrumentation.trace_http_request("GET", "/", status)
    APIInstrumentation.trace_api_error("GET", "/", "Error", "message", status)
    spans = memory.get_finished_spans()
    assert [span.status.status_code == StatusCode.ERROR for span in spans] == [fails] * 2


def test_T25_an_event_below_a_span_that_is_not_sampled_is_not_recorded_either() -> None:
    from lumitrace import tracing

    memory = InMemorySpanExporter()
    tracing.setup_tracing(exporters=[memory], sampler="always_off")
    with get_tracer("test").start_as_current_span("operation"):
        CacheInstrumentation.trace_cache_hit("memory", "k")
    assert memory.get_finished_spans() == ()


@pytest.mark.parametrize("odd", [None, "soon", float("nan"), float("inf"), -1, object()])
def test_C17_a_duration_that_is_none_is_no_harm(memory: InMemorySpanExporter, odd: Any) -> None:
    APIInstrumentation.trace_http_request("GET", "/", 200, duration_ms=odd)
    assert one(memory, "http_request")


def test_B9_T34_a_metric_is_recorded_with_its_tags(memory: InMemorySpanExporter) -> None:
    with get_tracer("test").start_as_current_span("operation"):
        record_metric("model_latency", 12.5, tags={"model": "gpt-4"})
    (event,) = one(memory, "operation").events
    assert event.name == "metric"
    assert event.attributes == {
        "metric.name": "model_latency",
        "metric.value": 12.5,
        "metric.instrument": "histogram",
        "metric.unit": "ms",
        "tag.model": "gpt-4",
    }


def test_B9_T34_a_metric_outside_of_spans_is_recorded_too(memory: InMemorySpanExporter) -> None:
    record_metric("token_count", 350)
    span = one(memory, "metric")
    assert span.attributes["metric.value"] == 350
    assert [event.name for event in span.events] == ["metric"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model_latency", ("histogram", "ms")),
        ("step_seconds", ("histogram", "s")),
        ("latency_ms", ("histogram", "ms")),
        ("token_count", ("counter", "{token}")),
        ("input_tokens", ("counter", "{token}")),
        ("requests_total", ("counter", "1")),
        ("error_rate", ("gauge", "1")),
        ("used_bytes", ("gauge", "By")),
        ("gpu_percent", ("gauge", "%")),
        ("temperature", ("gauge", "1")),
        ("", ("gauge", "1")),
    ],
)
def test_B9_instrument_and_unit_follow_from_the_name(name: str, expected: tuple[str, str]) -> None:
    assert instrument_of(name) == expected


def test_B9_B5_tags_and_attributes_that_are_none_are_seen_and_never_raise(
    memory: InMemorySpanExporter,
) -> None:
    record_metric("error_rate", 0.1, tags="gpt-4")  # type: ignore[arg-type]
    assert one(memory, "metric").attributes["tag.attributes"] == "gpt-4"
    log_event("outside", 3)  # type: ignore[arg-type]
