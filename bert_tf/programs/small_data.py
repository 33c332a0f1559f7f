"""--small_data: what makes training on few examples succeed with every seed.

Trained on a few hundred examples, some seeds end with a model that gives the
same answer for all texts, and the others differ by several points. Two papers
found the reasons:

    Mosbach et al. 2021, https://arxiv.org/abs/2006.04884: training is too
    short, and Adam without bias correction takes steps that are too large at
    its start. They train for 20 epochs, with bias correction.

    Zhang et al. 2021, https://arxiv.org/abs/2006.05987: the same two, and the
    top layers are too special to pretraining to be a good start. They make the
    pooler and the top 1 to 6 of 24 layers new, and count steps, not epochs:
    about 1,000 are enough where 3 epochs are 100.
"""

from absl import flags

from bert_tf.config import BertConfig
from bert_tf.programs import console, defaults, hyperparameters
from bert_tf.programs.flags import define_count
from bert_tf.programs.training_checks import num_frozen

FLAGS = flags.FLAGS

MIN_EPOCHS, MAX_EPOCHS = 20, 50
MIN_STEPS = 1000
# One of so many layers gets new weights: 6 of 24, 3 of 12, 1 of 4.
LAYERS_FOR_ONE = 4

flags.disclaim_key_flags()  # See flags.py.


def define_flags() -> None:
    """Defines --small_data, and the flags that it stands for."""
    flags.DEFINE_bool(
        "small_data",
        False,
        "Train as is best for a few hundred examples: with "
        "--adam_bias_correction, --reinit_layers for a quarter of the layers, "
        f"and --num_train_epochs for {MIN_STEPS:,} steps, from {MIN_EPOCHS} to "
        f"{MAX_EPOCHS}. Each of these that is given keeps its value.",
    )
    flags.DEFINE_bool(
        "adam_bias_correction",
        False,
        "Divide Adam's averages by 1 - beta^t, as Adam's authors do. The "
        "original does not: its first steps are larger.",
    )
    define_count(
        "reinit_layers",
        0,
        "Start the top N layers of the encoder, and the pooler, from new "
        "weights instead of the pretrained ones.",
        lower_bound=0,
    )


def fill(config: BertConfig, num_train_examples: int) -> None:
    """Fills in the flags that --small_data stands for, if it is given.

    Args:
        config: the model's.
        num_train_examples: the size of the training set; 0 if the run does
            not train.
    """
    if "small_data" not in FLAGS or not FLAGS.small_data:
        return
    if not num_train_examples:
        return
    number = num_layers(config.num_hidden_layers)
    if not defaults.is_given("reinit_layers"):
        # What is frozen must keep its pretrained weights.
        free = config.num_hidden_layers - num_frozen(
            FLAGS.freeze_layers, config.num_hidden_layers
        )
        number = min(number, free)
    values = {
        "adam_bias_correction": True,
        "reinit_layers": number,
        "num_train_epochs": num_epochs(
            num_train_examples, FLAGS.train_batch_size
        ),
    }
    for name, value in values.items():
        defaults.fill(name, value)  # What is given stays.
    shown = " ".join(f"--{name}={FLAGS[name].value}" for name in values)
    console.show("Small data", "%s", shown)


def num_layers(num_hidden_layers: int) -> int:
    """How many of a model's layers get new weights."""
    return max(1, num_hidden_layers // LAYERS_FOR_ONE)


def num_epochs(num_examples: int, batch_size: int) -> float:
    """How often to train on each example.

    Args:
        num_examples: the size of the training set.
        batch_size: examples in a training step.
    """
    return hyperparameters.epochs_of_steps(
        MIN_STEPS, num_examples, batch_size, MIN_EPOCHS, MAX_EPOCHS
    )
