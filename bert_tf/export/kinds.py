"""Kinds of answers: one record holds everything that is special to each.

    single_label        label, score, probabilities {label: number}
    multi_label         labels, those that apply; probabilities
    regression          prediction
    tags                entities, each with type, text, start, end and score;
                        words, tags and scores
    multiple_choice     label, the place of the ending; score;
                        probabilities, a list
    question_answering  answer, score, start, end, start_byte, end_byte;
                        for SQuAD 2.0 also null_probability
    relation            label, score, probabilities {label: number}
    embedding           embedding, float32 [D]; with the pooling "none"
                        [tokens, D]

One label, a relation and an ending have label_set, too, if the model has sets
of labels, see `export.confidence`.

A model's kind is in its model.json, and that of a run in its task.json. The
export, `Predictor`, the tool predict, the server and its page read the records
of `KINDS`; nothing else lists kinds. docs/your_own_head.md adds one.

It needs NumPy and no part of the model's code.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from bert_tf.export.confidence import LABEL_SET
from bert_tf.export.inputs import (
    CHOICE_TEXT,
    CONTEXT,
    ENDINGS,
    MARKED_TEXT,
    QUESTION,
    TAGGED_TEXT,
    TEXT,
    TEXT_OR_PAIR,
    Input,
    Value,
    example_item,
    marked_entities,
)
from bert_tf.metrics import entities

# What an answer of any kind may have as well: the tokens of its whole item,
# and whether the model does not read all of it.
LENGTHS = ("num_tokens", "truncated")

Columns = Mapping[str, np.ndarray]  # {output of a SavedModel: array [B, …]}
Answer = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """An item as the model is asked.

    Attributes:
        inputs: its values, in the order of the model's inputs.
        ids: {"input_ids", "input_mask", "segment_ids": int32 [S]}; empty if
            the model reads strings alone.
        length: about its number of tokens; requests of the same length are
            cheapest together.
        words: those that were given in place of a text, see `given_words`.
        lengths: {"num_tokens", "truncated"}, if answers are to have them: the
            number of tokens of the whole item, and whether the model reads
            less.
    """

    inputs: tuple[Value, ...]
    ids: dict[str, np.ndarray]
    length: int
    words: tuple[str, ...] = ()
    lengths: Mapping[str, int | bool] = dataclasses.field(default_factory=dict)


# ---------------------------------------------------------------------------
# Sizes of what a model reads for an item: number of sequences, about how long.
# The server puts items with the same sizes into one batch.


def one_sequence(request: Request, longest: int) -> tuple[int, ...]:
    """Returns the sizes of an item that is one sequence."""
    return (request.length,)


def one_for_each_ending(request: Request, longest: int) -> tuple[int, ...]:
    """Returns the sizes of an item whose last input is a list."""
    return (len(request.inputs[-1]), power_of_two(request.length))


def windows(request: Request, longest: int) -> tuple[int, ...]:
    """Returns the sizes of an item that the model itself cuts into windows."""
    number = -(-request.length // longest)
    return (number, power_of_two(min(request.length, longest)))


def power_of_two(number: int) -> int:
    """At least `number`: estimated lengths seldom agree exactly."""
    return 1 << (number - 1).bit_length()


# ---------------------------------------------------------------------------
# Formats of answers: {output: array [B, …]} -> a dict for each row.


def plain_rows(columns: Columns) -> list[Answer]:
    """Returns all outputs of each row, bytes as str."""
    plain = {name: _plain(column) for name, column in columns.items()}
    return [
        dict(zip(plain, values, strict=True))
        for values in zip(*plain.values(), strict=True)
    ]


def _plain(column: np.ndarray) -> list[Any]:
    if column.dtype == object:
        decode = np.vectorize(bytes.decode, otypes=[object])
        column = decode(column) if column.size else column
    return column.tolist()


def labels_with_scores(columns: Columns) -> list[Answer]:
    """Returns the likeliest label of each row."""
    return [
        {
            "label": row["label"],
            "score": row["score"],
            "probabilities": _by_label(row),
            **set_of(row, row["labels"]),
        }
        for row in plain_rows(columns)
    ]


def set_of(row: Answer, labels: Iterable[Any]) -> dict[str, list[Any]]:
    """{"label_set": the labels in a row's set}; {} if the model has no sets.

    Args:
        row: the outputs of a row.
        labels: what the labels are called.
    """
    if "in_set" not in row:
        return {}
    return {LABEL_SET: [*itertools.compress(labels, row["in_set"])]}


def _by_label(row: Answer) -> dict[str, float]:
    return dict(zip(row["labels"], row["probabilities"], strict=True))


def label_sets(columns: Columns) -> list[Answer]:
    """Returns the labels that apply to each row."""
    return [
        {
            "labels": [*itertools.compress(row["labels"], row["is_given"])],
            "probabilities": _by_label(row),
        }
        for row in plain_rows(columns)
    ]


def choices(columns: Columns) -> list[Answer]:
    """Returns the place of the best ending of each row."""
    answers = plain_rows(columns)
    for answer in answers:
        # A row with fewer endings than others ends in probabilities of 0.
        while answer["probabilities"][-1] == 0.0:
            answer["probabilities"].pop()
        if "in_set" in answer:
            answer |= set_of(answer, range(len(answer["probabilities"])))
            del answer["in_set"]
    return answers


def tagged_words(columns: Columns) -> list[Answer]:
    """Returns the entities, words, tags and scores of each row."""
    answers = []
    for row in plain_rows(columns):
        number = sum(place >= 0 for place in row["starts"])
        row = {name: values[:number] for name, values in row.items()}
        answers.append(
            {
                "entities": [*_entities(row)],
                **{name: row[name] for name in ("words", "tags", "scores")},
            }
        )
    return answers


def _entities(row: Answer) -> Iterator[Answer]:
    """Yields each entity of a text, its words joined as in the text."""
    for kind, first, limit in entities.entity_spans(row["tags"]):
        words = slice(first, limit)
        places = zip(row["starts"][words], row["ends"][words], strict=True)
        text, last_end = "", None
        for word, (start, end) in zip(row["words"][words], places, strict=True):
            text += word if last_end in (None, start) else f" {word}"
            last_end = end
        yield {
            "type": kind,
            "text": text,
            "start": row["starts"][first],
            "end": last_end,
            "score": min(row["scores"][words]),
        }


def vectors(columns: Columns) -> list[Answer]:
    """Returns the vector of each row, or those of its tokens, as arrays."""
    rows = list(columns["embedding"])
    if "num_tokens" in columns:
        numbers = columns["num_tokens"]
        rows = [row[:n] for row, n in zip(rows, numbers, strict=True)]
    return [{"embedding": row} for row in rows]


# ---------------------------------------------------------------------------
# The records.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of answer.

    Attributes:
        name: its name in model.json and task.json, and of a `Predictor`.
        inputs: what an item may hold, in the order of a tuple. A model has
            those that its signature `serving_default` names.
        to_inputs: function from an item {key: value} to {input: value}, for
            items that can be written in more than one way, such as a text
            with the places of two entities. It keeps other keys, returns its
            own results unchanged, and raises ValueError for a wrong item.
        outputs: what the SavedModel answers, at least. A kind with "labels"
            and "probabilities" answers the server's `:classify`, one with
            "prediction" `:regress`, one with "embedding" /encode.
        format: function from the outputs, {name: array [B, …]}, to one dict
            for each row: the answers of `Predictor`.
        tsv_columns: the parts of an answer that the tool predict writes as
            TSV; none where they are lists.
        shown_as: name of the function in serving/page.js that shows an
            answer; "plain" shows its JSON.
        does: what a model of the kind does, for people who see the page; may
            contain {texts}, which becomes "a text" or "two texts".
        reads_ids: whether texts may be tokenized before they are batched: each
            is a sequence of its own, and the model does not cut it.
        sequences_of: function(request, max_seq_length) -> sizes of the ids
            that the model reads for a request; the last is about its length,
            the product of the others its number of sequences.
        aliases: other names of the signature `serving_default`.
    """

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    format: Callable[[Columns], list[Answer]]
    to_inputs: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    tsv_columns: tuple[str, ...] = ()
    shown_as: str = "plain"
    does: str = "Answers {texts}."
    reads_ids: bool = True
    sequences_of: Callable[[Request, int], tuple[int, ...]] = one_sequence
    aliases: tuple[str, ...] = ()

    def answers(self, *outputs: str) -> bool:
        """Whether all of these are among its outputs."""
        return {*outputs} <= {*self.outputs}

    def for_page(
        self, input_names: Collection[str] = (), labels: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Returns what the server's page must know, for JSON.

        Args:
            input_names: the inputs that the model has; by default all.
            labels: the model's labels.
        """
        inputs = [
            entry
            for entry in self.inputs
            if not input_names or entry.name in input_names
        ]
        is_pair = any(entry.name == "text_pair" for entry in inputs)
        return {
            "shown_as": self.shown_as,
            "does": self.does.format(
                texts="two texts" if is_pair else "a text"
            ),
            "example": example_item(inputs, labels),
            "inputs": {
                entry.name: dataclasses.asdict(entry) for entry in self.inputs
            },
        }


SINGLE_LABEL = Kind(
    name="single_label",
    inputs=TEXT_OR_PAIR,
    outputs=("label", "score", "probabilities", "labels"),
    format=labels_with_scores,
    tsv_columns=("label", "score"),
    shown_as="label",
    does="Gives {texts} one label.",
)
MULTI_LABEL = Kind(
    name="multi_label",
    inputs=TEXT_OR_PAIR,
    outputs=("labels", "probabilities", "is_given"),
    format=label_sets,
    tsv_columns=("labels",),
    shown_as="labels",
    does="Gives {texts} all labels that fit.",
)
REGRESSION = Kind(
    name="regression",
    inputs=TEXT_OR_PAIR,
    outputs=("prediction",),
    format=plain_rows,
    tsv_columns=("prediction",),
    shown_as="number",
    does="Gives {texts} a number.",
)
TAGS = Kind(
    name="tags",
    inputs=(TAGGED_TEXT,),
    outputs=("words", "tags", "scores", "starts", "ends"),
    format=tagged_words,
    shown_as="entities",
    does="Finds names and other parts of a text.",
    reads_ids=False,
    sequences_of=windows,
)
MULTIPLE_CHOICE = Kind(
    name="multiple_choice",
    inputs=(CHOICE_TEXT, ENDINGS),
    outputs=("label", "score", "probabilities"),
    format=choices,
    tsv_columns=("label", "score"),
    shown_as="choice",
    does="Chooses the ending that fits a text best.",
    sequences_of=one_for_each_ending,
)
QUESTION_ANSWERING = Kind(
    name="question_answering",
    inputs=(QUESTION, CONTEXT),
    outputs=("answer", "score", "start", "end"),
    format=plain_rows,
    tsv_columns=("answer", "score", "start", "end"),
    shown_as="span",
    does="Answers a question with words of a text.",
    reads_ids=False,
    sequences_of=windows,
)
RELATION = Kind(
    name="relation",
    inputs=(MARKED_TEXT,),
    to_inputs=marked_entities,
    outputs=("label", "score", "probabilities", "labels"),
    format=labels_with_scores,
    tsv_columns=("label", "score"),
    shown_as="relation",
    does="Says how two marked names in a text are related.",
)
EMBEDDING = Kind(
    name="embedding",
    inputs=(TEXT,),
    outputs=("embedding",),
    format=vectors,
    shown_as="vector",
    does="Turns a text into a vector: a list of numbers for its meaning.",
    aliases=("embed",),
)

KINDS = {
    kind.name: kind
    for kind in (
        SINGLE_LABEL,
        MULTI_LABEL,
        REGRESSION,
        TAGS,
        MULTIPLE_CHOICE,
        QUESTION_ANSWERING,
        RELATION,
        EMBEDDING,
    )
}
