"""How the peers find answers in windows of a context, with NumPy alone.

The rules are the original's, as ours are.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# The outputs of a network for one sequence.
Outputs = tuple[np.ndarray, ...]
# A label or a text, and probabilities.
Answer = tuple[str, list[float]]


class Window(NamedTuple):
    """A part of a context, which follows the question in a sequence.

    Attributes:
        item: the number of its item.
        start: its first piece in the context.
        length: its number of pieces.
        offset: the place of its first piece in the sequence.
    """

    item: int
    start: int
    length: int
    offset: int


class Span(NamedTuple):
    """A possible answer: the first and the last piece, and its score."""

    score: float
    first: int
    last: int


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def best_answer(
    context: str,
    places: Sequence[tuple[int, int]],
    windows: Sequence[Window],
    outputs: Sequence[Outputs],
    settings: Mapping[str, Any],
) -> Answer:
    """The best span of a context's windows, and its probability.

    Args:
        context: the context.
        places: (start, end) of each piece in the context.
        windows: the windows.
        outputs: start and end logits of each window, float [S].
        settings: model.json.
    """
    number = settings["n_best_size"]
    spans = []
    for window, is_best, logits in zip(
        windows, most_context(windows), outputs, strict=True
    ):
        starts, ends = logits
        spans += [
            span
            for span in spans_in(window, starts, ends, settings)
            if is_best[span.first - window.start]
        ]
    has_null = settings["version_2_with_negative"] and len(windows) > 0
    null = min((float(s[0] + e[0]) for s, e in outputs), default=0.0)
    if has_null:
        spans.append(Span(null, -1, -1))
    spans.sort(key=lambda span: -span.score)
    texts: dict[str, float] = {}
    for span in spans:
        if len(texts) == number:
            break
        is_null = span.first < 0
        start, end = places[span.first][0], places[span.last][1]
        texts.setdefault("" if is_null else context[start:end], span.score)
    best = next(filter(None, texts), "")
    if has_null:
        texts.setdefault("", null)
        if null - texts[best] > settings["null_score_diff_threshold"]:
            best = ""
    if not texts:
        return "", [0.0]
    scores = softmax(np.array([*texts.values()], np.float64))
    return best, [float(scores[[*texts].index(best)])]


def spans_of(
    num_pieces: int, room: int, doc_stride: int
) -> list[tuple[int, int]]:
    """(start, length) of each window of a context."""
    spans, start = [], 0
    while start < num_pieces:
        length = min(room, num_pieces - start)
        spans.append((start, length))
        if start + length == num_pieces:
            break
        start += min(length, doc_stride)
    return spans


def spans_in(
    window: Window,
    starts: np.ndarray,
    ends: np.ndarray,
    settings: Mapping[str, Any],
) -> list[Span]:
    """The best spans of a window.

    Args:
        window: the window.
        starts, ends: its logits, float [S].
        settings: model.json.
    """
    number = settings["n_best_size"]
    num_tokens = window.offset + window.length + 1
    firsts, lasts = (
        np.argsort(-logits[:num_tokens], kind="stable")[:number]
        for logits in (starts, ends)
    )
    firsts, lasts = (
        places[
            (places >= window.offset) & (places < window.offset + window.length)
        ]
        for places in (firsts, lasts)
    )
    lengths = lasts - firsts[:, np.newaxis] + 1
    is_span = (lengths >= 1) & (lengths <= settings["max_answer_length"])
    scores = starts[firsts].astype(np.float64)[:, np.newaxis] + ends[lasts]
    to_context = window.start - window.offset
    return [
        Span(
            float(scores[row, column]),
            int(firsts[row]) + to_context,
            int(lasts[column]) + to_context,
        )
        for row, column in np.argwhere(is_span)
    ]


def most_context(windows: Sequence[Window]) -> list[np.ndarray]:
    """Whether a piece has most context in a window: bool [length] for each.

    A piece that several windows have counts in one of them.
    """
    if len(windows) < 2:
        return [np.ones(window.length, bool) for window in windows]
    num_pieces = max(window.start + window.length for window in windows)
    scores = np.full((len(windows), num_pieces), -1.0)
    for row, window in enumerate(windows):
        left = np.arange(window.length)
        least = np.minimum(left, left[::-1])
        end = window.start + window.length
        scores[row, window.start : end] = least + 0.01 * window.length
    best = scores.argmax(axis=0)
    return [
        best[window.start : window.start + window.length] == row
        for row, window in enumerate(windows)
    ]
