"""Both programs from end to end, as a user runs them, against a collector that keeps it all."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracing import VERSION

EXAMPLE_FOLDER = Path(__file__).resolve().parents[1]
PROGRAMS = {
    "train/run_training.py": "sequence-training",
    "train/run_training_multitask.py": "sequence-multitask-training",
}
both_programs = pytest.mark.parametrize("program", PROGRAMS)
TINY = (
    "--bars 500 --t-in 16 --stride 4 --epochs 1 --batch-size 32 --device cpu --log-every 2"
).split()


class Collector:
    """An OTLP/HTTP endpoint on a free port."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.resources: list[dict[str, Any]] = []
        self.spans: dict[bytes, Any] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.paths.append(path)
        for resource_spans in request.resource_spans:
            self.resources.append(attributes(resource_spans.resource))
            for scope_spans in resource_spans.scope_spans:
                self.spans.update((span.span_id, span) for span in scope_spans.spans)

    def children(self, parent: Any) -> list[Any]:
        below = [span for span in self.spans.values() if span.parent_span_id == parent.span_id]
        return sorted(below, key=lambda span: span.start_time_unix_nano)

    def named(self, name: str) -> list[Any]:
        found = [span for span in self.spans.values() if span.name == name]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def only(self, name: str) -> Any:
        (span,) = self.named(name)
        return span

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def attributes(owner: Any) -> dict[str, Any]:
    values = {}
    for attribute in owner.attributes:
        kind = attribute.value.WhichOneof("value")
        values[attribute.key] = getattr(attribute.value, kind) if kind else None
    return values


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def closed_endpoint() -> Iterator[str]:
    """An address at which nothing listens, kept from others for the test's duration."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def run_program(
    program: str, folder: Path, *flags: str, prelude: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program from the example's folder, with its files in `folder`."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    where = ["--input-root", str(folder / "bars")]
    if "--checkpoint-path" not in flags:
        where += ["--checkpoint-path", str(folder / "{pair}.pt")]
    start = [sys.executable, program]
    if prelude:
        script = f"import runpy, sys; {prelude}; sys.argv = sys.argv[1:]; "
        script += "runpy.run_path(sys.argv[0], run_name='__main__')"
        start = [sys.executable, "-c", script, program]
    return subprocess.run(
        [*start, *TINY, *where, *flags],
        cwd=EXAMPLE_FOLDER,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@dataclass
class TracedRun:
    """What a program sent during one run."""

    program: str
    collector: Collector


@pytest.fixture(scope="module", params=PROGRAMS)
def traced_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TracedRun]:
    collector = Collector()
    endpoint = collector.endpoint
    folder = tmp_path_factory.mktemp("run")
    result = run_program(
        request.param, folder, "--epochs", "2", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint
    )
    assert result.returncode == 0, result.stderr
    yield TracedRun(request.param, collector)
    collector.close()


def test_a_run_is_one_trace_in_the_documented_tree(traced_run: TracedRun) -> None:
    collector = traced_run.collector
    assert set(collector.paths) == {"/v1/traces"}
    assert len({span.trace_id for span in collector.spans.values()}) == 1

    run = collector.only("training_run")
    assert run.parent_span_id == b""
    assert [span.name for span in collector.children(run)] == [
        "data_loading",
        "feature_engineering",
        "training_epoch",
        "checkpoint_save",
        "training_epoch",
        "checkpoint_save",
        "evaluation",
    ]
    for epoch in collector.named("training_epoch"):
        *batches, validation = collector.children(epoch)
        assert {span.name for span in batches} == {"batch_processing"}
        assert validation.name == "validation"
        for span in (*batches, validation):
            assert span.start_time_unix_nano >= epoch.start_time_unix_nano
            assert span.end_time_unix_nano <= epoch.end_time_unix_nano
    parents = {span.parent_span_id for span in collector.spans.values()}
    assert parents - {b""} <= set(collector.spans)


def test_t29_spans_carry_the_documented_attributes(traced_run: TracedRun) -> None:
    collector = traced_run.collector
    multi = "multitask" in traced_run.program

    loading = attributes(collector.only("data_loading"))
    assert (loading["pair"], loading["num_samples"]) == ("gbpusd", 500)
    assert loading["data.simulated"] is True
    features = attributes(collector.only("feature_engineering"))
    assert (features["pair"], features["feature_count"]) == ("gbpusd", 27)

    epoch = attributes(collector.named("training_epoch")[0])
    assert (epoch["epoch"], epoch["total_epochs"]) == (1, 2)
    assert all(isinstance(epoch[key], float) for key in ("train_loss", "val_loss", "val_metric"))
    assert "loss_at_step_2" in epoch

    validation = attributes(collector.named("validation")[0])
    assert validation["epoch"] == 1
    assert validation["val_loss"] == epoch["val_loss"]
    assert validation["val_metric"] == epoch["val_metric"]
    documented = ("dir", "vol", "trend", "vol_regime", "candle")
    metrics = {f"val.{name}_acc" for name in documented} | {"val.ret_rmse", "val.close_rmse"}
    assert metrics <= set(validation) if multi else metrics.isdisjoint(validation)

    batch = attributes(collector.named("batch_processing")[0])
    assert (batch["batch_index"], batch["batch_size"]) == (1, 32)
    assert isinstance(batch["loss"], float)
    assert ("task.direction" in batch) == multi

    run = attributes(collector.only("training_run"))
    assert (run["pair"], run["batch_size"], run["learning_rate"]) == ("gbpusd", 32, 1e-3)
    assert run["features.sma_windows"] == "10,20,50"
    evaluation = attributes(collector.only("evaluation"))
    assert {"test_loss", "test_metric", "test.dir_acc", "trading.positions"} <= set(evaluation)


def test_each_program_reports_its_own_service_and_environment(traced_run: TracedRun) -> None:
    """T5, T7, S2."""
    assert traced_run.collector.resources
    for resource in traced_run.collector.resources:
        assert resource["service.name"] == PROGRAMS[traced_run.program]
        assert resource["service.version"] == VERSION
        assert resource["deployment.environment.name"] == "development"
        assert resource["deployment.environment"] == "development"


def test_the_programs_have_the_version_of_the_release() -> None:
    workspace = EXAMPLE_FOLDER.parents[1] / "Cargo.toml"
    assert f'version = "{VERSION}"' in workspace.read_text()
    result = run_program("train/run_training.py", EXAMPLE_FOLDER, "--version")
    assert result.stdout == f"run_training.py {VERSION}\n"


@both_programs
def test_a_quiet_program_prints_problems_only(program: str, tmp_path: Path) -> None:
    flags = ["--quiet", "--no-tracing", "--max-batches", "1", "--grad-clip", "0"]
    result = run_program(program, tmp_path, *flags)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    result = run_program(program, tmp_path, *flags, "--learning-rate", "1e30", "--max-batches", "9")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: gbpusd: the loss became ")


def test_the_flags_win_over_the_environment(
    tmp_path: Path, collector: Collector, closed_endpoint: str
) -> None:
    flags = ["--otlp-endpoint", collector.endpoint, "--environment", "production"]
    program = "train/run_training.py"
    result = run_program(program, tmp_path, *flags, OTEL_EXPORTER_OTLP_ENDPOINT=closed_endpoint)
    assert result.returncode == 0, result.stderr
    assert collector.resources[0]["deployment.environment.name"] == "production"


@both_programs
def test_training_ends_well_with_the_collector_down(
    program: str, tmp_path: Path, closed_endpoint: str
) -> None:
    """T4; one warning says that nothing was sent."""
    result = run_program(program, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=closed_endpoint)
    assert result.returncode == 0, result.stderr
    assert "epoch 1/1" in result.stdout
    assert "Traceback" not in result.stderr
    assert result.stderr.count("cannot send spans") == 1
    assert (tmp_path / "gbpusd.pt").exists()


@both_programs
def test_training_ends_well_with_tracing_off(
    program: str, tmp_path: Path, collector: Collector
) -> None:
    """T4."""
    endpoint = collector.endpoint
    result = run_program(
        program, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_SDK_DISABLED="true"
    )
    assert result.returncode == 0, result.stderr
    assert "epoch 1/1" in result.stdout
    assert collector.paths == []


@both_programs
def test_training_ends_well_without_the_package_and_warns_once(
    program: str, tmp_path: Path
) -> None:
    """T4."""
    result = run_program(program, tmp_path, prelude="sys.modules['lumitrace'] = None")
    assert result.returncode == 0, result.stderr
    assert "epoch 1/1" in result.stdout
    assert result.stderr.count("training goes on without tracing") == 1
    assert "Install the lumitrace package" in result.stderr


def test_training_ends_well_when_the_set_up_itself_fails(tmp_path: Path) -> None:
    prelude = "import lumitrace.tracing as t; t.setup_tracing = lambda **_: 1 / 0"
    result = run_program("train/run_training.py", tmp_path, prelude=prelude)
    assert result.returncode == 0, result.stderr
    assert "training goes on without tracing: division by zero" in result.stderr


def test_a_bad_row_stops_its_pair_with_file_line_and_reason_and_the_others_go_on(
    tmp_path: Path, collector: Collector
) -> None:
    folder = tmp_path / "bars" / "eurusd"
    folder.mkdir(parents=True)
    path = folder / "DAT_ASCII_EURUSD_M1_2024.csv"
    path.write_text("20240102 170000;1.1;1.2;1.0;1.1;0\n20240102 170100;1.1;1.2;low;1.1;0\n")
    result = run_program(
        "train/run_training.py",
        tmp_path,
        "--pairs",
        "eurusd,gbpusd",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
    )
    assert result.returncode == 1
    assert f"error: eurusd: {path}:2: low 'low' is not a number" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "gbpusd.pt").exists()

    failed = [span for span in collector.spans.values() if span.status.code == 2]
    assert {span.name for span in failed} == {"data_loading", "training_run"}
    loading = next(span for span in failed if span.name == "data_loading")
    assert [event.name for event in loading.events] == ["exception"]
    assert attributes(loading)["error.type"] == "BarRowError"
    assert str(path) in attributes(loading)["error.message"]


def test_a_diverging_training_is_reported_without_a_traceback(tmp_path: Path) -> None:
    result = run_program(
        "train/run_training_multitask.py", tmp_path, "--learning-rate", "1e30", "--no-tracing"
    )
    assert result.returncode == 1
    assert "error: gbpusd: the loss became " in result.stderr
    assert "--learning-rate" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_interrupt_ends_the_program_and_its_spans(tmp_path: Path, collector: Collector) -> None:
    """The signal is raised by the program itself, in its first validation.

    A shell starts programs in the background with the signal ignored, which they inherit.
    """
    prelude = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    prelude += "sys.path.insert(0, '.'); import train.core.training_loop as loop; "
    prelude += "loop.measure = lambda *_: signal.raise_signal(signal.SIGINT)"
    result = run_program(
        "train/run_training.py",
        tmp_path,
        prelude=prelude,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
    )
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1] == "interrupted: gbpusd"
    assert "Traceback" not in result.stderr
    assert attributes(collector.only("validation"))["error.type"] == "KeyboardInterrupt"
    assert collector.only("training_run").end_time_unix_nano > 0


def test_every_documented_flag_is_accepted_by_the_programs(tmp_path: Path) -> None:
    common = (
        "--pairs gbpusd,eurusd --years 2023,2024 --lookahead-window 5 --t-out 4 --top-k 2 "
        "--flat-threshold 2e-4 --train-ratio 0.6 --val-ratio 0.2 --feature-groups all "
        "--exclude-feature-groups rsi,atr --sma-windows 3,5 --ema-windows 4 --rsi-window 5 "
        "--bollinger-window 6 --bollinger-deviations 1.5 --atr-window 5 --short-vol-window 4 "
        "--long-vol-window 9 --spread-window 5 --wick-imbalance-window 3 "
        "--microstructure-windows 3,6 --directional-change 0.002 --learning-rate 1e-2 "
        "--weight-decay 0.01 --grad-clip 0.5 --patience 2 --top-n-checkpoints 1 --seed 3 "
        "--vol-min-change 1e-6 --vol-regime-cut 1e-5 --max-batches 1 --disable-risk "
        "--skip-bad-rows --no-tracing --stride 2"
    ).split()
    keys = (
        "direction volatility trend vol-regime candle-pattern return next-close max-return "
        "topk-returns topk-prices sell-now"
    ).split()
    weights = [part for key in keys for part in (f"--loss-w-{key}", "0.5")]
    assert len(keys) == 11
    multi = run_program(
        "train/run_training_multitask.py", tmp_path, *common, *weights, "--predict-sell-now"
    )
    assert multi.returncode == 0, multi.stderr
    assert "sell_now_acc" in multi.stdout
    single = run_program("train/run_training.py", tmp_path, *common, "--task", "return")
    assert single.returncode == 0, single.stderr
    assert "ret_rmse" in single.stdout
    assert (tmp_path / "eurusd.pt").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--feature-groups", "sma,nope"), "unknown feature groups nope; there are: price, sma"),
        (
            ("--feature-groups", "sma", "--exclude-feature-groups", "sma"),
            "no feature group is left",
        ),
        (("--train-ratio", "0.8", "--val-ratio", "0.3"), "must leave a part for the test"),
        (("--top-k", "11"), "--top-k must not exceed --lookahead-window"),
        (
            ("--pairs", "gbpusd,eurusd", "--checkpoint-path", "m.pt"),
            "--checkpoint-path needs {pair}",
        ),
        (("--pairs", "../etc"), "is not a list of pairs"),
        (("--epochs", "0"), "0 is not above zero"),
        (("--device", "abacus"), "--device: "),
        (("--no-such-flag",), "unrecognized arguments: --no-such-flag"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    from train.run_training import main

    with pytest.raises(SystemExit) as ended:
        main(list(flags))
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_training_is_resumed_and_evaluated_from_its_checkpoint(
    tmp_path: Path, collector: Collector
) -> None:
    program = "train/run_training.py"
    endpoint = collector.endpoint
    first = run_program(program, tmp_path, "--no-tracing", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert first.returncode == 0, first.stderr
    assert collector.paths == [], "--no-tracing sends nothing"
    resumed = run_program(
        program,
        tmp_path,
        *("--epochs", "2", "--resume"),
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after epoch 1" in resumed.stdout
    assert attributes(collector.only("training_epoch"))["epoch"] == 2

    evaluator = Collector()
    result = subprocess.run(
        [
            *(sys.executable, "eval/run_evaluation.py", "--bars", "500", "--device", "cpu"),
            *("--input-root", str(tmp_path / "bars"), "--checkpoint-path"),
            *(str(tmp_path / "{pair}.pt"), "--otlp-endpoint", evaluator.endpoint),
        ],
        cwd=EXAMPLE_FOLDER,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    evaluator.close()
    assert result.returncode == 0, result.stderr
    measured = next(line for line in result.stdout.splitlines() if "test_loss" in line)
    assert measured in resumed.stdout.splitlines()
    assert evaluator.resources[0]["service.name"] == "sequence-evaluation"
    assert attributes(evaluator.only("evaluation"))["num_samples"] > 0
