"""Checks of labels: are they labels, and each of them one."""

import collections
import re
import unicodedata

from bert_tf.counts import counted, number_of
from bert_tf.data.plausible import kinds
from bert_tf.data.plausible.sample import MIN_ROWS, Finding, Sample
from bert_tf.data.tabular.table import number

NUM_COUNTED = 100_000  # Rows of which each label is counted, at most.
RECURRING = 0.8  # Share of a label's parts that are in other labels, too.
NUM_LABELS_SHOWN = 12  # In one warning.


def _row_of(sample, label):
    """The first row with a label."""
    is_one = sample.kind == "single_label"
    for row, labels in enumerate(sample.labels):
        if labels == label if is_one else label in (labels or ()):
            return row
    return 0


def _counts(sample):
    """{label: its number of rows}."""
    if sample.kind == "single_label":
        return collections.Counter(sample.labels)
    return collections.Counter(
        one for several in sample.labels for one in several or ()
    )


def _counted(labels, sample, verb):
    """ "2 of 5 labels in label_column=label look"."""
    where = f"in {sample.label_name}"
    return counted(len(labels), len(sample.known_labels), "label", verb, where)


_NOTATION = re.compile(
    r"__label__.*|[\[{(]\s*['\"].*|['\"].+['\"]|\[.*\]|\{.*\}|.*['\"]\s*[\]})]",
    re.DOTALL,
)


def find_notation(sample: Sample) -> Finding | None:
    """Labels with another program's brackets, quotes or marks."""
    known = sample.known_labels
    odd = sorted(label for label in known if _NOTATION.fullmatch(label))
    if not odd:
        return None
    return Finding(
        _row_of(sample, odd[0]),
        f"{_counted(odd, sample, 'look')} like another program's notation, "
        f"such as {odd[0][:40]!r}",
        "each is a label as it is written",
    )


def find_one_label(sample: Sample) -> Finding | None:
    """A dev or test set all of whose rows have one label."""
    if sample.set_type == "train" or sample.kind != "single_label":
        return None
    if len(sample.labels) < MIN_ROWS or len({*sample.labels}) > 1:
        return None
    label = sample.labels[0]
    if label is None:
        return None
    return Finding(
        0,
        f"all {number_of(len(sample.labels), sample.unit)} have the label "
        f"{label[:40]!r} in {sample.label_name}",
        "scores say little if it only stands there for a label that is not "
        "known",
    )


def find_kind(sample: Sample) -> Finding | None:
    """Labels that are dates, or names of files."""
    known = sample.known_labels
    if len(known) < 3:
        return None
    for test, what in ((kinds.is_date, "dates"), (kinds.is_path, "paths")):
        if all(map(test, known)):
            first = min(known)
            return Finding(
                _row_of(sample, first),
                f"all {len(known)} labels in {sample.label_name} are {what}, "
                f"such as {first}",
                "is it the label?",
            )
    return None


_DELIMITERS = "|;,+/&#\t"


def _has_several(sample):
    """Whether a row has more than one label."""
    return any(labels and len(labels) > 1 for labels in sample.labels)


def find_joined(sample: Sample) -> Finding | None:
    """Labels that are several labels with a delimiter between them."""
    if sample.kind == "tags":
        return None
    known = sample.known_labels
    share = RECURRING
    if sample.kind == "multi_label" and not _has_several(sample):
        share = 0  # Is there another delimiter? One such part is enough.
    for delimiter in _DELIMITERS:
        joined = sorted(label for label in known if delimiter in label)
        if len(joined) < 2:
            continue
        parts = [
            [p.strip() for p in label.split(delimiter)] for label in joined
        ]
        # Parts that are labels alone, or are part of others, too.
        uses = collections.Counter(p for label in parts for p in {*label})
        uses.update(known.difference(joined))
        again = [part and uses[part] > 1 for one in parts for part in one]
        if share == 0 and 2 * len(joined) < len(known):
            continue
        if sum(map(bool, again)) >= max(1, share * len(again)):
            return Finding(
                _row_of(sample, joined[0]),
                f"{_counted(joined, sample, 'look')} like several with "
                f"{delimiter!r} between them, such as {joined[0][:40]!r}",
                "`label_delimiter` says what is between labels"
                if sample.kind == "multi_label"
                else "`problem_type`=multi_label with `label_delimiter` reads "
                "them so",
            )
    return None


def find_fractions(sample: Sample) -> Finding | None:
    """Labels that are numbers, not all of them whole."""
    known = sample.known_labels
    if sample.kind != "single_label" or len(known) < 3:
        return None
    numbers = [number(label) for label in known]
    if None in numbers or all(n == round(n or 0.0) for n in numbers):
        return None
    odd = min(known, key=lambda label: (float(label).is_integer(), label))
    return Finding(
        _row_of(sample, odd),
        f"all {len(known)} labels in {sample.label_name} are numbers, such as "
        f"{odd}",
        "each is a label of its own; `problem_type`=regression takes them as "
        "numbers",
    )


def find_too_many(sample: Sample) -> Finding | None:
    """About as many labels as rows: an id, a text or a number."""
    known = sample.known_labels
    if sample.kind == "tags" or len(known) <= MIN_ROWS:
        return None
    total = len(sample.labels) - [*sample.labels].count(None)
    if total < 2 * MIN_ROWS:
        return None
    if len(known) <= total * (0.5 if sample.kind == "single_label" else 1):
        return None
    numbers = all(number(label) is not None for label in known)
    return Finding(
        next(r for r, label in enumerate(sample.labels) if label is not None),
        f"{len(known)} different labels in {number_of(total, sample.unit)} of "
        f"{sample.label_name}",
        "is it the label? `problem_type`=regression takes numbers as numbers"
        if numbers
        else "is it the label, or an id or a text?",
    )


def find_alone(sample: Sample) -> Finding | None:
    """Labels of which most have one example."""
    known, total = sample.known_labels, len(sample.labels)
    if sample.kind == "tags" or len(known) < 5:
        return None
    if total > NUM_COUNTED and len(known) < total / 100:
        return None
    alone = [label for label, n in _counts(sample).items() if n == 1]
    if len(alone) <= len(known) / 2:
        return None
    return Finding(
        _row_of(sample, alone[0]),
        f"{_counted(alone, sample, 'have')} one {sample.unit} only",
        "little can be learned of them",
    )


def plain_label(label: str) -> str:
    """A label without what can hardly be seen: case, blanks, look-alikes.

    Numbers are those of the same value: "1.0" is "1". Wide letters are letters,
    characters without a width are dropped, and an accent in a character of its
    own is one of its letter.
    """
    if (value := number(label)) is not None:
        return repr(value)
    text = unicodedata.normalize("NFKC", label).casefold()
    return "".join(
        c for c in text if not c.isspace() and unicodedata.category(c) != "Cf"
    )


def find_case(sample: Sample) -> Finding | None:
    """Labels that differ only by case, blanks, look-alikes or 1 and 1.0."""
    groups = collections.defaultdict(list)
    for label in sample.known_labels:
        groups[plain_label(label)].append(label)
    same = sorted(sorted(group) for group in groups.values() if len(group) > 1)
    if not same:
        return None
    counts = _counts(sample) if len(sample.labels) <= NUM_COUNTED else {}
    shown = "; ".join(
        ", ".join(
            _visible(label) + (f" ({counts[label]})" if counts else "")
            for label in sorted(group, key=lambda one: -counts.get(one, 0))
        )
        for group in same[:NUM_LABELS_SHOWN]
    )
    rows = [_row_of(sample, label) for group in same for label in group]
    return Finding(
        min(rows),
        f"labels in {sample.label_name} differ only by case, blanks, "
        f"characters that look alike or the form of a number: {shown}",
        "each is a label of its own",
    )


def _visible(label):
    """The label, with escapes where not all of it is seen."""
    if label.isascii() and label.isprintable():
        return label
    plain = unicodedata.normalize("NFKC", label)
    if plain == label and label.isprintable():
        return label
    return ascii(label)
