"""Reads the JSON objects of a file, one after the other, however it has them.

{"text": "hello", "label": "ham"}            an object on each line
{"text": "win now!", "label": "spam"}

[{"text": "hello", "label": "ham"}, …]       a list, on any number of lines
{"text": ["hello", …], "label": ["ham", …]}  columns; see `json_layouts`
{"data": [{"text": …}, …]}                   a list in an object
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

from absl import logging

from bert_tf import files
from bert_tf.data.tabular import json_layouts
from bert_tf.errors import UserError

Lines = Iterator[tuple[int, str]]

CHARACTERS_AT_ONCE = 1 << 20
NUM_LINES_CHECKED = 5000  # Lines that are checked for a key that is twice.
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def read_objects(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the objects of a file, without empty lines at its end.

    Yields:
        (line on which the object starts, from 1; the object).

    Raises:
        UserError: the file does not hold JSON objects; the message has the
            line.
    """
    with files.reading(path) as reader:
        yield from objects_of(reader, path)


def objects_of(
    reader: IO[bytes], path: str, *, skip_empty_lines: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the objects that a reader gives; see `read_objects`.

    Args:
        reader: of bytes, at the file's start.
        path: for messages.
        skip_empty_lines: between objects on lines; otherwise they are errors.
    """
    lines = files.decode_lines(reader, path)
    if skip_empty_lines:
        lines = (entry for entry in lines if entry[1].strip())
    first = next(lines, None)
    if first is None:
        return
    if not first[1].strip():
        first = _after_empty_lines(first[0], lines, path)
        if first is None:
            return
    number, line = first
    if line.lstrip().startswith("["):
        yield from _Values(itertools.chain([first], lines), path).items()
        return
    second = next(lines, None)
    if _is_spread(line, second):
        found = itertools.chain([first], [second] if second else [], lines)
        yield from _alone_or_several(_Values(found, path))
        return
    rest = itertools.chain([second] if second else [], lines)
    if second is None or not second[1].strip():
        second = _after_empty_lines(number + 1, rest, path) if second else None
        if second is None:
            value = _object_of(line, path, number)
            rows = json_layouts.rows_of(value, path)
            yield from rows or [(number, value)]
            return
        rest = itertools.chain([second], lines)
    yield from _objects_of_lines(itertools.chain([first], rest), path)


def _after_empty_lines(number, lines, path):
    """The next line that is not empty: there must be none after empty ones."""
    for _, line in lines:
        if line.strip():
            raise UserError(f"{path}:{number}: not JSON: an empty line")
    return None


def _is_spread(line, second):
    """Whether the first object takes several lines, or shares its line."""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return line[error.pos :].startswith("{")
        is_cut = error.pos >= len(line.rstrip()) or line.strip() == "{"
        return is_cut and not (second and second[1].lstrip().startswith("{"))
    except (ValueError, RecursionError):
        pass
    return False


def _objects_of_lines(lines: Lines, path: str):
    empty, is_warned = None, False
    for number, line in lines:
        if not line.strip():
            empty = empty or number
            continue
        if empty:
            raise UserError(f"{path}:{empty}: not JSON: an empty line")
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if type(value) is not dict:
            # Files that were put together have a mark within.
            line = line.removeprefix("\ufeff")
            value = _object_of(line, path, number)  # It says what is wrong.
        if number <= NUM_LINES_CHECKED and line.count('":') > len(value):
            if not is_warned and (key := _key_twice(line)) is not None:
                _warn_of_twice(path, number, key)
                is_warned = True
        yield number, value


def _object_of(line: str, path: str, number: int) -> dict[str, Any]:
    """The object that a line is."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{number}: not JSON: {error.msg} at position "
            f"{error.colno} of the line{_hint(line, error.pos)}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}:{number}: not JSON: {files.reason(error)}"
        ) from None
    if not isinstance(value, dict):
        raise _not_an_object(path, number)
    return value


def _not_an_object(path, number):
    return UserError(
        f'{path}:{number}: not an object such as {{"text": "…", "label": "…"}}'
    )


def _hint(text: str, place: int) -> str:
    """The probable reason why a text is not JSON at a place."""
    if text[place : place + 1] == "'":
        return "; Python's quotes ' are not JSON's, which are \""
    if re.match(r"(None|True|False)\b", text[place:]):
        return "; this is Python's word, and JSON's are null, true and false"
    before = text[:place].rstrip()
    rest = text[place:].lstrip()
    if (
        rest[:1] in ("}", "]")
        and before.endswith(",")
        or re.match(r",\s*[}\]]", rest)
    ):
        return "; the comma before it is one too many"
    if rest.strip() == "," and before.endswith("}"):
        return (
            "; JSON lines have no commas between them, and a list has [ at its "
            "start"
        )
    return ""


def _key_twice(text: str) -> str | None:
    """A key that an object of the text has twice, whose first value is lost."""
    found: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(value := dict(pairs)) < len(pairs):
            keys = [key for key, _ in pairs]
            found.append(next(key for key in keys if keys.count(key) > 1))
        return value

    json.loads(text, object_pairs_hook=check)
    return found[0] if found else None


def _warn_of_twice(path, number, key):
    logging.warning(
        '%s:%d: an object has the key "%s" twice; its last value counts, here '
        "and in other lines",
        path,
        number,
        key,
    )


def _alone_or_several(values: "_Values"):
    """Yields objects that follow one another, or the rows in a single one."""
    first = values.next_object()
    if values.next_character():
        yield first
        while values.next_character():
            yield values.next_object()
        return
    number, value = first
    rows = json_layouts.rows_of(value, values.path, values.last_text)
    yield from rows or [(number, value)]


class _Values:
    """The JSON values in a text, which is read as far as it is needed.

    Args:
        lines: of the text, with their numbers.
        path: for messages.

    Attributes:
        path: see above.
        last_text: what the last value was read from, and the number of its
            first line.
    """

    def __init__(self, lines: Iterable[tuple[int, str]], path: str):
        self.path = path
        self.last_text = ("", 1)
        self._lines = iter(lines)
        self._text, self._place, self._line = "", 0, 1
        self._is_over = False
        self._has_started = False

    def items(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the objects of lists that follow one another."""
        while self.next_character():
            self._skip("[")
            while self.next_character() != "]":
                yield self.next_object()
                if self.next_character() == "]":
                    break
                self._skip(",")
                if self.next_character() == "]":
                    raise self._error(self._place, "Expecting value")
            self._skip("]")

    def next_object(self) -> tuple[int, dict[str, Any]]:
        """(line on which it starts, the object).

        Raises:
            UserError: it is not an object.
        """
        self.next_character()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
                break
            except json.JSONDecodeError as error:
                if self._is_over or self._is_wrong(error):
                    raise self._error(error.pos, error.msg) from None
                self._more()
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{self.path}:{self._line}: not JSON: {files.reason(error)}"
                ) from None
        number = self._line
        if not isinstance(value, dict):
            raise _not_an_object(self.path, number)
        self.last_text = (self._text[self._place : end], number)
        self._move_to(end)
        return number, value

    def next_character(self) -> str:
        """The character at which the next value starts; "" at the end."""
        while True:
            place = _SPACE.match(self._text, self._place)
            self._move_to(place.end() if place else self._place)
            if self._place < len(self._text) or self._is_over:
                return self._text[self._place : self._place + 1]
            self._more()

    def _skip(self, character):
        if self.next_character() != character:
            raise self._error(self._place, f"Expecting '{character}'")
        self._move_to(self._place + 1)

    def _move_to(self, place):
        self._line += self._text.count("\n", self._place, place)
        self._place = place

    def _more(self):
        """Reads as much again as is not used yet."""
        self._text = self._text[self._place :]
        self._place = 0
        wanted = max(CHARACTERS_AT_ONCE, len(self._text))
        parts, size = [self._text], 0
        for number, line in self._lines:
            if not self._has_started:
                self._line, self._has_started = number, True
            parts.append(line + "\n")
            size += len(line) + 1
            if size >= wanted:
                break
        else:
            self._is_over = True
        self._text = "".join(parts)

    def _is_wrong(self, error):
        """Whether an error stays, however much text follows."""
        is_open = error.msg.startswith("Unterminated string")
        return not is_open and error.pos < len(self._text) - 100

    def _error(self, place, why):
        if self._is_over and not self._text[place:].strip():
            number = self._line + self._text.count("\n", self._place)
            number -= self._text.endswith("\n")
            return UserError(
                f"{self.path}:{number}: not JSON: the file ends before its "
                "last list or object"
            )
        number = self._line + self._text.count("\n", self._place, place)
        column = place - self._text.rfind("\n", 0, place)
        start = self._text.rfind("\n", 0, max(0, place)) + 1
        near = self._text[min(start, self._place) : place + 100]
        return UserError(
            f"{self.path}:{number}: not JSON: {why} at position {column} of "
            f"the line{_hint(near, place - min(start, self._place))}"
        )
