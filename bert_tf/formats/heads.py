"""The kinds of heads, and which variables belong to each."""

from collections.abc import Collection, Iterable

from bert_tf.errors import UserError

ENCODER, POOLER = "bert/", "bert/pooler/"
_AT_ROOT = ("output_weights", "output_bias", "hidden/")
_PREDICTIONS, _NEXT = "cls/predictions/", "cls/seq_relationship/"
# The starts of the names of a head's variables, by its kind, named as in
# `export.kinds`; None is an encoder without a head.
SCOPES: dict[str | None, tuple[str, ...]] = {
    None: (),
    "embedding": (),
    "pretraining": (_PREDICTIONS, _NEXT),
    "masked_lm": (_PREDICTIONS,),
    "next_sentence": (_NEXT,),
    "question_answering": ("cls/squad/",),
    **dict.fromkeys(
        (
            "single_label",
            "multi_label",
            "regression",
            "tags",
            "relation",
            "multiple_choice",
        ),
        _AT_ROOT,
    ),
}
# Kinds of one head of a class with two: in a Keras model the other is random.
HALVES = ("masked_lm", "next_sentence")
# The kinds whose outputs have labels.
LABELLED = ("single_label", "multi_label", "tags", "relation")


def kind_of(names: Iterable[str]) -> str | None:
    """The kind of the head, as far as names of variables say it.

    Args:
        names: the names, as the original has them.

    Returns:
        None without a head, and where several kinds have these names.
    """
    named = (_PREDICTIONS, _NEXT, "cls/squad/")
    names = [*names]
    found = {
        scope for scope in named if any(n.startswith(scope) for n in names)
    }
    kinds = [k for k, scopes in SCOPES.items() if {*scopes} == found and k]
    return kinds[0] if found and kinds else None


def has_head_at_root(names: Collection[str]) -> bool:
    """Whether there is a head that several kinds could have."""
    return "output_weights" in names


def variables_of(kind: str | None, names: Iterable[str]) -> list[str]:
    """Those of the names that belong to the encoder and to a head.

    Raises:
        UserError: there is no such kind, or none of the head's variables.
    """
    names = [*names]
    if missing := scope_without(kind, names):
        raise UserError(
            f"the model has no variable {missing}…", setting="head", value=kind
        )
    return [name for name in names if name.startswith((ENCODER, *SCOPES[kind]))]


def scope_without(kind: str | None, names: Iterable[str]) -> str | None:
    """The first scope of a head that has no variable; None if all have one.

    Raises:
        UserError: there is no such kind.
    """
    if kind not in SCOPES:
        raise UserError(
            f"one of {', '.join(k for k in SCOPES if k)} is needed",
            setting="head",
            value=kind,
        )
    scopes = SCOPES[kind]
    names = [*names]
    for scope in scopes if scopes != _AT_ROOT else _AT_ROOT[:2]:
        if not any(name.startswith(scope) for name in names):
            return scope
    return None
