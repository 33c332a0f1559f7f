"""Training as the flags ask, through run_classifier.py."""

import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest
from support.programs import events_of, make_folder, results_of, run, values_of

from bert_tf import checkpoints, training
from bert_tf.errors import UserError
from bert_tf.programs import training_run
from bert_tf.training.best import DevScores


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, its run of 10 steps, saved at 0, 4, 8, and 10)."""
    folder = make_folder(tmp_path_factory.mktemp("trained"))
    run(folder, do_train=True, save_checkpoints_steps=4)
    return folder, folder / "out"


def train(folder, name, **changes):
    """The values after a training of 10 steps, and their folder."""
    out = folder / name
    run(folder, do_train=True, output_dir=str(out), **changes)
    return values_of(out / "model.ckpt-10")


def difference(ours, theirs, part):
    return max(
        np.abs(ours[name] - value).max()
        for name, value in theirs.items()
        if part in name and "adam" not in name
    )


@pytest.mark.slow
def test_best_checkpoint_early_stop_and_event_files(folder, caplog):
    caplog.set_level("DEBUG", logger="absl")
    settings = {
        "do_train": True,
        "do_eval": True,
        "num_train_epochs": 8.0,  # 41 steps
        "eval_steps": 4,
        "learning_rate": 0.03,
        "metric_for_best": "eval_loss",
        "early_stopping_patience": 2,
    }
    run(folder, **settings)
    out = folder / "out"
    record = json.loads((out / "train.json").read_text())["train"]
    losses = {s["step"]: s["eval_loss"] for s in record["evaluations"]}
    best = min(losses, key=losses.get)
    end = max(losses)
    assert list(losses) == list(range(4, end + 1, 4)) and end < 41
    assert end == best + 8  # Two evaluations were no better.
    assert f"Stopped early at step {end} of 41" in caplog.text
    # What is evaluated at the end is the best.
    results = results_of(out / "eval_results.txt")
    assert results["global_step"] == str(best)
    assert float(results["eval_loss"]) == pytest.approx(losses[best], abs=1e-6)
    assert (out / "best" / f"model.ckpt-{best}.index").exists()

    training_events, eval_events = events_of(out), events_of(out / "eval")
    assert set(training_events) == {
        "examples_per_second",
        "gradient_norm",
        "learning_rate",
        "loss",
    }
    assert training_events["loss"][-1][0] == end
    shown = dict(eval_events["eval_loss"])
    assert shown == {s: np.float32(loss) for s, loss in losses.items()}

    # The same command has nothing to do, and says why.
    before = (out / "checkpoint").read_text()
    run(folder, **settings)
    assert f"which was stopped early at step {end} of 41" in caplog.text
    assert (out / "checkpoint").read_text() == before


@pytest.mark.slow
def test_a_resumed_run_knows_its_evaluations(folder):
    """Interrupted between two evaluations, it has both their scores."""
    settings = {"eval_steps": 4, "early_stopping_patience": 20}
    run(folder, do_train=True, num_train_epochs=1.0, **settings)
    train(folder, "out", **settings)
    text = (folder / "out" / "train.json").read_text()
    record = json.loads(text)["train"]
    steps = [s["step"] for s in record["evaluations"]]
    assert steps == [4, 5, 8, 10]
    assert record["resumed_at_step"] == 5


@pytest.mark.slow
def test_the_best_is_used_only_where_it_belongs(folder, caplog):
    caplog.set_level("DEBUG", logger="absl")
    out = folder / "out"

    def steps_of(**changes):
        run(folder, do_eval=True, **changes)
        return int(results_of(out / "eval_results.txt")["global_step"])

    settings = {"eval_steps": 2, "learning_rate": 0.02}
    best = steps_of(do_train=True, num_train_epochs=1.0, **settings)
    assert steps_of() == best and "the best checkpoint" in caplog.text
    for path in (out / "best").glob("*.data*"):
        os.truncate(path, 10)
    assert steps_of() == 5
    assert "using the newest checkpoint instead" in caplog.text
    # Training resumes without evaluations: nobody knows what is best.
    assert steps_of(do_train=True) == 10
    assert steps_of() == 10


@pytest.mark.slow
def test_odd_records_are_named(trained):
    folder, out = trained
    path = out / "train.json"
    text = path.read_text()
    for odd in (
        {"train": {"flags": None}},
        {"train": {"evaluations": None}},
        {"train": {"evaluations": [{"eval_accuracy": 1}]}},
        {"train": {"evaluations": [{"step": 1, "eval_accuracy": "a"}]}},
    ):
        path.write_text(json.dumps(odd))
        with pytest.raises(UserError, match="train.json: damaged; remove it"):
            run(folder, do_train=True)
    path.write_text(text)


@pytest.mark.thorough
def test_seeds_that_tensorflow_takes_for_none(trained):
    folder, _ = trained
    # It takes this one for 0, and 0 for none.
    values, again = (
        train(folder, f"seed-{name}", seed=2**31 - 1) for name in "ab"
    )
    assert difference(values, again, "") == 0


@pytest.mark.thorough
def test_another_precision_may_follow(trained, caplog):
    folder, out = trained
    run(folder, do_train=True, num_train_epochs=1.0, output_dir=f"{out}-mixed")
    values = train(folder, "out-mixed", precision="float16")
    assert "--precision was float32 before" in caplog.text
    assert values["bert_tf/loss_scale"] == 2.0**15


@pytest.mark.slow
def test_a_packed_training_resumes_where_it_was(folder, caplog):
    caplog.set_level("DEBUG", logger="absl")
    settings = {
        "pack_sequences": True,
        "max_seq_length": 64,
        "gradient_accumulation_steps": 2,
        "train_batch_size": 16,
        "num_train_epochs": 4.0,
    }
    expected = train(folder, "whole", save_checkpoints_steps=6, **settings)
    line = "rows of --max_seq_length=64 for 8 examples, in each of the 2 parts"
    assert line in caplog.text
    assert all(np.isfinite(value).all() for value in expected.values())
    out = folder / "again"
    out.mkdir()
    for path in (folder / "whole").glob("model.ckpt-6.*"):
        shutil.copy(path, out)
    (out / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-6"\n')
    found = train(folder, "again", resume="must", **settings)
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name
    # A run of a version without the flag did not pack.
    record = json.loads((out / "train.json").read_text())
    del record["train"]["flags"]["pack_sequences"]
    (out / "train.json").write_text(json.dumps(record))
    settings["num_train_epochs"] = 4.4
    run(folder, do_train=True, output_dir=str(out), **settings)
    assert "--pack_sequences was False before, and is True now" in caplog.text
    assert (out / "model.ckpt-11.index").exists()


def test_dev_scores(tmp_path):
    def follow(values, metric="f1", patience=2):
        recorded = []
        settings = {"metric": metric, "patience": patience, "writes": False}
        scores = DevScores(
            history=[],
            folder=str(tmp_path),
            record=recorded.append,
            **settings,
        )
        scores.set_model(keras.Model())
        ends = [
            scores.on_epoch_end(step, {metric: value}) or scores.is_exhausted()
            for step, value in enumerate(values)
        ]
        again = DevScores(
            history=recorded[-1], folder="", record=recorded.append, **settings
        )
        assert again.is_exhausted() == ends[-1]
        return scores.best()["step"], ends

    nan = float("nan")
    assert follow([1, 3, 2, 3]) == (1, [False, False, False, True])
    assert follow([3, 2, 1, 1], "eval_loss") == (2, [False] * 4)
    assert follow([3, 4, 1, 1], "eval_loss") == (2, [False] * 4)
    assert follow([1, nan, 2, 1]) == (2, [False] * 4)
    assert follow([1, 1, 1], patience=0) == (0, [False] * 3)


def test_resume_says_what_may_be(trained):
    folder, out = trained
    with pytest.raises(UserError, match="--resume=never, but .* has model.ckp"):
        run(folder, do_train=True, resume="never")
    with pytest.raises(UserError, match="--resume=must, but .* no checkpoint"):
        run(folder, do_train=True, resume="must", output_dir=f"{out}-2")
    assert not (folder / "out-2").exists()


@pytest.mark.slow
def test_a_broken_checkpoint_falls_back_to_the_one_before(trained, caplog):
    caplog.set_level("DEBUG", logger="absl")
    folder, whole = trained
    out = shutil.copytree(whole, folder / "broken")
    expected = values_of(out / "model.ckpt-10")
    (out / "model.ckpt-10.index").unlink()
    data = out / "model.ckpt-8.data-00000-of-00001"
    os.truncate(data, 1000)
    again = train(
        folder, "broken", save_checkpoints_steps=4, keep_checkpoints=3
    )
    kept = {path.stem for path in out.glob("*.index")}
    assert kept == {f"model.ckpt-{step}" for step in (4, 8, 10)}
    assert "does not name a checkpoint that is there; using" in caplog.text
    assert "model.ckpt-8: the checkpoint is damaged" in caplog.text
    assert "trying the one before" in caplog.text
    assert f"Resuming from {out}/model.ckpt-4" in caplog.text
    assert caplog.text.count("the checkpoint is damaged") == 1
    for name, value in expected.items():
        assert again[name].tobytes() == value.tobytes(), name
    values_of(out / "model.ckpt-8")  # Has been written anew.


@pytest.mark.slow
def test_a_signal_saves_and_tells_how_to_go_on(trained, monkeypatch):
    folder, whole = trained
    expected = values_of(whole / "model.ckpt-10")
    handlers = [signal.getsignal(n) for n in training.StopRequest.SIGNALS]

    class Killer(keras.callbacks.Callback):
        def on_train_batch_end(self, step, logs):
            if step == 3:  # A second one would end it at once.
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(training_run, "ProgressBar", lambda _: Killer())
    message = (
        r"^stopped by SIGTERM, saved at step \d; resume with: \S*python\S* "
    )
    with pytest.raises(training.Interrupted, match=message):
        train(folder, "stopped", iterations_per_loop=1)
    monkeypatch.undo()
    assert handlers == [
        signal.getsignal(n) for n in training.StopRequest.SIGNALS
    ]
    for name, value in train(folder, "stopped", resume="must").items():
        assert value.tobytes() == expected[name].tobytes(), name


@pytest.mark.slow
def test_a_signal_behind_the_last_step_counts_too(folder, monkeypatch):
    class Killer(keras.callbacks.Callback):
        def on_epoch_end(self, step, logs):
            if step == 10:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(training_run, "ProgressBar", lambda _: Killer())
    message = r"^stopped by SIGINT, saved at step 10; .* --resume=auto$"
    with pytest.raises(training.Interrupted, match=message):
        train(folder, "out", eval_steps=10, resume="never")


@pytest.mark.slow
def test_a_loss_that_is_nan_names_the_examples(folder):
    rows = (folder / "data" / "train.tsv").read_text().split("\n")
    with pytest.raises(training.TrainingDiverged) as error:
        train(folder, "out", learning_rate=1e30, warmup_proportion=0.0)
    message = str(error.value)
    assert (
        "at step 2 on the examples " in message and "learning rate" in message
    )
    numbers = message.split("examples ")[1].split(" (")[0].split(", ")
    assert len(numbers) == 8 and all(int(n) < len(rows) for n in numbers)
    assert checkpoints.CheckpointFolder(str(folder / "out")).newest_first()


@pytest.mark.slow
def test_several_seeds(folder, caplog):
    caplog.set_level("DEBUG", logger="absl")
    # With a rate of 0 the answer is that of random weights: one label.
    run(folder, do_train=True, do_eval=True, num_seeds=2, learning_rate=1e-9)
    out = folder / "out"
    summary = json.loads((out / "seeds.json").read_text())
    assert summary["seeds"] == [12345, 12346]
    accuracies = [
        float(results_of(out / f"seed-{seed}" / "eval_results.txt")[name])
        for seed in summary["seeds"]
        for name in ("eval_accuracy",)
    ]
    found = summary["eval_accuracy"]
    assert found["values"] == pytest.approx(accuracies)
    assert found["mean"] == pytest.approx(np.mean(accuracies))
    assert found["std"] == pytest.approx(np.std(accuracies, ddof=1))
    labels = [
        {row.split("\t")[1] for row in path.read_text().splitlines()[1:]}
        for path in sorted(out.glob("seed-*/test_predictions.tsv"))
    ]
    assert labels == []  # Not asked for.
    collapsed = summary["collapsed"]
    assert collapsed == [
        seed
        for seed, number in zip(
            summary["seeds"],
            summary["num_labels_predicted"]["values"],
            strict=True,
        )
        if number < 2
    ]
    assert f"{len(collapsed)} of 2 seeds answer" in caplog.text
    for seed in summary["seeds"]:
        record = json.loads((out / f"seed-{seed}" / "train.json").read_text())
        for mode in ("train", "eval"):
            values = record[mode]["flags"]
            assert values["seed"] == seed
            assert values["output_dir"] == str(out / f"seed-{seed}")
            assert values["metric_for_best"] == "eval_accuracy"
    with pytest.raises(UserError, match="--num_seeds=2 needs --do_eval"):
        run(folder, do_train=True, num_seeds=2)


@pytest.mark.slow
def test_frozen_layers_stay(trained):
    folder, _ = trained
    start = values_of(folder / "out" / "model.ckpt-0")
    frozen = {
        "encoder": ["bert/"],
        "1": ["bert/embeddings", "layer_0"],
    }
    for what, parts in frozen.items():
        name = f"frozen-{what}"
        values = train(folder, name, freeze_layers=what)
        for part in parts:
            assert difference(values, start, part) == 0
        assert difference(values, start, "output_weights") > 0
        if what == "1":
            assert difference(values, start, "pooler") > 0
    with pytest.raises(UserError, match="--freeze_layers=2: give 'encoder'"):
        train(folder, "frozen", freeze_layers="2")


@pytest.mark.thorough
def test_options_that_must_not_change_the_result(trained):
    folder, out = trained
    expected = values_of(out / "model.ckpt-10")
    for name, settings in {
        "accumulated": {"gradient_accumulation_steps": 4},
        "loops": {"iterations_per_loop": 1},
    }.items():
        # The masks of micro-batches are others than the batch's.
        settings |= {"classifier_dropout": 0.1}
        values = train(folder, name, **settings)
        same = name == "loops"
        assert (difference(values, expected, "") == 0) == same
    values = train(folder, "remat", remat=True)
    assert difference(values, expected, "") < 1e-5


@pytest.mark.thorough
def test_options_that_change_the_result(trained):
    folder, out = trained
    expected = values_of(out / "model.ckpt-10")
    seen = []
    for name, settings in {
        "lamb": {"optimizer": "lamb"},
        "decay": {"layerwise_lr_decay": 0.5},
        "weights": {"class_weights": "balanced"},
        "smoothing": {"label_smoothing": 0.2},
        "dropout": {"classifier_dropout": 0.5},
        "bfloat16": {"precision": "bfloat16"},
    }.items():
        values = train(folder, name, **settings)
        assert all(np.isfinite(value).all() for value in values.values())
        assert all(value.dtype != np.float16 for value in values.values())
        moved = difference(values, expected, "output_weights")
        assert 0 < moved < 0.3, name
        seen.append(moved)
    assert len(set(seen)) == len(seen)


def test_class_weights_and_other_mistakes(trained):
    folder, out = trained

    def refuses(message, **changes):
        with pytest.raises(UserError, match=message):
            run(folder, do_train=True, output_dir=f"{out}-bad", **changes)
        assert not (folder / "out-bad").exists()

    for text in ("1", "1,x", "1,-1", "0,0", "nan,1", "1,1,1", "1e39,1"):
        refuses(f"--class_weights={text}: give", class_weights=text)
    refuses(
        "--metric_for_best=accuracy: the evaluation reports balanced_loss, ",
        metric_for_best="accuracy",
    )
    refuses("=2 needs --eval_steps", early_stopping_patience=2)
    refuses("--freeze_layers=²: give", freeze_layers="²")
    refuses(
        "--use_tpu: not with", use_tpu=True, distribution_strategy="mirrored"
    )
    refuses("2147483647 is the last", do_eval=True, num_seeds=2, seed=2**31 - 1)
    refuses(
        "=8 does not divide by --gradient_accumulation_steps=3: use 6 or 9",
        gradient_accumulation_steps=3,
    )
