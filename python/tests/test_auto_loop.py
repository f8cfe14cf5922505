"""What becomes of the events of a training loop, whatever their order."""

from __future__ import annotations

import gc
import itertools
import time

import pytest
from spans import all_of, is_child, one

from lumitrace.auto._loop import Pass, TrainingLoop
from lumitrace.auto._training import TrainingSpans
from lumitrace.tracing import FinishedSpan, InMemorySpanExporter, TracingContext, current_span


class Optimizer:
    pass


class Program:
    """A training program, as its loaders and optimizers tell of it."""

    def __init__(self) -> None:
        self.spans = TrainingSpans()
        self.loop = TrainingLoop(self.spans)
        self.optimizer = Optimizer()
        self.clock = 0

    def iterate(self, gradients: bool = True) -> Pass:
        return self.loop.pass_started(time.time_ns(), gradients)

    def take(self, at: Pass, size: int | None = 4) -> None:
        self.loop.wait_started(at)
        self.loop.batch_ready(at, size)

    def exhaust(self, at: Pass) -> None:
        self.loop.wait_started(at)
        self.loop.exhausted(at)

    def step(self, optimizer: Optimizer | None = None) -> None:
        self.loop.step_started(optimizer or self.optimizer)
        self.loop.step_ended(optimizer or self.optimizer)

    def epoch(self, batches: int = 2) -> None:
        at = self.iterate()
        for _ in range(batches):
            self.take(at)
            self.step()
        self.exhaust(at)

    def validate(self, batches: int = 2) -> None:
        at = self.iterate(gradients=False)
        for _ in range(batches):
            self.take(at)
        self.exhaust(at)


@pytest.fixture
def program(memory: InMemorySpanExporter) -> Program:
    return Program()


def index_of(span: FinishedSpan) -> int:
    return int(span.attributes["batch_index"])


def test_T17_epochs_hold_their_batches_and_validations(
    program: Program, memory: InMemorySpanExporter
) -> None:
    for _ in range(2):
        program.epoch()
        program.validate()
    program.spans.end_run()
    run = one(memory, "training_run")
    epochs = all_of(memory, "training_epoch")
    assert [epoch.attributes for epoch in epochs] == [{"epoch": 1}, {"epoch": 2}]
    assert all(is_child(epoch, run) for epoch in epochs)
    batches = all_of(memory, "batch_processing")
    assert [index_of(batch) for batch in batches] == [1, 2, 1, 2]
    assert [is_child(batch, epochs[0]) for batch in batches] == [True, True, False, False]
    validations = all_of(memory, "validation")
    assert [is_child(span, epochs[0]) for span in validations] == [True, False]
    assert validations[0].attributes == {"epoch": 1, "num_batches": 2, "num_samples": 8}
    for epoch, validation in zip(epochs, validations, strict=True):
        assert epoch.end_time == validation.end_time  # T19: it covers the evaluation


def test_batches_do_not_overlap_and_the_wait_is_between_them(
    program: Program, memory: InMemorySpanExporter
) -> None:
    program.epoch(batches=3)
    program.spans.end_run()
    batches = all_of(memory, "batch_processing")
    for batch in batches:
        assert batch.attributes["batch_size"] == 4
        assert batch.attributes["data_wait_ms"] >= 0
        assert batch.start_time <= batch.end_time
    for earlier, later in itertools.pairwise(batches):
        wait_ms = (later.start_time - earlier.end_time) / 1e6
        assert later.attributes["data_wait_ms"] == pytest.approx(wait_ms)


def test_a_batch_is_current_while_it_lasts_and_nothing_is_afterwards(
    program: Program, memory: InMemorySpanExporter
) -> None:
    at = program.iterate()
    program.take(at)
    program.step()
    program.take(at)
    with TracingContext(None, "inside"):
        pass
    program.step()
    program.exhaust(at)
    assert not current_span().is_recording()
    program.spans.end_run()
    batches = all_of(memory, "batch_processing")
    assert is_child(one(memory, "inside"), batches[1])


def test_looking_at_data_and_evaluating_before_a_training_make_no_span(
    program: Program, memory: InMemorySpanExporter
) -> None:
    at = program.iterate()
    program.take(at)  # a look at one batch
    del at
    at = program.iterate()
    for _ in range(3):  # statistics
        program.take(at)
    program.exhaust(at)
    program.validate()
    program.spans.end_run()
    assert memory.get_finished_spans() == ()


def test_gradients_are_accumulated_over_several_batches(
    program: Program, memory: InMemorySpanExporter
) -> None:
    at = program.iterate()
    for index in range(6):
        program.take(at)
        if index % 3 == 2:
            program.step()
    program.exhaust(at)
    program.spans.end_run()
    batches = all_of(memory, "batch_processing")
    assert [index_of(batch) for batch in batches] == [1, 2, 3, 4, 5, 6]
    epoch = one(memory, "training_epoch")
    assert epoch.start_time <= batches[0].start_time
    assert all(is_child(batch, epoch) for batch in batches)
    starts = [batch.start_time for batch in batches]
    assert starts == sorted(starts)


def test_several_optimizers_of_one_batch_are_one_batch(
    program: Program, memory: InMemorySpanExporter
) -> None:
    discriminator = Optimizer()
    at = program.iterate()
    for _ in range(2):
        program.take(at)
        program.step(discriminator)
        program.step()
    program.exhaust(at)
    program.spans.end_run()
    assert len(all_of(memory, "batch_processing")) == 2


def test_a_validation_within_an_epoch_ends_the_batch_before_it(
    program: Program, memory: InMemorySpanExporter
) -> None:
    at = program.iterate()
    program.take(at)
    program.step()
    program.validate()
    program.take(at)
    program.step()
    program.exhaust(at)
    program.spans.end_run()
    first, second = all_of(memory, "batch_processing")
    validation = one(memory, "validation")
    assert first.end_time <= validation.start_time
    assert validation.end_time <= second.start_time
    assert is_child(validation, one(memory, "training_epoch"))


def test_a_loop_that_is_left_early_ends_its_batch_and_its_validation(
    program: Program, memory: InMemorySpanExporter
) -> None:
    at = program.iterate()
    program.take(at)
    program.step()
    del at
    gc.collect()
    assert len(all_of(memory, "batch_processing")) == 1
    evaluation = program.iterate(gradients=False)
    program.take(evaluation)
    del evaluation
    gc.collect()
    assert len(all_of(memory, "validation")) == 1
    program.spans.end_run()


def test_steps_without_a_loader_are_batches_one_after_the_other(
    program: Program, memory: InMemorySpanExporter
) -> None:
    for _ in range(3):
        program.step()
    program.spans.end_run()
    batches = all_of(memory, "batch_processing")
    assert [index_of(batch) for batch in batches] == [1, 2, 3]
    assert all(is_child(batch, one(memory, "training_run")) for batch in batches)
    for earlier, later in itertools.pairwise(batches):
        assert later.start_time == earlier.end_time


def test_without_a_loader_the_steps_of_one_optimizer_are_counted(
    program: Program, memory: InMemorySpanExporter
) -> None:
    other = Optimizer()
    for _ in range(3):
        program.step()
        program.step(other)
    program.spans.end_run()
    assert len(all_of(memory, "batch_processing")) == 3


def test_without_a_loader_the_next_training_has_another_optimizer(
    program: Program, memory: InMemorySpanExporter
) -> None:
    program.step()
    second = Optimizer()
    for _ in range(4):
        program.step(second)
    program.spans.end_run()
    # One of the first, and of the second all after it turned out that the first steps no more.
    assert len(all_of(memory, "batch_processing")) == 4


def test_a_program_that_traces_its_batches_itself_gets_none_of_ours(
    program: Program, memory: InMemorySpanExporter
) -> None:
    at = program.iterate()
    for _ in range(2):
        program.loop.wait_started(at)
        program.loop.batch_ready(at, 4)
        with TracingContext(None, "train_step"):
            program.step()
    program.exhaust(at)
    program.validate()
    program.spans.end_run()
    assert {span.name for span in memory.get_finished_spans()} == {"train_step"}


def test_a_program_that_traces_its_epochs_itself_gets_batches_in_them(
    program: Program, memory: InMemorySpanExporter
) -> None:
    for _ in range(2):
        with TracingContext(None, "training_epoch"):
            program.epoch(batches=1)
    program.spans.end_run()
    assert all_of(memory, "training_run") == []
    first, second = all_of(memory, "training_epoch")
    batches = all_of(memory, "batch_processing")
    assert is_child(batches[0], first)
    assert is_child(batches[1], second)


def test_a_span_of_the_programs_own_around_the_training_takes_the_place_of_the_run(
    program: Program, memory: InMemorySpanExporter
) -> None:
    with TracingContext(None, "experiment"):
        program.epoch()
        program.validate()
    program.spans.end_run()
    assert all_of(memory, "training_run") == []
    epoch = one(memory, "training_epoch")
    assert is_child(epoch, one(memory, "experiment"))
    assert is_child(one(memory, "validation"), epoch)


def test_a_span_that_the_program_left_current_stays_so(
    program: Program, memory: InMemorySpanExporter
) -> None:
    at = program.iterate()
    program.take(at)
    program.step()
    program.take(at)
    with TracingContext(None, "theirs") as theirs:
        program.exhaust(at)  # ends the batch below
        assert current_span() is theirs
    program.epoch()
    assert not current_span().get_span_context().is_valid
    program.spans.end_run()
    run = one(memory, "training_run")
    assert [is_child(epoch, run) for epoch in all_of(memory, "training_epoch")] == [True, True]


def test_T20_an_error_is_on_everything_that_it_ends_and_its_event_on_one(
    program: Program, memory: InMemorySpanExporter
) -> None:
    at = program.iterate()
    program.take(at)
    program.step()
    program.take(at)
    program.spans.end_run(ValueError("loss is NaN"))
    ended = memory.get_finished_spans()
    failed = [span for span in ended if span.attributes.get("error.type") == "ValueError"]
    assert [span.name for span in failed] == ["batch_processing", "training_epoch", "training_run"]
    assert [len(span.events) for span in failed] == [1, 0, 0]


def test_a_framework_that_takes_over_is_not_disturbed(
    program: Program, memory: InMemorySpanExporter
) -> None:
    program.spans.take_over("framework")
    program.epoch()
    program.validate()
    program.step()
    program.loop.saving()
    assert memory.get_finished_spans() == ()
    program.spans.begin_epoch(1, 3)
    program.spans.begin_batch(1, 8)
    program.spans.end_run()
    assert one(memory, "training_epoch").attributes == {"epoch": 1, "total_epochs": 3}
