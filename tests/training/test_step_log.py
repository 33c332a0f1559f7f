"""The file of a training's steps: bounded, whole, cut where it resumes."""

import json
import math

import pytest

from bert_tf.training.step_log import StepLog


def run(path, first, last, *, at_once=1, max_lines=2000, **values):
    """Tells a log of the steps after `first` up to `last`; its lines."""
    log = StepLog(str(path), max_lines)
    log.set_params({"start": first, "steps": last})
    log.on_train_begin()
    for step in range(first + at_once, last + 1, at_once):
        logs = {
            "steps": at_once,
            "seconds": 0.1,
            "loss": float(step),
            "gradient_norm": 2.0,
            "learning_rate": 1 / step,
            "cross_entropy": float(step),
            **values,
        }
        log.on_train_batch_end(step, logs)
    log.on_train_end()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_has_what_curves_need(tmp_path):
    lines = run(tmp_path / "report" / "steps.jsonl", 0, 2)
    assert lines == [
        {"step": 1, "loss": 1.0, "gradient_norm": 2.0, "learning_rate": 1.0},
        {"step": 2, "loss": 2.0, "gradient_norm": 2.0, "learning_rate": 0.5},
    ]


def test_terms_of_the_loss_are_kept_if_there_are_several(tmp_path):
    lines = run(tmp_path / "steps.jsonl", 0, 1, next_sentence=0.25)
    terms = {"cross_entropy": 1.0, "next_sentence": 0.25}
    assert lines[0]["losses"] == terms


def test_a_million_steps_keep_few_lines_and_the_whole_course(tmp_path):
    lines = run(
        tmp_path / "steps.jsonl", 0, 1_000_000, at_once=20, max_lines=100
    )
    assert 40 <= len(lines) <= 101
    steps = [line["step"] for line in lines]
    assert steps == sorted(steps) and steps[-1] == 1_000_000
    # The loss is its step: the mean of a line lies in the line's steps.
    for before, line in zip(lines, lines[1:], strict=False):
        assert before["step"] < line["loss"] <= line["step"]


def test_a_training_that_resumes_cuts_what_it_does_again(tmp_path):
    path = tmp_path / "steps.jsonl"
    run(path, 0, 30)
    lines = run(path, 20, 25, gradient_norm=7.0)
    assert [line["step"] for line in lines] == [*range(1, 26)]
    norms = [line["gradient_norm"] for line in lines]
    assert norms == [2.0] * 20 + [7.0] * 5


def test_a_new_training_in_the_folder_starts_again(tmp_path):
    path = tmp_path / "steps.jsonl"
    run(path, 0, 30)
    assert len(run(path, 0, 2)) == 2


@pytest.mark.parametrize("damage", ["{", "[]\n", '{"loss": 1}\n'])
def test_a_damaged_file_ends_no_training(tmp_path, damage):
    path = tmp_path / "steps.jsonl"
    path.write_text(damage)
    assert len(run(path, 5, 7)) == 2


def test_what_is_not_finite_is_null(tmp_path):
    lines = run(tmp_path / "steps.jsonl", 0, 1, gradient_norm=math.inf)
    assert lines[0]["gradient_norm"] is None


def test_a_file_that_cannot_be_written_ends_no_training(tmp_path):
    (tmp_path / "report").write_text("a file")
    log = StepLog(str(tmp_path / "report" / "steps.jsonl"))
    log.set_params({"start": 0, "steps": 1})
    log.on_train_begin()
    log.on_train_end()
    assert log.is_broken
