"""--flags_from and --flagfile repeat a command."""

import json

import pytest
from absl import flags
from support.programs import RUN_CLASSIFIER

from bert_tf.errors import UserError
from bert_tf.programs import flags_from

RECORD = {
    "task_name": "csv",
    "train": {
        "flags": {
            "task_name": "csv",
            "do_train": True,
            "train_file": "data/train.csv",
            "learning_rate": 3e-5,
            "missing_label": ["a,b", "none"],
            "output_dir": "/tmp/earlier",
            "resume": "must",
            "seed": 12345,
            "text_pair_column": None,
            "gone": 7,
        }
    },
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    record = {**RECORD, "train": RECORD["train"] | {"working_folder": None}}
    record["train"]["working_folder"] = str(tmp_path)
    (tmp_path / "train.json").write_text(json.dumps(record))
    return tmp_path


def parsed(*arguments):
    """The flags' values after a command line."""
    with RUN_CLASSIFIER.flags():
        words = flags.FLAGS(["x", *flags_from.expanded([*arguments])])
        assert words == ["x"]
        flags_from.check_was_expanded([*arguments])
        flags_from.warn_of_left_out()
        return {name: flags.FLAGS[name].value for name in flags.FLAGS}, {
            name for name in flags.FLAGS if flags.FLAGS[name].present
        }


def test_models_are_those_of_the_folder_of_the_run(folder):
    """Unless they are names of released models."""
    (folder / "big").mkdir()
    (folder / "small.index").touch()
    record = json.loads((folder / "train.json").read_text())
    flags_of_run = record["train"]["flags"]
    for pretrained, teacher in (("small", "big"), ("demo", "bert-base")):
        flags_of_run |= {"pretrained": pretrained, "teacher": teacher}
        (folder / "train.json").write_text(json.dumps(record))
        values, _ = parsed(f"--flags_from={folder}")
        is_path = teacher == "big"
        for name in ("pretrained", "teacher"):
            typed = flags_of_run[name]
            wanted = str(folder / typed) if is_path else typed
            assert values[name] == wanted


@pytest.mark.parametrize("form", ["--flags_from={}", "-flags_from {}"])
def test_a_run_is_repeated(folder, form, warnings):
    given = form.format(folder).split(" ")
    values, present = parsed("--learning_rate=1e-4", *given, "--seed=3")
    assert values["task_name"] == "csv" and values["do_train"]
    # From the folder in which the run was started.
    assert values["train_file"] == str(folder / "data" / "train.csv")
    assert (values["learning_rate"], values["seed"]) == (1e-4, 3)
    assert values["missing_label"] == ["a,b", "none"]
    assert (values["output_dir"], values["resume"]) == (None, "auto")
    assert "text_pair_column" not in present
    (warning,) = warnings()
    assert "does not have are left out: --gone=7" in warning


@pytest.mark.parametrize(
    "change, message",
    [
        ({"task_name": "squad"}, "is a run of run_squad.py, not of run_class"),
        ({"train": {}}, "has no flags of a training"),
    ],
)
def test_other_records_are_refused(folder, change, message):
    path = folder / "train.json"
    path.write_text(json.dumps({**RECORD, **change}))
    with pytest.raises(UserError, match=message):
        parsed(f"--flags_from={path}")


def test_no_record(folder):
    with pytest.raises(UserError, match="did you mean 'train.json'"):
        parsed(f"--flags_from={folder}/trian.json")
    with pytest.raises(UserError, match="there is no train.json in it"):
        parsed(f"--flags_from={folder}/data")


def test_a_file_of_flags(folder):
    path = folder / "flags.txt"
    path.write_text(
        "# A comment\n\n// another\n--do_train\n--text_column=the text\n"
        "  --label_column=größe\n--seed=4\n"
    )
    values, _ = parsed("--seed=3", f"--flagfile={path}", "--noheader")
    assert values["do_train"] and not values["header"]
    assert values["text_column"] == "the text"
    assert (values["label_column"], values["seed"]) == ("größe", 4)
    path.write_text(f"--flags_from={folder}\n")
    with pytest.raises(UserError, match="must be on the command line"):
        parsed(f"--flagfile={path}")
