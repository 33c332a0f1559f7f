"""Predictor: a long-lived exported model that answers many texts quickly.

    items       texts, pairs, questions with contexts
      prepare   strings -> ids, each with the length it needs
      batches   of about equal lengths, so that little is padding
      run       the model, a function for each length
      format    arrays -> Python's values, in the order of the items

This module needs TensorFlow, tensorflow-text and no part of the model's code.
"""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import forks
from bert_tf.choices import BATCH_SIZE, MAX_BATCH_TOKENS, ON_LONG
from bert_tf.errors import UserError
from bert_tf.export import given_words
from bert_tf.export.engines.choice import EngineSettings, network_of
from bert_tf.export.engines.sequences import Sequences
from bert_tf.export.kinds import KINDS, Answer, Request, Value
from bert_tf.export.loaded_model import LoadedModel
from bert_tf.export.saved_models import LENGTH_MULTIPLE, NOT_FINISHED
from bert_tf.text.packing import ID_NAMES

ITEMS_AT_ONCE = 64 * BATCH_SIZE  # Items that are sorted by length together.
TEXTS_AT_ONCE = 256  # Items that are tokenized together.
ITEMS_WITH_WINDOWS = 128  # Items of many sequences that are read together.
BYTES_PER_TOKEN = 4  # An estimate, for strings that are not tokenized.
NO_LENGTHS = (
    "cannot say how long texts are: it was exported by an earlier version, or "
    "with inputs of fixed sizes"
)

Tensors = dict[str, tf.Tensor]


class Predictor:
    """Answers texts with an exported model.

        predictor = Predictor("/tmp/sms/export")
        predictor.predict(["Call now to claim your prize!"])
        # [{"label": "spam", "score": 0.99, "probabilities": {"ham": …}}]

    `bert_tf.export.kinds` says what each kind of model answers.

    Several threads may call all methods at the same time.

    Args:
        folder: the folder of the SavedModel, or of a run that has one.
        batch_size: the number of items that the model reads together, if its
            answers have no parts, see `LoadedModel`.
        engine: what computes the network, see `engines.choice`; None for the
            precision of the export.
        max_batch_tokens: places that TensorFlow computes together, padding
            included.
        num_threads: threads of LiteRT; None for as many as there are cores.
        on_long: "truncate", or "error" to refuse an item of which the model
            would not read all.
        with_lengths: whether answers have "num_tokens", the tokens of the
            whole item, and "truncated", whether the model does not read all.

    Attributes:
        engine: the engine in use.
        kind: name of the kind of its answers, such as "single_label".
        info: the content of the model's model.json.
        labels: list of str, or None where the kind has no labels.
        input_names: the strings of an item, such as "text" and "text_pair".
        signatures: {name: function} of the SavedModel.
        on_long, with_lengths: as they were given.

    Raises:
        UserError: the folder has no such model.
        ForkedProcess: raised by all methods in a process that was forked
            after TensorFlow had run.
    """

    def __init__(
        self,
        folder: str,
        batch_size: int = BATCH_SIZE,
        *,
        engine: str | None = None,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        num_threads: int | None = None,
        on_long: str = "truncate",
        with_lengths: bool = False,
    ):
        forks.check()
        self._model = LoadedModel(folder)
        self.folder, self.info = self._model.folder, self._model.info
        self.kind = self.info["kind"]
        self._kind = KINDS[self.kind]
        self.labels = self.info.get("labels")
        self.signatures = self._model.signatures
        self._serve = self.signatures["serving_default"]
        _, specs = self._serve.structured_input_signature
        self._inputs = tuple(
            entry for entry in self._kind.inputs if entry.name in specs
        )
        self.input_names = tuple(entry.name for entry in self._inputs)
        # A model for accelerators has one size of batches.
        self._fixed_size = self.info.get("batch_size")
        self.batch_size = self._fixed_size or batch_size
        self._reads_ids = self._can_read_ids()
        self._by_length: dict[int, Callable[..., Tensors]] = {}
        self._lock = threading.Lock()
        settings = EngineSettings(
            engine=engine,
            num_threads=num_threads,
            max_batch_tokens=max_batch_tokens,
        )
        self.engine, self._network = network_of(self._model, settings)
        self.on_long, self.with_lengths = on_long, with_lengths
        self._check_settings()

    def _check_settings(self) -> None:
        for name, value, allowed in (
            ("on_long", self.on_long, ON_LONG),
            ("with_lengths", self.with_lengths, (False, True)),
        ):
            if value not in allowed:
                raise UserError(
                    f"must be one of {', '.join(map(str, allowed))}",
                    setting=name,
                    value=value,
                )
            if value != allowed[0] and not self.has_lengths:
                raise UserError(
                    f"{self.folder} {NO_LENGTHS}",
                    setting=name,
                    value=value,
                )

    @property
    def mixes_lengths(self) -> bool:
        """Whether requests of any lengths may be run together.

        Otherwise all of them take as long as the longest.
        """
        return self._network is not None

    @property
    def has_lengths(self) -> bool:
        """Whether it can say how long texts are."""
        return self._model.has_parts

    def _can_read_ids(self) -> bool:
        """Whether texts may be tokenized first: each is one sequence."""
        _, specs = self.signatures["ids"].structured_input_signature
        return self._kind.reads_ids and specs["input_ids"].shape.rank == 2

    # -----------------------------------------------------------------------
    # All at once.

    def predict(self, items: Iterable[object]) -> list[Answer]:
        """Returns the answers to items, in their order.

        Args:
            items: each a str; or, where the model has several inputs, a tuple
                of them, such as (text, text_pair), (question, context) or
                (text, [ending, ending]); or a dict {input: value}. A model
                of tags also takes {"words": [word, word]}, and answers with a
                tag for each. Half of a surrogate pair, which UTF-8 cannot
                encode, is read as "?".

        Returns:
            list of dicts, one for each item; see `bert_tf.export.kinds`.

        Raises:
            ValueError: an item is something else; the message has its number.
        """
        return list(self.stream(items))

    def stream(self, items: Iterable[object]) -> Iterator[Answer]:
        """Yields what `predict` returns, for any number of items."""
        if isinstance(items, str | bytes | Mapping):
            raise ValueError(
                "items must be a list of them. Received: a single "
                f"{type(items).__name__}"
            )
        return self._stream(iter(items))

    def _stream(self, items: Iterator[object]) -> Iterator[Answer]:
        first, number = 0, ITEMS_AT_ONCE
        if "num_tokens" in self._serve.structured_outputs:
            number = 4 * self.batch_size  # Vectors of all tokens are large.
        while chunk := list(itertools.islice(items, number)):
            yield from self._predict_chunk(chunk, first)
            first += len(chunk)

    def _predict_chunk(self, items: list[object], first: int) -> list[Answer]:
        requests = self.prepare(items, first)
        answers: dict[int, Answer] = {}
        for places in self._batches(requests):
            batch = [requests[place] for place in places]
            answers.update(zip(places, self.answer(batch), strict=True))
        return [answers[place] for place in range(len(requests))]

    def _batches(self, requests: list[Request]) -> Iterator[list[int]]:
        """Yields the places of requests with about the same length."""
        order = sorted(range(len(requests)), key=lambda i: requests[i].length)
        size = self.batch_size
        if self._network:  # It makes its own batches.
            size = len(order) if self._reads_ids else ITEMS_WITH_WINDOWS
        for first in range(0, len(order), size):
            yield order[first : first + size]

    # -----------------------------------------------------------------------
    # Step by step, for callers that make their own batches.

    def prepare(self, items: Sequence[object], first: int = 0) -> list[Request]:
        """Checks items and, where the model reads ids, tokenizes them.

        Args:
            items: see `predict`.
            first: the number of the first item, for errors.

        Raises:
            ValueError: see `predict`.
        """
        forks.check()
        inputs = []
        for number, item in enumerate(items, first):
            try:
                inputs.append(self.check(item))
            except ValueError as error:
                raise ValueError(f"item {number}: {error}") from None
        requests = self._requests(items, inputs)
        if self.with_lengths or self.on_long == "error":
            measured = self.measured(requests)
            if self.on_long == "error":
                self._check_lengths(measured, first)
            if self.with_lengths:
                return measured
        return requests

    def _requests(self, items, inputs) -> list[Request]:
        if not self._reads_ids or not inputs:
            return [
                Request(
                    inputs=row,
                    ids={},
                    length=_about_length(row),
                    words=self._words_of(item),
                )
                for row, item in zip(inputs, items, strict=True)
            ]
        return [
            request
            for start in range(0, len(inputs), self._read_at_once)
            for request in self._encode(
                inputs[start : start + self._read_at_once]
            )
        ]

    def measured(self, requests: Sequence[Request]) -> list[Request]:
        """Returns requests with their `lengths`.

        Args:
            requests: those that `prepare` returned.

        Raises:
            ValueError: the model cannot say how long texts are.
        """
        if not self.has_lengths:
            raise ValueError(f"the model {NO_LENGTHS}")
        found = []
        for start in range(0, len(requests), TEXTS_AT_ONCE):
            part = requests[start : start + TEXTS_AT_ONCE]
            lengths = self._model.functions.lengths(
                *self._columns(part).values()
            )
            columns = {name: x.numpy().tolist() for name, x in lengths.items()}
            for place, request in enumerate(part):
                of_item = {name: x[place] for name, x in columns.items()}
                found.append(dataclasses.replace(request, lengths=of_item))
        return found

    def _check_lengths(self, requests: list[Request], first: int) -> None:
        """Raises ValueError if the model would not read all of a request."""
        for number, request in enumerate(requests, first):
            if request.lengths["truncated"]:
                raise ValueError(
                    too_long(number, request.lengths["num_tokens"])
                )

    @property
    def _read_at_once(self) -> int:
        """Number of items that are tokenized together."""
        return self._fixed_size or TEXTS_AT_ONCE

    def _encode(self, inputs: list[tuple[Value, ...]]) -> list[Request]:
        columns = zip(*self._filled(inputs), strict=True)
        encoded = self._model.functions.encode(*map(tf.constant, columns))
        encoded = {name: ids.numpy() for name, ids in encoded.items()}
        requests = []
        for row, strings in enumerate(inputs):
            number = int(encoded["input_mask"][row].sum())
            length = -(-number // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
            ids = {name: all[row, :length] for name, all in encoded.items()}
            requests.append(
                Request(inputs=strings, ids=ids, length=ids["input_ids"].size)
            )
        return requests

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Returns the answers to requests: `run`, `format` and their lengths.

        Args:
            requests: see `run`.
        """
        answers = self.format(self.run(requests))
        return [
            {**answer, **request.lengths}
            for answer, request in zip(answers, requests, strict=True)
        ]

    def run(self, requests: Sequence[Request]) -> dict[str, np.ndarray]:
        """Lets the model read requests together.

        Args:
            requests: any number of those that `prepare` returned, of any
                lengths.

        Returns:
            The outputs of the SavedModel, {name: array [number of requests,
            …]}.
        """
        forks.check()
        if not requests:
            raise ValueError("requests must not be empty")
        if any(request.words for request in requests):
            return self._run_words(requests)
        if self._network:
            return self._run_parts(self._read(requests))
        if self._reads_ids:
            outputs = self._run_ids(requests)
        else:
            outputs = self._run_strings(requests)
        number = len(requests)
        return {name: value.numpy()[:number] for name, value in outputs.items()}

    def _read(self, requests: Sequence[Request]) -> dict[str, Any]:
        """The part `read` of the answers: ids, and what `finish` needs."""
        if not self._reads_ids:
            return self._model.functions.read(*self._columns(requests).values())
        return _joined(requests)

    def _run_parts(self, read: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Computes outputs from what was read, see `ServingModule`."""
        assert self._network is not None
        ids = {name: np.asarray(read[name]) for name in ID_NAMES}
        length = ids["input_ids"].shape[-1]
        ids = {name: x.reshape(-1, length) for name, x in ids.items()}
        lengths = read.get("lengths")
        if lengths is None:
            lengths = ids["input_mask"].sum(axis=1)
        sequences = Sequences(ids, np.asarray(lengths))
        numbers = self._network.run(sequences)
        kept = {n: x for n, x in read.items() if n not in NOT_FINISHED}
        outputs = self._finish(kept, numbers)
        return {name: value.numpy() for name, value in outputs.items()}

    def _finish(self, read, numbers):
        (finish,) = self._model.functions.finish.concrete_functions
        return finish(
            *(
                {name: tf.convert_to_tensor(x) for name, x in part.items()}
                for part in (read, numbers)
            )
        )

    def _run_ids(self, requests: Sequence[Request]) -> Tensors:
        length = max(request.length for request in requests)
        if self.info.get("pads_to_max_seq_length"):
            length = self.info["max_seq_length"]
        batch = _joined(self._filled(requests), length)
        return self._function(length)(
            **{name: tf.constant(ids) for name, ids in batch.items()}
        )

    def _function(self, length: int) -> Callable[..., Tensors]:
        """Returns the signature `ids`, traced for one length of sequences."""
        with self._lock:
            if length not in self._by_length:
                _, specs = self.signatures["ids"].structured_input_signature
                self._by_length[length] = tf.function(
                    self.signatures["ids"]
                ).get_concrete_function(
                    **{
                        name: tf.TensorSpec(
                            [spec.shape[0], length], spec.dtype, name=name
                        )
                        for name, spec in specs.items()
                    }
                )
        return self._by_length[length]

    def _run_strings(self, requests: Sequence[Request]) -> Tensors:
        return self._serve(**self._columns(requests))

    def _columns(self, requests: Sequence[Request]) -> Tensors:
        """The strings of requests, {input: tf.string [B] or [B, most]}."""
        rows = [request.inputs for request in self._filled(requests)]
        columns: dict[str, Sequence[Any]] = dict(
            zip(self.input_names, zip(*rows, strict=True), strict=True)
        )
        for name in (entry.name for entry in self._inputs if entry.is_list):
            most = max(map(len, columns[name]))
            columns[name] = [
                [*values, *[b""] * (most - len(values))]
                for values in columns[name]
            ]
        return {name: tf.constant(c, tf.string) for name, c in columns.items()}

    def _words_of(self, item: object) -> tuple[str, ...]:
        """The words of an item that has no text, or ()."""
        if not given_words.are_given(item) or "text" not in self.input_names:
            return ()
        assert isinstance(item, Mapping)
        return given_words.words_of(item)

    def _run_words(self, requests: Sequence[Request]) -> dict[str, np.ndarray]:
        """Runs requests of which some have words, and others a text."""
        parts: list[tuple[list[int], dict[str, np.ndarray]]] = []
        rows = [i for i, request in enumerate(requests) if request.words]
        text = tf.constant([requests[row].inputs[0] for row in rows], tf.string)
        if self._network:
            columns = self._run_parts(self._model.functions.read_words(text))
        else:
            outputs = self.signatures["words"](text=text)
            columns = {name: value.numpy() for name, value in outputs.items()}
        words = [requests[row].words for row in rows]
        parts.append((rows, given_words.answer(columns, words)))
        if others := [i for i, request in enumerate(requests) if i not in rows]:
            parts.append((others, self.run([requests[i] for i in others])))
        return given_words.merged(parts)

    def _filled(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Repeats the last row up to the model's fixed number of rows."""
        if not self._fixed_size:
            return rows
        if len(rows) > self._fixed_size:
            raise ValueError(
                f"this model reads {self._fixed_size} rows at a time. "
                f"Received: {len(rows)}"
            )
        return [*rows, *[rows[-1]] * (self._fixed_size - len(rows))]

    def format(self, columns: dict[str, np.ndarray]) -> list[Answer]:
        """Turns the outputs that `run` returned into an answer for each row."""
        return self._kind.format(columns)

    def warm_up(self) -> None:
        """Does once what would make a later answer wait, such as traces."""
        if self._network:
            self._network.warm_up(self.info["max_seq_length"])
        sample = tuple(entry.sample for entry in self._inputs)
        (request,) = self.prepare([sample])
        if self._network or not self._reads_ids:
            self.run([request])
            return
        longest = self.info["max_seq_length"]
        lengths = [*range(LENGTH_MULTIPLE, longest, LENGTH_MULTIPLE), longest]
        for length in lengths:
            ids = {
                name: np.resize(values, length)
                for name, values in request.ids.items()
            }
            self.run([dataclasses.replace(request, ids=ids, length=length)])

    # -----------------------------------------------------------------------
    # Items.

    def check(self, item: object) -> tuple[Value, ...]:
        """Returns the values of an item, encoded, as `input_names` orders them.

        Raises:
            ValueError: the item is not what `predict` takes.
        """
        names = self.input_names
        if "words" in self.signatures and (words := self._words_of(item)):
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
        return tuple(entry.encode(item[entry.name]) for entry in self._inputs)


def too_long(number: int, num_tokens: int) -> str:
    """The error for an item that is refused because it is too long."""
    return f"item {number}: is longer than the model reads: {num_tokens} tokens"


def _listed(names: Iterable[object]) -> str:
    return " and ".join(map(str, names)) or "nothing"


def _joined(
    requests: Sequence[Request], length: int | None = None
) -> dict[str, np.ndarray]:
    """The ids of requests, int32 [B, S]; S is the longest's, or `length`."""
    length = length or max(request.length for request in requests)
    shape = (len(requests), length)
    batch = {name: np.zeros(shape, np.int32) for name in requests[0].ids}
    for row, request in enumerate(requests):
        for name, ids in request.ids.items():
            batch[name][row, : len(ids)] = ids
    return batch


def _about_length(inputs: tuple[Value, ...]) -> int:
    """Estimates the number of tokens of strings that are not tokenized yet."""
    number = sum(
        len(value) if isinstance(value, bytes) else sum(map(len, value))
        for value in inputs
    )
    tokens = number // BYTES_PER_TOKEN + 1
    return -(-tokens // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
