"""The integrations that there are, and what each waits for."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType

from lumitrace.auto import _instrumentors
from lumitrace.auto._guard import Integration
from lumitrace.auto._imports import when_imported
from lumitrace.auto._switches import Switches

_OWN: dict[str, tuple[str, ...]] = {
    "torch": (
        "torch.optim.optimizer",
        "torch.utils.data.dataloader",
        "torch.serialization",
        "torch.distributed.checkpoint.state_dict_saver",
        "torch.distributed.distributed_c10d",
    ),
    "lightning": ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer"),
    "transformers": ("transformers.trainer",),
    "logging": ("logging",),
    "structlog": ("structlog._base",),
}
"""Our own integrations, and the modules whose import each waits for. The code of an integration is
in the module of its name, which is imported with the first of them: most programs import few.
"""
KNOWN = frozenset({*_OWN, *_instrumentors.LIBRARIES})
"""The names that switches may use."""


def install(switches: Switches) -> dict[str, Integration]:
    """Let those wait that are wanted. All are returned, each with its state."""
    integrations = {name: Integration(name) for name in sorted(KNOWN)}
    for name, integration in integrations.items():
        if not switches.is_on(name):
            integration.state = "off"
        elif name in _OWN:
            for module in _OWN[name]:
                _connect_when_imported(module, integration, name)
        else:
            _instrumentors.install(integration)
    if switches.torch_modules and switches.is_on("torch"):
        _connect_when_imported("torch.nn.modules.module", integrations["torch"], "torch_modules")
    return integrations


def _connect_when_imported(module: str, integration: Integration, code: str) -> None:
    when_imported(module, functools.partial(integration.activate, _connect, integration, code))


def _connect(integration: Integration, code: str, module: ModuleType) -> None:
    importlib.import_module(f"lumitrace.auto._{code}").connect(integration, module)
