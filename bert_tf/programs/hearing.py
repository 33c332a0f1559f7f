"""Takes the warnings that reading logs as findings of the doctor."""

import contextlib
import logging as standard_logging
import re
from collections.abc import Iterator

from absl import logging

from bert_tf.doctor.findings import Finding
from bert_tf.errors import UserError

# Names that the doctor has for what other checks warn of, by signs in a warning
# or by the name of a check of `plausibility`.
_NAMES_OF_CHECKS = {
    "wrong encoding": "mojibake",
    "contradictions": "contradicting labels",
    "empty": "empty texts",
    "one label": "constant label",
    "one example": "rare labels",
}
_NAMES_OF_SIGNS = {
    r"\bno text\b": "empty texts",
    r"\bno label\b": "missing labels",
    r"in the training set|is the training file": "overlap",
    r"counts? as wrong": "unknown labels",
    r"not in the context": "answers not in the context",
    r"was .* before, and is .* now": "changed flags",
}
_PLACE = re.compile(r"(.*?): (.*?) \((?:row of line )?(\d+) first\)(?:: (.*))?")


class Heard:
    """The findings of warnings so far.

    Attributes:
        findings: in the order of the log.
        checks: the names of the checks of `plausibility` that found anything.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.checks: set[str] = set()

    def add(self, record: standard_logging.LogRecord) -> None:
        """Takes a record of the log that is a warning."""
        message, check = record.getMessage(), ""
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, UserError):  # Settings stay in backticks.
                message = value.message_for(lambda name: f"`{name}`")
                check = getattr(value, "check", "")
        if check:
            self.checks.add(check)
        self.findings.append(_finding(message, check))


def _finding(message: str, check: str) -> Finding:
    name = _NAMES_OF_CHECKS.get(check, check) or next(
        (n for s, n in _NAMES_OF_SIGNS.items() if re.search(s, message)),
        "reading",
    )
    match = _PLACE.fullmatch(message)
    if match is None:
        return Finding(severity="warning", name=name, what=message)
    path, what, line, advice = match.groups()
    return Finding(
        severity="warning",
        name=name,
        what=f"{path}: {what}",
        advice=advice or "",
        where=[f"{path}:{line}"],
    )


@contextlib.contextmanager
def hearing(heard: Heard, is_quiet: bool = False) -> Iterator[Heard]:
    """While it lasts, warnings of the log are findings.

    Args:
        heard: takes them.
        is_quiet: whether nothing is logged meanwhile but progress.
    """

    def listen(record: standard_logging.LogRecord) -> bool:
        if record.levelno >= standard_logging.WARNING:
            heard.add(record)
        return not is_quiet or record.module == "progress"

    logger = logging.get_absl_logger()
    # Before the filter that writes settings as flags.
    logger.filters.insert(0, listen)
    try:
        yield heard
    finally:
        logger.removeFilter(listen)
