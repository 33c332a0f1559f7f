"""Which head a training starts with: the checkpoint's, or a new one."""

import json

import numpy as np
import pytest
from support.common import TESTS
from support.labelled_files import flags_of, make
from support.programs import (
    RUN_CLASSIFIER,
    RUN_SQUAD,
    SMALL_CONFIG,
    arguments,
    results_of,
)

from bert_tf import BertConfig, checkpoints, heads, pretrained
from bert_tf.errors import UserError
from bert_tf.programs.initial_heads import new_heads, why_another
from bert_tf.programs.labelled_data import check_answers
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.record import TaskRecord
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import MultiLabel, SingleLabel

REPORTS = TESTS / "reports"
CONFIG = BertConfig(**SMALL_CONFIG)
WIDTH = SMALL_CONFIG["hidden_size"]
MODELS = {
    "two": lambda: heads.BertClassifier(CONFIG, 2),
    "five": lambda: heads.BertClassifier(CONFIG, 5),
    "hidden": lambda: heads.BertClassifier(CONFIG, 2, hidden_units=WIDTH),
    "wide": lambda: heads.BertClassifier(CONFIG, 2, hidden_units=8),
    "tags": lambda: heads.BertTokenClassifier(CONFIG, 2),
    "relations": lambda: heads.BertRelationClassifier(CONFIG, 2),
    "squad": lambda: heads.BertSpanLabeler(CONFIG),
    "pretraining": lambda: heads.BertPretrainer(CONFIG),
}


@pytest.fixture(scope="module")
def prefixes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    for name, make_model in MODELS.items():
        checkpoints.save_checkpoint(make_model(), str(folder / name))
    return {name: str(folder / name) for name in MODELS}


@pytest.mark.parametrize(
    "before, after, misfit",
    [
        ("two", "two", ""),
        ("tags", "two", ""),  # The names are the same: task.json decides.
        ("hidden", "hidden", ""),
        ("pretraining", "pretraining", ""),
        ("two", "five", "output_weights has shape [2, 16] in the checkpoint"),
        ("relations", "two", "output_weights has shape [2, 32]"),
        ("wide", "hidden", "output_weights has shape [2, 8]"),
        ("two", "hidden", "the checkpoint's head has no hidden/"),
        ("hidden", "two", "the checkpoint's head has hidden/"),
    ],
)
def test_heads_are_compared_as_wholes(prefixes, before, after, misfit):
    model = MODELS[after]()
    checkpoint = checkpoints.Checkpoint(prefixes[before])
    found = new_heads(model, prefixes[before])
    assert misfit in found.misfits and bool(misfit) == bool(found.misfits)
    before_loading = {v.path: np.array(v) for v in model.weights}
    checkpoints.load_weights(model, prefixes[before], found.not_read)
    for variable in checkpoints.weights_of(model):
        is_head = not variable.path.startswith("bert/")
        expected = checkpoint.read if variable.path in checkpoint.shapes else 0
        if is_head and misfit:
            expected = before_loading.__getitem__
        np.testing.assert_array_equal(variable, expected(variable.path))


@pytest.mark.parametrize(
    "before, after, absent",
    [
        ("squad", "tags", "no head for this task, but cls/squad/output_w"),
        ("two", "squad", "no head for answers to questions, but output_w"),
        ("two", "pretraining", "masked LM and next sentence prediction"),
        ("pretraining", "two", ""),  # That is what pretraining is for.
    ],
)
def test_heads_that_a_checkpoint_lacks_are_named(
    prefixes, before, after, absent
):
    found = new_heads(MODELS[after](), prefixes[before])
    assert absent in found.absent and bool(absent) == bool(found.absent)
    assert not found.misfits and not found.not_read


@pytest.mark.parametrize(
    "before, now, why",
    [
        (SingleLabel(["0", "1"]), SingleLabel(["0", "1"]), ""),
        (SingleLabel(["0", "1"]), SingleLabel(["1", "0"]), "these are 1, 0"),
        (SingleLabel(["0", "1"]), SingleLabel(["a", "b"]), "labels 0, 1"),
        (SingleLabel(["a", "b"]), MultiLabel(["a", "b"]), "single_label"),
        (Tagging(["O", "B-X"]), SingleLabel(["O", "B-X"]), "the kind"),
        (Regression(1.0, 2.0), Regression(5.0, 9.0), ""),
        (MultipleChoice(4), MultipleChoice(2), ""),
        (MultipleChoice(4), Regression(), "multiple_choice"),
    ],
)
def test_equal_shapes_do_not_make_equal_heads(before, now, why):
    reason = why_another(TaskRecord.of(before), now)
    assert why in reason and bool(why) == bool(reason)


def test_without_a_record_shapes_decide():
    assert not why_another(None, SingleLabel(["a", "b"]))


# ---------------------------------------------------------------------------
# Whole programs.


def report_flags(tmp_path, name, **changes):
    """Flags of a short run of the bundled model."""
    names = ("vocab_file", "bert_config_file", "init_checkpoint")
    return {
        "task_name": "csv",
        **{name: pretrained.BUNDLED_MODEL[name] for name in names},
        "output_dir": str(tmp_path / name),
        "max_seq_length": 32,
        "num_train_epochs": 1.0,
        "train_batch_size": 8,
        **changes,
    }


@pytest.mark.slow
def test_five_stars_after_two_labels(tmp_path, caplog):
    train = str(REPORTS / "C09_train.csv")
    RUN_CLASSIFIER.run(
        **report_flags(tmp_path, "first", train_file=train), do_train=True
    )
    assert "head is new" not in caplog.text
    stars = report_flags(
        tmp_path,
        "stars",
        train_file=str(REPORTS / "C20_stars.csv"),
        dev_file=str(REPORTS / "C20_stars.csv"),
        text_column="review",
        label_column="stars",
        init_checkpoint=str(tmp_path / "first" / "model.ckpt-5"),
    )
    with pytest.raises(UserError, match="labels 0, 1; these are 1, 2, 3, 4, 5"):
        RUN_CLASSIFIER.run(**stars, strict=True, do_train=True)
    assert not (tmp_path / "stars").exists()
    RUN_CLASSIFIER.run(**stars, do_train=True, do_eval=True)
    lines = [r.getMessage() for r in caplog.records]
    (line,) = [line for line in lines if "head is new" in line]
    assert "the encoder is loaded" in line
    assert "trained for the labels 0, 1; these are 1, 2, 3, 4, 5" in line
    task = json.loads((tmp_path / "stars" / "task.json").read_text())
    assert task["labels"] == [*"12345"]
    results = results_of(tmp_path / "stars" / "eval_results.txt")
    assert int(results["global_step"]) == 6
    # The encoder is that of the first run at the start.
    first, start = (
        checkpoints.Checkpoint(str(tmp_path / name))
        for name in ("first/model.ckpt-5", "stars/model.ckpt-0")
    )
    name = "bert/pooler/dense/kernel"
    np.testing.assert_array_equal(first.read(name), start.read(name))
    assert start.shapes["output_weights"] == (5, first.shapes[name][0])
    # Later commands on the run know its own head and labels.
    RUN_CLASSIFIER.run(output_dir=str(tmp_path / "stars"), do_eval=True)
    # Without a training the head must fit.
    stars["output_dir"] = str(tmp_path / "other")
    stars |= {"text_column": "text", "label_column": "label"}
    stars["dev_file"] = train
    stars["init_checkpoint"] = str(tmp_path / "stars" / "model.ckpt-6")
    with pytest.raises(UserError, match="label '0'"):
        RUN_CLASSIFIER.run(**stars, strict=True, do_eval=True)


@pytest.mark.thorough
def test_other_labels_of_the_same_number(tmp_path, caplog):
    """Another meaning of equal shapes is not taken over in silence."""
    folder = make(tmp_path)
    flags = flags_of("single_label", folder, num_train_epochs=0.5)
    RUN_CLASSIFIER.run(**flags, do_train=True)
    text = (folder / "single_label-train.csv").read_text(encoding="utf-8")
    text = text.replace("spam, or so", "yes").replace('a ""ham""', "no")
    (folder / "yes.csv").write_text(text, encoding="utf-8")
    flags["init_checkpoint"] = str(folder / "single_label" / "model.ckpt-3")
    for name, train_file, is_new in (
        ("yes", "yes.csv", True),
        ("again", "single_label-train.csv", False),
    ):
        caplog.clear()
        flags["output_dir"] = str(folder / name)
        flags["train_file"] = str(folder / train_file)
        RUN_CLASSIFIER.run(**flags, do_train=True)
        assert ("the head is new" in caplog.text) == is_new
        before, start = (
            checkpoints.Checkpoint(prefix).read("output_weights")
            for prefix in (
                flags["init_checkpoint"],
                str(folder / name / "model.ckpt-0"),
            )
        )
        assert np.array_equal(before, start) == (not is_new)
    # A tagger's head has the same names; its kind is in task.json.
    caplog.clear()
    ner = flags_of("ner", folder, num_train_epochs=0.5)
    ner["init_checkpoint"] = flags["init_checkpoint"]
    RUN_CLASSIFIER.run(**ner, do_train=True)
    assert "run of the kind single_label, and this one is" in caplog.text


def test_another_size_of_encoder_stays_an_error(tmp_path):
    flags = arguments(tmp_path, data_dir=None)
    flags |= report_flags(
        tmp_path, "out", train_file=str(REPORTS / "C09_train.csv")
    )
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**SMALL_CONFIG, "hidden_size": 32}))
    flags["bert_config_file"] = str(config)
    with pytest.raises(
        UserError, match=r"has shape \[.*the model needs \[.*siz"
    ):
        RUN_CLASSIFIER.run(**flags, do_train=True)


@pytest.mark.slow
def test_run_squad_after_a_classifier_says_that_its_head_is_new(
    prefixes, tmp_path, caplog
):
    caplog.set_level("DEBUG", logger="absl")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(SMALL_CONFIG))
    RUN_SQUAD.run(
        vocab_file=pretrained.BUNDLED_MODEL["vocab_file"],
        bert_config_file=str(config),
        init_checkpoint=prefixes["two"],
        train_file=str(REPORTS / "S_train.json"),
        output_dir=str(tmp_path / "out"),
        max_seq_length=64,
        max_query_length=16,
        train_batch_size=8,
        num_train_epochs=0.5,
        do_train=True,
    )
    assert "no head for answers to questions" in caplog.text


def test_a_head_answers_only_its_own_task():
    """With its labels in another order, each answer would be the other one."""
    sms = SingleLabel(["ham", "spam"], {})
    with pytest.raises(UserError, match=r"labels, \['spam', 'ham'\], are not"):
        check_answers(sms, {"labels": ["spam", "ham"]}, "sms")
    check_answers(sms, {"labels": ["ham", "spam"]}, "sms")
    check_answers(sms, {"labels": ["LABEL_0", "LABEL_1"]}, "sms")
    with pytest.raises(UserError, match="mean, 3.0, are not those"):
        check_answers(Regression(), {"mean": 3.0, "deviation": 2.0}, "sts-b")
