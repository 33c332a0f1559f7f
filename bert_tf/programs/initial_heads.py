"""Decides which heads a training reads from the checkpoint that it starts from.

A head belongs to one kind of answer and to its labels, in their order. Where
the checkpoint's does not fit, the training starts with a new one: the encoder
is what one run gives to another.
"""

import dataclasses

import keras

from bert_tf.checkpoints import (
    ENCODER_SCOPE,
    open_weights,
    weights_in,
    weights_of,
)
from bert_tf.data.tabular.table import listed
from bert_tf.tasks.problem import Problem
from bert_tf.tasks.record import TaskRecord

# The scopes of the heads that the original's checkpoints have besides those
# at their root.
SCOPES = {
    "cls/predictions/": "masked LM",
    "cls/seq_relationship/": "next sentence prediction",
    "cls/squad/": "answers to questions",
}
# A layer that some heads at the root have, and others do not.
INTERMEDIATE_LAYER = "hidden/"


@dataclasses.dataclass(frozen=True)
class NewHeads:
    """The heads of a model that a checkpoint does not give.

    Attributes:
        not_read: variables that both have, and that are not read.
        misfits: why they are not read, for a warning; "" where all are.
        absent: which heads the checkpoint lacks, for a log line; "" where that
            is as usual.
    """

    not_read: list[str]
    misfits: str
    absent: str


def why_another(record: TaskRecord | None, problem: Problem) -> str:
    """Says why the head of an earlier run is not one for a problem.

    Args:
        record: the earlier run's, None where it is not known.
        problem: what is asked now.

    Returns:
        The reason; "" where the head answers the same, or nothing is known.
    """
    if record is None:
        return ""
    if record.kind != problem.kind:
        return (
            f"the checkpoint is of a run of the kind {record.kind}, and this "
            f"one is {problem.kind}"
        )
    before, labels = record.values.get("labels"), problem.labels
    if before is None or labels is None or before == labels:
        return ""
    return (
        f"the checkpoint was trained for the labels {listed(before)}; these "
        f"are {listed(labels)}"
    )


def new_heads(model: keras.Model, prefix: str, why: str = "") -> NewHeads:
    """Compares the heads of a model with those of a checkpoint.

    A head is read as a whole or not at all.

    Args:
        model: the model that is to be trained.
        prefix: the checkpoint that it starts from.
        why: the reason why the head at the root is another one, if it is known
            to be; see `why_another`.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    checkpoint = open_weights(prefix)
    stored = _by_head(checkpoint.shapes, weights_in(checkpoint))
    shapes = {v.path: tuple(v.shape) for v in weights_of(model)}
    not_read: list[str] = []
    misfits: list[str] = []
    missing: list[str] = []
    for scope, needed in _by_head(shapes, shapes).items():
        found = stored.get(scope, {})
        if not {*needed} & {*found}:
            missing.append(scope)
            continue
        reason = "" if scope else why
        if reason := reason or _difference(needed, found, scope):
            not_read += [name for name in needed if name in found]
            misfits.append(reason)
    return NewHeads(not_read, "; ".join(misfits), _absent(missing, stored))


def _by_head(shapes, names):
    """{scope of a head: {variable: shape}}; the scope "" is the root."""
    heads: dict[str, dict[str, tuple[int, ...]]] = {}
    for name in names:
        if not name.startswith(ENCODER_SCOPE):
            scope = next(filter(name.startswith, SCOPES), "")
            heads.setdefault(scope, {})[name] = shapes[name]
    return heads


def _difference(needed, found, scope):
    """Why a head is another one, from its variables alone; or ""."""
    for name, shape in needed.items():
        if name in found and found[name] != shape:
            return (
                f"{name} has shape {list(found[name])} in the checkpoint, and "
                f"{list(shape)} in this model"
            )
    if scope:  # The original's have more or less in them, but mean the same.
        return ""
    lacking = [name for name in needed if name not in found]
    if lacking:
        return f"the checkpoint's head has no {lacking[0]}"
    others = [
        name
        for name in found
        if name.startswith(INTERMEDIATE_LAYER) and name not in needed
    ]
    if others:
        return f"the checkpoint's head has {others[0]}, and this model's not"
    return ""


def _absent(missing, stored):
    """Which heads a checkpoint lacks; "" where it is one of pretraining."""
    if not missing:
        return ""
    of_task = [n for s in ("", "cls/squad/") for n in stored.get(s, ())]
    of_task = [n for n in of_task if n.endswith("output_weights")]
    is_pretraining = "cls/predictions/" in missing
    if not of_task and not is_pretraining:
        return ""
    names = [SCOPES.get(scope, "this task") for scope in missing]
    held = f", but {listed(of_task)}" if of_task else ""
    return f"the checkpoint has no head for {' and '.join(names)}{held}"
