"""Defines and checks --few_shot. Not in the original.

Fine-tuning needs some hundred examples. With a few of each label it works
better to train the vectors of texts first, on pairs, of which there are many
more than texts, and then to fit a logistic regression on them: Tunstall et al.
2022, SetFit (https://arxiv.org/abs/2209.11055). TensorFlow is not needed.
"""

from absl import flags

from bert_tf.programs import defaults, program

FLAGS = flags.FLAGS
# Pairs of each kind, of the same label and of different ones, for each text.
NUM_PAIRS = 20
BATCH_SIZE = 16  # Pairs; the paper's.
NUM_EPOCHS = 1.0
LEARNING_RATE = 2e-5  # The paper's.
# What has no meaning for pairs, or for a regression.
REFUSED = (
    "class_weights",
    "classifier_dropout",
    "classifier_hidden",
    "early_stopping_patience",
    "eval_steps",
    "group_by_length",
    "label_smoothing",
    "pack_sequences",
    "small_data",
    "teacher",
)

flags.disclaim_key_flags()  # See flags.py.


def define() -> None:
    """Defines the flag."""
    flags.DEFINE_bool(
        "few_shot",
        False,
        "Train as is best for 8 to 64 examples of each label (SetFit): first "
        f"the encoder on pairs of texts, {NUM_PAIRS} of the same label and "
        f"{NUM_PAIRS} of different ones for each text, then a logistic "
        "regression on its vectors. It is best with a --pretrained that was "
        "trained for vectors. --train_batch_size is then a number of pairs.",
    )


def fill() -> None:
    """Fills in the flags that go with it, if it is given.

    Call it before the flags of an earlier run are taken over: those win.
    """
    if FLAGS.few_shot:
        defaults.fill("train_batch_size", BATCH_SIZE)
        defaults.fill("num_train_epochs", NUM_EPOCHS)
        defaults.fill("learning_rate", LEARNING_RATE)


def num_trained(num_examples: int) -> int:
    """What an epoch has: examples, or with --few_shot pairs of them."""
    return 2 * NUM_PAIRS * num_examples if FLAGS.few_shot else num_examples


def check(trains: bool) -> None:
    """Checks the flags that go with it, if it is given.

    Args:
        trains: whether the program is to train.

    Raises:
        UserError: a flag does not go with it.
    """
    if not trains:
        program.refuse("only with --do_train", "few_shot")
        return
    if not FLAGS.few_shot:
        return
    program.refuse("not with --few_shot", *REFUSED)
    if FLAGS.long_documents == "windows":
        program.refuse("not with --few_shot", "long_documents")
