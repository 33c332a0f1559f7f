"""Checks of texts: what they are, and what happened to them on their way."""

import codecs
import collections
import re
from collections.abc import Callable

from bert_tf.counts import counted, number_of
from bert_tf.data.plausible import kinds
from bert_tf.data.plausible.sample import MIN_ROWS, MOST, Finding, Sample
from bert_tf.data.tabular.table import is_empty

Find = Callable[[Sample], Finding | None]
MAX_DECODED = 300  # Characters of a text that are decoded again.


def share_of(
    test: Callable[[str], bool],
    what: str,
    advice: str,
    share: float = MOST,
    least: int = MIN_ROWS,
    signs: str = "",
) -> Find:
    """A check that enough texts of a column pass a test.

    Args:
        test: function(text) that says whether it is odd.
        what: what such texts are.
        advice: see `Finding`.
        share: the share of odd texts that is reported.
        least: the number of texts, or of odd ones, that is needed for it.
        signs: characters of which an odd text has one; "" for any text.
    """

    def find(sample):
        for name, column in sample.texts.items():
            joined = sample.joined[name] if signs else ""
            if signs and not any(sign in joined for sign in signs):
                continue
            if found := _odd(column, test, share, least):
                row, number, looked_at = found
                counts = sample.counted(number, looked_at)
                return Finding(row, f"{counts} {what} in {name}", advice)
        return None

    return find


# Texts of which most are not odd end the search for those of which most are.
NUM_TRIED = 20


def _odd(column, test, share, least):
    """(first odd row, number of odd ones, number of texts), or None."""
    rows, others = [], 0
    for row, text in enumerate(column):
        if is_empty(text):
            continue
        if test(text.strip()):
            rows.append(row)
        else:
            others += 1
            if share >= 0.5 and others > NUM_TRIED + len(rows):
                return None
    total = len(rows) + others
    # A hundredth: shares are not exact binary numbers.
    if len(rows) < least or len(rows) < share * total - 0.01:
        return None
    return rows[0], len(rows), total


_MOJIBAKE = re.compile(
    "Ã[\x80-\xbf]|Â[\x80-\xaa\xac-\xba\xbc-\xbf]|[ÃÐÑ][\u0152-\u0192\u02c6-\u2122]|â€|ï»¿|ðŸ|Ã\xa0"
)
# Characters that UTF-8 becomes where it is read in another encoding.
_OTHERS = {
    "cp1251": re.compile("[РС][^а-яА-Я ,.]"),
    "gbk": re.compile("[㐀-鿿]"),
}
# Those of C1, without U+0085, which ends a line.
CONTROLS = "".join(map(chr, (*range(0x80, 0x85), *range(0x86, 0xA0))))
_CONTROL = re.compile(f"[{CONTROLS}]")
_LOST = re.compile(r"(?<![\w/=&?.:-])[^\W\d_]+\?[^\W\dA-Z_]+(?![\w=&/.])")
REPLACEMENTS = "\ufffd锟斤拷"  # The character, and what it is in GBK.
_HTML = re.compile(
    r"</?[a-zA-Z][a-zA-Z0-9]*(\s[^<>]*)?/?>|&([a-z]{2,6}|#x?[0-9a-f]{2,6});"
)
# LaTeX has words that start so.
_ESCAPES = re.compile(
    r"\\n(?!abla|eq|ot\b|u\b|e\b|ewline|ewcommand|onumber|o?indent|ormal)"
    r"|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}"
)
_NOTATION = re.compile(
    r"b'.*'|b\".*\"|\{['\"].*\}|\[['\"].*\]|\(['\"].*\)|'[^']*'|\"[^\"]*\"",
    re.DOTALL,
)
_NOTHING = frozenset(
    "nan none null n/a #n/a <na> na nil undefined #name? #ref! #value! "
    "[removed] [deleted]".split()
)


def is_mojibake(text: str) -> bool:
    """Whether UTF-8 was read in another encoding once."""
    if text.isascii():
        return False
    if _MOJIBAKE.search(text):
        return True
    return any(
        pattern.search(text) and _is_utf8(text[:MAX_DECODED], encoding)
        for encoding, pattern in _OTHERS.items()
    )


def _is_utf8(text, encoding):
    """Whether the bytes of a text in an encoding are UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:  # The last character may be cut.
        return not decoder.decode(text.encode(encoding)).isascii()
    except UnicodeError:
        return False


def has_replacement(text: str) -> bool:
    """Whether characters of it were lost."""
    return REPLACEMENTS[0] in text or REPLACEMENTS[1:] in text


def has_control(text: str) -> bool:
    """Whether it has control characters, which cp1252 has as other signs."""
    return not text.isascii() and _CONTROL.search(text) is not None


def has_lost(text: str) -> bool:
    """Whether a question mark is within a word: the letter was lost."""
    return "?" in text and _LOST.search(text) is not None


def is_shortened(text: str) -> bool:
    """Whether the end is left out, as programs show long texts."""
    return text.endswith(("...", "…")) and not text.endswith("....")


def is_html(text: str) -> bool:
    """Whether there are tags or entities of HTML in it."""
    return ("<" in text or "&" in text) and _HTML.search(text) is not None


def is_notation(text: str) -> bool:
    """Whether it is a list, an object or bytes as programs write them."""
    return text[-1:] in "]})'\"" and _NOTATION.fullmatch(text) is not None


def is_escaped(text: str) -> bool:
    """Whether a line break or another character is written as an escape."""
    return "\\" in text and _ESCAPES.search(text) is not None


def is_nothing(text: str) -> bool:
    """Whether it is a mark for a missing value; `is_empty` knows others."""
    return len(text) < 12 and text.lower() in _NOTHING


def find_count(sample: Sample) -> Finding | None:
    """Texts that differ by a number which counts the rows."""
    for name, column in sample.texts.items():
        if len(column) < MIN_ROWS:
            continue
        allowed = (len(column) - 1) * (1 - MOST)
        before = kinds.counted_up(column[0])
        for text in column[1:]:
            after = kinds.counted_up(text)
            if not before or not after or not _is_next(before, after):
                allowed -= 1
            if allowed < 0:  # Nearly always after a few texts.
                break
            before = after
        else:
            return Finding(
                0,
                f"{number_of(len(column), sample.unit)} count up in {name}, "
                f"such as {column[0][:40]!r} and {column[1][:40]!r}",
                "are these ids, and not texts?",
            )
    return None


def _is_next(before, after):
    """Whether two of `counted_up` differ by 1 alone."""
    return before[:2] == after[:2] and before[2] + 1 == after[2]


def find_same_text(sample: Sample) -> Finding | None:
    """One text, or one pair of texts, in most rows."""
    columns = [*sample.texts.values()]
    if sample.kind == "answers":  # One question on all texts is odd.
        columns = columns[:1]
    counts = [
        collections.Counter(column).most_common(1)[0]
        for column in columns
        if len(column) >= MIN_ROWS
    ]
    # One of two texts may well be the same, such as a question on each.
    if not counts or any(n < MOST * len(columns[0]) for _, n in counts):
        return None
    (text, times), *_ = counts
    if not text.strip():
        return None
    return Finding(
        columns[0].index(text),
        f"{sample.counted(times, len(columns[0]))} the same text, "
        f"{text[:40]!r}, in {' and '.join([*sample.texts][: len(columns)])}",
        "there is little to learn from it",
    )


def find_number_words(sample: Sample) -> Finding | None:
    """Sentences whose words are numbers: a column of ids or of places."""
    if sample.kind != "tags":
        return None
    for name, column in sample.texts.items():
        words = [word for text in column for word in text.split()]
        odd = [word for word in words if kinds.is_number(word)]
        if len(words) >= MIN_ROWS and len(odd) >= MOST * len(words):
            return Finding(
                0,
                f"{counted(len(odd), len(words), 'word', 'are')} numbers in "
                f"{name}",
                "are these the words?",
            )
    return None


def find_empty(sample: Sample) -> Finding | None:
    """Questions or contexts that are empty."""
    if sample.kind != "answers":
        return None
    for name, column in sample.texts.items():
        rows = [row for row, text in enumerate(column) if not text.strip()]
        if len(rows) >= max(3, 0.02 * len(column)):
            return Finding(
                rows[0],
                f"{sample.counted(len(rows), len(column))} nothing in {name}",
                "there is nothing to find or to ask for",
            )
    return None


# Programs cut texts at these lengths, in characters: databases, Excel, …
CUT_LENGTHS = frozenset(
    {250, 254, 255, 256, 500, 511, 512, 1000, 1023, 1024, 2000, 2047, 2048}
    | {4000, 4095, 4096, 8000, 32759, 32767, 65535}
)


def find_cut(sample: Sample) -> Finding | None:
    """Texts whose end is lost, because all are cut at one length."""
    for name, column in sample.texts.items():
        lengths = [*map(len, column)]
        longest = max(lengths, default=0)
        times = lengths.count(longest)
        if longest in CUT_LENGTHS and times >= max(3, 0.01 * len(column)):
            return Finding(
                lengths.index(longest),
                f"{sample.counted(times, len(column))} exactly {longest} "
                f"characters in {name}, and none has more",
                "the program that wrote the file may have cut them",
            )
    return None
