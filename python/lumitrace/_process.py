"""What tracing does when the process ends.

Forking needs nothing here: the native half notices it by itself.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

from lumitrace import _lumitrace

EXIT_TIMEOUT_MS = 2_000
"""How long the end of the process may wait for the last spans to be sent."""

_before_last_flush: list[Callable[[], None]] = []
_installed = False
_known_to_multiprocessing = False


def install() -> None:
    """See to it that the last spans are sent when this process, or a child of it, ends."""
    global _installed
    if not _installed:
        _installed = True
        atexit.register(flush_at_exit)
        if hasattr(os, "register_at_fork"):
            # The program may have imported multiprocessing since.
            os.register_at_fork(after_in_child=_flush_when_multiprocessing_ends)
    _flush_when_multiprocessing_ends()


def before_last_flush(callback: Callable[[], None]) -> None:
    """Call ``callback``, which must not raise, before the last spans are sent, so that it may end
    some more.
    """
    _before_last_flush.append(callback)


def flush_at_exit() -> None:
    """Send what waits, in at most :data:`EXIT_TIMEOUT_MS`, and stop."""
    for callback in _before_last_flush:
        callback()
    _lumitrace._shut_down_at_exit(EXIT_TIMEOUT_MS)


def _flush_when_multiprocessing_ends() -> None:
    # A child of multiprocessing leaves by os._exit after running multiprocessing's own finalizers,
    # without atexit. When it starts, it forgets the finalizers that it inherited and calls the
    # "after forkers".
    global _known_to_multiprocessing
    util = sys.modules.get("multiprocessing.util")
    if util is None or _known_to_multiprocessing:
        return
    _known_to_multiprocessing = True
    util.register_after_fork(install, _finalize_child)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _finalize_child()


def _finalize_child(_: object = None) -> None:
    from multiprocessing.util import Finalize

    # The finalizers with the highest priority run first: the program's queues and pools, then we.
    Finalize(None, flush_at_exit, exitpriority=0)
