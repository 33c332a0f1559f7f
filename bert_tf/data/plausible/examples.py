"""Samples of the examples that tasks read, for `plausibility`.

Examples are those of the module that reads them: relations.py, tagging.py, …
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bert_tf.data.plausible.sample import NUM_ROWS, Sample

# function(examples, path, set_type) -> a sample of them.
SampleOf = Callable[[Sequence[Any], str, str], Sample]


def of_texts(
    examples: Sequence[Any],
    path: str,
    set_type: str,
    *,
    is_number: bool,
    number: int,
    lines: Sequence[int],
    keys: Sequence[int],
) -> Sample:
    """A sample of `InputExample`s of a published data set.

    Args:
        examples: the first ones of the file.
        path: of the file.
        set_type: "train", "dev" or "test".
        is_number: whether the labels are numbers.
        number: of all examples of the file.
        lines: of the examples.
        keys: numbers that texts share if they are the same, of more examples.
    """
    first = examples[:NUM_ROWS]
    texts = {"the text": [example.text_a for example in first]}
    if first and first[0].text_b is not None:
        texts["the second text"] = [e.text_b or "" for e in first]
    return Sample(
        path=path,
        set_type=set_type,
        texts=texts,
        labels=[example.label for example in first],
        line=lines.__getitem__,
        number=number,
        kind="regression" if is_number else "single_label",
        keys=lambda: keys,
    )


def of_relations(id_column: str | None) -> SampleOf:
    """The function that makes samples of `RelationExample`s.

    Args:
        id_column: the setting.
    """
    return functools.partial(_relations, id_column)


def _relations(id_column, examples, path, set_type):
    first = examples[:NUM_ROWS]
    return Sample(
        path=path,
        set_type=set_type,
        texts={"the text": [example.text for example in first]},
        labels=[example.label for example in examples],
        label_name="the relations",
        ids=[example.guid for example in first if id_column],
        id_name=f"`id_column`={id_column}",
        line=lambda row: _line_of(examples[row].place),
        number=len(examples),
        unit="sentence",
        kind="single_label",
        keys=lambda: ((e.text, e.e1, e.e2) for e in examples),
    )


def of_choices(id_column: str | None) -> SampleOf:
    """The function that makes samples of `ChoiceExample`s.

    Args:
        id_column: the setting.
    """
    return functools.partial(_choices, id_column)


def _choices(id_column, examples, path, set_type):
    first = examples[:NUM_ROWS]
    return Sample(
        path=path,
        set_type=set_type,
        texts={
            "sent1": [example.text for example in first],
            "the endings": ["\n".join(example.endings) for example in first],
        },
        labels=[example.label for example in first],
        ids=[example.guid for example in first if id_column],
        id_name=f"`id_column`={id_column}",
        line=lambda row: examples[row].line,
        number=len(examples),
        kind="choice",
        keys=lambda: ((e.text, *e.endings) for e in examples),
    )


def of_sentences(examples: Sequence[Any], path: str, set_type: str) -> Sample:
    """A sample of the `Sentence`s of a file with words and tags."""
    first = examples[:NUM_ROWS]
    return Sample(
        path=path,
        set_type=set_type,
        texts={"the words": [" ".join(example.words) for example in first]},
        labels=[example.labels for example in first],
        label_name="the tags",
        line=_line_in(examples),
        number=len(examples),
        unit="sentence",
        kind="tags",
        keys=lambda: (" ".join(example.words) for example in examples),
    )


def of_questions(
    first: Sequence[Any],
    path: str,
    set_type: str,
    *,
    places: Sequence[str],
    number: int,
    keys: Iterable[int],
) -> Sample:
    """A sample of `SquadExample`s.

    Args:
        first: the first examples of a file.
        path: of the file.
        set_type: "train", "dev" or "test".
        places: where the first examples are, such as "dev.json: data[0].…".
        number: of all examples.
        keys: a hash of each question on its context.
    """
    return Sample(
        path=path,
        set_type=set_type,
        texts={
            "the question": [example.question_text for example in first],
            "the context": [" ".join(example.doc_tokens) for example in first],
        },
        labels=[example.orig_answer_text or None for example in first],
        label_name="the answers",
        # More places would take more memory than they are worth.
        line=lambda row: (
            places[min(row, len(places) - 1)].removeprefix(path).lstrip(": ")
        ),
        number=number,
        unit="question",
        kind="answers",
        keys=lambda: keys,
    )


def _line_of(place):
    """The line of "file:line"; or what else says where it is."""
    line = place.rpartition(":")[2]
    return int(line) if line.isdecimal() else line


def _line_in(sentences) -> Callable[[int], int]:
    """A function that gives the line on which a sentence starts."""

    def line(row):
        known = getattr(sentences[row], "lines", ())
        if known:
            return known[0]
        before = sum(
            len(one.before) + len(one.rows) + len(one.after)
            for one in sentences[:row]
        )
        return before + len(sentences[row].before) + 1

    return line
