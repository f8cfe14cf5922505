"""Clients and servers, by OpenTelemetry's instrumentations of them, in programs that are traced as
they are: real calls to servers on this machine.
"""

from __future__ import annotations

import importlib.util
import json
import os
from importlib import metadata
from pathlib import Path

import pytest
from collector import Collector
from programs import run_traced

from lumitrace.auto import _instrumentors

SERVER = """
import json, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({
            "id": "1", "object": "chat.completion", "created": 1, "model": "tiny",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": "hello"}}],
            "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
        }).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
origin = f"http://127.0.0.1:{server.server_address[1]}"
"""
STATE = """
import json
from lumitrace import auto
print(json.dumps(auto.state()))
"""


def needs(*packages: str) -> None:
    """Skips the test where one of these packages is not installed."""
    for package in packages:
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{package} is not installed")


def test_T26_a_request_is_a_span_without_other_code(collector: Collector, tmp_path: Path) -> None:
    needs("requests", "opentelemetry.instrumentation.requests")
    program = (
        SERVER
        + """
import requests
from lumitrace.tracing import TracingContext
with TracingContext(None, "work"):
    assert requests.get(origin).text == "ok"
"""
    )
    result = run_traced(tmp_path, program, collector)
    assert result.stderr == ""
    span = collector.one("GET")
    assert span.parent_id == collector.one("work").span_id
    assert span.scope == "opentelemetry.instrumentation.requests"
    assert span.resource["service.name"] == "train"


def test_T26_a_query_is_a_span_without_other_code(collector: Collector, tmp_path: Path) -> None:
    needs("opentelemetry.instrumentation.sqlite3")
    program = """
import sqlite3
connection = sqlite3.connect(":memory:")
assert connection.cursor().execute("SELECT 1").fetchone() == (1,)
"""
    run_traced(tmp_path, program, collector)
    assert collector.one("SELECT").scope == "opentelemetry.instrumentation.sqlite3"


def test_T26_clients_of_several_kinds_at_once(collector: Collector, tmp_path: Path) -> None:
    needs("httpx", "opentelemetry.instrumentation.httpx")
    needs("sqlalchemy", "opentelemetry.instrumentation.sqlalchemy")
    program = (
        SERVER
        + """
import httpx, sqlalchemy
from lumitrace.tracing import TracingContext
with TracingContext(None, "work"):
    assert httpx.get(origin).text == "ok"
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
"""
    )
    run_traced(tmp_path, program, collector)
    work = collector.one("work")
    assert collector.one("GET").parent_id == work.span_id
    below = [span for span in collector.spans if span.parent_id == work.span_id]
    scopes = {span.scope.rpartition(".")[2] for span in below}
    assert scopes >= {"httpx", "sqlalchemy"}


def test_T26_a_call_of_a_language_model_is_one_span_without_other_code(
    collector: Collector, tmp_path: Path
) -> None:
    needs("openai")
    if not metadata.entry_points(group=_instrumentors.GROUP, name="openai"):
        pytest.skip("no instrumentation of openai is installed")
    program = (
        SERVER
        + """
import openai
client = openai.OpenAI(base_url=origin, api_key="none")
answer = client.chat.completions.create(
    model="tiny", messages=[{"role": "user", "content": "hi"}]
)
assert answer.choices[0].message.content == "hello"
"""
    )
    run_traced(tmp_path, program, collector)
    # Several packages may be installed for it: one of them does it.
    http = ("httpx", "requests", "urllib3")
    (span,) = [span for span in collector.spans if not span.scope.endswith(http)]
    assert "tiny" in span.attributes.values()


def fake_instrumentation(folder: Path, name: str, body: str) -> str:
    """A package that registers an instrumentation; returns the folder to put on the path."""
    site = folder / "site"
    info = site / f"fake_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[opentelemetry_instrumentor]\n{name} = fake_{name}:Instrumentor\n"
    )
    (site / f"fake_{name}.py").write_text(body)
    (site / f"{name}.py").write_text("value = 1\n")
    return str(site)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("import no_such_dependency", "ModuleNotFoundError"),
        ("from sys import no_such_name", "ImportError"),
        ("class Other: pass", "AttributeError"),
        (
            "class Instrumentor:\n"
            "    is_instrumented_by_opentelemetry = False\n"
            "    def instrument(self, **options):\n"
            "        raise RuntimeError('does not fit')\n",
            "RuntimeError",
        ),
    ],
)
def test_T2_an_instrumentation_that_breaks_costs_one_warning_and_the_rest_works(
    collector: Collector, tmp_path: Path, body: str, problem: str
) -> None:
    site = fake_instrumentation(tmp_path, "groq", body)
    program = """
import groq
assert groq.value == 1
from lumitrace.tracing import TracingContext
with TracingContext(None, "work"):
    pass
"""
    path = os.pathsep.join([site, os.environ.get("PYTHONPATH", "")])
    result = run_traced(tmp_path, program + STATE, collector, PYTHONPATH=path)
    state = json.loads(result.stdout)
    assert state["groq"].startswith(f"failed: {problem}")
    assert state["logging"] == "active"
    (warning,) = result.stderr.splitlines()
    assert warning.startswith(f"groq is not traced ({problem}")
    assert collector.one("work")


def test_T1_a_library_without_instrumentation_is_imported_as_ever(
    collector: Collector, tmp_path: Path
) -> None:
    (tmp_path / "groq.py").write_text("value = 1\n")
    result = run_traced(tmp_path, "import groq\n" + STATE, collector)
    assert json.loads(result.stdout)["groq"] == "not installed"
    assert result.stderr == ""


def test_an_instrumentation_that_is_switched_off_is_not_loaded(
    collector: Collector, tmp_path: Path
) -> None:
    site = fake_instrumentation(tmp_path, "groq", "raise SystemExit('loaded')")
    path = os.pathsep.join([site, os.environ.get("PYTHONPATH", "")])
    result = run_traced(
        tmp_path,
        "import groq\n" + STATE,
        collector,
        PYTHONPATH=path,
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="groq",
    )
    assert json.loads(result.stdout)["groq"] == "off"


def test_a_library_that_is_switched_off_stays_untraced(
    collector: Collector, tmp_path: Path
) -> None:
    needs("opentelemetry.instrumentation.sqlite3")
    program = "import sqlite3; sqlite3.connect(':memory:').cursor().execute('SELECT 1')"
    run_traced(tmp_path, program, collector, LUMITRACE_AUTO_DISABLED="sqlite3")
    assert collector.spans == []


def test_of_several_instrumentations_of_one_library_one_does_it_and_that_is_told(
    collector: Collector, tmp_path: Path
) -> None:
    body = (
        "class Instrumentor:\n"
        "    is_instrumented_by_opentelemetry = False\n"
        "    def instrument(self, **options):\n"
        "        print('instrumented')\n"
    )
    first = fake_instrumentation(tmp_path / "one", "groq", body)
    second = fake_instrumentation(tmp_path / "two", "groq", body)
    name = "fake_groq-1.0.dist-info"
    (Path(second) / name).rename(Path(second) / name.replace("groq", "other"))
    metadata_file = Path(second) / name.replace("groq", "other") / "METADATA"
    metadata_file.write_text("Metadata-Version: 2.1\nName: fake-other\nVersion: 1.0\n")
    path = os.pathsep.join([first, second, os.environ.get("PYTHONPATH", "")])
    result = run_traced(tmp_path, "import groq\n", collector, PYTHONPATH=path)
    assert result.stdout == "instrumented\n"
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("several packages instrument groq")
