"""Chooses which logit of a model is explained.

Without a wish it is the one that makes the answer: of a label, of a choice, of
a word's tag, or the sum of an answer's start and end logits.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_tf import suggestions
from bert_tf.errors import UserError
from bert_tf.explanations.reading import NO_WORD, ReadItem
from bert_tf.explanations.settings import ReadingSettings

OUTSIDE = "O"


@dataclasses.dataclass(frozen=True)
class Target:
    """A logit of an item.

    Attributes:
        read: the item, or that of its windows or choices that has the logit.
        index: which logit, see `network.LOGITS`.
        name: what the logit speaks for: a label, an ending, a tag, an answer.
        answer: what the model answers, in the same words.
        word: the number of the word whose tag is explained, if it is one.
    """

    read: ReadItem
    index: tuple[int, int]
    name: str
    answer: str
    word: int | None = None


def of_labels(
    read: ReadItem,
    logits: np.ndarray,
    labels: Sequence[str],
    label: str | None,
) -> Target:
    """The logit of a label.

    Args:
        read: the item.
        logits: float [C].
        labels: the C labels.
        label: the one to explain; None for the likeliest.

    Raises:
        UserError: there is no such label.
    """
    best = int(np.argmax(logits))
    chosen = best if label is None else _place_of(label, labels)
    return Target(read, (chosen, 0), labels[chosen], labels[best])


def of_choices(
    reads: Sequence[ReadItem], logits: np.ndarray, label: str | None
) -> Target:
    """The logit of an ending.

    Args:
        reads: an item for each ending.
        logits: float [N].
        label: the number of the ending to explain, from 0; None for the best.

    Raises:
        UserError: there is no such ending.
    """
    best = int(np.argmax(logits))
    numbers = [str(number) for number in range(len(reads))]
    chosen = best if label is None else _place_of(label, numbers)
    return Target(reads[chosen], (0, 0), numbers[chosen], numbers[best])


def of_tags(
    read: ReadItem,
    logits: np.ndarray,
    tags: Sequence[str],
    label: str | None,
    word: str | int | None,
) -> Target:
    """The logit of a word's tag.

    Args:
        read: the item.
        logits: float [S, C].
        tags: the C tags.
        label: the tag to explain; None for the one that the word gets.
        word: the word, or its number from 0; None for the one that the model
            is surest belongs to an entity.

    Raises:
        UserError: there is no such word or tag, or the model does not read it.
    """
    if word is None:
        place = _surest_place(read, logits, tags)
    else:
        place = _place_of_word(read, word)
    best = int(np.argmax(logits[place]))
    chosen = best if label is None else _place_of(label, tags)
    return Target(
        read,
        (place, chosen),
        tags[chosen],
        tags[best],
        int(read.owners[place]),
    )


def _surest_place(read, logits, tags):
    """The first piece of a word whose tag is the furthest from "O"."""
    numbers = np.unique(read.owners[read.owners != NO_WORD])
    places = np.array([read.first_piece(number) for number in numbers])
    of_words = logits[places]
    if OUTSIDE in tags:
        outside = list(tags).index(OUTSIDE)
        others = np.delete(of_words, outside, axis=1).max(axis=1)
        return int(places[np.argmax(others - of_words[:, outside])])
    return int(places[np.argmax(of_words.max(axis=1))])


def _place_of_word(read, word):
    texts = [entry.text for entry in read.words]
    if isinstance(word, int):
        number = word if 0 <= word < len(texts) else None
    else:
        number = texts.index(word) if word in texts else None
    if number is None:
        hint = "" if isinstance(word, int) else suggestions.hint(word, texts)
        raise UserError(
            f"the text has no such word{hint}", setting="word", value=word
        )
    place = read.first_piece(number)
    if place is None:
        raise UserError(
            "the model does not read this word: the text is too long",
            setting="word",
            value=word,
        )
    return place


def of_answers(
    reads: Sequence[ReadItem],
    starts: Sequence[np.ndarray],
    ends: Sequence[np.ndarray],
    settings: ReadingSettings,
    answer: str | None,
) -> Target:
    """The start and end logits of an answer.

    Args:
        reads: the windows of the context.
        starts, ends: float [S] of each window.
        settings: the longest answer, and whether there may be none.
        answer: the answer to explain, words of the context, or "" for none;
            None for the best.

    Raises:
        UserError: the context has no such words.
    """
    best: tuple[float, Any] = (-np.inf, None)
    for read, start, end in zip(reads, starts, ends, strict=True):
        found = _best_span(read, start, end, settings.max_answer_length)
        if found and found[0] > best[0]:
            best = found[0], (read, found[1:])
    nulls = [start[0] + end[0] for start, end in zip(starts, ends, strict=True)]
    window = int(np.argmin(nulls))
    is_none = best[1] is None or (
        settings.version_2_with_negative
        and nulls[window] - best[0] > settings.null_score_diff_threshold
    )
    nothing = Target(reads[window], (0, 0), "", "")
    answered = nothing
    if not is_none:
        read, span = best[1]
        text = _text_between(read, *span)
        answered = Target(read, span, text, text)
    if answer is None:
        return answered
    if not answer:
        return dataclasses.replace(nothing, answer=answered.answer)
    read, span = _span_of(reads, starts, ends, answer)
    return Target(read, span, _text_between(read, *span), answered.answer)


def _context_places(read):
    """The places of the context's pieces in the sequence."""
    is_word = (read.inputs["segment_ids"] == 1) & (read.owners != NO_WORD)
    return np.flatnonzero(is_word)


def _best_span(read, start, end, longest):
    """(score, first piece, last piece) of the best answer, or None."""
    places = _context_places(read)
    best = None
    for number, first in enumerate(places):
        several = places[number : number + longest]
        last = several[np.argmax(end[several])]
        score = float(start[first] + end[last])
        if best is None or score > best[0]:
            best = score, int(first), int(last)
    return best


def _text_between(read, first, last):
    start = read.words[read.owners[first]].start
    end = read.words[read.owners[last]].end
    return read.texts["context"][start:end]


def _span_of(reads, starts, ends, answer):
    """The best place at which an answer stands, in the best window."""
    context = reads[0].texts["context"]
    best: tuple[float, Any] = (-np.inf, None)
    at = context.find(answer)
    while at >= 0:
        for read, start, end in zip(reads, starts, ends, strict=True):
            inside = [
                place
                for place in _context_places(read)
                if (word := read.words[read.owners[place]]).end > at
                and word.start < at + len(answer)
            ]
            if not inside:
                continue
            span = int(inside[0]), int(inside[-1])
            score = start[span[0]] + end[span[1]]
            if score > best[0]:
                best = score, (read, span)
        at = context.find(answer, at + 1)
    if best[1] is None:
        raise UserError(
            "the context has no such words", setting="label", value=answer
        )
    return best[1]


def _place_of(label, labels):
    if label not in labels:
        hint = suggestions.hint(label, labels)
        raise UserError(
            f"the model has {', '.join(labels)}{hint}",
            setting="label",
            value=label,
        )
    return list(labels).index(label)
