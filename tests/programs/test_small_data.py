"""--small_data, and the flags that it stands for."""

import pytest
from support.programs import RUN_CLASSIFIER

from bert_tf import BertConfig
from bert_tf.errors import UserError
from bert_tf.programs import small_data, training_checks

CONFIG = BertConfig(vocab_size=10, num_hidden_layers=12)
NAMES = ("adam_bias_correction", "reinit_layers", "num_train_epochs")


def filled(num_examples=500, **given):
    with RUN_CLASSIFIER.flags(output_dir="out", **given) as flags:
        small_data.fill(CONFIG, num_examples)
        return tuple(flags[name].value for name in NAMES)


def test_it_stands_for_three_flags():
    assert filled() == (False, 0, None)
    assert filled(small_data=True) == (True, 3, 50.0)
    assert filled(100_000, small_data=True) == (True, 3, 20.0)
    assert filled(0, small_data=True) == (False, 0, None)  # No training.


def test_what_is_given_wins():
    assert filled(
        small_data=True,
        adam_bias_correction=False,
        reinit_layers=0,
        num_train_epochs=4.0,
    ) == (False, 0, 4.0)


@pytest.mark.parametrize(
    "frozen, number", [("encoder", 0), ("embeddings", 3), ("10", 2), ("12", 0)]
)
def test_frozen_layers_keep_their_weights(frozen, number):
    assert filled(small_data=True, freeze_layers=frozen)[1] == number


@pytest.mark.parametrize(
    "number, frozen, num_layers, why",
    [
        (1, "encoder", None, "new layers must be trained"),
        (13, None, 12, "the model has 12 layers"),
        (3, "10", 12, "never trained"),
    ],
)
def test_layers_that_cannot_be_made_new(number, frozen, num_layers, why):
    with pytest.raises(UserError, match=why):
        training_checks.check_reinit(number, frozen, num_layers)
    training_checks.check_reinit(0, frozen, num_layers)
    training_checks.check_reinit(2, "10", 12)
