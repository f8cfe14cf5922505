"""What becomes of exceptions in the program's processors, samplers and id generators."""

from __future__ import annotations

import logging

_LOGGER = logging.getLogger("lumitrace")
_told: set[tuple[type, str]] = set()


def tell_once(part: object, method: str, problem: Exception) -> None:
    """Log that a part failed, the first time that one of its class fails there."""
    failed = (type(part), method)
    if failed in _told:
        return
    _told.add(failed)
    _LOGGER.warning(
        "%s failed in %s, and may fail again without another word: %s: %s",
        type(part).__name__,
        method,
        type(problem).__name__,
        problem,
    )
