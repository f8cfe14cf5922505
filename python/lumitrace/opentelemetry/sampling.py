"""Samplers of OpenTelemetry's SDK, and which of them the native half has too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from lumitrace import _lumitrace


class PassThrough(Exception):  # noqa: N818 (a decision)
    """The span is left out of its trace: spans started in it become children of its parent. The
    SDK knows no such decision.
    """


class NativeSampler(Sampler):
    """The native half's sampler, asked for spans that Python makes."""

    def __init__(self, provider: _lumitrace.TracerProvider | None) -> None:
        self._provider = provider

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        decision, further, header = _lumitrace._sample(
            self._provider, parent, trace_id, name, kind, attributes
        )
        if decision == "PASS_THROUGH":
            raise PassThrough
        state = parent.trace_state if header is None else TraceState.from_header([header])
        return SamplingResult(Decision[decision], {**(attributes or {}), **further}, state)

    def get_description(self) -> str:
        return "LumitraceNativeSampler"


def native_settings(sampler: Any) -> dict[str, Any] | None:
    """The settings by which the native half samples alike; ``None`` where it cannot."""
    if _behaves_as(sampler, ParentBased):
        root = _root_settings(sampler._root)
        if root is None or not _does_as_the_parent_did(sampler):
            return None
        return {**root, "sampler": f"parentbased_{root['sampler']}"}
    return _root_settings(sampler)


def _root_settings(sampler: Any) -> dict[str, Any] | None:
    if _behaves_as(sampler, StaticSampler):
        known = {Decision.RECORD_AND_SAMPLE: "always_on", Decision.DROP: "always_off"}
        name = known.get(sampler._decision)
        return {"sampler": name} if name else None
    if _behaves_as(sampler, TraceIdRatioBased):
        return {"sampler": "traceidratio", "sampler_ratio": sampler.rate}
    return None


def _does_as_the_parent_did(sampler: Any) -> bool:
    return (
        sampler._remote_parent_sampled is ALWAYS_ON
        and sampler._local_parent_sampled is ALWAYS_ON
        and sampler._remote_parent_not_sampled is ALWAYS_OFF
        and sampler._local_parent_not_sampled is ALWAYS_OFF
    )


def _behaves_as(sampler: object, sampler_class: type[Sampler]) -> bool:
    return (
        isinstance(sampler, sampler_class)
        and type(sampler).should_sample is sampler_class.should_sample
    )
