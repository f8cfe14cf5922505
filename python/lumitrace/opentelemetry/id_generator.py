"""Ids of spans that Python makes."""

from __future__ import annotations

import os
import random

from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import INVALID_SPAN_ID, INVALID_TRACE_ID

# Not the generator of `random` itself: a program that seeds that one for its training would give
# every run the same ids. A fork would too.
_generator = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_generator.seed)


class RandomIdGenerator(IdGenerator):
    """Random ids, whatever the program does to ``random.seed``."""

    def generate_span_id(self) -> int:
        span_id = INVALID_SPAN_ID
        while span_id == INVALID_SPAN_ID:
            span_id = _generator.getrandbits(64)
        return span_id

    def generate_trace_id(self) -> int:
        trace_id = INVALID_TRACE_ID
        while trace_id == INVALID_TRACE_ID:
            trace_id = _generator.getrandbits(128)
        return trace_id

    def is_trace_id_random(self) -> bool:
        return True
