"""Defines and checks --calibrate and --coverage. Not in the original.

TensorFlow is not needed.
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from bert_tf.errors import UserError
from bert_tf.programs import flag_groups
from bert_tf.programs.flags import define_float

FLAGS = flags.FLAGS

# See flags.py.
flags.disclaim_key_flags()


@flag_groups.heading(flag_groups.CALIBRATION)
def define() -> None:
    """Defines what is fitted on the dev set after training."""
    flags.DEFINE_bool(
        "calibrate",
        False,
        "Fit a temperature on the dev set after training, or with --do_eval on "
        "a trained run. All probabilities are then those of the logits divided "
        "by it; answers stay the same.",
    )
    define_float(
        "coverage",
        None,
        "How often a set of labels must hold the right one, such as 0.9. Which "
        "labels are in it is fitted on the dev set; test_predictions.tsv then "
        "has a column label_set.",
    )


def is_asked() -> bool:
    """Whether something is to be fitted, for which a dev set is needed."""
    return FLAGS.calibrate or FLAGS.coverage is not None


def check(used: tuple[str, ...]) -> None:
    """Raises UserError for a wrong rate, or where no dev set is named.

    Args:
        used: the task's own flags.
    """
    coverage = FLAGS.coverage
    if coverage is not None and not 0.0 < coverage < 1.0:
        # 90 was meant as 90 %.
        share = coverage / 100
        hint = f"; did you mean {share:g}?" if 1.0 < coverage < 100.0 else ""
        raise UserError(
            f"must be above 0 and below 1{hint}",
            setting="coverage",
            value=coverage,
        )
    has_files = "train_file" in used
    if is_asked() and has_files and not (FLAGS.dev_file or FLAGS.dev_fraction):
        raise UserError(
            "needs a dev set: `dev_file` or `dev_fraction` must be given",
            **asked(),
        )


def asked() -> Mapping[str, Any]:
    """The flag that asks for a dev set, for errors."""
    name = "calibrate" if FLAGS.calibrate else "coverage"
    return {"setting": name, "value": FLAGS[name].value}
