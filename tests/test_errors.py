"""UserError names settings in Python, and flags in a program."""

import pickle

from bert_tf.errors import UserError


def message(error: UserError) -> str:
    return error.message_for(lambda name: f"--{name}")


def test_a_setting_and_its_value():
    error = UserError("must be below 1", setting="dev_fraction", value=1.5)
    assert str(error) == "dev_fraction=1.5: must be below 1"
    assert message(error) == "--dev_fraction=1.5: must be below 1"


def test_a_setting_without_a_value():
    error = UserError("must be given", setting="vocab_file")
    assert str(error) == "vocab_file must be given"
    assert message(error) == "--vocab_file must be given"


def test_other_settings_are_in_backticks():
    error = UserError("a.csv:7: no text in `text_column`=body")
    assert str(error) == "a.csv:7: no text in text_column=body"
    assert message(error) == "a.csv:7: no text in --text_column=body"


def test_it_survives_a_process():
    error = UserError("is a folder", setting="train_file", value="data")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), message(copy)) == (str(error), message(error))
