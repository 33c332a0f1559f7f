"""--pretrained in the programs and tools, in place of three flags."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from support.common import ROOT, read_json
from support.programs import (
    DEMO,
    RUN_CLASSIFIER,
    SMALL_CONFIG,
    Messages,
    as_flags,
    last_line,
    make_folder,
    program_of,
    run_here,
    values_of,
)

from bert_tf import BertConfig, BertModel, checkpoints, pretrained
from bert_tf.errors import UserError
from bert_tf.programs import defaults

FILL_MASK = program_of("bert_tf.tools.fill_mask")
EXTRACT = program_of("bert_tf.tools.extract_features")
CREATE = program_of("bert_tf.tools.create_pretraining_data")
TEXT = "see you [MASK] ."


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small data set."""
    return make_folder(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A small encoder in Hugging Face's format, with the exact gelu."""
    folder = tmp_path_factory.mktemp("hf") / "model"
    config = BertConfig(
        **SMALL_CONFIG, hidden_act="gelu_exact", layer_norm_eps=1e-7
    )
    BertModel(config).save_pretrained(str(folder), format="huggingface")
    vocab = (DEMO / "demo" / "vocab.txt").read_text("utf-8")
    (folder / "vocab.txt").write_text(vocab, "utf-8")
    settings = {"do_lower_case": True, "strip_accents": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def train(small, out, **changes):
    RUN_CLASSIFIER.run(
        task_name="sms",
        data_dir=str(small / "data"),
        do_train=True,
        max_seq_length=16,
        train_batch_size=8,
        num_train_epochs=1.0,
        learning_rate=1e-3,
        output_dir=str(out),
        **changes,
    )
    return out


def flags_in(folder):
    """The flags of a run, but for those that the test gives differently."""
    flags = read_json(folder / "train.json")["train"]["flags"]
    return without(flags, "pretrained", "output_dir")


def without(values, *names):
    return {n: v for n, v in values.items() if n not in names}


def test_flags_are_those_of_the_three(small):
    found = []
    for given in ({"pretrained": "demo"}, pretrained.BUNDLED_MODEL):
        with RUN_CLASSIFIER.flags(data_dir=str(small), **given) as flags:
            defaults.from_earlier_run(("sms",), True)
            found.append(without(flags.flag_values_dict(), "pretrained"))
    assert found[0] == found[1]
    for name, value in pretrained.BUNDLED_MODEL.items():
        assert found[0][name] == value


@pytest.mark.slow
def test_a_run_is_that_of_the_three_flags(small, tmp_path):
    named = train(small, tmp_path / "a", pretrained="demo")
    flags = train(small, tmp_path / "b", **pretrained.BUNDLED_MODEL)
    assert read_json(named / "train.json")["train"]["flags"]["pretrained"] == (
        "demo"
    )
    assert flags_in(named) == flags_in(flags)
    for name in ("vocab.txt", "bert_config.json", "task.json", "labels.txt"):
        assert (named / name).read_bytes() == (flags / name).read_bytes()
    found, expected = (
        values_of(folder / "model.ckpt-5") for folder in (named, flags)
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.thorough
def test_a_run_that_started_from_another_librarys_files(
    small, hugging_face, tmp_path
):
    """Its folder has all that it needs, in the original's format."""
    source = tmp_path / "source"
    source.symlink_to(hugging_face)
    out = train(small, tmp_path / "run", pretrained=str(source))
    config = BertConfig.from_json_file(str(out / "bert_config.json"))
    assert config == pretrained.open(str(source)).config
    assert config.hidden_act == "gelu_exact" and config.layer_norm_eps == 1e-7
    assert flags_in(out)["strip_accents"] is False
    assert checkpoints.Checkpoint(str(out / "model.ckpt-5")).global_step() == 5
    source.unlink()
    # The model is gone, and the run goes on and answers from its own copies.
    with Messages() as messages:
        RUN_CLASSIFIER.run(
            do_train=True,
            num_train_epochs=1.2,
            output_dir=str(out),
        )
    assert f"--vocab_file={out / 'vocab.txt'}" in "".join(messages)
    assert checkpoints.Checkpoint(str(out / "model.ckpt-6")).global_step() == 6
    stored = pretrained.open(str(out))
    assert (stored.format, stored.kind) == ("a run", "single_label")
    assert stored.labels == ["ham", "spam"]
    assert stored.tokenizer.strip_accents is False


def test_explicit_flags_win(hugging_face, tmp_path, capsys):
    other = tmp_path / "words.txt"
    words = (DEMO / "demo" / "vocab.txt").read_text("utf-8").splitlines()
    other.write_text("\n".join(words[:1000]) + "\n", "utf-8")
    with (
        FILL_MASK.flags(
            pretrained="demo", vocab_file=str(other), strip_accents=False
        ) as flags,
        Messages() as messages,
    ):
        FILL_MASK.main("see you [MASK] .")
        assert flags.vocab_file == str(other) and flags.strip_accents is False
        assert (
            flags.init_checkpoint
            == (pretrained.BUNDLED_MODEL["init_checkpoint"])
        )
    (line,) = [m for m in messages if m.startswith("From ")]
    assert "--init_checkpoint=" in line and "--vocab_file=" not in line
    assert "--strip_accents" not in line
    assert "[MASK] 1 of 1" in capsys.readouterr().out


def test_tools_answer_as_with_three_flags(small, tmp_path, capsys):
    with FILL_MASK.flags(pretrained="demo"):
        FILL_MASK.main(TEXT)
    named = capsys.readouterr().out
    with FILL_MASK.flags(**pretrained.BUNDLED_MODEL):
        FILL_MASK.main(TEXT)
    assert named == capsys.readouterr().out != ""
    text = tmp_path / "text.txt"
    text.write_text("see you there .\nat eight .\n\nwin a prize .\nnow .\n")
    for name, settings in (
        ("a", {"pretrained": "demo"}),
        ("b", {"vocab_file": pretrained.BUNDLED_MODEL["vocab_file"]}),
    ):
        CREATE.run(
            input_file=str(text),
            output_file=str(tmp_path / name),
            max_seq_length=16,
            max_predictions_per_seq=3,
            **settings,
        )
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != b""


@pytest.mark.slow
def test_vectors_of_another_librarys_encoder(hugging_face, tmp_path):
    (tmp_path / "text.txt").write_text("see you\n")
    target = tmp_path / "vectors.jsonl"
    EXTRACT.run(
        input_file=str(tmp_path / "text.txt"),
        output_file=str(target),
        pretrained=str(hugging_face),
        max_seq_length=8,
        layers="-1",
    )
    (row,) = target.read_text("utf-8").splitlines()
    model = BertModel.from_pretrained(str(hugging_face))
    tokens = [f["token"] for f in json.loads(row)["features"]]
    assert tokens == ["[CLS]", "see", "you", "[SEP]"]
    vocab = (hugging_face / "vocab.txt").read_text("utf-8").splitlines()
    ids = np.array([[vocab.index(token) for token in tokens]])
    expected = model({"input_ids": ids})["sequence_output"][0]
    features = json.loads(row)["features"]
    for feature, vector in zip(features, expected, strict=True):
        np.testing.assert_allclose(
            feature["layers"][0]["values"], vector, atol=2e-6
        )


def test_a_wrong_name_is_one_line_before_tensorflow_loads(tmp_path):
    """It loads for seconds; a typing error is told at once."""
    code = (
        "import runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n"
        "    print('tensorflow' in sys.modules)\n"
    )
    flags = as_flags(
        {
            "task_name": "sms",
            "do_train": True,
            "pretrained": "bert-base-uncassed",
            "output_dir": tmp_path / "out",
        }
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run_classifier.py", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "BERT_TF_HOME": str(tmp_path / "home")},
    )
    assert (done.returncode, done.stdout) == (1, "False\n")
    assert done.stderr == (
        "run_classifier.py: --pretrained=bert-base-uncassed: no such file or "
        "folder, and no released model has this name; did you mean "
        "bert-base-uncased?\n"
    )
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "path, flags",
    [
        ("bert_tf/tools/fill_mask.py", [TEXT]),
        ("run_pretraining.py", ["--do_train", "--input_file=x"]),
        ("run_squad.py", ["--do_train", "--train_file=x"]),
        ("bert_tf/tools/export_model.py", ["--export_dir=/no/such/x"]),
    ],
)
def test_every_program_names_the_flag(path, flags, tmp_path):
    wrong, folder = "--pretrained=demmo", f"--output_dir={tmp_path}"
    done = run_here(path, wrong, *flags, *([folder] if "run_" in path else []))
    assert done.returncode == 1
    line = last_line(done)
    assert line.startswith(f"{pathlib.Path(path).name}: --pretrained=demmo: no")
    assert (
        line.endswith("did you mean demo?") and "Traceback" not in done.stderr
    )


def test_weights_without_a_vocabulary(hugging_face, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(hugging_face / name)
    with (
        FILL_MASK.flags(pretrained=str(folder)),
        pytest.raises(
            UserError, match="--vocab_file must be given: .*bare has no"
        ),
    ):
        FILL_MASK.main(TEXT)
