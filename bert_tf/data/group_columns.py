"""The columns of files of texts that belong together, by their names.

    Columns(kind="scored", texts=("sentence1", "sentence2"), label="score")

`text_groups` reads such files.
"""

import dataclasses
import re
from collections.abc import Sequence

from bert_tf import suggestions
from bert_tf.choices import GROUP_KINDS
from bert_tf.counts import number_of
from bert_tf.data.tabular.table import listed
from bert_tf.errors import UserError

ANCHORS, POSITIVES = ("anchor", "query", "question"), ("positive", "answer")
NEGATIVE = re.compile(r"negative(_?\d+)?")
PAIRS = (
    ("sentence1", "sentence2"),
    ("text", "text_pair"),
    ("text1", "text2"),
    ("question1", "question2"),
)
SINGLE = ("text", "sentence")
SCORES = ("score", "similarity", "label")
# What a kind needs, for errors.
NEEDED = {
    "pairs": "anchor and positive",
    "triples": "anchor, positive and negative",
    "scored": "sentence1, sentence2 and score",
    "labelled": "text and label",
    "sentences": "text",
}
HEADER_NAMES = {*ANCHORS, *POSITIVES, *SINGLE, *SCORES, *sum(PAIRS, ())}


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """What a file holds, and how it is written.

    Attributes:
        train_on: one of `GROUP_KINDS`; None if the columns say it.
        text_columns: the columns of the texts, in the order of the list above;
            None for the usual names.
        score_column: column of the scores; None for one of `SCORES`.
        label_column: column of the labels.
        input_format: "csv", "tsv", "jsonl" or "lines"; None if the file's
            content and name say it.
        header, delimiter, encoding, strict: see `csv_files.read_table`.
    """

    train_on: str | None = None
    text_columns: Sequence[str] | None = None
    score_column: str | None = None
    label_column: str = "label"
    input_format: str | None = None
    header: bool = True
    delimiter: str | None = None
    encoding: str = "utf-8"
    strict: bool = False


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a file.

    Attributes:
        kind: one of `GROUP_KINDS`.
        texts: the columns of texts.
        label: the column of scores or labels; None without one.
    """

    kind: str
    texts: tuple[str, ...]
    label: str | None = None


def find_columns(
    names: Sequence[str], settings: GroupSettings, path: str
) -> Columns:
    """The columns of a file, and what it holds.

    Args:
        names: all columns.
        settings: what is known.
        path: of the file, for errors.

    Raises:
        UserError: the columns do not say it, or one is missing.
    """
    score = settings.score_column or _first(SCORES, names)
    label = settings.label_column
    if settings.text_columns:
        texts = tuple(settings.text_columns)
        kind = settings.train_on or _kind_of_number(texts, names, score, label)
        _check_number(kind, texts)
    else:
        kind, texts = _usual(names, settings.train_on, score, label, path)
    if kind == "scored":
        return Columns(kind, texts, _existing(score or "score", names, path))
    if kind == "labelled":
        return Columns(kind, texts, _existing(label, names, path))
    return Columns(kind, texts)


def _kind_of_number(texts, names, score, label) -> str:
    """The kind of a file whose columns of texts are named."""
    if len(texts) > 2:
        return "triples"
    if len(texts) == 2:
        return "scored" if score in names else "pairs"
    return "labelled" if label in names and label not in texts else "sentences"


def _check_number(kind: str, texts: tuple[str, ...]) -> None:
    if len({*texts}) < len(texts):
        raise UserError(
            "names a column twice",
            setting="text_columns",
            value=",".join(texts),
        )
    least = {"pairs": 2, "scored": 2, "triples": 3}.get(kind, 1)
    is_more = kind in ("triples", "sentences") and len(texts) > least
    if len(texts) != least and not is_more:
        raise UserError(
            f"`train_on`={kind} needs {NEEDED[kind]}, in this order"
            if kind in ("pairs", "triples")
            else f"`train_on`={kind} needs {number_of(least, 'column')}",
            setting="text_columns",
            value=",".join(texts),
        )


def _usual(names, kind, score, label, path) -> tuple[str, tuple[str, ...]]:
    """The kind of a file, and its columns of texts, by their usual names."""
    pair = next((pair for pair in PAIRS if {*pair} <= {*names}), None)
    anchored = tuple(
        filter(None, (_first(ANCHORS, names), _first(POSITIVES, names)))
    )
    negatives = tuple(name for name in names if NEGATIVE.fullmatch(name))
    single = _first(SINGLE, names) or (names[0] if len(names) == 1 else None)
    found: dict[str, tuple[str, ...]] = {}
    if len(anchored) == 2:
        if kind != "pairs":
            _check_negatives(names, path)
        if negatives:
            found["triples"] = (*anchored, *negatives)
        found["pairs"] = anchored
    if pair and score in names:
        found["scored"] = pair
    if pair:
        found.setdefault("pairs", pair)
    if single and label in names:
        found["labelled"] = (single,)
    if single or pair:
        found["sentences"] = (single,) if single else pair or ()
    if kind is None and found:
        return next(iter(found.items()))
    if kind in found:
        return kind, found[kind]
    # Only the column of scores or labels is missing, which will be named.
    if kind == "scored" and pair:
        return kind, pair
    if kind == "labelled" and single:
        return kind, (single,)
    raise _not_found(names, kind, path)


def _check_negatives(names: Sequence[str], path: str) -> None:
    """Raises UserError for negatives in columns of other names."""
    for name in names:
        if "negative" in name.lower() and not NEGATIVE.fullmatch(name):
            raise UserError(
                f"{path}: the column {name} is not read as negatives; they are "
                "negative, negative_2, …, with a text in each row. "
                "`train_on`=pairs leaves them out"
            )


def _not_found(names, kind, path) -> UserError:
    has = f"{path} has the columns {listed(names)}"
    if kind is None:
        needed = "; ".join(NEEDED[kind] for kind in GROUP_KINDS)
        return UserError(
            f"{has}, and none of these: {needed}; `text_columns` names the "
            "columns of the texts"
        )
    return UserError(
        f"{has}, and not {NEEDED[kind]}; `text_columns` names others",
        setting="train_on",
        value=kind,
    )


def _first(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _existing(name: str, names: Sequence[str], path: str) -> str:
    if name in names:
        return name
    raise UserError(
        f"{path} has no column {name}; it has {listed(names)}"
        + suggestions.hint(name, names)
    )
