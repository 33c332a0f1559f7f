"""Ids, numbers, flags and answers as other tools write them.

answers_of([{"text": "1871", "answer_start": "28"}], …)
answers_of({"text": ["1871"], "answer_start": [28]}, …)     Hugging Face's
answers_of("1871", …)                                       text alone
    all -> [Answer("1871", 28 or None)]
"""

import ast
import json
import math
import re
from typing import Any, NamedTuple

from bert_tf.counts import number_of
from bert_tf.data.squad.keys import canonical_of_answer
from bert_tf.errors import UserError

_TRUE, _FALSE = ("true", "1"), ("false", "0")
# Texts that other tools write where a value is missing.
_MISSING = ("nan", "none", "null", "<na>")
# Cells of a table in which a list or an object is written out.
_NOTATION = re.compile(r"\s*[\[{].*[\]}]\s*", re.DOTALL)
# NumPy's arrays in such a cell.
_ARRAY = re.compile(r"array\((\[.*?\])(?:,\s*dtype=\w+)?\)", re.DOTALL)


class Answer(NamedTuple):
    """An answer as a file has it.

    Attributes:
        text: its text; blank where a question has no answer.
        start: its first character's place in the context; None where it is
            not known.
    """

    text: str
    start: int | None


def is_missing(value: Any) -> bool:
    """Whether a value is null, NaN or a blank text."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or isinstance(value, float) and math.isnan(value)


def id_of(value: Any, place: str) -> str:
    """A question's id as text; "" where it is missing.

    Raises:
        UserError: it is neither text nor a number.
    """
    if isinstance(value, str):
        return value if value.strip() else ""
    if is_missing(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f'{place}: "id" must be text or a number')
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value)


def flag_of(value: Any, name: str, place: str) -> bool | None:
    """A value that is true or false; None where it is missing.

    Raises:
        UserError: it is something else.
    """
    if isinstance(value, bool):
        return value
    if is_missing(value):
        return None
    plain = str(value).strip().casefold().removesuffix(".0")
    if plain in _MISSING:
        return None
    if plain in _TRUE or plain in _FALSE:
        return plain in _TRUE
    raise UserError(
        f'{place}: "{name}" must be true or false, not {shown(value)}'
    )


def start_of(value: Any, place: str) -> int | None:
    """A place in the context; None where it is missing, or negative.

    Raises:
        UserError: it is not a whole number.
    """
    if isinstance(value, list) and len(value) < 2:
        value = value[0] if value else None
    if is_missing(value):
        return None
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if (
        isinstance(number, bool)
        or not isinstance(number, int | float)
        or not math.isfinite(number)
        or number != int(number)
    ):
        raise UserError(
            f'{place}: "answer_start" must be a whole number, not '
            f"{shown(value)}"
        )
    return int(number) if number >= 0 else None


def answers_of(
    value: Any, context: str, place: str, starts: Any = None, ends: Any = None
) -> list[Answer]:
    """The answers to a question.

    Args:
        value: a text, an object or a list of them.
        context: the text that holds the answers.
        place: where the value is in its file, for errors.
        starts: the answers' places, where the file has them apart.
        ends: the places after them.

    Returns:
        The answers, also blank ones; [] for null.

    Raises:
        UserError: the value cannot be read.
    """
    if isinstance(value, str) and value not in context:
        value = from_notation(value)
        if isinstance(value, str) and value.casefold() in _MISSING:
            value = None
    if isinstance(starts, str):
        starts = from_notation(starts)
    if value is None or isinstance(value, float) and math.isnan(value):
        is_span = not is_missing(starts) and not is_missing(ends)
        value = [{"start": starts, "end": ends}] if is_span else []
    if isinstance(value, dict):
        value = _listed(value, place)
    if not isinstance(value, list):
        value = [value]
    elif value and all(isinstance(item, int | float) for item in value):
        raise UserError(
            f"{place}: {shown(value)} are numbers; answers must be texts, or "
            'objects with "text" and "answer_start"'
        )
    if not isinstance(starts, list):
        starts = [starts] * min(1, len(value))
    if len(starts) > len(value):
        raise UserError(
            f"{place}: {number_of(len(value), 'answer')}, but "
            f"{number_of(len(starts), 'start')}"
        )
    answers = []
    for index, item in enumerate(value):
        start = starts[index] if index < len(starts) else None
        where = f"{place}[{index}]"
        answers.append(_answer(item, start, context, where))
    return answers


def from_notation(value: Any) -> Any:
    """The list or object that a cell's text is; other values as they are.

    It reads JSON and Python's notation, also that of NumPy's arrays.
    """
    if not isinstance(value, str) or not _NOTATION.fullmatch(value):
        return value
    text = _ARRAY.sub(r"\1", value)
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, tuple):
            found = list(found)
        if isinstance(found, list | dict):
            return found
    return value


def _listed(value: dict[str, Any], place: str) -> list[Any]:
    """The objects of one that holds lists; a single object by itself."""
    names = canonical_of_answer(tuple(value))
    texts, starts, spans = (
        value[names[name]] if name in names else None
        for name in ("text", "answer_start", "char_spans")
    )
    if not isinstance(texts, list):
        return [value] if value else []
    others = spans if isinstance(spans, list) else starts
    if not isinstance(others, list):
        others = [others] * len(texts)
    if others and len(others) != len(texts):
        raise UserError(
            f"{place}: {number_of(len(texts), 'text')}, but "
            f"{number_of(len(others), 'start')}"
        )
    name = "char_spans" if isinstance(spans, list) else "answer_start"
    others = others or [None] * len(texts)
    return [
        {"text": text, name: other}
        for text, other in zip(texts, others, strict=True)
    ]


def _answer(item: Any, start: Any, context: str, place: str) -> Answer:
    if isinstance(item, bool):
        raise UserError(f"{place}: must be a text, not {shown(item)}")
    if isinstance(item, str | int | float):
        return Answer(_text(item, place), start_of(start, place))
    if item is None:
        return Answer("", None)
    if not isinstance(item, dict):
        raise UserError(f"{place}: must be a text or an object")
    names = canonical_of_answer(tuple(item))
    if "answer_start" in names:
        start = item[names["answer_start"]]
    elif "char_spans" in names:
        start = _first_of_spans(item[names["char_spans"]])
    start = start_of(start, place)
    if "text" in names:
        return Answer(_text(item[names["text"]], place), start)
    end = None
    if "answer_end" in names:
        end = start_of(item[names["answer_end"]], place)
    if start is None or end is None:
        if item.get("noAnswer") or item.get("badQuestion"):
            return Answer("", None)
        raise UserError(f'{place}: "text" is missing; not an answer?')
    if not start < end <= len(context):
        raise UserError(
            f"{place}: {start} to {end} is not a part of the context, which "
            f"has {number_of(len(context), 'character')}"
        )
    return Answer(context[start:end], start)


def _first_of_spans(spans: Any) -> Any:
    """The start of [[start, end], …] or [{"start": [start], …}, …]."""
    while isinstance(spans, list | dict) and spans:
        if isinstance(spans, dict):
            spans = spans.get("start")
        else:
            spans = spans[0]
    return spans if spans != [] else None


def _text(value: Any, place: str) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value
    if is_missing(value) or value == []:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f'{place}: "text" must be text, not {shown(value)}')
    return str(value)


def shown(value: Any) -> str:
    """A value for an error, not too long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:39]}…"
