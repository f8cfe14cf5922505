"""Being told when the program has imported a module, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

Hook = Callable[[ModuleType], None]

_waiting: dict[str, list[Hook]] = {}


def when_imported(name: str, hook: Hook) -> None:
    """Call ``hook`` with the module ``name`` as soon as that has been executed: at once where it
    has been already. The hook must not raise.
    """
    module = sys.modules.get(name)
    if module is not None and not _is_being_imported(module):
        hook(module)
        return
    _waiting.setdefault(name, []).append(hook)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def _is_being_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


class _Finder:
    """Finds nothing itself: it lets the others find a module that is waited for, and has its loader
    tell when it is done. Costs other imports the look into a dictionary.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> Any:
        if name not in _waiting:
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            spec = None if finder is self or find_spec is None else find_spec(name, path, target)
            if spec is not None:
                _tell_when_executed(spec.loader, name)
                return spec
        return None


_FINDER = _Finder()


def _tell_when_executed(loader: Any, name: str) -> None:
    """Wrap ``exec_module`` of this one loader. Everything else about it stays, since resources and
    sources are read through it too.
    """
    execute = getattr(loader, "exec_module", None)
    if execute is None or isinstance(loader, type):  # built-in modules have classes for loaders
        return

    def exec_module(module: ModuleType) -> None:
        execute(module)
        if module.__name__ == name:  # a loader may serve several modules
            _executed(module)

    try:
        loader.exec_module = exec_module
    except AttributeError:  # a loader with slots: its module is not traced
        return


def _executed(module: ModuleType) -> None:
    for hook in _waiting.pop(module.__name__, ()):
        hook(module)
