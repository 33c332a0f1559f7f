"""Names of files that mean something to TensorFlow, or to a locale."""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from support.common import ROOT
from support.programs import (
    RUN_CLASSIFIER,
    events_of,
    make_folder,
    results_of,
    run,
    run_here,
    write,
)

from bert_tf import checkpoints, literal_paths
from bert_tf.errors import UserError
from bert_tf.export import Predictor, saved_models
from bert_tf.programs import program

NAMES = [
    "My Drive [x]",
    "[ab]",
    "a*b",
    "q?",
    "back\\slash",
    "{a,b}",
    " blanks ",
    "a:b",
    "50%",
    "two\nlines",
    "größe",
    "~",
]
C_LOCALE = {
    **{k: v for k, v in os.environ.items() if not k.startswith("LC_")},
    "LC_ALL": "C",
    "LANG": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONPATH": str(ROOT),
}


def links():
    folder = pathlib.Path(tempfile.gettempdir())
    return {*folder.glob(f"{literal_paths.PREFIX}*")}


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_and_models_are_read_from_any_folder(name, tmp_path):
    before = links()
    folder = tmp_path / name / f"in {name}"
    # A folder that the name matches as a pattern, with other values.
    for path, value in ((tmp_path / "a", 7.0), (folder, 1.0)):
        path.mkdir(parents=True, exist_ok=True)
        checkpoints.write_checkpoint(
            str(path / "model.ckpt-1"), {"x": np.float32(value)}
        )
        (path / "checkpoint").write_text(
            'model_checkpoint_path: "model.ckpt-1"'
        )
    for prefix in (folder / "model.ckpt-1", folder):
        checkpoint = checkpoints.Checkpoint(str(prefix))
        assert checkpoint.read("x") == 1.0
        assert checkpoint.prefix == str(folder / "model.ckpt-1")
        del checkpoint
    odd = str(folder / f"odd {name}")
    checkpoints.write_checkpoint(odd, {"x": np.float32(2)})
    assert checkpoints.Checkpoint(odd).read("x") == 2.0
    module = tf.Module()
    module.value = tf.Variable(3.0)
    tf.saved_model.save(module, str(folder / "saved"))
    loaded = saved_models.load_any(str(folder / "saved"))
    assert loaded.value.numpy() == 3.0
    assert links() == before


def test_a_damaged_checkpoint_in_such_a_folder_is_named(tmp_path):
    prefix = tmp_path / "[x]" / "model.ckpt-1"
    checkpoints.write_checkpoint(str(prefix), {"x": np.ones(9)})
    data = prefix.with_name("model.ckpt-1.data-00000-of-00001")
    data.write_bytes(b"short")
    with pytest.raises(checkpoints.DamagedCheckpoint, match=r"\[x\]/model"):
        checkpoints.Checkpoint(str(prefix)).read("x")


def test_names_that_tensorflow_cannot_say_are_refused(tmp_path):
    folder = str(tmp_path / "gr\udcf6sse")
    os.makedirs(folder)
    (pathlib.Path(folder) / "model.ckpt-1.index").touch()
    for prefix in (folder, os.path.join(folder, "model.ckpt-1")):
        with pytest.raises(UserError, match="not UTF-8"):
            checkpoints.Checkpoint(prefix)
    with pytest.raises(UserError, match="not UTF-8"):
        saved_models.load_any(folder)


@pytest.mark.parametrize("name", ["[x]", "a*b", "back\\slash", "a,b"])
def test_an_existing_file_wins_over_a_pattern(name, here):
    for folder in (name, "x", "aab"):
        os.makedirs(folder)
        for file in ("1.txt", "2.txt", f"{name}.txt"):
            write(pathlib.Path(folder), file, "text")
    with RUN_CLASSIFIER.flags() as flags:
        flags["train_file"].value = f"{name}/{name}.txt"
        assert program.matching_files("train_file") == [f"{name}/{name}.txt"]
        if "," not in name:
            flags["train_file"].value = f"{name}/?.txt,x/1.txt"
            found = program.matching_files("train_file")
            assert found == [f"{name}/1.txt", f"{name}/2.txt", "x/1.txt"]
            assert program.existing_files("train_file") == found
        flags["train_file"].value = f"{name}/{name}.txt"
        found = program.existing_files("train_file")
        assert found == [f"{name}/{name}.txt"]
        for wrong, message in {
            "none.txt": "--train_file=none.txt: no such file",
            "none-*": "--train_file: no file matches none-",
            "x": "--train_file=x: a file is needed, this is a folder",
        }.items():
            flags["train_file"].value = wrong
            with pytest.raises(UserError) as error:
                program.existing_files("train_file")
            assert message in program.message_of(error.value)


@pytest.mark.slow
def test_a_run_in_such_a_folder_can_be_used(tmp_path):
    home = tmp_path / "My Drive [x]" / "run *1\\"
    home.mkdir(parents=True)
    folder = make_folder(home)
    settings = {"num_train_epochs": 1.0, "eval_steps": 3}
    run(folder, do_train=True, do_eval=True, do_export=True, **settings)
    settings["num_train_epochs"] = 2.0
    run(folder, do_train=True, resume="must", **settings)
    run(folder, do_eval=True, do_predict=True)
    assert (folder / "out" / "best" / "checkpoint").exists()
    assert "eval_accuracy" in results_of(folder / "out" / "eval_results.txt")
    assert events_of(folder / "out" / "eval")["eval_accuracy"]
    assert len(Predictor(str(folder / "out")).predict(["a text"])) == 1


# ---------------------------------------------------------------------------
# Locales.


def run_in_c_locale(*command, cwd):
    return subprocess.run(
        [sys.executable, *map(os.fsencode, command)],
        capture_output=True,
        env=C_LOCALE,
        cwd=cwd,
    )


@pytest.mark.slow
def test_files_are_named_in_utf8_whatever_the_locale_says(tmp_path):
    folder = tmp_path / "größe"
    folder.mkdir()
    write(folder, "text_ü.txt", "Ein Satz. Noch einer.\n")
    write(folder, "flags_ü.txt", "--input_file=text_ü.txt\n")
    done = run_in_c_locale(
        *("-m", "bert_tf.tools.split_sentences", "--flagfile=flags_ü.txt"),
        "--output_file=aus/ä.txt",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    text = (folder / "aus" / "ä.txt").read_text("utf-8")
    assert text.split("\n")[:2] == ["Ein Satz.", "Noch einer."]
    # What the terminal cannot show is escaped; the error is one line.
    done = run_in_c_locale(
        *("-m", "bert_tf.tools.split_sentences", "--input_file=fehlt_ß.txt"),
        "--output_file=x",
        cwd=folder,
    )
    line = done.stderr.decode("ascii").strip().split("\n")[-1]
    assert done.returncode == 1 and "fehlt_\\xdf.txt" in line
    done = run_in_c_locale(
        str(ROOT / "run_classifier.py"), "--help", cwd=folder
    )
    assert done.returncode == 0 and b"A,B,\\u2026" in done.stdout


@pytest.mark.parametrize("setting", ["output_dir", "train_file", "vocab_file"])
def test_a_name_that_is_not_utf8_is_refused_before_anything_is_read(setting):
    flag = f"--{setting}=gr\udcf6sse"
    done = run_here("run_classifier.py", "--task_name=csv", "--do_train", flag)
    assert done.returncode == 1
    (line,) = done.stderr.strip().split("\n")
    assert f"--{setting}='gr\\udcf6sse': is not UTF-8" in line


@pytest.mark.thorough
def test_a_training_under_a_locale_of_ascii(tmp_path):
    rows = [f"text {i},{'größe' if i % 2 else 'kleiner'}" for i in range(40)]
    write(tmp_path, "tabelle_ü.csv", "\n".join(["text,label", *rows]))
    done = run_in_c_locale(
        str(ROOT / "run_classifier.py"),
        *("--task_name=csv", "--train_file=tabelle_ü.csv", "--do_train"),
        *("--do_eval", "--dev_fraction=0.2", "--do_export"),
        *("--output_dir=läufe/größe", "--num_train_epochs=1"),
        *("--max_seq_length=16", "--train_batch_size=8"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "läufe" / "größe"
    labels = (folder / "labels.txt").read_text("utf-8").split()
    assert set(labels) == {"größe", "kleiner"}
    assert Predictor(str(folder)).labels == labels
