"""How far the answers of two engines agree, for each kind of answers.

Of labels, tags, numbers and vectors it is the share that is the same. Answers
to questions are compared by their words, as SQuAD compares them with the right
ones: often a longer and a shorter one, "1969" and "September 1969", are almost
equally likely, and then either may win.
"""

from collections.abc import Callable, Sequence

import numpy as np

from bert_tf.export.kinds import Answer
from bert_tf.metrics.squad import token_f1

Answers = Sequence[Answer]

# Two numbers agree if they differ by less than this part of the deviation of
# all, and two vectors if their cosine is at least this.
NUMBER_TOLERANCE = 0.1
LEAST_COSINE = 0.99

LEAST = 0.99  # How far int8 must agree with float32.
LEAST_OF_WORDS = 0.95  # The same where the words of answers are compared.


def agreement(kind: str, expected: Answers, found: Answers) -> float:
    """Returns how far answers agree, from 0 to 1, see above.

    Of tags each word counts, of the other kinds each item.

    Args:
        kind: name of the kind of the answers.
        expected: answers of one engine; at least one.
        found: those of another, to the same items.
    """
    agree = _AGREE.get(kind, _equal_answers)
    return float(np.mean(agree(expected, found)))


def least_agreement(kind: str) -> float:
    """Returns how far the answers of a kind must agree.

    Args:
        kind: name of the kind.
    """
    return LEAST_OF_WORDS if kind == "question_answering" else LEAST


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


def _common_words(expected, found):
    return [
        token_f1(other["answer"], one["answer"])
        if one["answer"] != other["answer"]
        else 1.0  # Answers of no words, too.
        for one, other in zip(expected, found, strict=True)
    ]


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
    "question_answering": _common_words,
    "relation": _equal("label"),
    "embedding": _close_vectors,
}
