"""run_pretraining.py --teacher: whole runs, and mistakes."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import read_json
from support.pretraining_files import (
    CONFIG,
    SPECS,
    arguments,
    examples,
    make_folder,
    run,
    serialized,
    write_examples,
)
from support.programs import (
    RUN_PRETRAINING,
    as_flags,
    events_of,
    last_line,
    results_of,
    run_here,
    run_program,
    values_of,
)

from bert_tf import BertConfig, BertModel, checkpoints
from bert_tf.attention_distillation import (
    RelationStudent,
    RelationTeacher,
    relation_sums,
)
from bert_tf.data.features import parse_examples
from bert_tf.errors import UserError
from bert_tf.tools import doctor_steps

STUDENT = {**CONFIG, "num_hidden_layers": 2}
TEACHER = {
    **CONFIG,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "initializer_range": 0.5,
}
HEADS = 2  # The most that divide 24 and 16, up to 3.
LOSSES = ("qq_relation_loss", "kk_relation_loss", "vv_relation_loss")
NUM_DEV = 7


def make_teacher(path, **changes):
    """A folder of the original, with a vocabulary; returns its name."""
    path.mkdir()
    config = {**TEACHER, **changes}
    (path / "bert_config.json").write_text(json.dumps(config))
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    names += [f"word{n}" for n in range(config["vocab_size"] - len(names))]
    (path / "vocab.txt").write_text("\n".join(names) + "\n")
    keras.utils.set_random_seed(1)
    model = BertModel(BertConfig(**config))
    checkpoints.save_checkpoint(model, str(path / "bert_model.ckpt"))
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records, the student's config, and a teacher."""
    folder = make_folder(tmp_path_factory.mktemp("teacher"))
    (folder / "config.json").write_text(json.dumps(STUDENT))
    write_examples(folder / "dev.tfrecord", examples(range(30, 30 + NUM_DEV)))
    make_teacher(folder / "teacher")
    return folder


# ---------------------------------------------------------------------------
# Whole runs.

SETTINGS = {
    "do_train": True,
    "num_train_steps": 24,
    "learning_rate": 0.02,
    "save_checkpoints_steps": 12,
    "iterations_per_loop": 1,
}


@pytest.fixture(scope="module")
def trained(folder):
    """A run of the relations alone, which is also evaluated."""
    run(
        folder,
        teacher=str(folder / "teacher"),
        do_eval=True,
        eval_input_file=str(folder / "dev.tfrecord"),
        eval_batch_size=4,
        eval_steps=12,
        **SETTINGS,
    )
    return folder / "out"


@pytest.mark.slow
def test_the_relations_are_learned(trained):
    events = events_of(trained)
    for name in LOSSES:
        losses = [value for _, value in events[name]]
        assert np.mean(losses[-4:]) < 0.92 * np.mean(losses[:4]), name
    for (_, loss), *terms in zip(
        events["loss"], *(events[name] for name in LOSSES), strict=True
    ):
        assert loss == pytest.approx(sum(term for _, term in terms), rel=1e-5)


@pytest.mark.slow
def test_the_run_names_the_teacher_and_has_its_vocabulary(folder, trained):
    record = read_json(trained / "train.json")
    name = str(folder / "teacher")
    assert record["train"]["flags"]["teacher"] == name
    data = read_json(trained / "report" / "data.json")
    assert "teacher" in data["given_flags"]
    vocab = (folder / "teacher" / "vocab.txt").read_text()
    assert (trained / "vocab.txt").read_text() == vocab
    encoder = BertModel.from_pretrained(str(trained))
    assert encoder.config == BertConfig(**STUDENT)


@pytest.mark.slow
def test_checkpoints_hold_the_student_alone(trained):
    before, after = (
        values_of(trained / f"model.ckpt-{step}") for step in (0, 24)
    )
    student = RelationStudent(BertConfig(**STUDENT), has_answers=False)
    trained_names = {v.path for v in student.trainable_variables}
    names = {v.path for v in student.weights}
    slots = {f"{n}/{s}" for n in trained_names for s in ("adam_m", "adam_v")}
    assert {*after} == names | slots | {"global_step"}
    for name in names:
        is_same = np.array_equal(before[name], after[name])
        assert is_same != (name in trained_names), name


@pytest.mark.slow
def test_evaluation_is_that_of_the_models(folder, trained):
    step = int(results_of(trained / "eval_results.txt")["global_step"])
    student = RelationStudent(BertConfig(**STUDENT), has_answers=False)
    prefix = str(trained / "best" / f"model.ckpt-{step}")
    checkpoints.load_weights(student, prefix)
    teacher = RelationTeacher.from_pretrained(str(folder / "teacher"))
    records = [*map(serialized, examples(range(30, 30 + NUM_DEV)))]
    batch = parse_examples(records, SPECS)
    batch["is_real_example"] = tf.ones(NUM_DEV, "int32")
    sums = relation_sums(
        student(batch), {**batch, **teacher(batch)}, ["qq", "kk", "vv"], HEADS
    )
    totals = {name: np.sum(values) for name, values in sums.items()}
    number = totals.pop("num_tokens")
    expected = {name: total / number for name, total in totals.items()}
    expected["loss"] = sum(expected.values())
    results = results_of(trained / "eval_results.txt")
    found = {name: float(value) for name, value in results.items()}
    assert found.pop("global_step") == step
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_resumed_run_on_two_replicas_goes_on_alike(folder, trained):
    """From step 12 to the last."""
    again = folder / "again"
    again.mkdir()
    for path in trained.glob("model.ckpt-12.*"):
        shutil.copy(path, again)
    (again / "checkpoint").write_text(
        'model_checkpoint_path: "model.ckpt-12"\n'
    )
    values = arguments(
        folder,
        teacher=str(folder / "teacher"),
        output_dir=str(again),
        cpu_replicas=2,
        **SETTINGS,
    )
    done = run_program(*as_flags(values), program="run_pretraining.py")
    assert done.returncode == 0, done.stderr
    assert "not trained: the heads, the pooler" in done.stderr
    expected, found = events_of(trained), events_of(again)
    for name in ("loss", "gradient_norm", *LOSSES):
        ours, theirs = found[name], expected[name][12:]
        assert len(ours) == len(theirs) == 12
        # High rates make the rounding of sums grow from step to step.
        for some, tolerance in ((slice(2), 1e-5), (slice(None), 2e-3)):
            np.testing.assert_allclose(
                ours[some], theirs[some], rtol=tolerance, err_msg=name
            )


@pytest.mark.slow
def test_with_masked_words_the_scores_are_also_theirs(folder, trained):
    """Another layer of the teacher, and MiniLM's relations."""
    run(
        folder,
        teacher=str(folder / "teacher"),
        teacher_layer=1,
        teacher_relations=["qk", "vv"],
        relation_heads=4,
        masked_lm_weight=0.5,
        do_eval=True,
        eval_input_file=str(folder / "dev.tfrecord"),
        eval_batch_size=NUM_DEV,  # The loss is a mean of batches.
        init_checkpoint=str(trained / "model.ckpt-24"),
        output_dir=str(folder / "both"),
    )
    results = results_of(folder / "both" / "eval_results.txt")
    found = {name: float(value) for name, value in results.items()}
    relations = found["qk_relation_loss"] + found["vv_relation_loss"]
    others = found["masked_lm_loss"] + found["next_sentence_loss"]
    # A batch adds 1e-5 to the number of masked words.
    assert found["loss"] == pytest.approx(relations + 0.5 * others, rel=1e-5)
    assert (folder / "both" / "report" / "masked.jsonl").exists()


@pytest.mark.slow
def test_the_doctor_measures_steps_with_the_teacher(folder):
    values = arguments(folder, teacher=str(folder / "teacher"))
    with RUN_PRETRAINING.flags(**values):
        finding = doctor_steps.of_pretraining(1, BertConfig(**STUDENT))
    assert finding.what.startswith("a training step takes ")


# ---------------------------------------------------------------------------
# Mistakes.


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"teacher": "/no"}, "--teacher=/no: no such file or folder"),
        ({"teacher": "bert-bas-uncased"}, "did you mean bert-base-uncased"),
        (
            {"teacher_layer": 3},
            "--teacher_layer=3: .* from -3 to -1, or 0 to 2",
        ),
        ({"teacher_layer": -4}, "--teacher_layer=-4: .* has 3 layers, from -3"),
        (
            {"relation_heads": 3},
            "--relation_heads=3: must divide the widths of --teacher, 24, and "
            "of the model to train, 16",
        ),
        ({"teacher_relations": ["qv"]}, "--teacher_relations=qv: some of qq, "),
        ({"teacher_relations": ["qq", "qq"]}, "=qq,qq: some of .* each once"),
        ({"teacher_relations": []}, "some of qq, kk, vv, qk are needed"),
        ({"freeze_layers": "encoder"}, "--freeze_layers=encoder: "),
        ({"freeze_layers": "2"}, "--freeze_layers=2: .* freeze fewer"),
        (
            {"metric_for_best": "masked_lm_accuracy"},
            "the evaluation reports kk_relation_loss, loss, qq_relation_loss",
        ),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    folder, changes, message
):
    values = {"teacher": str(folder / "teacher"), **changes}
    out = folder / "none"
    with pytest.raises(UserError, match=message) as caught:
        run(folder, do_train=True, output_dir=str(out), **values)
    assert "\n" not in str(caught.value)
    assert not out.exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"vocab_size": 90}, "has 90 entries, and that of the model to tra.*"),
        (
            {"max_position_embeddings": 8},
            "it reads 8 tokens at most, and --max_seq_length is 12",
        ),
        ({"type_vocab_size": 1}, "its type_vocab_size is 1, and that of .* 2"),
    ],
)
def test_a_teacher_that_does_not_fit(folder, tmp_path, changes, message):
    name = make_teacher(tmp_path / "other", **changes)
    message = f"--teacher={name}: .*{message}"
    with pytest.raises(UserError, match=message):
        run(
            folder,
            do_train=True,
            teacher=name,
            output_dir=str(tmp_path / "none"),
        )
    assert not (tmp_path / "none").exists()


def test_a_teacher_of_other_words(folder, tmp_path):
    name = make_teacher(tmp_path / "other")
    words = (tmp_path / "other" / "vocab.txt").read_text()
    words = words.replace("word9\n", "term9\n")
    (tmp_path / "other" / "vocab.txt").write_text(words)
    with pytest.raises(UserError, match="vocab.txt, is not that of this run, "):
        run(
            folder,
            do_train=True,
            bert_config_file=None,
            pretrained=str(folder / "teacher"),
            teacher=name,
            output_dir=str(tmp_path / "none"),
        )


def test_folders_without_a_model_and_without_weights(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    config = dataclasses.replace(BertConfig(**TEACHER), num_hidden_layers=4)
    name = make_teacher(tmp_path / "short")
    path = tmp_path / "short" / "bert_config.json"
    path.write_text(json.dumps(config.to_dict()))
    for teacher, message in {
        str(tmp_path / "empty"): f"--teacher={tmp_path}/empty: ",
        name: f"--teacher={name}: .* of the encoder's variables are not in",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            run(
                folder,
                do_train=True,
                teacher=teacher,
                output_dir=str(tmp_path / "none"),
            )
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "none").exists()


def test_flags_of_a_teacher_need_one(folder):
    done = run_here(
        "run_pretraining.py",
        "--do_train",
        "--relation_heads=4",
        *as_flags(arguments(folder, output_dir=str(folder / "none"))),
    )
    assert done.returncode == 1
    assert "--relation_heads=4: it says what is learned" in last_line(done)
    # An empty variable of a shell is not a training without a teacher.
    values = arguments(folder, output_dir=str(folder / "none"), teacher="")
    done = run_here("run_pretraining.py", "--do_train", *as_flags(values))
    assert "--teacher=: an empty name: it must be a name" in last_line(done)
