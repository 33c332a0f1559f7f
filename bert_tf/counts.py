"""Numbers in messages: of things, in the singular or the plural; and scores.

number_of(1, "row")                  "1 row"
counted(2, 5, "row")                 "2 of 5 rows have"
counted(1, 5, "label", "look")       "1 of 5 labels looks"
"""

import math

_THIRD_PERSONS = {"have": "has", "are": "is", "do": "does"}


def number_of(number: int, unit: str) -> str:
    """A number and its unit: "1 row", "2 rows".

    Args:
        number: how many there are.
        unit: one of them, such as "row".
    """
    return f"{number} {plural(unit, number)}"


def plural(unit: str, number: int = 2) -> str:
    """The name of some things: "rows", and "row" where there is one.

    Args:
        unit: the name of one.
        number: how many there are.
    """
    if number == 1:
        return unit
    is_y = unit.endswith("y") and unit[-2:-1] not in "aeiou"
    return f"{unit[:-1]}ies" if is_y else f"{unit}s"


def counted(
    number: int, total: int, unit: str, verb: str = "have", where: str = ""
) -> str:
    """The subject and the verb of a warning: "2 of 5 rows have".

    Args:
        number: how many the warning is about.
        total: how many there are.
        unit: one of them, such as "row".
        verb: what they do, as of many: "have", "are", "look".
        where: what comes before the verb, such as "in column 2".
    """
    if number == 1:
        verb = _THIRD_PERSONS.get(verb, f"{verb}s")
    place = f"{where} " if where else ""
    return f"{number} of {number_of(total, unit)} {place}{verb}"


def format_score(value: float) -> str:
    """A score with four digits: 0.16266957 -> "0.1627", 81.28 -> "81.28"."""
    value = float(value)
    if not math.isfinite(value) or value == int(value) and abs(value) > 1:
        return f"{value:.6g}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def format_mean(mean: float, std: float) -> str:
    """A mean and a standard deviation, with the same number of digits."""
    digits = 4 if abs(mean) < 10 else 2
    return f"{mean:.{digits}f} ± {std:.{digits}f}"
