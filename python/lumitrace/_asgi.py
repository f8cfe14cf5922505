"""Requests to an ASGI application as spans (ASGI specification 3, "HTTP & WebSocket")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from lumitrace._components import is_server_failure
from lumitrace._lumitrace import StatusCode

if TYPE_CHECKING:
    from lumitrace._service import Operation, TracingService

Message = dict[str, Any]


class TracingMiddleware:
    """Makes a span of every HTTP request and every WebSocket connection.

    The span is a child of the caller's, lasts until the application has finished, and is an error
    where the application raised or answered with a status from 500. What is sent and received
    passes unchanged and undelayed.
    """

    def __init__(self, app: Any, service: TracingService) -> None:
        self._app = app
        self._service = service

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        operation = self._begin(scope)
        if operation is None:
            await self._app(scope, receive, send)
            return

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note_status(operation, message.get("status"))
            await send(message)

        with operation:
            await self._app(scope, receive, send_and_note)

    def _begin(self, scope: Message) -> Operation | None:
        headers = scope.get("headers") or []
        path = str(scope.get("path", ""))
        if scope["type"] == "http":
            method = str(scope.get("method", "GET"))
            return self._service.trace_api_request(method, path, headers=headers)
        if scope["type"] == "websocket":
            operation = self._service.trace_websocket_event("connection")
            operation.set_attribute("url.path", path)
            return operation
        return None


def _note_status(operation: Operation, status: Any) -> None:
    operation.set_attribute("http.response.status_code", status)
    if is_server_failure(status):
        operation.set_status(StatusCode.ERROR, f"status {status}")
