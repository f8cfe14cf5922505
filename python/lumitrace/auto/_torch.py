"""PyTorch: tells what its data loaders, optimizers and checkpoints do.

Nothing is asked of a device: no value of a tensor is read, and memory comes from the counters that
the allocator keeps anyway. What ``torch.compile`` traces contains nothing of this: the hooks of
optimizers leave at once where they are compiled.

PyTorch itself is never imported here, but looked up where the program has imported it.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import weakref
from types import ModuleType
from typing import Any

from lumitrace import _lumitrace
from lumitrace.auto._guard import Integration
from lumitrace.auto._loop import TrainingLoop
from lumitrace.auto._training import TrainingSpans

_MEMORY_INTERVAL_NS = 1_000_000_000
"""How often the allocator's counters are read at most: that takes some 50 µs."""

_PASS = "_lumitrace_pass"


class _ThreadOfTraining(threading.local):
    """The training that a thread does; hardly ever there is more than one thread that trains."""

    def __init__(self) -> None:
        self.spans = TrainingSpans()
        self.loop = TrainingLoop(self.spans)
        self.memory_read_at = 0
        _open.add(self.spans)


_open: weakref.WeakSet[TrainingSpans] = weakref.WeakSet()
_thread = _ThreadOfTraining()


def spans() -> TrainingSpans:
    """The spans of the training that this thread does."""
    return _thread.spans


def end_runs(error: BaseException | None = None) -> None:
    """End what is open in all threads, as the program ends."""
    for open_spans in list(_open):
        open_spans.end_run(error)


def forget_runs() -> None:
    """In a forked child: the open spans are the parent's to end."""
    global _thread
    _open.clear()
    _thread = _ThreadOfTraining()


def connect(integration: Integration, module: ModuleType) -> None:
    """Connect to one of PyTorch's modules."""
    _CONNECTIONS[module.__name__](integration, module)


def _connect_optimizers(integration: Integration, module: ModuleType) -> None:
    torch = sys.modules["torch"]

    def step_started(optimizer: Any) -> None:
        _thread.loop.step_started(optimizer)

    def before(optimizer: Any, args: Any, kwargs: Any) -> None:
        if not torch.compiler.is_compiling():
            step_started(optimizer)

    def after(optimizer: Any, args: Any, kwargs: Any) -> None:
        if not torch.compiler.is_compiling():
            step_ended(optimizer)

    step_started = integration.guard(step_started)
    step_ended = integration.guard(_step_ended)
    module.register_optimizer_step_pre_hook(before)
    module.register_optimizer_step_post_hook(after)


def _step_ended(optimizer: Any) -> None:
    thread = _thread
    thread.loop.step_ended(optimizer)
    now = time.monotonic_ns()
    if now - thread.memory_read_at >= _MEMORY_INTERVAL_NS:
        thread.memory_read_at = now
        thread.spans.describe_current(**_memory())


def _memory() -> dict[str, int]:
    """What the allocator of the current device holds, in bytes; nothing before CUDA is in use."""
    torch = sys.modules["torch"]

    if not torch.cuda.is_initialized():
        return {}
    statistics = torch.cuda.memory_stats()
    return {
        "torch.memory.allocated_bytes": statistics.get("allocated_bytes.all.current", 0),
        "torch.memory.peak_allocated_bytes": statistics.get("allocated_bytes.all.peak", 0),
        "torch.memory.reserved_bytes": statistics.get("reserved_bytes.all.current", 0),
    }


def _connect_loaders(integration: Integration, module: ModuleType) -> None:
    torch = sys.modules["torch"]

    loader, iterator = module.DataLoader, module._BaseDataLoaderIter
    iterate, advance = loader.__iter__, iterator.__next__

    def pass_started(made: Any, started: int) -> None:
        setattr(made, _PASS, _thread.loop.pass_started(started, torch.is_grad_enabled()))

    def wait_started(at: Any) -> None:
        _thread.loop.wait_started(at)

    def batch_ready(at: Any, batch: Any) -> None:
        _thread.loop.batch_ready(at, size_of(batch))

    def exhausted(at: Any) -> None:
        _thread.loop.exhausted(at)

    pass_started, wait_started = integration.guard(pass_started), integration.guard(wait_started)
    batch_ready, exhausted = integration.guard(batch_ready), integration.guard(exhausted)

    @functools.wraps(iterate)
    def iterate_traced(self: Any) -> Any:
        started = time.time_ns()
        made = iterate(self)
        pass_started(made, started)
        return made

    @functools.wraps(advance)
    def advance_traced(self: Any) -> Any:
        at = getattr(self, _PASS, None)
        if at is None:
            return advance(self)
        wait_started(at)
        try:
            batch = advance(self)
        except StopIteration:
            exhausted(at)
            raise
        batch_ready(at, batch)
        return batch

    loader.__iter__, iterator.__next__ = iterate_traced, advance_traced


def size_of(batch: Any) -> int | None:
    """The number of samples in a batch: the length of the first tensor in it. Objects of a class of
    the program's may raise whatever they want.
    """
    try:
        return _first_length(batch, 0)
    except Exception:
        return None


def _first_length(batch: Any, depth: int) -> int | None:
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else None
    if depth == 3 or isinstance(batch, (str, bytes)):
        return None
    if hasattr(batch, "values") and callable(batch.values):
        batch = batch.values()
    elif not isinstance(batch, (tuple, list)):
        return None
    for part in batch:
        size = _first_length(part, depth + 1)
        if size is not None:
            return size
    return None


def _connect_saving(integration: Integration, module: ModuleType) -> None:
    save = module.save

    def started(target: Any) -> Any:
        if not isinstance(target, (str, os.PathLike)):
            return None  # into memory, as libraries do to send things around
        if _thread.spans.program_traces_saving():
            return None
        _thread.loop.saving()
        return _thread.spans.checkpoint({"path": os.fspath(target)})

    def ended(span: Any) -> None:
        _thread.spans.end_checkpoint(span)

    def failed(span: Any, error: BaseException) -> None:
        span.record_error(error)
        span.end()

    started, ended = integration.guard(started), integration.guard(ended)
    failed = integration.guard(failed)

    @functools.wraps(save)
    def traced_save(*args: Any, **kwargs: Any) -> Any:
        target = kwargs.get("checkpoint_id", kwargs.get("f", args[1] if len(args) > 1 else None))
        span = started(target)
        if span is None:
            return save(*args, **kwargs)
        try:
            with _lumitrace.use_span(span):
                result = save(*args, **kwargs)
        except BaseException as error:
            failed(span, error)
            raise
        ended(span)
        return result

    module.save = traced_save  # type: ignore[attr-defined]


def _connect_process_groups(integration: Integration, module: ModuleType) -> None:
    """Which process of how many this one is, where the program says so itself and no launcher."""
    join = module.init_process_group

    def joined() -> None:
        _thread.spans.describe_run(
            rank=module.get_rank(), world_size=module.get_world_size(), backend=module.get_backend()
        )

    joined = integration.guard(joined)

    @functools.wraps(join)
    def init_process_group(*args: Any, **kwargs: Any) -> Any:
        result = join(*args, **kwargs)
        joined()
        return result

    module.init_process_group = init_process_group  # type: ignore[attr-defined]


_CONNECTIONS = {
    "torch.optim.optimizer": _connect_optimizers,
    "torch.utils.data.dataloader": _connect_loaders,
    "torch.serialization": _connect_saving,
    "torch.distributed.checkpoint.state_dict_saver": _connect_saving,
    "torch.distributed.distributed_c10d": _connect_process_groups,
}
