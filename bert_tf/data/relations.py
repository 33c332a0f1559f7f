"""Sentences with two marked entities, and the relation between them.

A file may hold JSON objects, such as one on each line:

    {"text": "The child was in the cradle.", "e1": [4, 9], "e2": [21, 27],
     "label": "Entity-Destination(e1,e2)"}

`e1` and `e2` are the places of the first character of an entity and of the one
after its last, from 0, in Unicode code points, as Python counts. `label` may
be missing in a file for prediction.

Any other file has the layout of SemEval-2010 task 8, with an empty line after
each sentence:

    1	"The <e1>child</e1> was in the <e2>cradle</e2>."
    Entity-Destination(e1,e2)
    Comment: dropped, and may be missing

Files for prediction need no relations. Where a file has none, and a key file
is next to it (NAME_KEY.TXT for NAME.txt; an id, a tab and a relation on each
line), the relations are those of the key.

The model reads a mark before and after each entity, whichever comes first:

    [CLS] the [E1] child [/E1] was in the [E2] cradle [/E2] . [SEP]

`export.relations` makes this of an example.
"""

import dataclasses
import itertools
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence

from absl import logging

from bert_tf import files
from bert_tf.data import splits
from bert_tf.data.labels import relation_labels
from bert_tf.data.labels.relation_labels import check_labels as check_labels
from bert_tf.data.plausible.examples import of_relations
from bert_tf.data.tabular import csv_files
from bert_tf.data.tabular.table import ids_of, is_empty
from bert_tf.errors import UserError

Span = tuple[int, int]  # The place of the first character, and after the last.

MARKS = ("[E1]", "[/E1]", "[E2]", "[/E2]")
MARK_PATTERNS = tuple(
    rf"\[{name}\]|<{name.lower()}>" for name in ("E1", "/E1", "E2", "/E2")
)
EXAMPLE = '"[E1]Ann[/E1] lives in [E2]Rome[/E2]"'

_MARK = re.compile("|".join(MARK_PATTERNS))
_SENTENCE = re.compile(r"(\S+)[ ]*\t\s*(\S.*)")


@dataclasses.dataclass(frozen=True)
class RelationExample:
    """A sentence with two entities.

    Attributes:
        guid: unique id, such as "dev-7".
        text: the sentence, without marks.
        e1, e2: where the entities are; either may come first.
        label: the relation, such as "Cause-Effect(e2,e1)"; None where it is
            not known.
        place: "file:line", for messages.
    """

    guid: str
    text: str
    e1: Span
    e2: Span
    label: str | None = None
    place: str = dataclasses.field(default="", compare=False)

    @property
    def is_reversed(self) -> bool:
        """Whether e2 comes first."""
        return self.e2 < self.e1

    def parts(self) -> list[str]:
        """Returns the text before, in, between, in and after the entities."""
        places = [0, *sorted((*self.e1, *self.e2)), len(self.text)]
        return [self.text[a:b] for a, b in itertools.pairwise(places)]

    def marked(self, marks: Sequence[str] = MARKS) -> str:
        """Returns the text with marks around the entities."""
        ordered = in_text_order(marks, self.is_reversed)
        pairs = zip(self.parts(), (*ordered, ""), strict=True)
        return "".join(part + mark for part, mark in pairs)


def in_text_order(marks: Sequence[str], is_reversed: bool) -> list[str]:
    """Returns four marks as they follow one another in a text."""
    return [*marks[2:], *marks[:2]] if is_reversed else [*marks]


def parse_marked(text: str) -> tuple[str, Span, Span]:
    """Reads a text with marks, such as "[E1]Ann[/E1] likes <e2>tea</e2>.".

    Returns:
        (the text without the marks, e1, e2).

    Raises:
        ValueError: the text does not have each mark once, around two entities
            that follow one another.
    """
    names = [f"[{name.strip('[<>]').upper()}]" for name in _MARK.findall(text)]
    for mark in MARKS:
        if (times := names.count(mark)) != 1:
            how_often = f"occurs {times} times" if times else "is missing"
            raise ValueError(
                f"the mark {mark} {how_often}; two entities must be marked, "
                f"as in {EXAMPLE}"
            )
    is_reversed = names[0] == MARKS[2]
    if names != in_text_order(MARKS, is_reversed):
        raise ValueError(
            f"the marks are {' '.join(names)}; one entity must end before the "
            f"other starts, as in {EXAMPLE}"
        )
    parts = _MARK.split(text)
    plain = "".join(parts)
    start, end, next_start, next_end, _ = itertools.accumulate(map(len, parts))
    order = -1 if is_reversed else 1
    e1, e2 = ((start, end), (next_start, next_end))[::order]
    check_spans(plain, e1, e2)
    return plain, e1, e2


def check_spans(text: str, e1: Span, e2: Span) -> None:
    """Checks the places of two entities in a text.

    Raises:
        ValueError: one is not in the text, holds nothing or starts or ends
            within a character, such as é in two code points; or they overlap.
    """
    for name, (start, end) in (("e1", e1), ("e2", e2)):
        if not 0 <= start <= end <= len(text):
            raise ValueError(
                f"{name} is [{start}, {end}], which is not a part of the text "
                f"of {len(text)} characters"
            )
        if not text[start:end].strip():
            raise ValueError(f"{name} holds no text")
        for place, what in ((start, "starts"), (end, "ends")):
            if _is_within_character(text, place):
                raise ValueError(
                    f"{name} {what} within the character "
                    f"{text[place - 1 : place + 1]!r}"
                )
    if max(e1[0], e2[0]) < min(e1[1], e2[1]):
        raise ValueError(
            f"e1 and e2 overlap: {text[slice(*e1)]!r} and {text[slice(*e2)]!r}"
        )


def _is_within_character(text, place):
    """Whether an accent, or another combining mark, follows its letter."""
    if not 0 < place < len(text) or text[place - 1].isspace():
        return False
    return unicodedata.category(text[place]).startswith("M")


# ---------------------------------------------------------------------------
# Files.


def read_sets(
    settings: splits.FileSettings,
    sets: Sequence[str],
    id_column: str | None = None,
) -> tuple[dict[str, list[RelationExample]], list[str]]:
    """Reads the sets that are asked for.

    Args:
        settings: the files.
        sets: some of "train", "dev" and "test".
        id_column: see `read_relations`.

    Returns:
        ({set: examples}, labels): the relations of the whole training file in
        alphabetical order, and none where it is not read.

    Raises:
        UserError: a setting or a file cannot be used.
    """
    labels: list[str] = []

    def read(path, set_type):
        examples = read_relations(
            path,
            set_type,
            id_column,
            settings.strict,
            settings.missing_label,
            splits.needs_ids(settings, set_type),
        )
        if set_type == "train":
            labels[:] = sorted({example.label for example in examples})
        return examples

    # People's own ids, and those of SemEval's layout, stay as they are.
    has_ids = id_column or not files.is_json_lines(settings.train_file or "")
    pick = splits.pick_as_they_are if has_ids else splits.pick_and_rename
    found = splits.read_sets(
        settings,
        sets,
        read,
        pick=pick,
        label_of=lambda example: example.label,
        sample_of=of_relations(id_column),
    )
    return found, labels


def read_relations(
    path: str,
    set_type: str,
    id_column: str | None = None,
    strict: bool = False,
    missing_label: Sequence[str] | None = None,
    needs_ids: bool = True,
) -> list[RelationExample]:
    """Reads a file in the layout that it has; see the top.

    Sentences without a relation are left out of training and development
    sets, and counted.

    Args:
        path: of the file.
        set_type: "train", "dev" or "test".
        id_column: key of the ids in JSON; None numbers the lines.
        strict: a sentence without a relation is an error.
        missing_label: see `splits.FileSettings`. The marks of dev and test
            sets are found where training's relations are known.
        needs_ids: whether the file must have `id_column`.

    Raises:
        UserError: the file cannot be used; or all of a training file's
            sentences have the same relation.
    """
    table = csv_files.read_object_table(path)
    if table is not None:
        examples = _read_json(table, set_type, id_column, needs_ids)
    elif id_column and needs_ids:
        raise UserError(
            f"{path} has SemEval's layout, and ids of its own",
            setting="id_column",
            value=id_column,
        )
    else:
        examples = [*_read_semeval(path)]
        if all(example.label is None for example in examples):
            examples = _with_key(examples, path)
    if not examples:
        raise UserError(f"{path}: no sentence in this file")
    if set_type == "test":
        return examples
    if set_type == "train":
        examples = relation_labels.without_marks(examples, missing_label)
    known = [example for example in examples if example.label is not None]
    if not known:
        raise UserError(f"{path}: no sentence has a relation")
    odd = [example for example in examples if example.label is None]
    relation_labels.report_missing(odd, examples, "left out", strict)
    if set_type == "train" and len({example.label for example in known}) < 2:
        raise UserError(
            f"{path}: all {len(known)} sentences have the relation "
            f"{known[0].label!r}: there is nothing to learn"
        )
    return known


# ---------------------------------------------------------------------------
# JSON.


def _read_json(table, set_type, id_column, needs_ids):
    texts = table.texts("text")
    spans = (table.texts_or_lists("e1"), table.texts_or_lists("e2"))
    labels = table.label_values("label", optional=set_type == "test")
    ids = ids_of(table, id_column, needs_ids) or [""] * len(table)
    examples = []
    columns = zip(texts, *spans, labels, ids, strict=True)
    for row, (text, e1, e2, label, name) in enumerate(columns):
        place = table.place(row)
        try:
            e1, e2 = to_span(e1, "e1"), to_span(e2, "e2")
            check_spans(text or "", e1, e2)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from None
        guid = " ".join(name.split()) or f"{set_type}-{row}"
        if isinstance(label, tuple) and len(label) < 2:
            label = label[0] if label else None
        if not isinstance(label, str | None):
            raise UserError(f'{place}: "label" must be one relation')
        label = None if is_empty(label) else " ".join(label.split())
        examples.append(RelationExample(guid, text, e1, e2, label, place))
    return examples


def to_span(value: object, name: str) -> Span:
    """Returns a list of two whole numbers, or of their digits, as a span.

    Raises:
        ValueError: it is something else; the message starts with `name`.
    """
    if isinstance(value, list | tuple) and len(value) == 2:
        start, end = (re.fullmatch("-?[0-9]{1,15}", str(x)) for x in value)
        if start and end:
            return int(start[0]), int(end[0])
    raise ValueError(f"{name} must be a list of two whole numbers: start, end")


# ---------------------------------------------------------------------------
# SemEval's layout.


def _read_semeval(path) -> Iterator[RelationExample]:
    """Yields the sentences of a file."""
    seen: dict[str, int] = {}
    for number, (guid, sentence, *relation) in _blocks(path):
        place = f"{path}:{number}"
        if (first := seen.setdefault(guid, number)) != number:
            raise UserError(f"{place}: the id {guid} is in line {first}, too")
        if len(sentence) > 1 and sentence[0] == sentence[-1] == '"':
            sentence = sentence[1:-1]
        try:
            text, e1, e2 = parse_marked(sentence)
        except ValueError as error:
            raise UserError(f"{place}: {error}") from None
        label = relation[0] if relation else None
        yield RelationExample(guid, text, e1, e2, label, place)


def _blocks(path) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, [id, sentence] or [id, sentence, relation])."""
    first, block = 0, list[str]()
    for number, line in files.read_lines(path):
        line = line.strip()
        if block and line.startswith("Comment:"):
            continue
        sentence = _SENTENCE.fullmatch(line)
        if block and (sentence or not line):
            yield first, block
            block = []
        if sentence:
            first, block = number, [*sentence.groups()]
        elif line and (len(block) != 2 or _MARK.search(line)):
            raise UserError(
                f"{path}:{number}: neither a sentence (its id, a tab and the "
                "text) nor the one relation after it"
            )
        elif line:
            block.append(" ".join(line.split()))
    if block:
        yield first, block


def _with_key(examples, path):
    """The examples with the relations of a key file, if there is one."""
    stem, end = os.path.splitext(path)
    paths = (f"{stem}_KEY{end}", f"{stem}_KEY{end.upper()}")
    key_path = next(filter(files.exists, paths), None)
    if key_path is None:
        return examples
    key = _read_key(key_path)
    logging.info("%s: the relations are those of %s", path, key_path)
    found = [
        dataclasses.replace(example, label=key.pop(example.guid, None))
        for example in examples
    ]
    if key:
        raise UserError(f"{key_path}: {path} has no sentence {next(iter(key))}")
    return found


def _read_key(path) -> dict[str, str]:
    """{id of a sentence: its relation}."""
    key = {}
    for number, line in files.read_lines(path):
        name, _, label = line.strip().partition("\t")
        if name and not label:
            raise UserError(
                f"{path}:{number}: must be an id, a tab and a relation"
            )
        if name in key:
            raise UserError(f"{path}:{number}: a second line for the id {name}")
        if name:
            key[name] = " ".join(label.split())
    return key
