"""task.json: what a model knows of its task beside its weights.

    {"problem": "single_label", "labels": ["ham", "spam"]}

The kind of its problem, labels, thresholds, mean and deviation: what
`Problem.learned` tells, and what a later run with the same weights must know.
"""

import json
import math
import numbers
import os

from bert_tf import files
from bert_tf.errors import UserError
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.relations import Relations
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import MultiLabel, Regression, SingleLabel

NAME = "task.json"
# By the names that the file calls them.
KINDS = {
    problem.kind: problem
    for problem in (
        SingleLabel,
        MultiLabel,
        Regression,
        Tagging,
        MultipleChoice,
        Relations,
    )
}


def read(folder: str) -> dict:
    """What the file in a folder tells, or {} if there is none.

    Raises:
        UserError: it is damaged.
    """
    path = os.path.join(folder, NAME)
    if not files.exists(path):
        return {}
    try:
        learned = json.loads(files.read_text(path))
        is_sound = _is_sound(learned)
    except (ValueError, TypeError, AttributeError):
        is_sound = False
    if not is_sound:
        raise UserError(f"{path}: damaged; train again, or name another folder")
    return learned


def _is_sound(learned) -> bool:
    """Whether it is what `Problem.learned` tells."""
    kind = learned.get("problem")
    if kind not in KINDS:
        return False
    if kind == Regression.kind:
        found = [learned.get("mean"), learned.get("deviation")]
        return all(isinstance(x, numbers.Real) for x in found) and all(
            map(math.isfinite, found)
        )
    if kind == MultipleChoice.kind:
        return True
    labels = learned.get("labels")
    thresholds = learned.get("thresholds", {})
    return (
        isinstance(labels, list)
        and all(isinstance(label, str) for label in labels)
        and isinstance(thresholds, dict)
        and all(isinstance(x, numbers.Real) for x in thresholds.values())
    )
