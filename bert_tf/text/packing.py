"""Packs one or two texts into one sequence of tokens, or into several.

Two texts become one sequence, each token with the id of its segment:

    tokens       [CLS] is this jack ##son ##ville ? [SEP] no it is not . [SEP]
    segment_ids    0   0   0    0    0      0     0   0   1  1  1  1   1   1

    tokens       [CLS] the dog is hairy . [SEP]            a single text
    segment_ids    0    0   0   0   0   0   0

`input_mask` is 1 for tokens and 0 for the padding after them.

A text that is too long loses its end, or its middle, or is read in windows:

    "head"       [CLS] a b c d e f g h [SEP]                   what comes first
    "head_tail"  [CLS] a b o p q r s t [SEP]      a quarter, and three quarters
    windows      [CLS] a b c d e f g h [SEP], [CLS] i j k l m n o p [SEP], …
"""

from collections.abc import Sequence
from typing import TypeVar

ID_NAMES = ("input_ids", "input_mask", "segment_ids")  # The models' inputs.
NUM_SPECIAL = 2  # [CLS] text [SEP]
NUM_SPECIAL_OF_PAIR = 3  # [CLS] text [SEP] text [SEP]
MIN_SEQ_LENGTH = NUM_SPECIAL_OF_PAIR
# A batch's sequences are as long as its longest, rounded up to a multiple of
# this: few enough distinct lengths, and whole vector registers.
LENGTH_MULTIPLE = 8
PAIR = " ||| "  # The original's extract_features.py reads pairs so.
TRUNCATIONS = ("head", "head_tail")
# "head_tail" keeps one token in HEAD_SHARE from the start of the text.
HEAD_SHARE = 4

Token = TypeVar("Token")  # A str, or an id.


def split_pair(text: str) -> tuple[str, str | None]:
    """(text, second text or None), which the last ` ||| ` separates."""
    first, bar, second = text.rpartition(PAIR)
    return (first, second) if bar else (text, None)


def truncate_seq_pair(
    tokens_a: list[Token], tokens_b: list[Token], max_length: int
) -> None:
    """Shortens two lists in place until both together fit.

    Takes one token at a time from the end of the longer list, and from
    `tokens_b` when they are equal: a token of a short text is likely to say
    more than one of a long text.
    """
    while len(tokens_a) + len(tokens_b) > max_length:
        longer = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        longer.pop()


def pack_sequences(
    tokens_a: Sequence[str],
    tokens_b: Sequence[str],
    max_seq_length: int,
    truncation: str = "head",
) -> tuple[list[str], list[int], bool]:
    """Joins one or two token lists into one sequence, as drawn above.

    Args:
        tokens_a: WordPieces of the first text.
        tokens_b: those of the second; an empty list means a single text.
        max_seq_length: number of tokens at most, special ones included.
        truncation: the part to keep of a text that is too long. "head": its
            start. "head_tail": a quarter from its start, the rest from its
            end, as Sun et al. found best (2019,
            https://arxiv.org/abs/1905.05583, section 5.3.1; a quarter of 510
            is 127 here, and 128 there). Both keep equally many tokens of each
            text.

    Returns:
        (tokens, segment_ids, truncated), two lists of equal length, and
        whether tokens were cut off.

    Raises:
        ValueError: not even the special tokens fit, or the truncation does
            not exist.
    """
    check_max_seq_length(max_seq_length)
    check_truncation(truncation)
    kept_a, kept_b = list(tokens_a), list(tokens_b)
    num_special = NUM_SPECIAL_OF_PAIR if kept_b else NUM_SPECIAL
    room = max_seq_length - num_special
    truncated = len(kept_a) + len(kept_b) > room
    if kept_b:
        truncate_seq_pair(kept_a, kept_b, room)
    else:
        kept_a = kept_a[:room]
    if truncation == "head_tail":
        kept_a = head_and_tail(tokens_a, len(kept_a))
        kept_b = head_and_tail(tokens_b, len(kept_b))
    tokens = ["[CLS]", *kept_a, "[SEP]"]
    segment_ids = [0] * len(tokens)
    if kept_b:
        tokens += [*kept_b, "[SEP]"]
        segment_ids += [1] * (len(kept_b) + 1)
    return tokens, segment_ids, truncated


def head_and_tail(tokens: Sequence[Token], number: int) -> list[Token]:
    """`number` of the tokens: first a quarter, rounded down; the rest last."""
    head = number // HEAD_SHARE
    tail = number - head
    return [*tokens[:head], *tokens[len(tokens) - tail :]]


def pack_windows(
    tokens: Sequence[str],
    max_seq_length: int,
    max_windows: int,
    stride: int | None = None,
) -> tuple[list[list[str]], bool]:
    """Packs a single text into sequences that each hold a part of it.

    The last window is the first that reaches the end of the text. A text
    without tokens has one window.

    Args:
        tokens: WordPieces of the text.
        max_seq_length: tokens of a window at most, special ones included.
        max_windows: windows at most; what follows the last is cut off.
        stride: tokens from the start of one window to that of the next. None
            puts them next to each other.

    Returns:
        (windows, truncated): a list of token lists, and whether tokens were
        cut off.

    Raises:
        ValueError: not even the special tokens of a pair fit, `max_windows`
            is not positive, or `stride` is so large that it leaves out
            tokens, or not positive.
    """
    room, stride = window_room_and_stride(max_seq_length, max_windows, stride)
    last_start = (max_windows - 1) * stride
    starts = [0, *range(stride, len(tokens) - room + stride, stride)]
    windows = [
        ["[CLS]", *tokens[start : start + room], "[SEP]"]
        for start in starts[:max_windows]
    ]
    return windows, len(tokens) > last_start + room


def window_room_and_stride(
    max_seq_length: int, max_windows: int, stride: int | None = None
) -> tuple[int, int]:
    """(room, stride): pieces of a window, and from one to the next.

    Args:
        max_seq_length, max_windows, stride: as for `pack_windows`.

    Raises:
        ValueError: as of `pack_windows`.
    """
    check_max_seq_length(max_seq_length)
    if max_windows < 1:
        raise ValueError(
            f"max_windows must be positive. Received: max_windows={max_windows}"
        )
    room = max_seq_length - NUM_SPECIAL
    if stride is None:
        return room, room
    if not 1 <= stride <= room:
        raise ValueError(
            f"stride must be from 1 to {room}, the pieces of a window. "
            f"Received: stride={stride}"
        )
    return room, stride


def check_max_seq_length(max_seq_length: int) -> None:
    """Raises ValueError if not even the special tokens fit."""
    if max_seq_length < MIN_SEQ_LENGTH:
        raise ValueError(
            f"max_seq_length must be at least {MIN_SEQ_LENGTH}. "
            f"Received: max_seq_length={max_seq_length}"
        )


def check_truncation(truncation: str) -> None:
    """Raises ValueError unless it is one of `TRUNCATIONS`."""
    if truncation not in TRUNCATIONS:
        raise ValueError(
            f"truncation must be one of {', '.join(TRUNCATIONS)}. "
            f"Received: truncation={truncation!r}"
        )


def pad(values: list[int], length: int) -> list[int]:
    """The values, and zeros up to a length."""
    return values + [0] * (length - len(values))
