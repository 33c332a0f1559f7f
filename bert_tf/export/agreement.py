"""How far the answers of two engines agree, for each kind of answers."""

from collections.abc import Callable, Sequence

import numpy as np

from bert_tf.export.kinds import Answer

Answers = Sequence[Answer]

# Two numbers agree if they differ by less than this part of the deviation of
# all, and two vectors if their cosine is at least this.
NUMBER_TOLERANCE = 0.1
LEAST_COSINE = 0.99


def agreement(kind: str, expected: Answers, found: Answers) -> float:
    """Returns the share of answers that are the same, from 0 to 1.

    Of tags each word counts, of the other kinds each item.

    Args:
        kind: name of the kind of the answers.
        expected: answers of one engine; at least one.
        found: those of another, to the same items.
    """
    agree = _AGREE.get(kind, _equal_answers)
    return float(np.mean(agree(expected, found)))


def _equal_answers(expected, found):
    pairs = zip(expected, found, strict=True)
    return [one == other for one, other in pairs]


def _equal(key: str) -> Callable[[Answers, Answers], list[bool]]:
    def compare(expected, found):
        pairs = zip(expected, found, strict=True)
        return [one[key] == other[key] for one, other in pairs]

    return compare


def _equal_tags(expected, found):
    return [
        tag == other_tag
        for one, other in zip(expected, found, strict=True)
        for tag, other_tag in zip(one["tags"], other["tags"], strict=True)
    ] or [True]  # Texts without words have no tag that differs.


def _close_numbers(expected, found):
    ours, others = (
        np.array([answer["prediction"] for answer in answers])
        for answers in (expected, found)
    )
    return np.abs(ours - others) <= NUMBER_TOLERANCE * ours.std()


def _close_vectors(expected, found):
    return [
        _cosine(one["embedding"], other["embedding"]) >= LEAST_COSINE
        for one, other in zip(expected, found, strict=True)
    ]


def _cosine(one, other) -> float:
    one, other = np.ravel(one), np.ravel(other)
    size = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / size) if size else 1.0


_AGREE = {
    "single_label": _equal("label"),
    "multi_label": _equal("labels"),
    "regression": _close_numbers,
    "tags": _equal_tags,
    "multiple_choice": _equal("label"),
    "question_answering": _equal("answer"),
    "relation": _equal("label"),
    "embedding": _close_vectors,
}
