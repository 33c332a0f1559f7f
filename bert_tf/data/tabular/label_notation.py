"""Reads labels in the notation of other programs: lists, sets and objects.

    ['joy', 'anger']              Python's and JSON's lists, in a cell of CSV
    ['joy' 'anger']               NumPy's print of them
    {'joy', 'anger'}, ('joy',)    sets and tuples
    [1, 0, 0, 1]                  a vector: 1 where a label holds
    {"joy": true, "anger": 0}     spaCy's, doccano's and Prodigy's `cats`
    {"choices": ["joy"]}          Label Studio's
    {"label": "joy", "user": 1}   a label with what is known of it

`parse` turns a text into a tuple of texts, or into a `Marked`; anything
else stays a text.
"""

import ast
import dataclasses
import json
import re
import warnings
from collections.abc import Sequence
from typing import Any

# Keys whose value is the labels, where an object has no other.
WRAPPERS = ("choices", "cats", "labels", "label", "accept")
# Keys of an object that names one label, and of what is not a label.
NAMES = (
    "label",
    "name",
    "Name",
    "displayName",
    "display_name",
    "category",
    "class",
)
PLACES = ("start", "start_offset", "startOffset", "begin", "offset")
SCORES = ("score", "Score", "confidence", "probability", "prob")
YES = ("1", "1.0", "true", "yes", "y", "t")
NO = ("0", "0.0", "false", "no", "n", "f")

_PLACES, _SCORES = frozenset(PLACES), frozenset(SCORES)
_PLACED = (
    "holds places in the text, as of entities: `task_name`=ner reads these"
)
_PAIRS = {"[": "]", "{": "}", "(": ")"}
# np.str_('joy') and array([…], dtype=object), as NumPy writes values.
_NUMPY_VALUE = re.compile(
    r"(?<=[\[{(,:\s])np\.(?:str|int|float|bool|bytes|object)[0-9_]*\(([^()]*)\)"
)
_WRAPPER = re.compile(r"(?:array|set|frozenset|list|tuple)\((.*)\)", re.DOTALL)
_DTYPE = re.compile(r",\s*dtype=[^,\[\]]*$")
_QUOTED = r"""[ub]?'(?:[^'\\]|\\.)*'|[ub]?"(?:[^"\\]|\\.)*\""""
_ITEM = re.compile(rf"\s*({_QUOTED}|[^,'\"\[\]{{}}]+)\s*(,|$)?", re.DOTALL)
_NUMBERS = re.compile(r"[-+0-9.eE]+(?:\s+[-+0-9.eE]+)+")
_VECTOR = re.compile(r"[01](?:\.0?)?(?:\s+[01](?:\.0?)?)+")
_BROKEN = re.compile(
    r"""[\[{(]\s*[ub]?['"].*|.*['"]\s*[\]})]|\[.*\]|\{.*\}|"[^"]*""",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Marked:
    """Labels with a mark each, which says whether they hold.

    Attributes:
        items: (label, mark), such as ("joy", "true").
    """

    items: tuple[tuple[str, str], ...]


Notation = str | tuple[str, ...] | Marked


def parse(text: str) -> Notation:
    """Reads the notation that a text is in.

    Returns:
        A tuple for a list, a set or a tuple; a `Marked` for an object; and
        the text itself, without quotes around it, for anything else.

    Raises:
        ValueError: the text has brackets or quotes, and is none of these.
    """
    text = text.strip()
    if not text or text[0] not in "[{('\"" and text[-1] not in "]})'\"":
        return text
    if text[0] == text[-1] == '"' and '""' in text[1:-1]:
        # A quoted cell of CSV, in a file that is read without quotes.
        return parse(text[1:-1].replace('""', '"'))
    if text[0] in "'\"" and len(text) > 2 and text[0] == text[-1]:
        inner = text[1:-1]
        return text if text[0] in inner else parse(inner)
    found = _structure(text)
    if found is None and _BROKEN.fullmatch(text):
        raise ValueError(f"{text!r} has brackets or quotes, and is not a list")
    return text if found is None else found


def from_json(value: Any) -> Notation | None:
    """A list or an object of JSON as a tuple or a `Marked`.

    Args:
        value: what JSON holds; a text stays as it is, a number is written
            out, and null is None.

    Raises:
        ValueError: the value holds something else than labels.
    """
    if isinstance(value, list | tuple):
        value = [*value]
        if len(value) == 1 and isinstance(value[0], dict):
            return from_json(value[0])
        return tuple(_item(item, len(value)) for item in value)
    if isinstance(value, dict):
        if len(value) == 1 and (key := next(iter(value))) in WRAPPERS:
            inner = value[key]
            is_mark = isinstance(inner, bool) or inner is None
            if key != "cats" and not is_mark:
                return from_json(inner)
            if isinstance(inner, dict):
                return from_json(inner)
        if (label := _named(value)) is not None:
            return label
        return Marked(tuple((str(k), _scalar(v)) for k, v in value.items()))
    return None if value is None or value != value else _scalar(value)


def _item(value, size):
    """One label of a list of labels."""
    if isinstance(value, list) and [*map(type, value)][:2] == [int, int]:
        raise ValueError(_PLACED)
    if isinstance(value, dict) and (label := _named(value)) is not None:
        if size > 1 and not _SCORES.isdisjoint(value):
            raise ValueError(
                "holds scores of several labels: give those that hold"
            )
        return label
    return _scalar(value)


def _named(value):
    """The label that an object names beside other facts, or None.

    Numbers are taken for 0 and 1, which say whether a key holds, unless the
    key is "label".
    """
    if not _PLACES.isdisjoint(value) and any(n in value for n in NAMES):
        raise ValueError(_PLACED)
    found = [value[name] for name in NAMES if name in value]
    if len(found) != 1 or not isinstance(found[0], str | int):
        return None
    if isinstance(found[0], bool):
        return None
    if isinstance(found[0], int):
        return str(found[0]) if "label" in value and len(value) > 1 else None
    is_mark = found[0].strip().lower() in (*YES, *NO, "")
    return None if is_mark else _scalar(found[0])


def is_vector(values: Sequence[str]) -> bool:
    """Whether values are two or more, each 0 or 1, or false or true."""
    return len(values) > 1 and all(
        value.lower() in ("0", "1", "0.0", "1.0", "true", "false")
        for value in values
    )


def spaced_vector(text: str) -> tuple[str, ...] | None:
    """The numbers of a text such as "1 0 0 1", or None."""
    return tuple(text.split()) if _VECTOR.fullmatch(text) else None


def _scalar(value: Any) -> str:
    """A text, a number, a boolean or null, written out; null is ""."""
    if isinstance(value, str):
        value.encode()  # UnicodeEncodeError is a ValueError.
        return value
    if value is None or value != value:  # NaN differs from itself.
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("must be a list of texts or numbers")


def _structure(text):
    """The tuple or `Marked` that a text in brackets is, or None."""
    plain = _NUMPY_VALUE.sub(r"\1", text)
    if wrapper := _WRAPPER.fullmatch(plain):
        inner = _DTYPE.sub("", wrapper[1].strip())
        return _structure(inner) if inner else ()
    if _PAIRS.get(plain[:1]) != plain[-1:]:
        return None
    inner = plain[1:-1].strip().removesuffix(",")
    if not inner:
        return ()
    if plain[0] == "{" and re.match(rf"\s*(?:{_QUOTED})\s*:", inner):
        return _object(plain)
    if plain[0] == "(" and not re.match(r"['\"0-9\-]", inner):
        return None  # "(a)" is a label.
    if plain[0] == "(" and plain[-2] != "," and "," not in inner:
        return None
    try:
        return from_json(json.loads(plain))
    except (ValueError, RecursionError):
        return _items(inner)


def _object(text):
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    return from_json(value) if isinstance(value, dict) else None


def _items(inner):
    """The items between brackets, or None.

    Python reads 'a' 'b' as one text, 'ab'; NumPy prints two so.
    """
    if _NUMBERS.fullmatch(inner):
        return tuple(number.removesuffix(".") for number in inner.split())
    items, place = [], 0
    while place < len(inner):
        match = _ITEM.match(inner, place)
        if not match:
            return None
        item, end = match[1].strip(), match[2]
        is_quoted = item[-1:] in ("'", '"')
        if not item or (not is_quoted and end is None):
            return None
        items.append(_unquoted(item) if is_quoted else _word(item))
        place = match.end()
    return tuple(items)


def _unquoted(item):
    try:
        with warnings.catch_warnings():
            # Of a backslash that Python does not know, as in '\d'.
            warnings.simplefilter("ignore")
            value = ast.literal_eval(item)
    except (ValueError, SyntaxError):
        value = item[1:-1]
    return value.decode() if isinstance(value, bytes) else value


def _word(item):
    """A word without quotes; None and nan mean that there is nothing."""
    words = {"None": "", "nan": "", "NaN": "", "True": "true", "False": "false"}
    return words.get(item, item)
