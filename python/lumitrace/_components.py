"""What the parts of an agent platform have to tell: one class per part, one method per thing that
happens.

Each is an event on the current span, so that it is seen within the operation that it belongs to;
where no span is current, a span of its own carries it. Where OpenTelemetry has names for what is
told, those are used (semantic conventions for HTTP, databases and generative AI).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lumitrace._events import record_event
from lumitrace._redaction import shown, text

MAX_KEY_CHARACTERS = 100
"""The longest query or cache key that is kept."""

MAX_MESSAGE_CHARACTERS = 200
"""The longest error message of an API that is kept."""


class OrchestratorInstrumentation:
    """The workflow of an exploration."""

    @staticmethod
    def trace_exploration_submission(concept: str, exploration_id: str) -> None:
        """Event ``exploration_submitted``: somebody asked for an exploration."""
        record_event(
            "exploration_submitted", {"concept": concept, "exploration.id": exploration_id}
        )

    @staticmethod
    def trace_task_processing(task_id: str, task_type: str, agent_name: str, success: bool) -> None:
        """Event ``task_processed``: an agent has finished a task."""
        record_event(
            "task_processed",
            {
                "task.id": task_id,
                "task.type": task_type,
                "agent": agent_name,
                "gen_ai.agent.name": agent_name,
                "success": success,
            },
            error=_failure(success, "the task failed"),
        )

    @staticmethod
    def trace_exploration_status(exploration_id: str, status: str, task_count: int) -> None:
        """Event ``exploration_status``: how far an exploration is."""
        record_event(
            "exploration_status",
            {"exploration.id": exploration_id, "status": status, "task_count": task_count},
        )


class AgentInstrumentation:
    """What single agents do."""

    @staticmethod
    def trace_agent_execution(
        agent_name: str,
        task_id: str,
        success: bool,
        confidence: float | None = None,
        data_size: int | None = None,
    ) -> None:
        """Event ``agent_executed``: an agent has worked on a task. ``data_size`` is in bytes."""
        record_event(
            "agent_executed",
            {
                "agent": agent_name,
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": agent_name,
                "task.id": task_id,
                "success": success,
                "confidence": confidence,
                "data_size_bytes": data_size,
            },
            error=_failure(success, "the agent failed"),
        )

    @staticmethod
    def trace_agent_result(
        agent_name: str, result_type: str, key_metrics: Mapping[str, Any]
    ) -> None:
        """Event ``agent_result``: what an agent found, as a few figures."""
        record_event(
            "agent_result",
            {
                "agent": agent_name,
                "gen_ai.agent.name": agent_name,
                "result_type": result_type,
                "key_metrics": shown(key_metrics),
            },
        )


class KnowledgeGraphInstrumentation:
    """Operations on a graph of knowledge."""

    @staticmethod
    def trace_node_operation(operation: str, node_id: str, concept: str, success: bool) -> None:
        """Event ``graph_node_{operation}``."""
        record_event(
            f"graph_node_{operation}",
            {"operation": operation, "node_id": node_id, "concept": concept, "success": success},
            error=_failure(success, f"{operation} failed"),
        )

    @staticmethod
    def trace_edge_operation(
        operation: str, source_id: str, target_id: str, relationship_type: str, success: bool
    ) -> None:
        """Event ``graph_edge_{operation}``."""
        record_event(
            f"graph_edge_{operation}",
            {
                "operation": operation,
                "source_id": source_id,
                "target_id": target_id,
                "relationship_type": relationship_type,
                "success": success,
            },
            error=_failure(success, f"{operation} failed"),
        )

    @staticmethod
    def trace_search_operation(
        query_type: str, query: str, result_count: int, duration_ms: float
    ) -> None:
        """Event ``graph_search``; the query is cut at 100 characters."""
        record_event(
            "graph_search",
            {
                "query_type": query_type,
                "query": text(str(query), MAX_KEY_CHARACTERS),
                "result_count": result_count,
                "duration_ms": duration_ms,
            },
            duration_ms=duration_ms,
        )


class APIInstrumentation:
    """Requests that this program answers."""

    @staticmethod
    def trace_http_request(
        method: str,
        path: str,
        status_code: int,
        duration_ms: float | None = None,
        user_id: str | None = None,
    ) -> None:
        """Event ``http_request``. A status from 500 is a failure, one from 400 the caller's."""
        record_event(
            "http_request",
            {
                "http.request.method": method,
                "url.path": _path(path),
                "http.response.status_code": status_code,
                "duration_ms": duration_ms,
                "user.id": user_id,
            },
            kind="server",
            duration_ms=duration_ms,
            error=f"status {status_code}" if is_server_failure(status_code) else None,
        )

    @staticmethod
    def trace_api_error(
        method: str, path: str, error_type: str, error_message: str, status_code: int
    ) -> None:
        """Event ``api_error``; the message is cut at 200 characters."""
        message = text(str(error_message), MAX_MESSAGE_CHARACTERS)
        record_event(
            "api_error",
            {
                "http.request.method": method,
                "url.path": _path(path),
                "error.type": error_type,
                "error.message": message,
                "http.response.status_code": status_code,
            },
            kind="server",
            error=message if is_server_failure(status_code) else None,
        )


class CacheInstrumentation:
    """A cache."""

    @staticmethod
    def trace_cache_hit(cache_type: str, key: str) -> None:
        """Event ``cache_hit``; the key is cut at 100 characters, as in the other events."""
        record_event("cache_hit", _cache(cache_type, key))

    @staticmethod
    def trace_cache_miss(cache_type: str, key: str) -> None:
        """Event ``cache_miss``."""
        record_event("cache_miss", _cache(cache_type, key))

    @staticmethod
    def trace_cache_operation(
        operation: str,
        cache_type: str,
        key: str,
        success: bool,
        duration_ms: float | None = None,
    ) -> None:
        """Event ``cache_{operation}``."""
        record_event(
            f"cache_{operation}",
            {**_cache(cache_type, key), "success": success, "duration_ms": duration_ms},
            duration_ms=duration_ms,
            error=_failure(success, f"{operation} failed"),
        )


class DatabaseInstrumentation:
    """A database."""

    @staticmethod
    def trace_db_query(
        operation: str,
        table: str,
        success: bool,
        duration_ms: float | None = None,
        row_count: int | None = None,
    ) -> None:
        """Event ``db_query``."""
        record_event(
            "db_query",
            {
                "db.operation.name": operation,
                "db.collection.name": table,
                "db.response.returned_rows": row_count,
                "success": success,
                "duration_ms": duration_ms,
            },
            kind="client",
            duration_ms=duration_ms,
            error=_failure(success, f"{operation} failed"),
        )

    @staticmethod
    def trace_db_transaction(
        transaction_id: str, operation_count: int, success: bool, duration_ms: float | None = None
    ) -> None:
        """Event ``db_transaction``."""
        record_event(
            "db_transaction",
            {
                "transaction.id": transaction_id,
                "operation_count": operation_count,
                "success": success,
                "duration_ms": duration_ms,
            },
            kind="client",
            duration_ms=duration_ms,
            error=_failure(success, "the transaction failed"),
        )


class ExternalServiceInstrumentation:
    """Services elsewhere."""

    @staticmethod
    def trace_external_call(
        service_name: str,
        operation: str,
        status: str | int,
        duration_ms: float | None = None,
        success: bool = True,
    ) -> None:
        """Event ``external_service_call``."""
        record_event(
            "external_service_call",
            {
                "peer.service": service_name,
                "operation": operation,
                "status": status,
                "success": success,
                "duration_ms": duration_ms,
            },
            kind="client",
            duration_ms=duration_ms,
            error=_failure(success, f"{operation} failed"),
        )

    @staticmethod
    def trace_web_search(
        provider: str,
        query: str,
        result_count: int,
        duration_ms: float | None = None,
        success: bool = True,
    ) -> None:
        """Event ``web_search``; the query is cut at 100 characters."""
        record_event(
            "web_search",
            {
                "provider": provider,
                "query": text(str(query), MAX_KEY_CHARACTERS),
                "result_count": result_count,
                "success": success,
                "duration_ms": duration_ms,
            },
            kind="client",
            duration_ms=duration_ms,
            error=_failure(success, "the search failed"),
        )


def is_server_failure(status_code: Any) -> bool:
    """Whether the server has failed: a status below 500 is an answer (semantic conventions for
    HTTP, "Status").
    """
    try:
        return int(status_code) >= 500
    except (TypeError, ValueError):
        return False


def _failure(success: Any, reason: str) -> str | None:
    return None if success else reason


def _cache(cache_type: str, key: str) -> dict[str, Any]:
    return {"cache.type": cache_type, "cache.key": text(str(key), MAX_KEY_CHARACTERS)}


def _path(path: str) -> str:
    # The query is no part of it, and may hold secrets.
    return str(path).partition("?")[0]
