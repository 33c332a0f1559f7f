"""Reader: items of any form become requests of a loaded model.

{"text": "Is this it?"}
  check         bytes, in the order of the model's inputs
  encode        ids, where each item is a sequence by itself
  lengths       tokens of the whole item, if answers are to have them
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import files
from bert_tf.choices import ON_LONG
from bert_tf.errors import UserError
from bert_tf.export import given_words
from bert_tf.export.kinds import LENGTHS, Kind, Request, Value
from bert_tf.export.loaded_model import LoadedModel
from bert_tf.export.saved_models import LENGTH_MULTIPLE, VOCABULARY
from bert_tf.text.packing import ID_NAMES, pack_sequences
from bert_tf.tokenization import FullTokenizer, TokenizerSettings

FEW_TEXTS = 16  # So many texts are tokenized faster without TensorFlow.
TEXTS_AT_ONCE = 256  # Items that are tokenized together.
BYTES_PER_TOKEN = 4  # An estimate, for strings that are not tokenized.
NO_LENGTHS = (
    "cannot say how long texts are: it was exported by an earlier version, or "
    "with inputs of fixed sizes"
)


class Reader:
    """Checks items and, where the model reads ids, tokenizes them.

    Args:
        model: the model.
        kind: the kind of its answers.
        on_long: one of `ON_LONG`, what happens to an item that is too long.
        with_lengths: whether requests have their lengths.

    Attributes:
        inputs: those that the model has.
        reads_ids: whether texts may be tokenized first: each is one sequence.
        fixed_size: the number of items that the model reads together, if it
            reads no other; else None.
        on_long, with_lengths: as they were given.

    Raises:
        UserError: a setting is wrong, or the model cannot tell lengths.
    """

    def __init__(
        self,
        model: LoadedModel,
        kind: Kind,
        *,
        on_long: str = "truncate",
        with_lengths: bool = False,
    ):
        self._model = model
        self._kind = kind
        self.on_long = on_long
        self.with_lengths = with_lengths
        _check_lengths(model, on_long, with_lengths)
        serve = model.signatures["serving_default"]
        _, specs = serve.structured_input_signature
        self.inputs = tuple(e for e in kind.inputs if e.name in specs)
        self.names = tuple(entry.name for entry in self.inputs)
        _, specs = model.signatures["ids"].structured_input_signature
        self.reads_ids = kind.reads_ids and specs["input_ids"].shape.rank == 2
        self.fixed_size: int | None = model.info.get("batch_size")
        self._tokenizer = self._tokenizer_of(model)

    def read(self, items: Sequence[object], first: int = 0) -> list[Request]:
        """Returns the requests of items; see `Predictor.prepare`."""
        inputs = []
        for number, item in enumerate(items, first):
            try:
                inputs.append(self.check(item))
            except ValueError as error:
                raise ValueError(f"item {number}: {error}") from None
        if self.reads_ids:
            at_once = self.fixed_size or TEXTS_AT_ONCE
            requests = [
                request
                for start in range(0, len(inputs), at_once)
                for request in self._encode(inputs[start : start + at_once])
            ]
        else:
            requests = [
                Request(
                    inputs=row,
                    ids={},
                    length=_about_length(row),
                    words=self._words_of(item),
                )
                for row, item in zip(inputs, items, strict=True)
            ]
        if self.with_lengths or self.on_long == "error":
            measured = self.measured(requests)
            for number, request in enumerate(measured, first):
                if self.on_long == "error" and request.lengths["truncated"]:
                    raise ValueError(too_long(number, request))
            if self.with_lengths:
                return measured
        return requests

    def check(self, item: object) -> tuple[Value, ...]:
        """Returns the values of an item, encoded, in the order of the inputs.

        Raises:
            ValueError: the item is not what `Predictor.predict` takes.
        """
        names = self.names
        if "words" in self._model.signatures and (
            words := self._words_of(item)
        ):
            return (given_words.joined(words),)
        if isinstance(item, str):
            item = (item,)
        if isinstance(item, tuple | list):
            if len(item) != len(names):
                raise ValueError(
                    f"must have {len(names)} values, {_listed(names)}, not "
                    f"{len(item)}"
                )
            item = dict(zip(names, item, strict=True))
        if not isinstance(item, Mapping):
            raise ValueError(
                f"must be str, tuple or dict, not {type(item).__name__}"
            )
        item = self._kind.to_inputs(item)
        if {*item} != {*names}:
            raise ValueError(
                f"must have {_listed(names)}, and has {_listed(item)}"
            )
        return tuple(entry.encode(item[entry.name]) for entry in self.inputs)

    def columns(self, requests: Sequence[Request]) -> dict[str, tf.Tensor]:
        """The strings of requests, {input: tf.string [B] or [B, most]}."""
        rows = [request.inputs for request in self.filled(requests)]
        columns: dict[str, Sequence[Any]] = dict(
            zip(self.names, zip(*rows, strict=True), strict=True)
        )
        for name in (entry.name for entry in self.inputs if entry.is_list):
            most = max(map(len, columns[name]))
            columns[name] = [
                [*values, *[b""] * (most - len(values))]
                for values in columns[name]
            ]
        return {name: tf.constant(c, tf.string) for name, c in columns.items()}

    def filled(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Repeats the last row up to the model's fixed number of rows."""
        if not self.fixed_size:
            return rows
        if len(rows) > self.fixed_size:
            raise ValueError(
                f"this model reads {self.fixed_size} rows at a time. "
                f"Received: {len(rows)}"
            )
        return [*rows, *[rows[-1]] * (self.fixed_size - len(rows))]

    def _tokenizer_of(self, model: LoadedModel) -> FullTokenizer | None:
        """What tokenizes a few texts in Python.

        Plain texts of earlier versions' exports, and marked ones, are left to
        the graph.
        """
        vocab_file = os.path.join(model.folder, VOCABULARY)
        is_plain = (
            self.reads_ids
            and model.has_parts
            and {*self.names} <= {"text", "text_pair"}
            and {"truncation", "do_lower_case"} <= {*model.info}
            and "marks" not in model.info
            and files.exists(vocab_file)
        )
        if not is_plain:
            return None
        settings = TokenizerSettings.of(model.info)
        return FullTokenizer(vocab_file, **settings.tokenizer_arguments())

    def _encode_few(
        self, tokenizer: FullTokenizer, inputs: list[tuple[Value, ...]]
    ) -> list[Request]:
        """The same as `_encode` without TensorFlow, which needs 1 ms a call."""
        info, requests = self._model.info, []
        for strings in inputs:
            texts = [text for text in strings if isinstance(text, bytes)]
            tokens = [*map(tokenizer.tokenize, texts), []]
            packed, segment_ids, _ = pack_sequences(
                tokens[0],
                tokens[1],
                info["max_seq_length"],
                info["truncation"],
            )
            number = len(packed)
            input_ids = tokenizer.convert_tokens_to_ids(packed)
            length = -(-number // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
            length = min(length, info["max_seq_length"])
            values = (input_ids, [1] * number, segment_ids)
            ids = {name: np.zeros(length, np.int32) for name in ID_NAMES}
            for name, column in zip(ID_NAMES, values, strict=True):
                ids[name][:number] = column
            requests.append(Request(inputs=strings, ids=ids, length=length))
        return requests

    def _encode(self, inputs: list[tuple[Value, ...]]) -> list[Request]:
        if self._tokenizer and len(inputs) <= FEW_TEXTS:
            return self._encode_few(self._tokenizer, inputs)
        columns = zip(*self.filled(inputs), strict=True)
        encoded = self._model.functions.encode(*map(tf.constant, columns))
        encoded = {name: ids.numpy() for name, ids in encoded.items()}
        numbers = encoded["input_mask"].sum(axis=1).tolist()
        requests = []
        for row, strings in enumerate(inputs):
            length = -(-numbers[row] // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
            ids = {name: all[row, :length] for name, all in encoded.items()}
            requests.append(
                Request(inputs=strings, ids=ids, length=ids["input_ids"].size)
            )
        return requests

    def measured(self, requests: Sequence[Request]) -> list[Request]:
        """Returns requests with their lengths; see `Predictor.measured`."""
        if not self._model.has_parts:
            raise ValueError(f"the model {NO_LENGTHS}")
        found = []
        for start in range(0, len(requests), TEXTS_AT_ONCE):
            part = requests[start : start + TEXTS_AT_ONCE]
            columns = self.columns(part).values()
            lengths = self._model.functions.lengths(*columns)
            values = {name: lengths[name].numpy().tolist() for name in LENGTHS}
            for place, request in enumerate(part):
                of_item = {name: values[name][place] for name in LENGTHS}
                found.append(dataclasses.replace(request, lengths=of_item))
        return found

    def _words_of(self, item: object) -> tuple[str, ...]:
        """The words of an item that has no text, or ()."""
        if not given_words.are_given(item) or "text" not in self.names:
            return ()
        assert isinstance(item, Mapping)
        return given_words.words_of(item)


def _check_lengths(model, on_long, with_lengths) -> None:
    if on_long not in ON_LONG:
        raise UserError(
            f"must be one of {', '.join(ON_LONG)}",
            setting="on_long",
            value=on_long,
        )
    asked = {"on_long": on_long == "error", "with_lengths": with_lengths}
    values = {"on_long": on_long, "with_lengths": with_lengths}
    for name in (name for name, is_asked in asked.items() if is_asked):
        if not model.has_parts:
            raise UserError(
                f"{model.folder} {NO_LENGTHS}",
                setting=name,
                value=values[name],
            )


def too_long(number: int, request: Request) -> str:
    """Returns the error for an item of which the model would not read all.

    Args:
        number: the item's number.
        request: its request, with lengths.
    """
    return (
        f"item {number}: is longer than the model reads; it has "
        f"{request.lengths['num_tokens']} tokens"
    )


def _listed(names: Iterable[object]) -> str:
    return " and ".join(map(str, names)) or "nothing"


def _about_length(inputs: tuple[Value, ...]) -> int:
    """Estimates the number of tokens of strings that are not tokenized yet."""
    number = sum(
        len(value) if isinstance(value, bytes) else sum(map(len, value))
        for value in inputs
    )
    tokens = number // BYTES_PER_TOKEN + 1
    return -(-tokens // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
