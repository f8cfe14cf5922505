"""What every program of the example has: common flags, tracing, one traced run per pair."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from data.bars import DataError
from tracing import VERSION, TracingContext, get_tracer, set_up_program_tracing
from train.core.checkpoints import CheckpointError

tracer = get_tracer(__name__)

# What is wrong with the input, the machine or the settings: said in one line, without a traceback.
_EXPECTED_ERRORS = (DataError, CheckpointError, FloatingPointError, OSError)

# What a shell reports for a program that Ctrl-C has ended.
_INTERRUPTED_STATUS = 128 + signal.SIGINT


def add_program_arguments(parser: argparse.ArgumentParser, default_checkpoint: str) -> None:
    """Add the flags that training and evaluation share."""
    parser.add_argument("--batch-size", type=positive_int, default=64, help="(default: 64)")
    parser.add_argument(
        "--checkpoint-path",
        default=default_checkpoint,
        help="file of the best model; {pair} stands for the pair (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        default="cuda",
        help="cuda, cuda:1, cpu ... (default: cuda; the CPU where there is none)",
    )
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=1,
        help="of PyTorch on the CPU; so small a model gains little from more, and more that wait "
        "for one another slow it down many times on a busy machine (default: 1)",
    )
    parser.add_argument(
        "--disable-risk",
        action="store_true",
        help="evaluate predicted directions without the risk gate",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    parser.add_argument("--quiet", action="store_true", help="print problems only")
    group = parser.add_argument_group("tracing")
    group.add_argument("--no-tracing", action="store_true", help="send no spans")
    group.add_argument(
        "--otlp-endpoint",
        help="wins over OTEL_EXPORTER_OTLP_ENDPOINT (default: http://localhost:4318)",
    )
    group.add_argument("--environment", help="deployment environment (default: development)")


def check_program_arguments(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Refuse contradictions in the common flags, and settle device and threads."""
    if len(given.pairs) > 1 and "{pair}" not in given.checkpoint_path:
        parser.error("--checkpoint-path needs {pair} in it when there are several pairs")
    try:
        device = torch.device(given.device)
    except RuntimeError as error:
        parser.error(f"--device: {error}")
    if device.type == "cuda" and not torch.cuda.is_available():
        if not given.quiet:
            print("there is no usable CUDA device, so the CPU is used")
        given.device = "cpu"
    torch.set_num_threads(given.threads)


def set_up_tracing(service_name: str, given: argparse.Namespace) -> None:
    """Set tracing up under the program's own service name, unless the flags say no."""
    if not given.no_tracing:
        set_up_program_tracing(service_name, given.otlp_endpoint, given.environment)


def checkpoint_path(given: argparse.Namespace, pair: str) -> Path:
    """Return the pair's checkpoint path."""
    return Path(given.checkpoint_path.replace("{pair}", pair))


def run_for_pairs(
    span_name: str,
    pairs: tuple[str, ...],
    attributes: Mapping[str, Any],
    handle: Callable[[str], None],
    *,
    quiet: bool,
) -> int:
    """Handle each pair in a run span of its own; return the program's exit status.

    A pair that fails is reported, and the others go on. Ctrl-C ends the program.
    """
    status = 0
    for pair in pairs:
        try:
            with (
                contextlib.redirect_stdout(None if quiet else sys.stdout),
                TracingContext(tracer, span_name, {"pair": pair, **attributes}),
            ):
                handle(pair)
        except _EXPECTED_ERRORS as error:
            print(f"error: {pair}: {error}", file=sys.stderr)
            status = 1
        except KeyboardInterrupt:
            print(f"interrupted: {pair}", file=sys.stderr)
            return _INTERRUPTED_STATUS
    return status


def positive_int(text: str) -> int:
    """Read a whole number above zero."""
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero")
    return number
