"""What a table's values may be, and what they become.

TEXT          a text or a number; a text, and None where nothing is
TEXT_OR_LIST  also a list; a tuple of texts
LABEL         also an object; see `label_notation`
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bert_tf.data.tabular import label_notation
from bert_tf.errors import UserError


class Kind(NamedTuple):
    """What the values of a column may be.

    Attributes:
        wrong: function(value) that says why it cannot be one, "" if it can.
        convert: function(value) -> what `Table` returns for it.
    """

    wrong: Callable[[Any], str]
    convert: Callable[[Any], Any]


def converted(
    values: Iterable[Any], kind: Kind, name: str, place: Callable[[int], str]
) -> list[Any]:
    """The values of a column as `Table` returns them.

    Args:
        values: of each row.
        kind: what they may be.
        name: of the column.
        place: function(row) -> where it is, for errors.

    Raises:
        UserError: a value is of another kind.
    """
    wrong, convert = kind
    found = []
    for row, value in enumerate(values):
        if why := wrong(value):
            raise UserError(f'{place(row)}: "{name}" {why}')
        found.append(convert(value))
    return found


def wrong_label(value: Any) -> str:
    """Says why a value cannot be a label, or several; "" where it can."""
    if not isinstance(value, list | dict):
        return wrong_text(value)
    try:
        label_notation.from_json(value)
    except UnicodeEncodeError as error:
        return wrong_text(error.object)
    except ValueError as error:
        return str(error)
    return ""


def wrong_text(value: Any, allowed: str = "text, a number or null") -> str:
    """Says why a value cannot be a text; "" where it can."""
    if not isinstance(value, str):
        is_known = value is None or isinstance(value, int | float)
        return "" if is_known else f"must be {allowed}"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "has half a surrogate pair, such as \\ud800 alone: not in UTF-8"
    return ""


def wrong_text_or_list(value: Any) -> str:
    """Like `wrong_text`, of a value that may also be a list."""
    if not isinstance(value, list):
        return wrong_text(value, "text, a list or null")
    allowed = "a list of texts or numbers"
    reasons = (wrong_text(item, allowed) for item in value)
    return next(filter(None, reasons), "")


def as_text(value: Any) -> str | tuple[Any, ...] | None:
    """A text or number as a text, a list as a tuple, nothing as None."""
    if isinstance(value, list):
        return tuple(as_text(item) or "" for item in value)
    if value is None or value != value:  # NaN differs from itself.
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


TEXT = Kind(wrong_text, as_text)
TEXT_OR_LIST = Kind(wrong_text_or_list, as_text)
LABEL = Kind(wrong_label, label_notation.from_json)
