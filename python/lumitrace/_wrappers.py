"""Components of a GPU platform, traced from outside: anything that has the methods can be wrapped.

A wrapper passes every call on, returns what the component returned and raises what it raised;
everything else that the component has is reached through the wrapper. What is told about GPUs,
workloads and costs is what the objects say of themselves, as attributes or as keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Protocol

from lumitrace._service import Operation, TracingService


class GPUScheduler(Protocol):
    """What :class:`TracedGPUScheduler` wraps."""

    def register_gpu(self, gpu: Any) -> Any: ...
    def submit_workload(self, workload: Any) -> Any: ...
    def schedule(self) -> Any: ...
    def get_gpu_utilization(self) -> Any: ...


class MetricsCollector(Protocol):
    """What :class:`TracedMetricsCollector` wraps."""

    def start(self) -> Any: ...
    def collect_metrics(self) -> Any: ...
    def get_latest_metrics(self) -> Any: ...


class MonitoringService(Protocol):
    """What :class:`TracedMonitoring` wraps."""

    def record_cost(self, entry: Any) -> Any: ...
    def get_cost_summary(self, start: Any, end: Any) -> Any: ...


_GPU = ("name", "memory_total", "memory_used", "utilization", "temperature", "available")
_WORKLOAD = ("id", "name", "priority", "memory_required")


class _Wrapper:
    def __init__(self, component: Any, service: TracingService) -> None:
        self._component = component
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._component, name)


class TracedGPUScheduler(_Wrapper):
    """A GPU scheduler whose calls are spans ``gpu_scheduling.{method}``."""

    def register_gpu(self, gpu: Any) -> Any:
        """Register a GPU: event ``gpu.registered``."""
        gpu_id = str(_of(gpu, "id", ""))
        with self._service.trace_gpu_scheduling("register_gpu", gpu_id) as operation:
            operation.set_attributes(_told(gpu, "gpu", _GPU))
            result = self._component.register_gpu(gpu)
            operation.add_event("gpu.registered", {"gpu.id": gpu_id})
            return result

    def submit_workload(self, workload: Any) -> Any:
        """Submit a workload: event ``workload.submitted``."""
        with self._service.trace_gpu_scheduling("submit_workload") as operation:
            told = _told(workload, "workload", _WORKLOAD)
            operation.set_attributes(told)
            result = self._component.submit_workload(workload)
            operation.set_attributes(self._state())
            operation.add_event("workload.submitted", {**told})
            return result

    def schedule(self) -> Any:
        """Assign waiting workloads: event ``scheduling.completed``, and one
        ``scheduling.decision`` for each assignment.
        """
        with self._service.trace_gpu_scheduling("schedule") as operation:
            operation.set_attributes(self._state())
            result = self._component.schedule()
            decisions = result if isinstance(result, (list, tuple)) else []
            count = len(decisions) or (result if isinstance(result, int) else 0)
            for decision in decisions:
                operation.add_event(
                    "scheduling.decision",
                    _pairs(
                        ("workload.id", _of(decision, "workload_id")),
                        ("gpu.id", _of(decision, "gpu_id")),
                        ("reason", _of(decision, "reason")),
                    ),
                )
            operation.set_attribute("scheduler.scheduled_count", count)
            operation.add_event("scheduling.completed", {"workloads.scheduled": count})
            return result

    def get_gpu_utilization(self) -> Any:
        """Ask how busy GPUs are, in percent."""
        with self._service.trace_gpu_scheduling("get_gpu_utilization") as operation:
            result = self._component.get_gpu_utilization()
            if isinstance(result, Mapping):
                for gpu_id, utilization in result.items():
                    told = {"gpu.id": gpu_id, "gpu.utilization": utilization}
                    operation.add_event("gpu.utilization", told)
            else:
                operation.set_attribute("gpu.utilization", result)
            return result

    def _state(self) -> dict[str, Any]:
        """How full the scheduler is, as far as it says."""
        gpus = _of(self._component, "gpus")
        known = list(gpus.values()) if isinstance(gpus, Mapping) else gpus
        queue = _of(self._component, "queue")
        attributes = _pairs(
            ("scheduler.queue_size", len(queue) if isinstance(queue, Sized) else None)
        )
        if isinstance(known, (list, tuple)):
            attributes["scheduler.total_gpus"] = len(known)
            free = sum(1 for gpu in known if _of(gpu, "available"))
            attributes["scheduler.available_gpus"] = free
        return attributes


class TracedMetricsCollector(_Wrapper):
    """A collector of GPU measurements whose calls are spans ``metrics_collection.{method}``."""

    def start(self) -> Any:
        """Begin to collect: event ``collector.started``."""
        with self._service.trace_metrics_collection("start") as operation:
            result = self._component.start()
            operation.add_event("collector.started")
            return result

    def collect_metrics(self) -> Any:
        """Collect once: event ``metrics.collected``, and one ``gpu.metrics`` for each GPU."""
        with self._service.trace_metrics_collection("collect_metrics") as operation:
            result = self._component.collect_metrics()
            self._tell(operation, result)
            operation.add_event("metrics.collected", {"metrics.count": _count(result)})
            return result

    def get_latest_metrics(self) -> Any:
        """What was collected last."""
        with self._service.trace_metrics_collection("get_latest_metrics") as operation:
            result = self._component.get_latest_metrics()
            operation.set_attribute("metrics.count", _count(result))
            return result

    @staticmethod
    def _tell(operation: Operation, result: Any) -> None:
        operation.set_attribute("metrics.count", _count(result))
        samples = result.items() if isinstance(result, Mapping) else enumerate(result or [])
        for key, sample in samples:
            gpu_id = _of(sample, "gpu_id", _of(sample, "id", str(key)))
            operation.add_event("gpu.metrics", {"gpu.id": gpu_id, **_told(sample, "gpu", _GPU)})


class TracedMonitoring(_Wrapper):
    """A monitoring service whose calls are spans ``cost_tracking.{method}``."""

    def record_cost(self, entry: Any) -> Any:
        """Record what something cost: event ``cost.recorded``."""
        gpu_hours = _of(entry, "gpu_hours")
        with self._service.trace_cost_calculation("record_cost", gpu_hours) as operation:
            told = _pairs(
                ("cost.operation", _of(entry, "operation")),
                ("cost.gpu_hours", gpu_hours),
                ("cost.tokens_used", _of(entry, "tokens_used")),
                ("cost.amount", _of(entry, "cost")),
                ("cost.currency", _of(entry, "currency", "USD")),
            )
            operation.set_attributes(told)
            result = self._component.record_cost(entry)
            operation.add_event("cost.recorded", told)
            return result

    def get_cost_summary(self, start: Any, end: Any) -> Any:
        """Sum the costs of a time range up."""
        with self._service.trace_cost_calculation("get_cost_summary") as operation:
            operation.set_attributes({"cost.start_time": str(start), "cost.end_time": str(end)})
            result = self._component.get_cost_summary(start, end)
            operation.set_attributes(
                _pairs(
                    ("cost.total", _of(result, "total_cost", _of(result, "total"))),
                    ("cost.gpu_hours", _of(result, "gpu_hours")),
                )
            )
            return result


def _of(thing: Any, name: str, default: Any = None) -> Any:
    """What ``thing`` has by this name, as a key or as an attribute."""
    try:
        value = thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
    except Exception:  # of a property of the component: what it does not tell is not known
        return default
    return default if value is None else value


def _told(thing: Any, family: str, names: tuple[str, ...]) -> dict[str, Any]:
    return _pairs(*((f"{family}.{name}", _of(thing, name)) for name in names))


def _pairs(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pairs if value is not None}


def _count(result: Any) -> int:
    return len(result) if isinstance(result, Sized) else 0
