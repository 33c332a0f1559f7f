"""Models by name and from folders, and the errors of what cannot be opened."""

import json
import pathlib
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from support.common import ROOT, TINY_CONFIG, read_json
from support.hugging_face_models import LABELS, copy, unpack

from bert_tf import (
    BertConfig,
    BertModel,
    BertPreprocessor,
    FullTokenizer,
    checkpoints,
    pretrained,
)
from bert_tf.embeddings import TextEmbedder
from bert_tf.errors import UserError
from bert_tf.fill_mask import FillMask
from bert_tf.heads import BertClassifier
from bert_tf.tokenizer_settings import TokenizerSettings

DEMO = pathlib.Path(pretrained.ASSETS, "demo")
UNCASED = TokenizerSettings()
CASED = TokenizerSettings(do_lower_case=False)
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h i j".split()


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """A tiny checkpoint of a classifier."""
    path = str(tmp_path_factory.mktemp("tiny") / "x.ckpt")
    checkpoints.save_checkpoint(BertClassifier(TINY_CONFIG, 2), path)
    return path


@pytest.fixture
def make(prefix, tmp_path):
    """Function that makes a folder with a config, words and checkpoints."""

    def make(name, *checkpoints_, words=WORDS, **contents):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        values = TINY_CONFIG.to_dict()
        (folder / "bert_config.json").write_text(json.dumps(values))
        if words:
            (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
        for checkpoint in checkpoints_ or ("bert_model.ckpt",):
            (folder / checkpoint).parent.mkdir(exist_ok=True)
            for end in (".index", ".data-00000-of-00001"):
                shutil.copy(f"{prefix}{end}", folder / f"{checkpoint}{end}")
        for file, content in contents.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / f"{file}.json").write_text(text, "utf-8")
        return folder

    return make


def error_of(path) -> str:
    with pytest.raises(UserError) as error:
        pretrained.open(str(path))
    assert "\n" not in str(error.value)
    return str(error.value)


# ---------------------------------------------------------------------------
# What opens.


def test_the_bundled_model_has_a_name(here):
    model = pretrained.open("demo")
    assert model.config_file == pretrained.BUNDLED_MODEL["bert_config_file"]
    assert model.vocab_file == pretrained.BUNDLED_MODEL["vocab_file"]
    assert model.weights_file == pretrained.BUNDLED_MODEL["init_checkpoint"]
    assert (model.kind, model.labels, model.tokenizer) == (None, None, UNCASED)
    # A folder of this name that holds something else does not hide it.
    pathlib.Path("demo").mkdir()
    pathlib.Path("demo", "data.csv").write_text("text,label\n")
    assert pretrained.open("demo") == model
    shutil.copytree(DEMO, "demo", dirs_exist_ok=True)
    assert pretrained.open("demo").config_file == "demo/bert_config.json"


@pytest.mark.slow
def test_every_class_reads_it_by_its_name():
    encoder = BertModel.from_pretrained("demo")
    stored = checkpoints.Checkpoint(pretrained.BUNDLED_MODEL["init_checkpoint"])
    for variable in checkpoints.weights_of(encoder):
        np.testing.assert_array_equal(variable, stored.read(variable.path))
    model = BertClassifier.from_pretrained("demo", num_labels=3)
    assert model.config == encoder.config and model.num_labels == 3
    tokenizer = FullTokenizer.from_pretrained("demo")
    assert tokenizer.tokenize("The Dog") == ["the", "dog"]
    ids = BertPreprocessor.from_pretrained("demo", max_seq_length=8)(["dog"])
    assert ids["input_ids"].shape == (1, 8)
    assert FillMask.from_pretrained("demo").missing == []
    embed = TextEmbedder.from_pretrained("demo", max_seq_length=8)
    assert embed.embed(["dog"]).shape == (1, 128)


def test_a_release_with_and_without_an_inner_folder(make, tmp_path):
    folder = make("release")
    (tmp_path / "zip" / "__MACOSX").mkdir(parents=True)
    inner = shutil.copytree(folder, tmp_path / "zip" / "inner")
    for path, place in (
        (folder, folder),
        (f"{folder}/", folder),
        (folder / "bert_model.ckpt", folder),
        (folder / "bert_model.ckpt.index", folder),
        (folder / "bert_model.ckpt.data-00000-of-00001", folder),
        (tmp_path / "zip", inner),
    ):
        model = pretrained.open(str(path))
        assert pathlib.Path(model.config_file) == place / "bert_config.json"
        assert pathlib.Path(model.vocab_file) == place / "vocab.txt"
        assert pathlib.Path(model.weights_file) == place / "bert_model.ckpt"
        assert model.config == TINY_CONFIG and model.kind is None
        assert "output_weights" in model.weights().shapes


def test_a_file_is_enough_in_the_current_folder(make, monkeypatch):
    monkeypatch.chdir(make("release"))
    for path in (".", "bert_model.ckpt"):
        assert pretrained.open(path).config == TINY_CONFIG
    assert pretrained.read_config("bert_config.json") == TINY_CONFIG


def test_the_casing_is_that_of_the_vocabulary(make):
    folder = make("cased", words=[*WORDS, *"The Dog This That Berlin".split()])
    assert pretrained.open(str(folder)).tokenizer == CASED
    settings = {"do_lower_case": True, "strip_accents": False}
    folder = make("said", words=[*WORDS, "Dog"], tokenizer_config=settings)
    assert pretrained.open(str(folder)).tokenizer == TokenizerSettings(
        do_lower_case=True, strip_accents=False
    )


def run_record(**flags):
    return {"task_name": "csv", "train": {"flags": flags}}


def test_a_run_gives_its_best_or_newest_checkpoint(make):
    steps = ("model.ckpt-9", "model.ckpt-10", "best/model.ckpt-9")
    task = {"problem": "multi_label", "labels": ["x", "y"], "thresholds": {}}
    flags = {"do_lower_case": False, "eval_steps": 3}
    folder = make("run", *steps, train=run_record(**flags), task=task)
    model = pretrained.open(str(folder))
    assert model.weights_file == str(folder / "best" / "model.ckpt-9")
    assert (model.format, model.tokenizer) == ("a run", CASED)
    assert (model.kind, model.labels) == ("multi_label", ["x", "y"])
    assert model.task == task
    # The best one names the run's other files.
    named = pretrained.open(str(folder / "best" / "model.ckpt-9"))
    assert named.config_file == model.config_file
    # `best` is of an earlier training if this one did not evaluate.
    flags = {"do_lower_case": True, "eval_steps": 0}
    folder = make("other", *steps, train=run_record(**flags), task=task)
    model = pretrained.open(str(folder))
    assert model.weights_file == str(folder / "model.ckpt-10")


def test_a_run_without_task_json_has_labels_txt(make):
    folder = make("earlier", train=run_record(do_lower_case=True))
    (folder / "labels.txt").write_text("ham\nspam\n")
    assert pretrained.open(str(folder)).labels == ["ham", "spam"]


def test_a_folder_of_hugging_face(hugging_face, tmp_path):
    folder = copy(hugging_face / "single_label", tmp_path / "hf")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    settings = {"do_lower_case": False, "tokenize_chinese_chars": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    for path in (folder, folder / "model.safetensors"):
        model = pretrained.open(str(path))
        assert (model.kind, model.labels) == ("single_label", LABELS)
        assert model.config.hidden_act == "gelu_exact"
        assert model.tokenizer == TokenizerSettings(**settings)
    assert pretrained.tokenizer_arguments(str(folder)) == {
        "vocab_file": str(folder / "vocab.txt"),
        "strip_accents": None,
        **settings,
    }
    assert pretrained.read_config(str(folder / "config.json")) == model.config
    assert pretrained.read_config(str(folder)) == model.config
    assert not pretrained.is_config_of_original(str(folder / "config.json"))


def test_a_folder_of_keras(tmp_path):
    model = BertClassifier(TINY_CONFIG, 2)
    model.save_pretrained(str(tmp_path), format="keras", labels=["x", "y"])
    for path in (tmp_path, tmp_path / "model.keras"):
        stored = pretrained.open(str(path))
        assert stored.format == "a model of Keras"
        assert (stored.kind, stored.labels) == ("single_label", ["x", "y"])
        weights = stored.weights()
        for variable in model.weights:
            found = weights.read(variable.path)
            np.testing.assert_array_equal(found, variable)
    # Numbers of the weights that the archive's own sums do not fit.
    whole = (tmp_path / "model.keras").read_bytes()
    place = whole.index(model.get_layer("bert").weights[0].numpy().tobytes())
    damaged = whole[:place] + bytes(16) + whole[place + 16 :]
    (tmp_path / "model.keras").write_bytes(damaged)
    with pytest.raises(UserError, match="model.keras: not a model of this pac"):
        BertClassifier.from_pretrained(str(tmp_path))
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 and no more")
    assert "no model here" in error_of(tmp_path)


def test_an_export_says_what_a_task_json_says(tmp_path):
    extra = tmp_path / "assets.extra"
    extra.mkdir()
    description = {"kind": "regression", "mean": 2.5, "deviation": 0.5}
    text = json.dumps({**description, "do_lower_case": False, "batch_size": 1})
    (extra / "model.json").write_text(text)
    assert "an earlier version exported this model" in error_of(tmp_path)
    values = TINY_CONFIG.to_dict()
    (extra / "bert_config.json").write_text(json.dumps(values))
    model = pretrained.open(str(tmp_path))
    assert (model.kind, model.config) == ("regression", TINY_CONFIG)
    assert model.tokenizer == CASED
    assert model.task == {
        "problem": "regression",
        "mean": 2.5,
        "deviation": 0.5,
    }
    (extra / "model.json").write_text('{"kind": 5}')
    assert "model.json: damaged: the name of a kind" in error_of(tmp_path)


def test_nothing_loads_tensorflow():
    """A program that is told a wrong name says so at once."""
    code = (
        "import sys\n"
        "from bert_tf import pretrained\n"
        "model = pretrained.open('demo')\n"
        "assert model.config and model.tokenizer\n"
        "assert 'tensorflow' not in sys.modules\n"
        "assert 'keras' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---------------------------------------------------------------------------
# What does not open, in one line each.


def test_names_and_folders_without_a_model(make, tmp_path, here):
    assert "did you mean bert-base-uncased?" in error_of("bert-base-uncassed")
    assert error_of("demmo").endswith("did you mean demo?")
    assert "no such file or folder" in error_of(tmp_path / "no" / "such")
    assert "must be a name or a folder" in error_of("")
    pathlib.Path("empty").mkdir()
    assert error_of("empty").startswith("empty: no model here, but nothing; ")
    shutil.copytree(make("a"), "two/b")
    shutil.copytree("a", "two/a")
    assert error_of("two") == (
        "two: several models, two/a, two/b; name one of them"
    )
    for name in ("vocab.txt", "bert_config.json"):
        assert "name its folder" in error_of(f"a/{name}")
    pathlib.Path("a/bert_config.json").unlink()
    assert "bert_config.json is missing" in error_of("a/bert_model.ckpt")


class Bomb:
    """Leaves a file when it is unpickled."""

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path("loaded"),)


def test_no_pickle_is_loaded(hugging_face, tmp_path, here):
    folder = copy(hugging_face / "tags", tmp_path / "pickle")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    command = (
        "python -c \"import transformers as t; f='pickle'; "
        't.BertForTokenClassification.from_pretrained(f).save_pretrained(f)"'
    )
    for path in ("pickle", "pickle/pytorch_model.bin"):
        assert error_of(path).endswith(command)
        assert "a pickle is not opened, because it can run" in error_of(path)
        with pytest.raises(UserError, match="a pickle is not opened"):
            BertModel.from_pretrained(path)
    with pytest.raises(UserError, match="a pickle is not opened"):
        checkpoints.open_weights("pickle/pytorch_model.bin")
    (folder / "config.json").unlink()
    assert "t.BertForPreTraining" in error_of("pickle")
    shutil.copy("pickle/pytorch_model.bin", "model.ckpt")
    assert "not a file that a model can be opened by" in error_of("model.ckpt")
    assert not pathlib.Path("loaded").exists()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"model_type": "roberta"}, "model_type='roberta'; 'bert' is what"),
        ({"is_decoder": True}, "is_decoder=True; False is what"),
        ({"position_embedding_type": "relative_key"}, "'absolute' is what"),
        ({"hidden_act": "silu"}, "hidden_act='silu' is not one of gelu, "),
        ({"hidden_size": "32"}, "hidden_size must be a positive whole number"),
        ({"layer_norm_eps": 0}, "layer_norm_eps must be above 0"),
        ({"classifier_dropout": "x"}, "classifier_dropout='x'; a number of"),
        ({"problem_type": "x"}, "problem_type='x' is not one of single_label_"),
        ({"architectures": {"a": 1}}, "is not a list of names"),
        ({"architectures": "BertModel"}, "is not a list of names"),
        ({"id2label": {"0": "a", "2": "b"}}, "have the numbers 0, 1, 2"),
        ({"id2label": {"0": "a", "00": "b"}}, "have the numbers 0, 1, 2"),
        ({"id2label": ["a", "b"]}, "have the numbers 0, 1, 2"),
    ],
)
def test_configs_of_other_models(hugging_face, tmp_path, settings, message):
    folder = copy(hugging_face / "single_label", tmp_path / "hf", **settings)
    error = error_of(folder)
    assert error.startswith(f"{folder / 'config.json'}: ") and message in error


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"a": 1,\n"b" 2}', ":2: not JSON: "),
        ("[1]", ": a JSON object of settings is needed"),
        ("[" * 100_000, ": nested too deeply"),
        ('{"vocab_size": ' + "9" * 5000 + "}", ": Exceeds the limit"),
    ],
)
def test_damaged_json(hugging_face, make, tmp_path, text, message):
    folder = copy(hugging_face / "encoder", tmp_path / "hf")
    (folder / "config.json").write_text(text)
    assert f"{folder / 'config.json'}{message}" in error_of(folder)
    for name in ("bert_config", "train", "task", "tokenizer_config"):
        folder = make(f"of_{name}", **{name: text})
        assert f"{folder / name}.json" in error_of(folder)


@pytest.mark.parametrize(
    "name, content",
    [
        ("train", {"train": []}),
        ("train", {"train": {"flags": ["do_lower_case"]}}),
        ("train", run_record(do_lower_case="yes")),
        ("task", {"problem": ["single_label"]}),
        ("task", {"problem": "single_label", "labels": "ab"}),
        ("task", {"problem": "single_label", "labels": [1, 2]}),
    ],
)
def test_damaged_records_of_a_run(make, name, content):
    folder = make("run", **{name: content})
    assert error_of(folder).startswith(f"{folder / name}.json: damaged")


def test_a_vocabulary_is_needed_by_what_reads_texts(make):
    folder = str(make("none", words=None))
    assert pretrained.open(folder).vocab_file is None
    assert BertModel.from_pretrained(folder).config == TINY_CONFIG
    for read in (FullTokenizer, BertPreprocessor, TextEmbedder, FillMask):
        with pytest.raises(
            UserError, match="vocab_file must be given: .* has no vocabulary"
        ):
            read.from_pretrained(folder)
    many = make("many", words=[*WORDS, *"klmnopq"])
    with pytest.raises(UserError, match="22 entries, more .*vocab_size=20"):
        FullTokenizer.from_pretrained(str(many))


def test_a_model_whose_weights_are_of_another_size(make):
    folder = make("run")
    values = {**read_json(folder / "bert_config.json"), "hidden_size": 10}
    (folder / "bert_config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="the models differ in size"):
        BertModel.from_pretrained(str(folder))
    for end in (".index", ".data-00000-of-00001"):
        (folder / f"bert_model.ckpt{end}").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="bert_model.ckpt: the checkpoint is "):
        BertModel.from_pretrained(str(folder))


def test_labels_decide_how_many_outputs_there_are(make):
    folder = str(make("run"))
    model = BertClassifier.from_pretrained(folder)
    assert model.num_labels == 2
    assert isinstance(model.config, BertConfig)
    with pytest.raises(UserError, match="num_labels must be given: .*demo has"):
        BertClassifier.from_pretrained("demo")


def test_what_was_learned_with_a_head_is_kept(tmp_path):
    """The scale of numbers and the thresholds, which weights do not say."""
    config = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    numbers = {"problem": "regression", "mean": 5.0, "deviation": 2.0}
    sets = {
        "problem": "multi_label",
        "labels": ["a", "b"],
        "thresholds": {"a": 0.3},
    }
    for task in (numbers, sets):
        first, second = (str(tmp_path / f"{task['problem']}{i}") for i in "12")
        number = len(task.get("labels", "1"))
        model = BertClassifier(config, number)
        model.save_pretrained(
            first, kind=task["problem"], labels=task.get("labels")
        )
        pathlib.Path(first, "task.json").write_text(json.dumps(task))
        model = BertClassifier.from_pretrained(first)
        model.save_pretrained(second)
        assert read_json(pathlib.Path(second, "task.json")) == task
        again = pretrained.open(second)
        assert (again.kind, again.labels) == (
            task["problem"],
            task.get("labels"),
        )
