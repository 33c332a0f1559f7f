"""--report_to: which services are told about a training."""

import importlib.util
from collections.abc import Sequence

from absl import flags

from bert_tf import choices, suggestions
from bert_tf.errors import UserError

FLAGS = flags.FLAGS
NONE = "none"

flags.disclaim_key_flags()  # See flags.py.


def define_flags() -> None:
    """Defines where a training is reported to. Not in the original."""
    flags.DEFINE_list(
        "report_to",
        [choices.REPORT_TO[0]],
        f"What shows the training: {', '.join(choices.REPORT_TO)}; several "
        "with commas, or none. mlflow and wandb are packages to install.",
    )


def check(names: Sequence[str]) -> None:
    """Raises UserError unless a training can be reported to all of these.

    Args:
        names: the value of --report_to.
    """
    known = [*choices.REPORT_TO, NONE]
    for name in names:
        if name not in known:
            raise UserError(
                f"{name or 'an empty name'}: give some of "
                f"{', '.join(choices.REPORT_TO)}, or none"
                + suggestions.hint(name, known, form="{}"),
                setting="report_to",
                value=",".join(names),
            )
    if NONE in names and len(names) > 1:
        raise UserError(
            "none stands alone", setting="report_to", value=",".join(names)
        )
    for name in names:
        check_installed(name)


def check_installed(name: str) -> None:
    """Raises UserError unless the package of a service is there."""
    package = choices.REPORT_PACKAGES.get(name)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(
            f"needs the package {package}, which is not installed: "
            f"pip install {package}",
            setting="report_to",
            value=name,
        )
