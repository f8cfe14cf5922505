"""``opentelemetry-instrument`` with our distro and configurator, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from collector import Collector
from peers import http_server

# Importing clients of language models takes seconds; one test has all of them. Under Python 3.12
# the instrumentation of logging wants a thread when the interpreter ends, and complains.
FEW = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "fastapi,logging,openai,redis,sqlalchemy"}

PROGRAM = """
import logging, sys
import requests
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
provider = trace.get_tracer_provider()
assert type(provider).__module__ == "lumitrace.opentelemetry.provider", type(provider)
assert isinstance(provider, TracerProvider)
logging.warning("a message")
with trace.get_tracer("app").start_as_current_span("main"):
    requests.get(sys.argv[1])
print("done")
"""


def run(
    arguments: list[str], environment: dict[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return subprocess.run(
        arguments,
        env={**inherited, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "shop.py"
    path.write_text(PROGRAM)
    return path


def test_S36_a_program_is_traced_as_it_is(program: Path, collector: Collector) -> None:
    command = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    environment = {
        **FEW,
        "OTEL_PYTHON_DISTRO": "lumitrace",
        "OTEL_PYTHON_CONFIGURATOR": "lumitrace",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_RESOURCE_ATTRIBUTES": "team=checkout",
    }
    with http_server() as origin:
        arguments = [command, sys.executable, str(program), origin]
        result = run(arguments, environment, program.parent)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    main, get = collector.one("main"), collector.one("GET")
    assert get.parent_id == main.span_id
    assert get.scope == "opentelemetry.instrumentation.requests"
    assert main.resource["service.name"] == "shop"
    assert main.resource["team"] == "checkout"
    assert "telemetry.auto.version" in main.resource


def test_S36_the_provider_can_be_chosen_by_its_name(program: Path, collector: Collector) -> None:
    environment = {
        "OTEL_PYTHON_TRACER_PROVIDER": "lumitrace",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_SERVICE_NAME": "named",
    }
    with http_server() as origin:
        result = run([sys.executable, str(program), origin], environment, program.parent)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    assert collector.one("main").resource["service.name"] == "named"


def test_T2_what_cannot_be_set_up_costs_no_spans(program: Path, collector: Collector) -> None:
    command = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    environment = {
        **FEW,
        "OTEL_PYTHON_CONFIGURATOR": "lumitrace",
        "OTEL_PYTHON_DISTRO": "lumitrace",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_TRACES_EXPORTER": "otlp,nowhere",
        "OTEL_METRICS_EXPORTER": "nobody",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_ID_GENERATOR": "unheard_of",
        "OTEL_TRACES_SAMPLER": "by_the_moon",
    }
    with http_server() as origin:
        arguments = [command, sys.executable, str(program), origin]
        result = run(arguments, environment, program.parent)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
    assert collector.one("main").resource["service.name"] == "shop"
    for name in ("nowhere", "nobody", "unheard_of", "by_the_moon"):
        assert name in result.stderr, result.stderr


def test_S36_all_instrumentations_that_are_installed_load(
    tmp_path: Path, collector: Collector
) -> None:
    """The packages of every test here at once, with a Python exporter chosen by name."""
    path = tmp_path / "everything.py"
    path.write_text(
        "from opentelemetry import trace\ntrace.get_tracer('app').start_span('both').end()\n"
    )
    command = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    environment = {
        "OTEL_PYTHON_DISTRO": "lumitrace",
        "OTEL_PYTHON_CONFIGURATOR": "lumitrace",
        "OTEL_TRACES_EXPORTER": "otlp_proto_http,console",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_TRACES_SAMPLER": "always_on",
    }
    result = run([command, sys.executable, str(path)], environment, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "TRACE: both" in result.stderr, result.stderr
    assert "failed" not in result.stderr.lower(), result.stderr
    assert collector.one("both").resource["service.name"] == "everything"
