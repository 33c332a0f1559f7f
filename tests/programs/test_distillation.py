"""--teacher and --unlabelled_file: a student learns from a larger model."""

import collections
import json
import shutil

import numpy as np
import pytest
from support.common import json_lines, read_json
from support.programs import (
    DEMO,
    RUN_CLASSIFIER,
    SMALL_CONFIG,
    arguments,
    make_folder,
    program_of,
    run,
    values_of,
    write,
)

from bert_tf import BertConfig, checkpoints
from bert_tf.data.input_example import InputExample
from bert_tf.errors import UserError
from bert_tf.heads import BertClassifier
from bert_tf.modeling import BertModel
from bert_tf.programs import labelled_run, teaching, unlabelled_texts
from bert_tf.tasks.registry import get_task
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.teacher_answers import translation
from bert_tf.tasks.texts import SingleLabel

CONVERT = program_of("bert_tf.tools.convert_checkpoint")
SMS = {"problem": "single_label", "labels": ["ham", "spam"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("distillation"))


@pytest.fixture(scope="module")
def sms_teacher(folder):
    return make_teacher(folder / "teacher", folder)


def make_teacher(path, data, task=SMS, **config):
    """A folder with a small model that nobody has trained."""
    path.mkdir()
    config = {**SMALL_CONFIG, **config}
    (path / "bert_config.json").write_text(json.dumps(config))
    shutil.copy(data / "vocab.txt", path)
    config = BertConfig(**config)
    model = BertClassifier(config, 2) if task else BertModel(config)
    if task:
        (path / "task.json").write_text(json.dumps(task))
    write_weights(path, model)
    return path


def write_weights(path, model):
    tensors = checkpoints.tensors_of(model)
    arrays = {name: np.array(x) for name, x in tensors.items()}
    checkpoints.write_checkpoint(str(path / "bert_model.ckpt"), arrays)


# ---------------------------------------------------------------------------
# The teacher.


@pytest.mark.parametrize(
    "task, config, flags, message",
    [
        (
            {**SMS, "labels": ["ham", "egg"]},
            {},
            {},
            "its labels are ham, egg; those of this run are ham, spam",
        ),
        (
            {"problem": "regression", "mean": 0.0, "deviation": 1.0},
            {},
            {},
            "its head is of the kind regression, and this task needs single_l",
        ),
        ({}, {}, {}, "a pretrained model without a head for this task"),
        (
            SMS,
            {"max_position_embeddings": 8},
            {},
            "it reads 8 tokens at most, and --max_seq_length is 16",
        ),
        (
            SMS,
            {},
            {"do_lower_case": False},
            "it reads texts with --do_lower_case=True, and this run with False",
        ),
        (
            SMS,
            {},
            {"distill_layers": "0:0,1:0"},
            "0:0,1:0: the teacher has 1 layer, from 0 to 0, and no layer 1",
        ),
        (
            SMS,
            {"hidden_size": 8},
            {"distill_layers": "0:-1"},
            "both models must have the same width; the teacher's is 8, the",
        ),
        (SMS, {"type_vocab_size": 1}, {}, "its type_vocab_size is 1, and "),
        (SMS, {}, {"distill_layers": "0-0"}, "0-0: give pairs of layers"),
        (
            SMS,
            {},
            {"distill_weight": 0.0},
            "--distill_weight=0.0: nothing would be learned of the teacher",
        ),
    ],
)
def test_a_teacher_that_cannot_teach(
    folder, sms_teacher, tmp_path, task, config, flags, message
):
    teacher = sms_teacher
    if task != SMS or config:
        teacher = make_teacher(tmp_path / "teacher", folder, task, **config)
    out = tmp_path / "out"
    with pytest.raises(UserError) as error:
        run(
            folder,
            do_train=True,
            teacher=str(teacher),
            output_dir=str(out),
            **flags,
        )
    assert message in str(error.value) and "\n" not in str(error.value)
    what = next((f for f in flags if f.startswith("distill")), "teacher")
    value = flags.get(what, teacher)
    assert str(error.value).startswith(f"--{what}={value}: ")
    assert not out.exists()


def test_a_teacher_with_another_vocabulary(folder, tmp_path):
    teacher = make_teacher(tmp_path / "teacher", folder)
    words = (teacher / "vocab.txt").read_text("utf-8").split("\n")
    words[7] = "qqother"
    (teacher / "vocab.txt").write_text("\n".join(words), "utf-8")
    with pytest.raises(UserError, match="entry 7 is 'qqother', and here "):
        run(folder, do_train=True, teacher=str(teacher))
    (teacher / "vocab.txt").write_text("\n".join(words[:-9]), "utf-8")
    with pytest.raises(UserError, match=r"it has \d,\d+ entries, and this one"):
        run(folder, do_train=True, teacher=str(teacher))
    (teacher / "vocab.txt").unlink()
    with pytest.raises(UserError, match="it has no vocabulary to compare"):
        run(folder, do_train=True, teacher=str(teacher))
    with pytest.raises(UserError, match="this is the folder of the run itself"):
        run(
            folder,
            do_train=True,
            teacher=str(teacher),
            output_dir=str(teacher),
        )


def test_a_teacher_whose_labels_have_no_names(folder, tmp_path, caplog):
    """transformers writes none for two labels."""
    path = tmp_path / "teacher"
    teacher = make_teacher(path, folder, {"problem": "single_label"})
    values = arguments(folder, do_train=True, teacher=str(teacher))
    config = BertConfig(**SMALL_CONFIG)
    with RUN_CLASSIFIER.flags(**values):
        found = teaching.find_for_problem(SingleLabel(["a", "b"]), config)
        assert found.stored.path == str(teacher)
        assert "have no names; they are taken for a, b" in caplog.text
        with pytest.raises(UserError, match="its labels are LABEL_0, LABEL_1"):
            teaching.find_for_problem(SingleLabel(["a", "b", "c"]), config)


def test_labels_are_matched_by_their_names():
    logits = np.array([[1.0, 2.0, 3.0]], np.float32)
    student = SingleLabel(["a", "b", "c"])
    found = translation(student, {"labels": ["c", "a", "b"]})(logits)
    np.testing.assert_array_equal(found, [[2.0, 3.0, 1.0]])
    same = translation(student, {"labels": ["a", "b", "c"]})
    assert same(logits) is logits
    unnamed = {"labels": ["LABEL_0", "LABEL_1", "LABEL_2"]}
    assert translation(student, unnamed)(logits) is logits
    with pytest.raises(UserError, match="its labels are a, b; those of this"):
        translation(student, {"labels": ["a", "b"]})


def test_numbers_are_on_the_students_scale():
    student = Regression(mean=10.0, deviation=4.0)
    record = Regression(mean=-2.0, deviation=3.0).record()
    number = np.array([[1.5]], np.float32)  # It means 1.5 * 3 - 2.
    found = translation(student, record)(number)
    np.testing.assert_allclose(found, [[(2.5 - 10.0) / 4.0]], rtol=1e-6)


# ---------------------------------------------------------------------------
# Texts without labels.


def read(folder, path, **values):
    given = {**arguments(folder), "unlabelled_file": str(path), **values}
    with RUN_CLASSIFIER.flags(**given) as flags:
        settings = labelled_run.task_settings(flags.flag_values_dict())
        return unlabelled_texts.read(
            get_task(given["task_name"]), settings, True
        )


@pytest.mark.parametrize(
    "name, content, flags, texts, pairs, lines",
    [
        ("a.txt", "One text.\n\nAnother, longer one.\n", {}, 2, None, [1, 3]),
        (
            "b.tsv",
            "sentence\tlabel\nA film\t1\nOf note\t0\n",
            {"task_name": "sst-2"},
            ["A film", "Of note"],
            None,
            [2, 3],
        ),
        (
            "c.csv",
            "id,message\n1,\n2,hello\n",
            {"task_name": "csv", "text_column": "message"},
            ["hello"],
            None,
            [3],
        ),
        (
            "d.jsonl",
            json_lines(
                {"text": "a", "label": "x", "other": "b"}, {"text": "c"}
            ),
            {"task_name": "tsv", "text_pair_column": "other"},
            ["a", "c"],
            ["b", ""],
            [1, 2],
        ),
        (
            "e.tsv",
            "question\tsentence\nWho?\tIt is me.\n",
            {"task_name": "qnli"},
            ["Who?"],
            ["It is me."],
            [2],
        ),
    ],
)
def test_files_of_texts(
    folder, tmp_path, name, content, flags, texts, pairs, lines
):
    path = write(tmp_path, name, content)
    table = read(folder, path, **flags)
    found = [*table]
    if isinstance(texts, int):
        assert len(found) == texts
    else:
        assert [e.text_a for e in found] == texts
    assert [e.text_b for e in found] == (pairs or [None] * len(found))
    assert [e.line for e in found] == lines
    assert all(e.label is None for e in found)
    assert len({e.guid for e in found}) == len(found)


@pytest.mark.parametrize(
    "content, flags, message",
    [
        ("", {}, "unlabelled_file=.*: no text in this file"),
        ("\n\n", {}, "unlabelled_file=.*: no text in this file"),
        (
            "id,body\n1,hello\n",
            {"task_name": "csv"},
            "a.csv: no column text, where the model's text should be; it has "
            "id, body; `?text_column`? chooses another",
        ),
    ],
)
def test_files_without_texts(folder, tmp_path, content, flags, message):
    path = write(tmp_path, "a.csv", content)
    with pytest.raises(UserError, match=message):
        read(folder, path, **flags)


@pytest.mark.parametrize("value", [["a"], {"b": 1}, True])
def test_values_that_are_no_texts(folder, tmp_path, value):
    rows = json_lines({"text": "a"}, {"text": 5}, {"text": value})
    path = write(tmp_path, "a.jsonl", rows)
    with pytest.raises(UserError, match=r"a.jsonl:3: a text must be a string"):
        read(folder, path, task_name="tsv")


def test_lines_of_another_encoding(folder, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("grüße\n".encode("latin-1"))
    table = read(folder, path, task_name="tsv", encoding="latin-1")
    assert [e.text_a for e in table] == ["grüße"]
    with pytest.raises(UserError, match=r"a.txt:1: not UTF-8: byte 0xfc"):
        read(folder, path, task_name="tsv")


def test_the_smaller_part_is_spread_evenly():
    labelled = [InputExample(f"l-{i}", "a", label="x") for i in range(7)]
    others = [InputExample(f"u-{i}", "b") for i in range(100)]
    for parts in ((labelled, others), (others, labelled)):
        mixed = unlabelled_texts.Mixed(*parts)
        found = [example.guid for example in mixed]
        assert len(mixed) == len(found) == len({*found}) == 107
        places = [i for i, guid in enumerate(found) if guid[0] == "l"]
        assert {*np.diff(places)} <= {15, 16}
        order = collections.defaultdict(list)
        for guid in found:
            order[guid[0]].append(int(guid[2:]))
        assert all(numbers == sorted(numbers) for numbers in order.values())


# ---------------------------------------------------------------------------
# Whole runs.


@pytest.mark.slow
def test_a_student_of_the_bundled_model(tmp_path):
    """Teacher, student with a half of its layers, and texts without labels."""
    folder = make_folder(tmp_path)
    flags = {"vocab_file": None, "bert_config_file": None, "do_train": True}
    flags |= {"num_train_epochs": 1.0}
    teacher, start, out = (folder / n for n in ("teacher", "start", "out"))
    shutil.copytree(DEMO / "demo", teacher)
    (teacher / "task.json").write_text(json.dumps(SMS))
    model = BertClassifier.from_pretrained("demo", num_labels=2)
    write_weights(teacher, model)
    CONVERT.run(**{"from": str(teacher), "to": str(start), "keep_layers": "1"})
    path = write(folder, "more.txt", "Come home now.\nWin a free prize!\n" * 10)
    flags |= {
        "pretrained": str(start),
        "teacher": str(teacher),
        "distill_layers": "1:0",
        "unlabelled_file": str(path),
        "save_checkpoints_steps": 4,
        "gradient_accumulation_steps": 2,
    }
    run(folder, **flags)
    record = read_json(out / "train.json")["train"]
    # 41 rows with labels and 20 without, in batches of 8.
    assert record["num_train_steps"] == 61 // 8
    assert (record["num_examples"], record["num_unlabelled"]) == (41, 20)
    assert record["flags"]["teacher"] == str(teacher)
    sets = read_json(out / "report" / "data.json")["sets"]
    assert sets["train"]["num_examples"] == 41
    assert sets["unlabelled"]["num_examples"] == 20
    lines = (out / "report" / "steps.jsonl").read_text().splitlines()
    terms = json.loads(lines[0])["losses"]
    assert {*terms} == {"labels_loss", "teacher_loss", "layers_loss"}
    assert sum(terms.values()) == pytest.approx(
        json.loads(lines[0])["loss"], abs=1e-4
    )
    # It has the student's variables alone.
    last = values_of(out / "model.ckpt-7")
    names = {name.partition("/adam_")[0] for name in last}
    assert names - {"global_step"} == {*values_of(start / "bert_model.ckpt")}
    # A training that was interrupted ends with the same model.
    for file in out.glob("model.ckpt-7*"):
        file.unlink()
    run(folder, **flags)
    for name, value in values_of(out / "model.ckpt-7").items():
        np.testing.assert_allclose(value, last[name], atol=1e-6, err_msg=name)
