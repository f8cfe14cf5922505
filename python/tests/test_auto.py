"""Programs that are traced as they are: how they start, what switches do, and that nothing of it
can hurt them.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from collector import Collector
from programs import environment, run, run_traced

import lumitrace
from lumitrace.auto import _imports, _instrumentors, _integrations, _switches
from lumitrace.auto._guard import Integration
from lumitrace.auto._start import program_name

BOOTSTRAP = str(Path(lumitrace.__file__).parent / "auto" / "bootstrap")

SPAN = """
from lumitrace.tracing import TracingContext
with TracingContext(None, "work"):
    pass
"""
STATE = """
import json, sys
from lumitrace import auto
print(json.dumps(auto.state()))
"""


def test_T5_a_program_without_set_up_is_traced_under_the_name_of_its_script(
    collector: Collector, tmp_path: Path
) -> None:
    run_traced(tmp_path, SPAN, collector)
    assert collector.one("work").resource["service.name"] == "train"


def test_T7_the_programs_own_set_up_takes_the_place_of_the_automatic_one(
    collector: Collector, tmp_path: Path
) -> None:
    program = """
from lumitrace.tracing import TracingContext, setup_tracing
with TracingContext(None, "before"):
    pass
setup_tracing(service_name="sequence-training")
with TracingContext(None, "after"):
    pass
setup_tracing(service_name="another")
"""
    result = run_traced(tmp_path, program, collector)
    assert collector.one("before").resource["service.name"] == "train"
    assert collector.one("after").resource["service.name"] == "sequence-training"
    (warning,) = result.stderr.splitlines()
    assert "already set up" in warning


def test_exit_codes_arguments_and_the_working_folder_are_the_programs_own(tmp_path: Path) -> None:
    program = "import os, sys; print(sys.argv, os.getcwd(), __name__); sys.exit(7)"
    (tmp_path / "train.py").write_text(program)
    command = [sys.executable, "-m", "lumitrace.auto", "train.py", "--epochs", "3"]
    result = run(command, environment(OTEL_TRACES_EXPORTER="none"), tmp_path)
    assert result.returncode == 7
    assert result.stdout == f"['train.py', '--epochs', '3'] {tmp_path} __main__\n"
    assert result.stderr == ""


def test_signals_reach_the_program(tmp_path: Path) -> None:
    program = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("ready", flush=True)
signal.pause()
"""
    (tmp_path / "train.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, "-m", "lumitrace.auto", "train.py"],
        env=environment(OTEL_TRACES_EXPORTER="none"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process, process.stdout as output:
        assert output.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 3


def test_without_a_program_the_usage_is_said(tmp_path: Path) -> None:
    result = run([sys.executable, "-m", "lumitrace.auto"], environment(), tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: ")


def test_another_sitecustomize_has_its_turn_and_the_path_is_as_without(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('mine', __file__)")
    program = "import sys; print(sys.modules['sitecustomize'].__file__, sys.path)"
    result = run(
        [sys.executable, "-c", program],
        environment(
            OTEL_TRACES_EXPORTER="none",
            PYTHONPATH=os.pathsep.join(
                [BOOTSTRAP, str(tmp_path), os.environ.get("PYTHONPATH", "")]
            ),
        ),
        tmp_path,
    )
    mine, path = result.stdout.splitlines()
    assert mine == f"mine {tmp_path / 'sitecustomize.py'}"
    assert path.startswith(str(tmp_path / "sitecustomize.py"))
    assert BOOTSTRAP not in path
    assert result.stderr == ""


def test_an_error_in_another_sitecustomize_is_told_as_without(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import no_such_module")
    path = os.pathsep.join([BOOTSTRAP, str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = run(
        [sys.executable, "-c", "print('runs')"],
        environment(OTEL_TRACES_EXPORTER="none", PYTHONPATH=path),
        tmp_path,
    )
    assert result.stdout == "runs\n"
    assert "no_such_module" in result.stderr


def test_T1_an_interpreter_without_the_package_runs_the_program_and_says_so(tmp_path: Path) -> None:
    result = run(
        [sys.executable, "-S", "-c", "import site; site.main(); print('runs')"],
        environment(PYTHONPATH=BOOTSTRAP, OTEL_TRACES_EXPORTER="none", PYTHONNOUSERSITE="1"),
        tmp_path,
    )
    assert "runs" in result.stdout
    hidden = "import sys; sys.modules['lumitrace'] = None; exec(open(sys.argv[1]).read())"
    bootstrap = Path(BOOTSTRAP) / "sitecustomize.py"
    result = run(
        [
            sys.executable,
            "-c",
            hidden.replace("exec", f"__file__ = {str(bootstrap)!r}; exec"),
            str(bootstrap),
        ],
        environment(),
        tmp_path,
    )
    assert result.returncode == 0
    assert "the package lumitrace cannot be imported there" in result.stderr


def test_T4_without_a_collector_the_program_runs_to_its_end_with_one_warning(
    tmp_path: Path,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    result = run_traced(tmp_path, SPAN + "print('ran')", None, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert result.stdout == "ran\n"
    (warning,) = result.stderr.splitlines()
    assert "cannot send spans" in warning


def test_T4_switched_off_nothing_is_started(collector: Collector, tmp_path: Path) -> None:
    result = run_traced(tmp_path, SPAN + STATE, collector, OTEL_SDK_DISABLED="true")
    assert (result.stdout, result.stderr) == ("{}\n", "")
    assert collector.requests == []


@pytest.mark.parametrize(
    ("variables", "torch", "logging"),
    [
        ({}, "waiting", "active"),
        ({"LUMITRACE_AUTO": "torch"}, "waiting", "off"),
        ({"LUMITRACE_AUTO": "torch, logging"}, "waiting", "active"),
        ({"LUMITRACE_AUTO_DISABLED": "logging"}, "waiting", "off"),
        ({"LUMITRACE_AUTO": "*", "LUMITRACE_AUTO_DISABLED": "torch"}, "off", "active"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "torch,no_such"}, "off", "active"),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, "off", "off"),
        ({"LUMITRACE_AUTO": "", "LUMITRACE_AUTO_DISABLED": " , "}, "waiting", "active"),
    ],
)
def test_switches_say_which_integrations_are_on(
    variables: dict[str, str], torch: str, logging: str
) -> None:
    switches = _switches.read(variables)
    assert switches.is_on("torch") == (torch != "off")
    assert switches.is_on("logging") == (logging != "off")


def test_names_of_integrations_may_be_written_with_hyphens() -> None:
    switches = _switches.read({"LUMITRACE_AUTO": "aiohttp-client,aiohttp-sever"})
    assert switches.is_on("aiohttp_client")
    assert switches.unknown(_integrations.KNOWN) == ["aiohttp_sever"]


def test_switches_act_and_a_name_without_integration_is_told(
    collector: Collector, tmp_path: Path
) -> None:
    result = run_traced(tmp_path, STATE, collector, LUMITRACE_AUTO="torch,tirch")
    state = json.loads(result.stdout)
    assert state["torch"] == "waiting"
    assert {name for name, value in state.items() if value != "off"} == {"torch"}
    (warning,) = result.stderr.splitlines()
    assert "tirch" in warning


def test_T2_an_integration_whose_library_has_changed_fails_alone_with_one_warning(
    collector: Collector, tmp_path: Path
) -> None:
    package = tmp_path / "structlog"
    package.mkdir()
    (package / "__init__.py").write_text("from structlog import _base")
    (package / "_base.py").write_text("class RenamedLogger: pass")
    program = textwrap.dedent(
        """
        import structlog, logging
        logging.basicConfig(format="%(trace_id)s %(message)s")
        logging.warning("still runs")
        """
    )
    result = run_traced(tmp_path, program + STATE + SPAN, collector)
    state = json.loads(result.stdout)
    assert state["structlog"].startswith("failed: AttributeError")
    assert state["logging"] == "active"
    warning, record = result.stderr.splitlines()
    assert warning.startswith("structlog is not traced (AttributeError")
    assert record == "0 still runs"
    assert collector.one("work")


def test_no_library_is_imported_that_the_program_does_not_import(tmp_path: Path) -> None:
    program = "import sys; print(sorted(sys.modules))"
    result = run_traced(tmp_path, program, None, OTEL_TRACES_EXPORTER="none")
    heavy = ("torch", "transformers", "lightning", "opentelemetry", "asyncio", "importlib.metadata")
    imported = result.stdout
    assert [name for name in heavy if f"'{name}'" in imported] == []


def test_the_state_of_a_process_that_was_not_started_so_is_empty(tmp_path: Path) -> None:
    result = run([sys.executable, "-c", STATE], environment(), tmp_path)
    assert (result.stdout, result.stderr) == ("{}\n", "")


def test_a_hook_is_called_once_after_the_module_was_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waited_for.py").write_text("value = 1\nimport json\nvalue = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[int] = []
    _imports.when_imported("waited_for", lambda module: seen.append(module.value))
    importlib.import_module("waited_for")
    assert seen == [2]
    _imports.when_imported("waited_for", lambda module: seen.append(module.value + 1))
    assert seen == [2, 3]


def test_a_module_that_fails_while_it_is_imported_is_told_when_it_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "waited_for_twice.py"
    source.write_text("raise ValueError('first')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    seen: list[str] = []
    _imports.when_imported("waited_for_twice", lambda module: seen.append(module.__name__))
    with pytest.raises(ValueError, match="first"):
        importlib.import_module("waited_for_twice")
    assert seen == []
    source.write_text("changed = True  # and longer than before, so that it is read again\n")
    importlib.invalidate_caches()
    importlib.import_module("waited_for_twice")
    assert seen == ["waited_for_twice"]


def test_T2_a_guarded_function_raises_nothing_and_ends_its_integration_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    integration = Integration("torch")
    calls: list[int] = []

    def broken(number: int) -> int:
        calls.append(number)
        raise ValueError("changed")

    guarded = integration.guard(broken)
    assert guarded(1) is None
    assert guarded(2) is None
    assert calls == [1]
    assert integration.state == "failed: ValueError: changed"
    assert len(caplog.records) == 1


def test_an_interrupt_is_not_swallowed() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Integration("torch").guard(interrupted)()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "train.py"], "train"),
        (["python", "-u", "-X", "dev", "a/run_training.py", "-m", "x"], "run_training"),
        (["python", "-m", "torch.distributed.run", "train.py"], "torch.distributed.run"),
        (["python", "/venv/bin/torchrun", "train.py"], "torchrun"),
        (["python", "-c", "pass"], "python"),
        (["python"], "python"),
        (["python", "folder/"], "folder"),
    ],
)
def test_T5_the_default_name_is_that_of_the_script(command: list[str], name: str) -> None:
    assert program_name(command) == name


def test_T10_the_guide_names_the_integrations_and_switches_that_there_are() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "zero-code.md").read_text()
    for name in ("torch", "lightning", "transformers", "logging", "structlog"):
        assert f"| `{name}` |" in guide
        assert name in _integrations.KNOWN
    listed = guide.partition("| HTTP, databases, language models |")[0].rpartition("\n| ")[2]
    clients = [name.strip("` ") for name in listed.split("|")[0].split(",")]
    assert set(clients) - {"…"} <= set(_instrumentors.LIBRARIES)
    switches = guide.partition("## Switches")[2].partition("## How it works")[0]
    for variable in (
        _switches.ONLY,
        _switches.DISABLED,
        _switches.OPENTELEMETRY_DISABLED,
        _switches.TORCH_MODULES,
    ):
        assert f"| `{variable}=" in switches
