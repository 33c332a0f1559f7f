"""run_pretraining.py as people use it: whole runs, and their mistakes."""

import csv
import json
import math
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from support.common import read_json, shared
from support.pretraining_files import (
    CONFIG,
    LENGTH,
    PREDICTIONS,
    SPECS,
    arguments,
    changed,
    examples,
    make_folder,
    run,
    serialized,
    write_examples,
)
from support.programs import (
    as_flags,
    events_of,
    last_line,
    results_of,
    run_here,
    run_program,
    values_of,
)

from bert_tf import BertConfig, checkpoints
from bert_tf.data.features import parse_examples
from bert_tf.errors import UserError
from bert_tf.heads import BertPretrainer

KEYS = {
    *("global_step", "loss", "masked_lm_accuracy", "masked_lm_loss"),
    *("next_sentence_accuracy", "next_sentence_loss"),
}


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder and its run of 8 steps, with evaluations and a dev file."""
    folder = make_folder(tmp_path_factory.mktemp("trained"))
    write_examples(folder / "dev.tfrecord", examples(range(30, 43)))
    run(
        folder,
        do_train=True,
        do_eval=True,
        eval_input_file=str(folder / "dev.tfrecord"),
        eval_batch_size=4,
        eval_steps=3,
        metric_for_best="masked_lm_accuracy",
        save_checkpoints_steps=4,
        learning_rate=0.03,
    )
    return folder


def evaluation(folder, name="out"):
    return {
        key: float(value)
        for key, value in results_of(folder / name / "eval_results.txt").items()
    }


def train_record(folder, name="out"):
    return read_json(folder / name / "train.json")["train"]


# ---------------------------------------------------------------------------
# As the original.


def golden_run(out, **changes):
    model = shared("golden/2_modeling/tiny")
    run(
        out,
        input_file=str(
            shared("golden/4_create_pretraining_data/plain.tfrecord")
        ),
        bert_config_file=str(model / "bert_config.json"),
        init_checkpoint=str(model / "bert_model.ckpt"),
        max_seq_length=128,
        max_predictions_per_seq=20,
        do_eval=True,
        max_eval_steps=10,
        **changes,
    )
    return evaluation(out)


def test_evaluation_is_the_originals(tmp_path):
    golden = shared("golden/8_run_pretraining/fixed")
    expected = results_of(golden / "eval_results.txt")
    assert set(expected) == KEYS
    assert golden_run(tmp_path) == {
        name: pytest.approx(float(value), abs=1e-5)
        for name, value in expected.items()
    }


@pytest.mark.slow
def test_training_is_like_the_originals(tmp_path):
    golden = shared("golden/8_run_pretraining/e2e")
    before = results_of(golden.parent / "fixed" / "eval_results.txt")
    after = results_of(golden / "eval_results.txt")
    found = golden_run(
        tmp_path,
        do_train=True,
        train_batch_size=16,
        num_train_steps=20,
        num_warmup_steps=5,
        learning_rate=1e-4,
    )
    assert found["global_step"] == 20
    for name, tolerance in (
        ("loss", 0.15),
        ("masked_lm_loss", 0.1),
        ("masked_lm_accuracy", 0.02),
        ("next_sentence_loss", 0.15),
    ):
        assert found[name] == pytest.approx(float(after[name]), abs=tolerance)
    assert found["masked_lm_loss"] < float(before["masked_lm_loss"]) - 1.0
    assert found["masked_lm_accuracy"] > 0.01
    with open(golden / "checkpoint_variables.tsv") as reader:
        expected = {
            name: tuple(json.loads(shape))
            for name, shape in csv.reader(reader, delimiter="\t")
        }
    checkpoint = checkpoints.Checkpoint(str(tmp_path / "out/model.ckpt-20"))
    assert dict(checkpoint.shapes) == expected


# ---------------------------------------------------------------------------
# Whole runs.


def test_train_and_evaluate(trained):
    out = trained / "out"
    names = {path.name for path in out.iterdir()}
    assert {
        *("best", "checkpoint", "eval", "eval_results.txt", "train.json"),
        *(f"model.ckpt-{step}.index" for step in (0, 4, 8)),
    } < names
    assert not [name for name in names if name.startswith(".")]
    record = read_json(out / "train.json")
    assert record["task_name"] == "pretraining"
    assert record["train"]["num_files"] == 3
    assert record["eval"]["num_files"] == 1
    evaluations = record["train"]["evaluations"]
    assert [scores["step"] for scores in evaluations] == [3, 6, 8]

    # What the likeliest pieces were is what the accuracy says.
    pairs, records = (
        [json.loads(line) for line in (out / "report" / name).open()]
        for name in ("masked.jsonl", "eval.jsonl")
    )
    number = sum(pair["count"] for pair in pairs)
    right = sum(p["count"] for p in pairs if p["piece"] == p["predicted"])
    accuracy = record["eval"]["results"]["masked_lm_accuracy"]
    assert right / number == pytest.approx(accuracy)
    for shown in records:
        assert 6 <= len(shown["tokens"]) <= LENGTH
        for place in shown["masked"]:
            assert place["piece"].startswith("#")  # There is no vocabulary.
            chances = [chance for _, chance in place["best"]]
            assert chances == sorted(chances, reverse=True)
            assert len(chances) == 5

    # The best is evaluated in the end.
    best = max(evaluations, key=lambda scores: scores["masked_lm_accuracy"])
    assert (out / "best" / f"model.ckpt-{best['step']}.index").exists()
    results = evaluation(trained)
    assert set(results) == KEYS
    assert results["global_step"] == best["step"]
    for name in KEYS - {"global_step"}:
        assert results[name] == pytest.approx(best[name], abs=1e-6)

    events = events_of(out / "eval")
    assert set(events) == KEYS - {"global_step"} | {"masked_lm_perplexity"}
    for name, shown in events.items():
        assert shown == [(s["step"], np.float32(s[name])) for s in evaluations]
    for scores in evaluations:
        perplexity = math.exp(scores["masked_lm_loss"])
        assert scores["masked_lm_perplexity"] == pytest.approx(perplexity)
    events = events_of(out)
    assert events["loss"][-1][0] == 8
    parts = ("masked_lm_loss", "next_sentence_loss")
    for (_, loss), *terms in zip(
        events["loss"], *(events[name] for name in parts), strict=True
    ):
        assert loss == pytest.approx(sum(term for _, term in terms), rel=1e-5)


def plain_scores(config, prefix, some_examples, batch_size):
    """The figures of evaluation, from the model's outputs by NumPy."""
    model = BertPretrainer(BertConfig(**config))
    checkpoints.load_weights(model, str(prefix))
    batch = parse_examples([*map(serialized, some_examples)], SPECS)
    outputs = {n: np.float64(x) for n, x in model(batch).items()}
    batch = {name: values.numpy() for name, values in batch.items()}

    def losses_and_hits(logits, labels):
        log_sums = np.log(np.exp(logits).sum(axis=-1))
        right = np.take_along_axis(logits, labels[..., np.newaxis], axis=-1)
        return log_sums - right[..., 0], logits.argmax(axis=-1) == labels

    mlm, mlm_hits = losses_and_hits(
        outputs["mlm_logits"], batch["masked_lm_ids"]
    )
    nsp, nsp_hits = losses_and_hits(
        outputs["nsp_logits"], batch["next_sentence_labels"][:, 0]
    )
    weights = batch["masked_lm_weights"]
    losses = []
    for first in range(0, len(nsp), batch_size):
        part = slice(first, first + batch_size)
        mean = (weights[part] * mlm[part]).sum() / weights[part].sum()
        losses.append(mean + nsp[part].mean())
    return {
        "loss": np.mean(losses),
        "masked_lm_loss": np.average(mlm, weights=weights),
        "masked_lm_accuracy": np.average(mlm_hits, weights=weights),
        "next_sentence_loss": nsp.mean(),
        "next_sentence_accuracy": nsp_hits.mean(),
    }


@pytest.mark.parametrize("max_eval_steps, number", [(None, 13), (2, 8)])
def test_evaluation_takes_each_record_once(trained, max_eval_steps, number):
    """All of them, unless --max_eval_steps is given."""
    changes = {"max_eval_steps": max_eval_steps} if max_eval_steps else {}
    prefix = trained / "out" / "model.ckpt-4"
    name = f"eval-{max_eval_steps}"
    run(
        trained,
        do_eval=True,
        input_file=None,
        eval_input_file=str(trained / "dev.tfrecord"),
        init_checkpoint=str(prefix),
        output_dir=str(trained / name),
        eval_batch_size=4,
        **changes,
    )
    records = examples(range(30, 30 + number))
    expected = plain_scores(CONFIG, prefix, records, batch_size=4)
    found = evaluation(trained, name)
    assert found.pop("global_step") == 0
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_replicas_and_micro_batches_change_nothing(trained):
    settings = {
        "do_train": True,
        "do_eval": True,
        "init_checkpoint": str(trained / "out" / "model.ckpt-4"),
        "eval_input_file": str(trained / "dev.tfrecord"),
        "eval_batch_size": 4,
        "train_batch_size": 8,
        "num_train_steps": 4,
        "iterations_per_loop": 1,
    }
    run(trained, output_dir=str(trained / "one"), **settings)
    # Two parts of the CPU, which only a new process can have.
    settings |= {"cpu_replicas": 2, "gradient_accumulation_steps": 2}
    values = arguments(trained, output_dir=str(trained / "two"), **settings)
    done = run_program(*as_flags(values), program="run_pretraining.py")
    assert done.returncode == 0, done.stderr
    ours, theirs = evaluation(trained, "two"), evaluation(trained, "one")
    assert ours == pytest.approx(theirs, abs=1e-4)
    ours, theirs = events_of(trained / "two"), events_of(trained / "one")
    for name in ("loss", "gradient_norm"):
        assert [step for step, _ in ours[name]] == [1, 2, 3, 4]
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5)


@pytest.mark.slow
def test_a_resumed_training_ends_where_an_uninterrupted_one_ends(folder):
    settings = {"do_train": True, "num_train_steps": 14}
    config = {**CONFIG, "hidden_dropout_prob": 0.1}
    (folder / "config.json").write_text(json.dumps(config))
    run(folder, save_checkpoints_steps=8, **settings)
    # 21 records: an epoch ends in the sixth batch, another in the eleventh.
    again = folder / "again"
    again.mkdir()
    for path in (folder / "out").glob("model.ckpt-8.*"):
        shutil.copy(path, again)
    (again / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-8"\n')
    run(folder, output_dir=str(again), resume="must", **settings)
    assert train_record(folder, "again")["resumed_at_step"] == 8
    expected = values_of(folder / "out" / "model.ckpt-14")
    found = values_of(again / "model.ckpt-14")
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name


@pytest.mark.slow
def test_packed_training_is_as_unpacked(folder, caplog):
    """Records of up to 12 tokens, of which three go into a sequence."""
    caplog.set_level("DEBUG", logger="absl")
    length = 3 * LENGTH
    records = [
        {
            name: np.pad(values, (0, length - LENGTH))
            if len(values) == LENGTH
            else values
            for name, values in record.items()
        }
        for record in examples(range(60))
    ]
    config = {**CONFIG, "max_position_embeddings": length}
    (folder / "config.json").write_text(json.dumps(config))
    for name, changes in {
        "unpacked": {},
        "packed": {"pack_sequences": True},
        "xla": {"pack_sequences": True, "xla": True, "remat": True},
    }.items():
        run(
            folder,
            do_train=True,
            input_file=write_examples(folder / "long.tfrecord", records),
            max_seq_length=length,
            train_batch_size=12,
            num_train_steps=10,
            iterations_per_loop=1,
            output_dir=str(folder / name),
            **changes,
        )
    assert "4 rows of --max_seq_length=36 for 12 examples" in caplog.text
    expected = events_of(folder / "unpacked")["loss"]
    assert [step for step, _ in expected] == [*range(1, 11)]
    for name in ("packed", "xla"):
        found = events_of(folder / name)["loss"]
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_it_goes_on_from_the_originals_checkpoint(tmp_path):
    toy = shared("checkpoints/toy_L-2_H-4")
    out = tmp_path / "out"
    out.mkdir()
    for suffix in ("index", "data-00000-of-00001", "meta"):
        shutil.copy(
            toy / f"bert_model.ckpt.{suffix}", out / f"model.ckpt-20.{suffix}"
        )
    (out / "checkpoint").write_text(
        'model_checkpoint_path: "model.ckpt-20"\n'
        'all_model_checkpoint_paths: "model.ckpt-20"\n'
    )
    settings = {
        "input_file": write_examples(
            tmp_path / "x.tfrecord", examples(range(8), vocab_size=15)
        ),
        "bert_config_file": str(toy / "bert_config.json"),
    }
    run(tmp_path, do_eval=True, **settings)
    assert evaluation(tmp_path)["global_step"] == 20
    run(
        tmp_path,
        do_train=True,
        num_train_steps=21,
        learning_rate=0.0,
        **settings,
    )
    assert train_record(tmp_path)["resumed_at_step"] == 20
    before = values_of(out / "model.ckpt-20")
    after = values_of(out / "model.ckpt-21")
    assert set(after) == set(before) and after["global_step"] == 21
    for name, value in before.items():
        if name.endswith("adam_v"):
            assert (after[name] >= 0.999 * value * (1 - 1e-6)).all(), name
            assert not np.array_equal(after[name], value) or not value.any()
        elif "adam_m" not in name and name != "global_step":
            np.testing.assert_array_equal(after[name], value)


@pytest.mark.slow
def test_checkpoints_with_and_without_heads(trained, caplog):
    values = values_of(trained / "out" / "model.ckpt-8")
    weights = {n: v for n, v in values.items() if "/adam_" not in n}
    encoder = {n: v for n, v in weights.items() if n.startswith("bert/")}
    for number, start in enumerate((weights, encoder)):
        prefix = str(trained / f"start-{number}.ckpt")
        checkpoints.write_checkpoint(
            prefix, {name: tf.constant(x) for name, x in start.items()}
        )
        name = f"start-{number}"
        run(
            trained,
            do_train=True,
            init_checkpoint=prefix,
            output_dir=str(trained / name),
            num_train_steps=1,
            num_warmup_steps=10_000,  # The default, which need not fit.
            learning_rate=0.0,
        )
        found = values_of(trained / name / "model.ckpt-1")
        assert set(found) == set(values) and found["global_step"] == 1
        for key, value in start.items():
            if key != "global_step":
                np.testing.assert_array_equal(found[key], value)
    head = "cls/seq_relationship/output_weights"
    assert not np.array_equal(found[head], values[head])
    assert np.abs(found[head]).max() > 0
    assert "--num_warmup_steps=10000 is more than --num_train_" in caplog.text
    with pytest.raises(UserError, match="has no cls/predictions/"):
        run(
            trained,
            do_eval=True,
            init_checkpoint=prefix,
            output_dir=str(trained / "none"),
        )
    assert not (trained / "none").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        # Options that have nothing to do with each other share a run.
        {"xla": True, "optimizer": "lamb"},
        {"precision": "bfloat16", "remat": True},
        pytest.param(
            {"precision": "float16", "freeze_layers": "embeddings"},
            marks=pytest.mark.thorough,
        ),
        pytest.param({"freeze_layers": "encoder"}, marks=pytest.mark.thorough),
    ],
    ids=" ".join,
)
def test_options(trained, changes):
    name = "-".join(map(str, changes.values()))
    run(
        trained,
        do_train=True,
        do_eval=True,
        output_dir=str(trained / name),
        num_train_steps=4,
        init_checkpoint=str(trained / "out" / "model.ckpt-8"),
        **changes,
    )
    values = values_of(trained / name / "model.ckpt-4")
    assert all(np.isfinite(value).all() for value in values.values())
    assert all(map(math.isfinite, evaluation(trained, name).values()))
    before = values_of(trained / "out" / "model.ckpt-8")
    moved = {
        key
        for key, value in before.items()
        if "adam" not in key and not np.array_equal(values[key], value)
    }
    is_frozen = "freeze_layers" in changes
    assert ("bert/embeddings/word_embeddings" in moved) != is_frozen
    assert "cls/predictions/transform/dense/kernel" in moved


# ---------------------------------------------------------------------------
# Mistakes.


def refused(folder, message, **changes):
    with pytest.raises(UserError, match=message) as caught:
        run(folder, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TRAIN, EVAL = {"do_train": True}, {"do_eval": True}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({}, "At least one of --do_train, --do_eval must be given"),
        ({**TRAIN, "input_file": None}, "--input_file must be given"),
        ({**EVAL, "input_file": None}, "--input_file must be given"),
        ({**TRAIN, "output_dir": None}, "--output_dir must be given"),
        ({**TRAIN, "bert_config_file": "/no"}, "--bert_config_file=/no: no su"),
        (
            {**TRAIN, "input_file": "/no/*"},
            "--input_file: no file matches /no",
        ),
        ({**TRAIN, "input_file": ","}, "--input_file=,: names no file"),
        ({**EVAL, "eval_input_file": "/no"}, "--eval_input_file: no file mat"),
        (
            {**TRAIN, "eval_steps": 2, "eval_input_file": "/no"},
            "--eval_input_file: no file matches /no",
        ),
        (
            {**TRAIN, "max_seq_length": LENGTH + 1},
            f"--max_seq_length=13 exceeds the max_position_embeddings={LENGTH}",
        ),
        (
            {**TRAIN, "max_seq_length": 8},
            f"a.tfrecord: made with --max_seq_length={LENGTH}, not 8",
        ),
        (
            {**EVAL, "max_predictions_per_seq": 20},
            f"a.tfrecord: made with --max_predictions_per_seq={PREDICTIONS}, ",
        ),
        (
            {**TRAIN, "metric_for_best": "f1"},
            "--metric_for_best=f1: .* masked_lm_perplexity",
        ),
        ({**TRAIN, "early_stopping_patience": 1}, "needs --eval_steps"),
        ({**EVAL, "resume": "must"}, "has no checkpoint"),
        (EVAL, "no checkpoint here"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    folder, changes, message
):
    refused(folder, message, **changes)
    assert not (folder / "out").exists()


def test_folders_of_other_tasks_are_refused(folder):
    (folder / "out").mkdir()
    record = folder / "out" / "train.json"
    record.write_text('{"task_name": "squad"}')
    refused(folder, "holds a run of the task 'squad', not 'pret", **TRAIN)
    assert os.listdir(folder / "out") == ["train.json"]


@pytest.mark.slow
def test_wrong_records_end_training_and_evaluation(trained):
    def write(**changes):
        records = [*examples(range(8))]
        records[6] = changed(records[6], **changes)
        return write_examples(trained / "wrong.tfrecord", records)

    path = write(masked_lm_ids={0: 100})
    start = {
        "init_checkpoint": str(trained / "out" / "model.ckpt-8"),
        "output_dir": str(trained / "wrong"),
    }
    message = "wrong.tfrecord, record 7: masked_lm_ids has 100, allowed are 0 "
    refused(trained, message, input_file=path, **TRAIN, **start)
    assert (trained / "wrong" / "model.ckpt-0.index").exists()
    refused(trained, message, eval_input_file=path, **EVAL, **start)
    path = write(segment_ids=[0])
    message = "wrong.tfrecord, record 7: segment_ids is missing, or does not"
    refused(trained, message, input_file=path, **TRAIN, **start)
    content = (trained / "a.tfrecord").read_bytes()
    with open(path, "wb") as writer:
        writer.write(content[:-9] + b"damaged!!")
    refused(
        trained,
        f"{path}: damaged after record 11",
        input_file=f"{trained}/b.tfrecord,{path}",
        **EVAL,
        **start,
    )


def test_the_program_ends_in_one_line(folder):
    (folder / "a.tfrecord").write_text("some text, of which no record is made")
    done = run_here(
        "run_pretraining.py", *as_flags(arguments(folder)), "--do_train"
    )
    assert done.returncode == 1
    assert last_line(done) == (
        f"run_pretraining.py: {folder}/a.tfrecord: not a TFRecord file, or "
        "damaged from the start"
    )
    assert "Traceback" not in done.stderr
