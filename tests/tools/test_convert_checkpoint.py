"""Checkpoints without the state of training, and whole folders."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from support.common import GOLDEN, TINY_CONFIG, read_json
from support.programs import DEMO, last_line, program_of, run_here, values_of

from bert_tf import BertConfig, BertModel, checkpoints, loading, pretrained
from bert_tf.errors import UserError
from bert_tf.formats import safetensors_files
from bert_tf.heads import BertClassifier
from bert_tf.tokenizer_settings import TokenizerSettings

CONVERT = program_of("bert_tf.tools.convert_checkpoint")
ODD = GOLDEN / "modeling" / "odd"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint with what training adds."""
    prefix = str(tmp_path_factory.mktemp("trained") / "model.ckpt-7")
    tensors = values_of(ODD / "bert_model.ckpt")
    for name, value in [*tensors.items()]:
        tensors[f"{name}/adam_m"] = tensors[f"{name}/adam_v"] = value
    tensors["global_step"] = np.int64(7)
    tensors["bert_tf/loss_scale"] = np.float32(2)
    checkpoints.write_checkpoint(prefix, tensors)
    return prefix


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_weights_alone_are_kept(trained, tmp_path, precision):
    target = str(tmp_path / "new" / "bert_model.ckpt")
    CONVERT.run(
        init_checkpoint=trained, output_checkpoint=target, precision=precision
    )
    found, expected = values_of(target), values_of(ODD / "bert_model.ckpt")
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == precision
        np.testing.assert_array_equal(found[name], value.astype(precision))
    model = BertModel(BertConfig.from_json_file(str(ODD / "bert_config.json")))
    assert not checkpoints.load_weights(model, target).missing
    assert {v.dtype for v in model.weights} == {"float32"}
    with pytest.raises(UserError, match="already exists"):
        CONVERT.run(init_checkpoint=trained, output_checkpoint=target)


def test_what_does_not_fit_is_refused(tmp_path):
    prefix = str(tmp_path / "large")
    checkpoints.write_checkpoint(prefix, {"bert/x": np.float32([1e6])})
    target = str(tmp_path / "small")
    with pytest.raises(UserError, match="--precision=float16: bert/x of .*lar"):
        CONVERT.run(
            init_checkpoint=prefix,
            output_checkpoint=target,
            precision="float16",
        )
    with pytest.raises(UserError, match="no such checkpoint"):
        CONVERT.run(init_checkpoint=target, output_checkpoint=target)
    assert not (tmp_path / "small.index").exists()


def test_a_checkpoint_with_some_of_its_layers(trained, tmp_path):
    """Layer 2 becomes layer 1; the moments of training are left out."""
    target = str(tmp_path / "bert_model.ckpt")
    CONVERT.run(
        init_checkpoint=trained, output_checkpoint=target, keep_layers="0,2"
    )
    expected = {
        name.replace("/layer_2/", "/layer_1/"): value
        for name, value in values_of(ODD / "bert_model.ckpt").items()
        if "/layer_1/" not in name
    }
    assert_same(values_of(target), expected)


# ---------------------------------------------------------------------------
# Whole folders.


def convert(source, target, **values):
    CONVERT.run(**{"from": str(source), "to": str(target), **values})
    return target


def contents_of(folder):
    weights = pretrained.open(str(folder)).weights()
    return {n: weights.read(n) for n in checkpoints.weights_in(weights)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """What a run leaves: a tiny classifier of three labels with its scores."""
    folder = tmp_path_factory.mktemp("runs") / "tickets"
    folder.mkdir()
    model = BertClassifier(TINY_CONFIG, 3)
    tensors = checkpoints.tensors_of(model)
    tensors["global_step"] = np.int64(7)
    checkpoints.write_checkpoint(str(folder / "model.ckpt-7"), tensors)
    flags = {"do_lower_case": False, "strip_accents": True}
    for name, content in {
        "bert_config.json": TINY_CONFIG.to_dict(),
        "train.json": {"task_name": "csv", "train": {"flags": flags}},
        "task.json": TASK,
    }.items():
        (folder / name).write_text(json.dumps(content), "utf-8")
    words = [*"[PAD] [UNK] [CLS] [SEP] [MASK] a b c é".split()]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    (folder / "labels.txt").write_text("late\nlöst\nother\n", "utf-8")
    (folder / "eval_results.txt").write_text("accuracy = 0.9125\nloss = 0.25\n")
    return folder


LABELS = ["late", "löst", "other"]
TASK = {
    "problem": "multi_label",
    "labels": LABELS,
    "thresholds": {"late": 0.25},
}


def test_the_bundled_model_goes_through_all_formats(tmp_path):
    """There is no format that changes a number, or loses a variable."""
    expected = contents_of("demo")
    assert len(expected) == 46
    half = convert("demo", tmp_path / "half", precision="float16")
    place, formats = half, ("huggingface", "keras", "original", "huggingface")
    for number, form in enumerate(formats):
        place = convert(place, tmp_path / str(number), format=form)
        assert_same(contents_of(place), expected)
        stored = pretrained.open(str(place))
        assert stored.config == pretrained.open("demo").config
        vocab = (tmp_path / str(number) / "vocab.txt").read_text("utf-8")
        assert vocab == (DEMO / "demo" / "vocab.txt").read_text("utf-8")
        assert stored.tokenizer == pretrained.open("demo").tokenizer


def test_a_run_keeps_all_that_it_knows(run_folder, tmp_path):
    expected = contents_of(run_folder)
    assert "global_step" not in expected
    place = run_folder
    for form in ("huggingface", "original", "keras", "huggingface"):
        place = convert(place, tmp_path / f"{place.name}_{form}", format=form)
        stored = pretrained.open(str(place))
        assert_same(contents_of(place), expected)
        assert (stored.kind, stored.labels) == ("multi_label", LABELS)
        assert stored.task == TASK
        assert stored.tokenizer == TokenizerSettings(
            do_lower_case=False, strip_accents=True
        )
        assert (place / "labels.txt").read_text("utf-8").split() == LABELS
    values = read_json(place / "config.json")
    assert values["id2label"] == {"0": "late", "1": "löst", "2": "other"}
    assert values["problem_type"] == "multi_label_classification"


def test_a_model_with_some_of_its_layers(run_folder, tmp_path):
    folder = convert(run_folder, tmp_path / "one", keep_layers="0")
    ids = {"input_ids": np.array([[2, 5, 6, 3]])}
    small, whole = (
        BertModel.from_pretrained(str(path))(ids)
        for path in (folder, run_folder)
    )
    np.testing.assert_allclose(
        small["sequence_output"], whole["all_encoder_layers"][0], atol=1e-6
    )
    stored = pretrained.open(str(folder))
    assert stored.config == dataclasses.replace(
        TINY_CONFIG, num_hidden_layers=1
    )
    assert (stored.kind, stored.labels) == ("multi_label", LABELS)
    assert "accuracy" not in (folder / "README.md").read_text("utf-8")
    both = convert(run_folder, tmp_path / "both", keep_layers="0, 1")
    assert_same(contents_of(both), contents_of(run_folder))
    for form in ("huggingface", "keras"):
        folder = convert(folder, tmp_path / form, format=form)
        assert pretrained.open(str(folder)).config.num_hidden_layers == 1


@pytest.mark.parametrize(
    "layers, message",
    [
        ("0,2", "--keep_layers=0,2: there is no layer 2: the encoder has 2, f"),
        ("1,0", "--keep_layers=1,0: each layer can be named once, in rising"),
        ("0,0", "--keep_layers=0,0: each layer can be named once"),
        ("", "--keep_layers=: whole numbers from 0 are needed, separated by"),
        ("-1", "--keep_layers=-1: whole numbers from 0 are needed"),
        ("0;1", "--keep_layers=0;1: whole numbers from 0 are needed"),
    ],
)
def test_wrong_layers(run_folder, tmp_path, layers, message):
    with pytest.raises(UserError, match=message):
        convert(run_folder, tmp_path / "new", keep_layers=layers)
    with pytest.raises(UserError, match=message):
        CONVERT.run(
            init_checkpoint=str(run_folder / "model.ckpt-7"),
            output_checkpoint=str(tmp_path / "new"),
            keep_layers=layers,
        )
    assert not [*tmp_path.iterdir()]


def test_the_card_says_what_is_known(run_folder, tmp_path):
    folder = convert(run_folder, tmp_path / "new", format="huggingface")
    card = (folder / "README.md").read_text("utf-8")
    front, _, body = card.removeprefix("---\n").partition("\n---\n")
    assert front.splitlines() == [
        "license:  # To be filled in by the owner of the model.",
        "library_name: transformers",
        "pipeline_tag: text-classification",
    ]
    assert "# tickets\n" in body and "gives a text any number of" in body
    assert "`late`, `löst`, `other`" in body
    assert "| accuracy | 0.9125 |\n| loss | 0.25 |\n" in body
    assert "probability on: `late` 0.25." in body
    assert 'BertForSequenceClassification.from_pretrained("FOLDER")' in body
    assert 'BertClassifier.from_pretrained("FOLDER")' in body
    assert body.endswith("To be filled in by the owner of the model.\n")
    # A head that is left out has no labels and no scores.
    folder = convert(run_folder, tmp_path / "encoder", head="")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    card = (folder / "README.md").read_text("utf-8")
    assert "accuracy" not in card and "late" not in card
    assert {*contents_of(folder)} == {
        n for n in contents_of(run_folder) if n.startswith("bert/")
    }


def test_a_regression_says_how_its_output_is_read(tmp_path):
    model = BertClassifier(TINY_CONFIG, 1)
    model.save_pretrained(str(tmp_path / "a"), kind="regression")
    task = {"problem": "regression", "mean": 2.5, "deviation": 0.5}
    (tmp_path / "a" / "task.json").write_text(json.dumps(task))
    folder = convert(tmp_path / "a", tmp_path / "b", format="huggingface")
    assert "`output * 0.5 + 2.5`" in (folder / "README.md").read_text("utf-8")
    assert read_json(folder / "config.json")["problem_type"] == "regression"
    folder = convert(folder, tmp_path / "c")
    assert read_json(folder / "task.json") == task


def test_a_head_of_which_nothing_says_the_kind(run_folder, tmp_path):
    prefix = tmp_path / "plain" / "bert_model.ckpt"
    checkpoints.write_checkpoint(str(prefix), contents_of(run_folder))
    config = json.dumps(TINY_CONFIG.to_dict())
    (tmp_path / "plain" / "bert_config.json").write_text(config)
    target = tmp_path / "new"
    for head, message in (
        (None, "--head must be given: .*ckpt does not say which"),
        ("labels", "--head=labels: one of embedding, pretraining, masked_lm"),
        ("masked_lm", "--head=masked_lm: the model has no variable cls/pred"),
        ("relation", "--head=relation: transformers' BERT has no such head"),
    ):
        with pytest.raises(UserError, match=message):
            convert(prefix, target, head=head, format="huggingface")
        assert [path.name for path in tmp_path.iterdir()] == ["plain"]
    folder = convert(prefix, target, head="tags", format="huggingface")
    stored = pretrained.open(str(folder))
    assert stored.kind == "tags" and stored.vocab_file is None
    assert stored.labels == ["LABEL_0", "LABEL_1", "LABEL_2"]


def test_a_head_that_is_not_there(run_folder, tmp_path):
    """A training that makes its head at the end was stopped."""
    stopped = shutil.copytree(run_folder, tmp_path / "stopped")
    (prefix,) = {path.with_suffix("") for path in stopped.rglob("*.index")}
    weights = {
        name: value
        for name, value in values_of(prefix).items()
        if not name.startswith("output_")
    }
    checkpoints.write_checkpoint(str(prefix), weights)
    message = "stopped: its files say .* multi_label, but the weights have no"
    with pytest.raises(UserError, match=f"{message} output_weights; an empty"):
        convert(stopped, tmp_path / "new")
    convert(stopped, tmp_path / "new", head="")
    assert pretrained.open(str(tmp_path / "new")).kind is None
    stored = pretrained.open(str(stopped))
    with pytest.raises(UserError, match="output_bias is missing: the head is"):
        loading.make_model(BertClassifier, stored, {}, is_whole=True)


def test_variables_that_are_not_converted_are_named(tmp_path, warnings):
    convert("demo", tmp_path / "a", head="masked_lm", format="huggingface")
    messages = warnings()
    for name in ("weights", "bias"):
        assert f"demo: not converted: cls/seq_relationship/output_{name}" in (
            messages
        )
    assert messages[-1] == (
        f"{tmp_path / 'a'}: huggingface has no place for "
        "bert/pooler/dense/bias, bert/pooler/dense/kernel"
    )


def test_nothing_is_half_written(run_folder, tmp_path, monkeypatch):
    target = tmp_path / "new"
    for values, message in (
        ({"from": "demmo"}, "demmo: no such file .* mean demo"),
        ({"format": "keras", "precision": "float16"}, "--precision=float16: a"),
    ):
        with pytest.raises(UserError, match=message):
            convert(values.pop("from", "demo"), target, **values)
        assert not [*tmp_path.iterdir()]
    tool, copy = "bert_tf/tools/convert_checkpoint.py", "--output_checkpoint=x"
    done = run_here(tool, "--from=demo", f"--to={target}", copy)
    assert last_line(done).endswith(
        f"{copy}: --from and --to convert a whole model"
    )
    done = run_here(tool, "--init_checkpoint=a", copy, "--head=tags")
    assert last_line(done).endswith("--head=tags: it is for --from and --to")

    def full(path, arrays):
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(safetensors_files, "write_safetensors", full)
    with pytest.raises(OSError, match="No space left"):
        convert(run_folder, target, format="huggingface")
    assert not [*tmp_path.iterdir()]
    target.mkdir()  # An empty folder may be there.
    convert(run_folder, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with pytest.raises(UserError, match="--to=.*new: already exists"):
        convert("demo", target)
    assert before == {p.name: p.read_bytes() for p in target.iterdir()}


def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch):
    """`--to=$OUT` without an OUT must not replace where the user works."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work.txt").write_text("mine")
    with pytest.raises(UserError, match="--to=: a folder is needed"):
        CONVERT.run(**{"from": "demo", "to": ""})
    with pytest.raises(UserError, match="--from=: a name or a folder is need"):
        CONVERT.run(**{"from": "", "to": "new"})
    assert (tmp_path / "work.txt").read_text() == "mine"
