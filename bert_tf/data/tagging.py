"""Files of words with tags, as in the CoNLL shared tasks.

There is a word in each row, its tag in the last column, and a blank line after
each sentence. Columns are separated by spaces or tabs. Rows that start with
-DOCSTART- separate documents.

    EU NNP B-NP B-ORG
    rejects VBZ B-VP O
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence

from absl import logging

from bert_tf import files
from bert_tf.data import splits
from bert_tf.data.plausible.examples import of_sentences
from bert_tf.errors import UserError

OUTSIDE = "O"  # The tag of a word that is in no entity.
PREFIXES = "BIES"
DOCUMENT_START = "-DOCSTART-"

# A word may hold what Unicode calls a space.
_COLUMN = re.compile("[^ \t]+")
_TAG = re.compile(f"{OUTSIDE}|[{PREFIXES}]-.+")
_FORMS = "O, B-type, I-type, E-type, S-type, where a type is such as PER"


@dataclasses.dataclass
class Sentence:
    """The words of a sentence, with the lines that `conll_lines` writes back.

    Attributes:
        guid: unique id, such as "dev-7"; the first sentence is 0.
        words: at least one.
        labels: the tag of each word, or None where they are not known.
        rows: the row of each word as in the file, with one space between
            columns.
        before: the lines between the previous sentence and this one: blank
            lines, which are "" here, and those that start a document.
        after: the lines after the last sentence of a file.
    """

    guid: str
    words: list[str]
    labels: list[str] | None
    rows: list[str]
    before: list[str] = dataclasses.field(default_factory=list)
    after: list[str] = dataclasses.field(default_factory=list)

    @property
    def label(self) -> list[str] | None:
        """The labels, under the name that other examples use."""
        return self.labels


def read_conll(
    path: str,
    set_type: str,
    labels: Sequence[str] | None = None,
    strict: bool = False,
) -> list[Sentence]:
    """The sentences of a file.

    Files for training and evaluation have a tag in each row. A file for
    prediction may have them: it has tags if each row ends with a known one;
    otherwise all `Sentence.labels` are None.

    Args:
        path: of the file.
        set_type: "train", "dev" or "test".
        labels: the tags that may occur; None allows O, and B-, I-, E- and S-
            with any type.
        strict: a file for prediction with some known tags must have them all.

    Raises:
        UserError: the file has no sentence; or, unless for "test", a row has
            no tag or a wrong one, or more or fewer columns than the first.
    """
    blocks = list(_read_blocks(path))
    rows = [row for _, rows in blocks for row in rows]
    if not rows:
        raise UserError(f"{path}: no sentence in this file")
    if set_type == "test":
        has_labels = _has_tags(path, rows, labels, strict)
    else:
        _check_rows(path, rows, labels)
        has_labels = True
    # Only the last block can be without words.
    after = [] if blocks[-1][1] else blocks.pop()[0]
    sentences = [
        Sentence(
            guid=f"{set_type}-{index}",
            words=[columns[0] for _, columns in rows],
            labels=[c[-1] for _, c in rows] if has_labels else None,
            rows=[" ".join(columns) for _, columns in rows],
            before=before,
        )
        for index, (before, rows) in enumerate(blocks)
    ]
    sentences[-1].after = after
    return sentences


def _read_blocks(path):
    """Yields (lines before, [(line number, columns)] of the words)."""
    before, rows = [], []
    for number, line in files.read_lines(path):
        columns = _COLUMN.findall(line)
        if columns and columns[0] != DOCUMENT_START:
            rows.append((number, columns))
            continue
        if rows:
            yield before, rows
            before, rows = [], []
        before.append(" ".join(columns))
    yield before, rows


def _check_rows(path, rows, labels):
    first, first_columns = rows[0]
    for number, columns in rows:
        place = f"{path}:{number}"
        if len(columns) == 1:
            raise UserError(
                f"{place}: no tag: the row is {columns[0]!r} alone, but its "
                "last column must be the word's tag (columns are separated by "
                "spaces or tabs)"
            )
        if len(columns) != len(first_columns):
            raise UserError(
                f"{place}: {len(columns)} columns, but line {first} has "
                f"{len(first_columns)}; all rows must have the same number"
            )
        if not _is_known(columns[-1], labels):
            raise UserError(
                f"{place}: tag {columns[-1]!r} is not one of "
                + (_FORMS if labels is None else ", ".join(labels))
            )


def _has_tags(path, rows, labels, strict):
    """Whether all rows end with a known tag; warns where only some do."""
    if all(len(columns) == 1 for _, columns in rows):
        return False
    for number, columns in rows:
        if len(columns) == 1:
            what = f"no tag after {columns[0]!r}"
        elif not _is_known(columns[-1], labels):
            what = f"{columns[-1]!r} is not a known tag"
        else:
            continue
        if strict:
            raise UserError(f"{path}:{number}: {what}, under `strict`")
        logging.warning(
            "%s:%d: %s; the file is read as one without tags",
            path,
            number,
            what,
        )
        return False
    return True


def _is_known(tag, labels):
    return bool(_TAG.fullmatch(tag)) if labels is None else tag in labels


def read_sets(
    settings: splits.FileSettings,
    sets: Iterable[str],
    labels: list[str] | None = None,
) -> tuple[dict[str, list[Sentence]], list[str]]:
    """Reads the sets that are asked for.

    The tags are those of the whole training file, even where other sets take
    some of its sentences: these may have the rare tags.

    Args:
        settings: the files.
        sets: some of "train", "dev" and "test".
        labels: the tags that an earlier run learned, or None. A training set
            with others replaces them.

    Returns:
        ({set: sentences}, labels).

    Raises:
        UserError: a setting or a file cannot be used.
    """

    sets = list(sets)

    def read(path, set_type):
        nonlocal labels
        if set_type != "train" or (labels and "train" not in sets):
            return read_conll(path, set_type, labels, settings.strict)
        sentences = read_conll(path, set_type)
        inferred = infer_labels(sentences)
        splits.check_varied(
            inferred,
            path,
            f"all words have the tag {OUTSIDE!r}",
            where="the last column",
        )
        if not labels or not {*inferred} <= {*labels}:
            labels = inferred
        return sentences

    sentences = splits.read_sets(settings, sets, read, sample_of=of_sentences)
    return sentences, labels or []


def infer_labels(sentences: Iterable[Sentence]) -> list[str]:
    """The tags of sentences, in the order of the model's outputs.

    O is the first. The others are in the order of their types, and within a
    type in the order B, I, E, S.

    Args:
        sentences: with labels.
    """
    tags = {tag for sentence in sentences for tag in sentence.labels or ()}
    tags.discard(OUTSIDE)

    def order(tag):
        prefix, _, kind = tag.partition("-")
        return kind, PREFIXES.index(prefix)

    return [OUTSIDE, *sorted(tags, key=order)]


def conll_lines(sentence: Sentence, tags: Sequence[str]) -> str:
    """A sentence's lines in the file with predictions.

    They are the lines that were read, each with one column more: the tag, or O
    in rows that start a document. Blank lines stay blank. So all sentences
    together have a line for each line of the file.

    Args:
        sentence: as it was read.
        tags: one for each word.
    """
    rows = zip(sentence.rows, tags, strict=True)
    lines = [
        *_with_outside(sentence.before),
        *(f"{row} {tag}" for row, tag in rows),
        *_with_outside(sentence.after),
    ]
    return "".join(f"{line}\n" for line in lines)


def _with_outside(lines):
    return [line and f"{line} {OUTSIDE}" for line in lines]
