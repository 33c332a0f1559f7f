"""Finding: one thing that the doctor has to say, and how findings are shown."""

import dataclasses
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

# The worst first.
SEVERITIES = ("error", "warning", "note")
TITLES = {
    "error": "Errors: the run cannot work",
    "warning": "Warnings: the run works, and its results may be wrong",
    "note": "Notes",
}
WIDTH = 79
NUM_PLACES = 3  # Places that are named for one finding.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found.

    Settings are in backticks, as in `UserError`.

    Attributes:
        severity: one of `SEVERITIES`.
        name: the name of the check, such as "truncated texts".
        what: what was found, with numbers.
        advice: what to do, or what it means; "" where `what` says it.
        where: the first places, such as "train.csv:7".
        subject: what the finding is about, such as "train".
    """

    severity: str
    name: str
    what: str
    advice: str = ""
    where: Sequence[str] = ()
    subject: str = ""

    def to_json(self, name_of: Callable[[str], str] = str) -> dict[str, Any]:
        """The finding as an object of JSON.

        Args:
            name_of: writes the settings of a message as its reader knows them.
        """
        return {
            "severity": self.severity,
            "name": self.name,
            "subject": self.subject,
            "what": name_of(self.what),
            "advice": name_of(self.advice),
            "where": [*self.where],
        }

    def line(self) -> str:
        """The finding in one line, for a log."""
        head = f"{self.subject}: {self.what}" if self.subject else self.what
        places = f" ({self.where[0]} first)" if self.where else ""
        return f"{head}{places}" + (f": {self.advice}" if self.advice else "")


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity, each once; otherwise in their order."""
    unique: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        key = (finding.severity, finding.name, finding.subject, finding.what)
        unique.setdefault(key, finding)
    return sorted(
        unique.values(), key=lambda one: SEVERITIES.index(one.severity)
    )


def is_fatal(findings: Iterable[Finding]) -> bool:
    """Whether the run cannot work."""
    return any(finding.severity == "error" for finding in findings)


def to_text(
    findings: Iterable[Finding], name_of: Callable[[str], str] = str
) -> str:
    """The findings for people: in groups, the worst first.

    Args:
        findings: in any order.
        name_of: writes the settings of a message as its reader knows them.
    """
    lines: list[str] = []
    severity = ""
    for finding in worst_first([*findings]):
        if finding.severity != severity:
            severity = finding.severity
            lines += ["", TITLES[severity]] if lines else [TITLES[severity]]
        lines += _paragraph(finding, name_of)
    return "\n".join(lines or ["Nothing to report."])


def _sentence(text):
    """A text with the mark that ends it."""
    return text if text.endswith((".", "?", "!", "…")) else f"{text}."


def _paragraph(finding, name_of):
    head = f"{finding.subject}: " if finding.subject else ""
    text = _sentence(name_of(f"{head}{finding.what}"))
    if finding.advice:
        advice = name_of(finding.advice)
        text += f" {_sentence(advice[:1].upper() + advice[1:])}"
    if finding.where:
        text += f" See {', '.join(finding.where[:NUM_PLACES])}."
    return textwrap.wrap(
        f"{finding.name}: {text}",
        WIDTH,
        initial_indent="  * ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
