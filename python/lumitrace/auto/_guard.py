"""Nothing of an integration is raised into the program."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

_LOGGER = logging.getLogger("lumitrace")

Function = TypeVar("Function", bound=Callable[..., Any])


class Integration:
    """One library's tracing, and how it is: ``waiting`` for the library to be imported,
    ``active``, ``off`` (a switch), or ``failed: ...``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "waiting"

    def activate(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call what connects it to the library. It is ``active`` then, or has failed."""
        if self.state.startswith("failed"):
            return
        try:
            function(*arguments)
        except Exception as problem:
            self.fail(problem)
        else:
            self.state = "active"

    def fail(self, problem: Exception) -> None:
        """End it, and say so once."""
        if self.state.startswith("failed"):
            return
        self.state = f"failed: {type(problem).__name__}: {problem}"
        _LOGGER.warning(
            "%s is not traced (%s: %s); everything else is",
            self.name,
            type(problem).__name__,
            problem,
        )

    def guard(self, function: Function) -> Function:
        """A function that does nothing, and returns None, once the integration has failed, and
        raises no ``Exception``.
        """

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.state.startswith("failed"):
                return None
            try:
                return function(*args, **kwargs)
            except Exception as problem:
                self.fail(problem)
                return None

        return guarded  # type: ignore[return-value]
