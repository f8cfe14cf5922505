"""Which integrations are wanted: the environment says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

ONLY = "LUMITRACE_AUTO"
DISABLED = "LUMITRACE_AUTO_DISABLED"
OPENTELEMETRY_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
TORCH_MODULES = "LUMITRACE_TORCH_MODULES"

_ALL = "*"


class Switches(NamedTuple):
    """What the environment says of integrations."""

    only: frozenset[str] = frozenset()
    """The wanted ones; where none is named, all."""
    disabled: frozenset[str] = frozenset()
    """The unwanted ones, which is stronger than :attr:`only`."""
    opentelemetry_disabled: frozenset[str] = frozenset()
    """Those unwanted by OpenTelemetry's variable, where names of instrumentations may stand that
    are no integrations."""
    torch_modules: bool = False
    """Whether each call of a module of PyTorch is a span."""

    def is_on(self, name: str) -> bool:
        """Whether the integration ``name`` is wanted."""
        if not {name, _ALL}.isdisjoint(self.disabled | self.opentelemetry_disabled):
            return False
        return not self.only or not {name, _ALL}.isdisjoint(self.only)

    def unknown(self, known: frozenset[str]) -> list[str]:
        """The names in our variables that no integration has, sorted."""
        return sorted((self.only | self.disabled) - known - {_ALL})


def read(environment: Mapping[str, str]) -> Switches:
    """The switches in the environment. An empty variable is none, as in OpenTelemetry's."""

    def names(variable: str) -> frozenset[str]:
        listed = environment.get(variable, "").split(",")
        return frozenset(name.strip().replace("-", "_") for name in listed if name.strip())

    return Switches(
        only=names(ONLY),
        disabled=names(DISABLED),
        opentelemetry_disabled=names(OPENTELEMETRY_DISABLED),
        torch_modules=environment.get(TORCH_MODULES, "").strip().lower() in ("1", "true"),
    )
