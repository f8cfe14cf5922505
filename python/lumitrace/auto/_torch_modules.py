"""A span for each call of a module of PyTorch, where that was asked for: dozens for each batch,
which takes time, and in a compiled model there are none.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

from lumitrace import _lumitrace
from lumitrace.auto._guard import Integration


class _Calls(threading.local):
    """The calls that a thread is in, innermost last."""

    def __init__(self) -> None:
        self.open: list[tuple[Any, Any]] = []


def connect(integration: Integration, module: ModuleType) -> None:
    """Give each call of a module a span."""
    torch = sys.modules["torch"]

    tracer = _lumitrace.get_tracer("lumitrace.auto.torch")
    calls = _Calls()

    def begin(called: Any) -> None:
        span = tracer.start_span("forward", attributes={"module": type(called).__qualname__})
        attached = _lumitrace.use_span(span)
        attached.__enter__()
        calls.open.append((span, attached))

    def end() -> None:
        span, attached = calls.open.pop()
        attached.__exit__(None, None, None)
        span.end()

    begin, end = integration.guard(begin), integration.guard(end)

    def before(called: Any, arguments: Any) -> None:
        if not torch.compiler.is_compiling():
            begin(called)

    def after(called: Any, arguments: Any, result: Any) -> None:
        if not torch.compiler.is_compiling():
            end()

    module.register_module_forward_pre_hook(before)
    # Also where the call raises, or its span would stay open.
    module.register_module_forward_hook(after, always_call=True)
