"""Python imports this by itself as it starts, where the folder is on PYTHONPATH: it begins to trace
the program, and then lets the `sitecustomize` have its turn that would have been imported without.

Whatever happens here, the program starts.
"""

import os
import sys


def _next_sitecustomize() -> None:
    import importlib

    own = sys.modules.pop("sitecustomize", None)
    folder = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != folder]
    try:
        importlib.import_module("sitecustomize")
    except ModuleNotFoundError as missing:
        if missing.name != "sitecustomize":
            raise
        if own is not None:
            sys.modules["sitecustomize"] = own


def _start() -> None:
    try:
        from lumitrace import auto
    except ImportError as missing:
        sys.stderr.write(
            f"lumitrace: {sys.executable} is not traced, for the package lumitrace cannot be "
            f"imported there: {missing}\n"
        )
        return
    auto.start()


_start()
_next_sitecustomize()
