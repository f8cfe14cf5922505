"""``python -m lumitrace.auto script.py …``: start Python again, with tracing in place.

The arguments are those of ``python``: a script, or ``-m module``. What the program starts in turn
is traced as well. On Unix the new program takes the place of this one, and so has its process id,
its signals and its exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

BOOTSTRAP = Path(__file__).parent / "bootstrap"


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a Python program is traced: the folder with our ``sitecustomize``
    stands first on ``PYTHONPATH``.
    """
    folders = [str(BOOTSTRAP)]
    inherited = environment.get("PYTHONPATH", "")
    folders += [folder for folder in inherited.split(os.pathsep) if folder not in ("", folders[0])]
    return {**environment, "PYTHONPATH": os.pathsep.join(folders)}


def main(arguments: list[str]) -> int:
    """Run the program; returns only where the system cannot replace this one."""
    if not arguments:
        sys.stderr.write("usage: python -m lumitrace.auto [-m module | script.py] [arguments]\n")
        return 2
    command = [sys.executable, *arguments]
    environment = environment_of(os.environ)
    if os.name == "posix":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], command, environment)
    import subprocess

    return subprocess.call(command, env=environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
