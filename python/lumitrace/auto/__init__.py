"""Tracing a program as it is, without a change to its code.

``lumitrace run -- python train.py`` and ``python -m lumitrace.auto train.py`` start a program with
this in place. A program may also call :func:`start` itself, before it imports what is to be traced.

What is traced is made of *integrations*, one for each library. Each waits until the program itself
imports its library, and imports none. Whatever goes wrong in one ends that one with a single
warning; the program and the other integrations go on. :func:`state` tells how each of them is.

Modules in reading order: ``_start`` (what happens when the program begins), ``_switches`` (which
integrations are wanted), ``_imports`` (waiting for imports), ``_integrations`` (what there is),
``_guard`` (nothing is raised into the program), ``_training`` (the spans of a training run),
``_loop`` (what a plain training loop does), ``_torch``, ``_torch_modules``, ``_lightning`` and
``_transformers`` (who tells of training), ``_logging`` and ``_structlog``, ``_instrumentors``
(OpenTelemetry's instrumentations), ``bootstrap`` and ``__main__`` (how a program is started so).
"""

from lumitrace.auto._start import start, state

__all__ = ["start", "state"]
