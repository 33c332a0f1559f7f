"""How one or two texts become one sequence of tokens, or several.

Two texts become one sequence, each token with the id of its segment:

    tokens       [CLS] is this jack ##son ##ville ? [SEP] no it is not . [SEP]
    segment_ids    0   0   0    0    0      0     0   0   1  1  1  1   1   1

    tokens       [CLS] the dog is hairy . [SEP]            a single text
    segment_ids    0    0   0   0   0   0   0

`input_mask` is 1 for tokens and 0 for the padding behind them.

A text that is too long loses its end, or its middle, or is read in windows:

    "head"       [CLS] a b c d e f g h [SEP]                   what comes first
    "head_tail"  [CLS] a b o p q r s t [SEP]      a quarter, and three quarters
    windows      [CLS] a b c d e f g h [SEP], [CLS] i j k l m n o p [SEP], …
"""

MIN_SEQ_LENGTH = 3  # [CLS], and [SEP] after each text of a pair.
PAIR = " ||| "  # As in the input of the original's extract_features.py.
ID_NAMES = ("input_ids", "input_mask", "segment_ids")  # What models read.
TRUNCATIONS = ("head", "head_tail")
# One token in so many comes from the start of a text that loses its middle.
HEAD_SHARE = 4


def split_pair(text: str) -> tuple:
    """(text, second text or None); the last ` ||| ` parts them."""
    first, bar, second = text.rpartition(PAIR)
    return (first, second) if bar else (text, None)


def truncate_seq_pair(tokens_a: list, tokens_b: list, max_length: int):
    """Shortens two lists in place until both together fit.

    One token at a time from the end of the longer list, and from `tokens_b`
    when they are equal: a token of a short text is likely to tell more than
    one of a long text.
    """
    while len(tokens_a) + len(tokens_b) > max_length:
        longer = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        longer.pop()


def pack_sequences(
    tokens_a: list,
    tokens_b: list,
    max_seq_length: int,
    truncation: str = "head",
):
    """Joins one or two token lists into one sequence, as drawn above.

    Args:
        tokens_a: WordPieces of the first text.
        tokens_b: those of the second; an empty list means a single text.
        max_seq_length: number of tokens at most, special ones included.
        truncation: what stays of a text that is too long. "head": its start.
            "head_tail": a quarter from its start, the rest from its end, as
            Sun et al. found best (2019, https://arxiv.org/abs/1905.05583,
            section 5.3.1; a quarter of 510 is 127 here, and 128 there). Both
            keep equally many tokens of each text.

    Returns:
        (tokens, segment_ids, truncated), two lists of equal length, and
        whether tokens were cut off.

    Raises:
        ValueError: not even the special tokens fit, or there is no such
            truncation.
    """
    check_max_seq_length(max_seq_length)
    check_truncation(truncation)
    kept_a, kept_b = list(tokens_a), list(tokens_b)
    num_special = 3 if kept_b else 2
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


def head_and_tail(tokens: list, number: int) -> list:
    """`number` of the tokens, a quarter of them (rounded down) the first."""
    head = number // HEAD_SHARE
    tail = number - head
    return [*tokens[:head], *tokens[len(tokens) - tail :]]


def pack_windows(
    tokens: list, max_seq_length: int, max_windows: int, stride=None
):
    """Makes a single text into sequences of which each holds a part of it.

    The last window is the first that reaches the end of the text. A text
    without tokens has one window.

    Args:
        tokens: WordPieces of the text.
        max_seq_length: tokens of a window at most, special ones included.
        max_windows: at most so many; what is behind the last is cut off.
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


def window_room_and_stride(max_seq_length: int, max_windows: int, stride=None):
    """(room, stride): pieces of a window, and from one to the next.

    Args:
        max_seq_length, max_windows, stride: as for `pack_windows`, which says
            what is wrong with them.
    """
    check_max_seq_length(max_seq_length)
    if max_windows < 1:
        raise ValueError(
            f"max_windows must be positive. Received: max_windows={max_windows}"
        )
    room = max_seq_length - 2
    if stride is None:
        return room, room
    if not 1 <= stride <= room:
        raise ValueError(
            f"stride must be from 1 to {room}, the pieces of a window. "
            f"Received: stride={stride}"
        )
    return room, stride


def check_max_seq_length(max_seq_length: int):
    """Raises ValueError if not even the special tokens fit."""
    if max_seq_length < MIN_SEQ_LENGTH:
        raise ValueError(
            f"max_seq_length must be at least {MIN_SEQ_LENGTH}. "
            f"Received: max_seq_length={max_seq_length}"
        )


def check_truncation(truncation: str):
    """Raises ValueError if it is none of `TRUNCATIONS`."""
    if truncation not in TRUNCATIONS:
        raise ValueError(
            f"truncation must be one of {', '.join(TRUNCATIONS)}. "
            f"Received: truncation={truncation!r}"
        )


def pad(values: list, length: int) -> list:
    return values + [0] * (length - len(values))
