"""Says where the rows of a file are hardly what they are taken for.

    warn(sample, strict)         the table `CHECKS`, on the first rows of a file
    compare(samples, strict)     a dev or test set that is the training set

    mails.csv: 998 of the first 1000 rows have one word in `text_column`=name
    (row of line 2 first): is this the text?

All tasks run them on the rows that they have read. They only warn, unless under
`strict`. The functions are in the folder `plausible`.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

from absl import logging

from bert_tf.data.plausible import columns, kinds, labels, sets, texts
from bert_tf.data.plausible.sample import Finding, Sample
from bert_tf.data.plausible.texts import Find
from bert_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Check:
    """A check: its name, and the function that makes it."""

    name: str
    find: Find


class Warned(UserError):
    """What a check warns of.

    Attributes:
        check: the name of the check.
    """

    check = ""


def _most(test: Callable[[str], bool], what: str, least: int = 10) -> Find:
    """Most texts of a column are something else than texts."""
    return texts.share_of(test, what, "is this the text?", least=least)


def _many(
    test: Callable[[str], bool], what: str, advice: str, signs: str = ""
) -> Find:
    """Enough texts have a fault that hardly any text has."""
    return texts.share_of(test, what, advice, 0.02, least=3, signs=signs)


def _trained(find: Find) -> Find:
    """The labels of a training file; those of others are compared with it."""
    return lambda sample: find(sample) if sample.set_type == "train" else None


# Of each group, the first check that finds something is reported.
CHECKS: Sequence[Sequence[Check]] = (
    (  # What the texts are. A few numbers are enough: nobody reads these.
        Check("numbers", _most(kinds.is_number, "a number", 1)),
        Check("several numbers", _most(kinds.are_numbers, "numbers alone")),
        Check("dates", _most(kinds.is_date, "a date or a time")),
        Check("paths", _most(kinds.is_path, "a path or an address")),
        Check("the label", columns.find_leak),
        Check("ids", _most(kinds.is_id, "an id or a code")),
        Check("one text", texts.find_same_text),
        Check("one word", _most(kinds.is_word, "one word")),
        Check("running numbers", texts.find_count),
    ),
    (
        Check(
            "notation in texts",
            texts.share_of(
                texts.is_notation,
                "brackets or quotes of another program around it",
                "the model reads them as well",
            ),
        ),
    ),
    (
        Check("numbers as words", texts.find_number_words),
        Check("empty", texts.find_empty),
    ),
    (Check("the same pair", columns.find_same_pair),),
    # What happened to the texts on their way.
    (
        Check(
            "lost characters",
            _many(
                texts.has_replacement,
                "the character U+FFFD",
                "others were lost when the file was written",
                signs=texts.REPLACEMENTS,
            ),
        ),
        Check(
            "control characters",
            _many(
                texts.has_control,
                "control characters such as U+0096",
                "in a file in cp1252 these are dashes and quotes; is it "
                "`encoding`=cp1252?",
                signs=texts.CONTROLS,
            ),
        ),
        Check(
            "wrong encoding",
            _many(
                texts.is_mojibake,
                "characters such as Ã© or â€™",
                "the file was read in a wrong encoding when it was written",
            ),
        ),
    ),
    (
        Check(
            "question marks",
            texts.share_of(
                texts.has_lost,
                "a question mark within a word",
                "the letter there may have been lost when it was written",
                share=0.1,
                least=3,
                signs="?",
            ),
        ),
    ),
    (
        Check(
            "HTML",
            texts.share_of(
                texts.is_html,
                "tags or entities of HTML",
                "the model reads them as words",
                share=0.5,
                signs="<&",
            ),
        ),
    ),
    (
        Check(
            "escapes",
            texts.share_of(
                texts.is_escaped,
                "escapes such as \\n",
                "the model reads them as letters",
                share=0.1,
                least=3,
                signs="\\",
            ),
        ),
    ),
    (
        Check(
            "nothing",
            _many(
                texts.is_nothing,
                "a mark for a missing value, such as null or None,",
                "the model reads it as a text",
            ),
        ),
    ),
    (
        Check("cut", texts.find_cut),
        Check(
            "shortened",
            texts.share_of(
                texts.is_shortened,
                "three points at the end",
                "the program that wrote the file may have cut them",
                share=0.5,
            ),
        ),
    ),
    (  # What the labels are.
        Check("notation", _trained(labels.find_notation)),
        Check("fractions", _trained(labels.find_fractions)),
        Check("dates and paths", _trained(labels.find_kind)),
        Check("one label", labels.find_one_label),
        Check("too many", _trained(labels.find_too_many)),
        Check("joined", _trained(labels.find_joined)),
        Check("one example", _trained(labels.find_alone)),
        Check("running numbers", columns.find_running_number),
    ),
    (Check("case", _trained(labels.find_case)),),
    (Check("contradictions", columns.find_contradictions),),
    (Check("ids", columns.find_id),),
)


def warn(sample: Sample, strict: bool) -> None:
    """Runs the checks of `CHECKS` on a sample, and logs what they find.

    Args:
        sample: the first rows of a file.
        strict: whether a finding is an error.

    Raises:
        UserError: there is a finding, under `strict`.
    """
    for group in CHECKS:
        for check in group:
            if finding := check.find(sample):
                _report(sample, finding, strict, check.name)
                break


def compare(
    samples: Mapping[str, Sample],
    strict: bool,
    parts_of_train: Collection[str] = (),
) -> None:
    """Compares the dev and the test set with the training set, if it is read.

    Args:
        samples: {set: its sample}.
        strict: whether a finding is an error.
        parts_of_train: sets whose rows were taken from the training file.

    Raises:
        UserError: one is the training set or shares much with it, under
            `strict`.
    """
    if "train" not in samples:
        return
    for name in sets.NAMES:
        if name not in samples:
            continue
        message = sets.same_file(samples, name, name in parts_of_train)
        if message:
            sets.say_same(message, strict)
        elif finding := sets.find_overlap(samples, name):
            _report(samples[name], finding, strict, "overlap")


def _report(sample: Sample, finding: Finding, strict: bool, name: str) -> None:
    """Logs a finding, or raises an error under `strict`.

    What is logged is a `Warned`.
    """
    line = sample.line(finding.row)
    is_line = isinstance(line, int)
    what, advice = finding.what, finding.advice
    if strict:
        place = f"{sample.path}:{line}" if is_line else f"{sample.path}: {line}"
        raise UserError(f"{place}: {what}: {advice}, under `strict`")
    first = f"row of line {line}" if is_line else line
    error = Warned(f"{sample.path}: {what} ({first} first): {advice}")
    error.check = name
    logging.warning("%s", error)
