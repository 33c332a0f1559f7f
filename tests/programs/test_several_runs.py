"""Several runs of one command: which they are, and what becomes of them."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from support.programs import (
    RUN_CLASSIFIER,
    RUN_SQUAD,
    Messages,
    arguments,
    make_folder,
)

from bert_tf import checkpoints, training
from bert_tf.errors import UserError
from bert_tf.programs import (
    embedding_flags,
    labelled_flags,
    program,
    run_plan,
    run_table,
    several_runs,
    squad_flags,
)
from bert_tf.programs.program import message_of
from bert_tf.programs.several_runs import Outcome

BOTH = {"do_train": True, "do_eval": True}


def planned(**values):
    with RUN_CLASSIFIER.flags(output_dir="out", **values):
        return run_plan.planned_runs()


def refusal(a_program=RUN_CLASSIFIER, modes=("train", "eval"), **values):
    """The message that a command ends with."""
    with a_program.flags(output_dir="out", **values):
        with pytest.raises(UserError) as error:
            run_plan.check(modes, lambda: None)
        return message_of(error.value)


def test_runs_that_differ_in_their_seeds():
    runs = planned(seed=5, num_seeds=3)
    assert [r.folder for r in runs] == ["seed-5", "seed-6", "seed-7"]
    assert [r.seed for r in runs] == [5, 6, 7]


def test_a_grid_has_every_combination():
    runs = planned(
        grid=" train_batch_size:16, 32;learning_rate:3e-5;", num_seeds=2, seed=1
    )
    assert [(r.values["train_batch_size"], r.seed) for r in runs] == [
        (16, 1),
        (16, 2),
        (32, 1),
        (32, 2),
    ]
    # The name does not depend on the order of the flags.
    assert runs[0].folder == "learning_rate=3e-05,train_batch_size=16,seed=1"
    assert len(planned(grid="paper")) == 18
    last = planned(grid="freeze_layers:none,encoder;optimizer:lamb")[-1]
    assert last.folder == "freeze_layers=encoder,optimizer=lamb,seed=12345"


@pytest.mark.parametrize(
    "grid, why",
    [
        ("", "it is empty"),
        ("learning_rate", "learning_rate: write NAME:VALUE,VALUE"),
        ("learning_rate=1e-5", "such as learning_rate:1e-5"),
        ("papers", "did you mean paper?"),
        ("learning_rate:", "learning_rate has no value"),
        ("learning_rate:1e-5,", "learning_rate has no value here"),
        ("learning_rate:1e-5,0.00001", "has the value 0.00001 twice"),
        ("learning_rate:1e-5;learning_rate:2", "learning_rate is there twice"),
        ("learning_rate:fast", "learning_rate:fast: must be a"),
        ("learning_rate:nan", "learning_rate:nan: must be a"),
        ("learning_rate:-1", "learning_rate:-1: must be a non-negative number"),
        ("train_batch_size:0", "train_batch_size:0: must be a whole number in"),
        ("train_batch_size:1.5", "train_batch_size:1.5: must be a"),
        ("optimizer:adam", "one of adamw, lamb; did you mean adamw?"),
        ("pack_sequences:maybe", "must be true or false"),
        ("lr:1e-5", "lr: no such flag; did you mean learning_rate?"),
        ("lerning_rate:1", "did you mean learning_rate?"),
        ("output_dir:a,b", "output_dir is the same in all runs; these can"),
        ("seed:1,2", "seeds vary by --num_seeds"),
        ("freeze_layers:a/b", "cannot be in a folder's name"),
    ],
)
def test_a_wrong_grid_ends_in_one_line(grid, why):
    message = refusal(grid=grid)
    assert message.startswith(f"--grid={grid}: ") and why in message
    assert "\n" not in message


def test_what_a_grid_needs():
    grid = "learning_rate:1e-5"
    assert "needs --do_eval:" in refusal(grid=grid, modes=["train"])
    assert "needs --do_train:" in refusal(grid=grid, modes=["eval"])
    assert "--learning_rate=0.1 is given, too" in refusal(
        grid=grid, learning_rate=0.1
    )
    assert "max_windows: no such flag" in refusal(
        RUN_SQUAD, grid="max_windows:1"
    )
    assert "--num_seeds=2 needs --do_eval" in refusal(
        num_seeds=2, modes=["train"]
    )
    assert "2147483647 is the last" in refusal(num_seeds=2, seed=2**31 - 1)


def test_each_combination_is_checked():
    rates = []
    with RUN_CLASSIFIER.flags(output_dir="out", grid="learning_rate:1,2") as f:
        run_plan.check(["train", "eval"], lambda: rates.append(f.learning_rate))
        assert f.learning_rate is None
    assert rates == [1.0, 2.0]


# ---------------------------------------------------------------------------
# The loop around runs that only seem to run.


class Runs:
    """Makes runs whose accuracy is their rate less a thousandth of the seed."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.made = []
        self.fail = {}

    def once(self, modes, settings, export_folder):
        self.made.append((settings.learning_rate, settings.seed))
        record = {
            mode: {"flags": program.values()} for mode in ("train", "eval")
        }
        record["eval"]["flags"]["metric_for_best"] = "eval_accuracy"
        folder = pathlib.Path(settings.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train.json").write_text(json.dumps(record))
        (folder / "checkpoint").write_text("")
        if error := self.fail.get((settings.learning_rate, settings.seed)):
            raise error
        accuracy = settings.learning_rate - settings.seed / 1000
        return Outcome(
            scores={"eval_accuracy": np.float32(accuracy)},
            metric="eval_accuracy",
            is_collapsed=settings.learning_rate == 0.5,
        )

    def run(self, modes=("train", "eval"), **values):
        """Runs the command; returns (the runs that were made, runs.json)."""
        self.made.clear()
        with RUN_CLASSIFIER.flags(output_dir=self.folder, **values):
            several_runs.SeveralRuns(
                self.once,
                lambda trains: None,
                modes,
                tf.distribute.get_strategy(),
            ).run()
        path = pathlib.Path(self.folder, "runs.json")
        return list(self.made), json.loads(path.read_text())


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


GRID = {"grid": "learning_rate:0.5,0.75,0.25", "num_seeds": 2, "seed": 1}


def test_bad_runs_do_not_end_a_grid(runs, caplog):
    caplog.set_level("INFO", logger="absl")
    runs.fail = {
        (0.75, 2): training.TrainingDiverged("the loss is nan"),
        (0.25, 1): UserError("too small"),
    }
    made, content = runs.run(**GRID)
    assert len(made) == 6
    by_run = {
        (r["values"]["learning_rate"], r["seed"]): r for r in content["runs"]
    }
    assert by_run[0.75, 2]["status"] == "diverged"
    assert by_run[0.75, 2]["reason"] == "the loss is nan"
    assert by_run[0.25, 1]["status"] == "failed"
    assert [r["collapsed"] for r in content["runs"]] == [True, True] + [
        False
    ] * 4
    # Of 0.75 one seed diverged: the setting whose seeds all have a score wins.
    best = content["best"]
    assert best["values"] == {"learning_rate": 0.5} and best["seed"] == 1
    assert best["mean"] == pytest.approx(0.4985)
    assert best["std"] == pytest.approx(0.001 / 2**0.5, rel=1e-3)
    assert "by eval_accuracy: learning_rate=0.5, seed 1" in caplog.text
    assert "2 collapsed" in caplog.text and "1 diverged" in caplog.text
    # Of the others the checkpoints are gone.
    kept = [r["folder"] for r in content["runs"] if r["kept"]]
    folders = pathlib.Path(runs.folder)
    has = [p.parent.name for p in folders.glob("*/checkpoint")]
    failed = by_run[0.25, 1]["folder"]  # The command that is repeated tries it.
    assert sorted(kept) == sorted(has) == sorted([best["folder"], failed])


def test_what_is_finished_is_not_made_again(runs):
    runs.fail = {(0.75, 1): KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        runs.run(**GRID)
    runs.fail = {(0.75, 2): training.TrainingDiverged("the loss is nan")}
    made, _ = runs.run(**GRID)
    assert made == [(0.75, 1), (0.75, 2), (0.25, 1), (0.25, 2)]
    assert runs.run(**GRID)[0] == []  # Nor is what diverged.
    # A changed grid: what is there and wanted stays.
    made, content = runs.run(**{**GRID, "grid": "learning_rate:0.5,0.125"})
    assert made == [(0.125, 1), (0.125, 2)]
    assert [r["values"]["learning_rate"] for r in content["others"]] == [
        0.75,
        0.75,
        0.25,
        0.25,
    ]
    # Another flag: the runs are others.
    made, _ = runs.run(**GRID, warmup_proportion=0.5)
    assert len(made) == 6


def test_if_no_run_has_a_result_the_command_fails(runs):
    runs.fail = {
        (rate, seed): training.TrainingDiverged(f"nan at {rate}")
        for rate in (0.5, 0.75, 0.25)
        for seed in (1, 2)
    }
    with pytest.raises(UserError, match="none of 6 runs has a result.*at 0.5"):
        runs.run(**GRID)
    # What every run would meet ends the command at once.
    error = UserError("no such file")
    runs.fail = dict.fromkeys(runs.fail, error)
    with pytest.raises(UserError, match="no such file"):
        runs.run(**GRID, warmup_proportion=0.5)
    assert len(runs.made) == 2


def test_seeds_resume_as_asked(runs):
    resumes = []
    once = runs.once

    def noting(modes, settings, export_folder):
        resumes.append(settings.resume)
        return once(modes, settings, export_folder)

    runs.once = noting
    runs.run(learning_rate=0.5, num_seeds=3, resume="must")
    assert resumes == ["must", "auto", "auto"]


def test_seeds_json_is_as_before(runs):
    _, content = runs.run(learning_rate=0.75, num_seeds=3, seed=5)
    assert all(r["kept"] for r in content["runs"])
    results = run_table.read(runs.folder)
    results[1].collapsed = True
    summary = several_runs.summary_of(results)
    assert summary == {
        "seeds": [5, 6, 7],
        "collapsed": [6],
        "eval_accuracy": {
            "mean": pytest.approx(0.744),
            "std": pytest.approx(0.001, rel=1e-3),
            "values": pytest.approx([0.745, 0.744, 0.743]),
        },
    }


@pytest.mark.parametrize("int8", [True, False])
def test_int8_of_the_best_run_is_compared_on_the_dev_set(tmp_path, int8):
    asked = []

    def once(modes, settings, export_folder):
        asked.append((modes, settings.seed, export_folder))

    values = {"output_dir": str(tmp_path), "export_int8": int8, **BOTH}
    with RUN_CLASSIFIER.flags(**values, num_seeds=2):
        best = run_table.RunResult("seed-7", {}, 7)
        several = several_runs.SeveralRuns(
            once,
            lambda trains: None,
            ["train", "eval"],
            tf.distribute.get_strategy(),
        )
        several.export(best)
        ((modes, *others),) = asked
        assert others == [7, str(tmp_path / "export")]
        assert labelled_flags.sets_needed(modes) == (["eval"] if int8 else [])
        wanted = ["eval"] if int8 else []
        assert embedding_flags.modes_with_batches(modes) == wanted
        wanted = ["predict"] if int8 else []
        assert squad_flags.files_needed(modes) == wanted


def test_a_long_table_is_cut():
    results = [
        run_table.RunResult(
            str(n), {"learning_rate": float(n)}, 1, "finished", {"f1": n / 100}
        )
        for n in range(40)
    ]
    settings = run_table.settings_of(results, "f1", lambda a, b: a > b)
    lines = run_table.table(settings, "f1")
    assert len(lines) == 20 and lines[1].split()[:3] == ["1", "39", "0.3900"]
    assert lines[-1] == "22 more settings in runs.json"


# ---------------------------------------------------------------------------
# Real runs.


@pytest.mark.thorough
def test_a_killed_grid_resumes_with_the_run_that_was_killed(
    tmp_path, monkeypatch
):
    """Four runs, two of which diverge; the third is killed while it trains."""
    folder = make_folder(tmp_path)
    out = folder / "out"
    values = {
        **arguments(folder, learning_rate=None, num_train_epochs=8.0),
        "grid": "learning_rate:1e30,1e-3;train_batch_size:8,16",
        "save_checkpoints_steps": 5,
        "do_train": True,
        "do_eval": True,
        "do_export": True,
    }
    del values["train_batch_size"]
    third = out / "learning_rate=0.001,train_batch_size=8,seed=12345"
    save = checkpoints.CheckpointFolder.save

    class Killed(BaseException):
        """Nothing that the programs catch: what is on disk is what is left."""

    def save_and_die(self, tensors, step):
        save(self, tensors, step)
        if step == 5 and self.folder == str(third):
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoints.CheckpointFolder, "save", save_and_die)
        RUN_CLASSIFIER.run(**values)
    content = json.loads((out / "runs.json").read_text())
    statuses = [run["status"] for run in content["runs"]]
    assert statuses == ["diverged", "diverged", "unfinished", "unfinished"]

    with Messages() as lines:
        RUN_CLASSIFIER.run(**values)
    assert sum("skipped: it has diverged" in line for line in lines) == 2
    (resumed,) = [line for line in lines if "Resuming from" in line]
    assert str(third) in resumed
    content = json.loads((out / "runs.json").read_text())
    statuses = [run["status"] for run in content["runs"]]
    assert statuses == ["diverged", "diverged", "finished", "finished"]
    best = content["best"]
    scores = {r["folder"]: r["scores"] for r in content["runs"] if r["scores"]}
    metric = content["metric"]
    assert scores[best["folder"]][metric] == max(
        score[metric] for score in scores.values()
    )
    (head,) = [n for n, s in enumerate(lines) if f"{metric}  seeds" in s]
    table = lines[head:]
    assert table[1].split()[0] == "1"
    assert any("1 diverged" in line for line in table)
    assert any(f"in {out / best['folder']}" in line for line in table)
    assert (out / "export" / "saved_model.pb").exists()
    with_checkpoints = {p.parent.name for p in out.glob("*/checkpoint")}
    assert with_checkpoints == {best["folder"]}
    # Who names the folder of all runs is told of the best.
    with pytest.raises(UserError, match="holds several runs.*") as error:
        RUN_CLASSIFIER.run(do_predict=True, output_dir=str(out))
    assert best["folder"] in str(error.value)
