"""Predictor: a long-lived exported model that answers many texts quickly.

    items       texts, pairs, questions with contexts
      prepare   strings -> ids, each with the length it needs
      batches   of about equal lengths, so that little is padding
      run       the model: an engine, or the SavedModel as a whole
      format    arrays -> Python's values, in the order of the items

This module needs TensorFlow, tensorflow-text and no part of the model's code.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from bert_tf import forks
from bert_tf.choices import BATCH_SIZE, MAX_BATCH_TOKENS
from bert_tf.export import given_words
from bert_tf.export.answering import (
    Answers,
    Columns,
    PartAnswers,
    WholeAnswers,
)
from bert_tf.export.engines.choice import (
    EngineSettings,
    engines_of,
    network_of,
    with_tuned,
)
from bert_tf.export.engines.sequences import check_sizes
from bert_tf.export.inputs import example_item
from bert_tf.export.kinds import KINDS, Answer, Request, Value
from bert_tf.export.loaded_model import LoadedModel
from bert_tf.export.reading import Reader

ITEMS_AT_ONCE = 64 * BATCH_SIZE  # Items that are sorted by length together.
ITEMS_WITH_WINDOWS = 128  # Items of many sequences that are read together.


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
        max_batch_tokens: places that TensorFlow computes together.
        kind: name of the kind of its answers, such as "single_label".
        info: the content of the model's model.json.
        labels: list of str, or None where the kind has no labels.
        input_names: the strings of an item, such as "text" and "text_pair".
        signatures: {name: function} of the SavedModel.

    Raises:
        UserError: the folder has no such model, or a setting is wrong.
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
        check_sizes(batch_size=batch_size)
        settings = EngineSettings(
            engine=engine,
            num_threads=num_threads,
            max_batch_tokens=max_batch_tokens,
        )
        self._model = LoadedModel(folder)
        self.folder, self.info = self._model.folder, self._model.info
        self.kind = self.info["kind"]
        self._kind = KINDS[self.kind]
        self.labels = self.info.get("labels")
        self.signatures = self._model.signatures
        self._reader = Reader(
            self._model,
            self._kind,
            on_long=on_long,
            with_lengths=with_lengths,
        )
        self.input_names = self._reader.names
        # A model for accelerators has one size of batches.
        self.batch_size = self._reader.fixed_size or batch_size
        settings = with_tuned(self._model, settings)
        self.max_batch_tokens = settings.max_batch_tokens
        self.engine, network = network_of(self._model, settings)
        self._answers: Answers = WholeAnswers(self._model, self._reader)
        if network is not None:
            self._answers = PartAnswers(self._model, self._reader, network)

    @property
    def on_long(self) -> str:
        """What happens to an item that is too long, as it was given."""
        return self._reader.on_long

    @property
    def with_lengths(self) -> bool:
        """Whether all answers have their lengths, as it was given."""
        return self._reader.with_lengths

    @property
    def has_lengths(self) -> bool:
        """Whether the model can say how long items are."""
        return self._model.has_parts

    @property
    def mixes_lengths(self) -> bool:
        """Whether `run` is as fast with requests of different lengths.

        Otherwise all of them take as long as the longest.
        """
        return isinstance(self._answers, PartAnswers)

    @property
    def engines(self) -> list[str]:
        """Names the engines that can compute the model here."""
        return engines_of(self._model)

    def example(self) -> dict[str, Any]:
        """Returns an item that shows what the model does."""
        return example_item(self._reader.inputs, self.labels or ())

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

    @property
    def has_label_sets(self) -> bool:
        """Whether answers have "label_set", see `export.confidence`."""
        serve = self.signatures["serving_default"]
        return "in_set" in serve.structured_outputs

    @property
    def items_at_once(self) -> int:
        """The number of items that `stream` answers together.

        Items in groups of this size, each answered for itself, have the same
        answers to the bit.
        """
        serve = self.signatures["serving_default"]
        if "num_tokens" in serve.structured_outputs:
            return 4 * self.batch_size  # Vectors of all tokens are large.
        return ITEMS_AT_ONCE

    def _stream(self, items: Iterator[object]) -> Iterator[Answer]:
        first = 0
        while chunk := list(itertools.islice(items, self.items_at_once)):
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
        if self._model.has_parts:  # The network makes its own batches.
            size = len(order) if self._reader.reads_ids else ITEMS_WITH_WINDOWS
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
        return self._reader.read(items, first)

    def measured(self, requests: Sequence[Request]) -> list[Request]:
        """Returns requests with their `lengths`, whatever `with_lengths` is.

        Args:
            requests: those that `prepare` returned.

        Raises:
            ValueError: the model cannot say how long items are.
        """
        forks.check()
        return self._reader.measured(requests)

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

    def run(self, requests: Sequence[Request]) -> Columns:
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
        return self._answers.outputs(requests)

    def _run_words(self, requests: Sequence[Request]) -> Columns:
        """Runs requests of which some have words, and others a text."""
        parts: list[tuple[list[int], Columns]] = []
        rows = [i for i, request in enumerate(requests) if request.words]
        text = tf.constant([requests[row].inputs[0] for row in rows], tf.string)
        columns = self._answers.outputs_of_words(text)
        words = [requests[row].words for row in rows]
        parts.append((rows, given_words.answer(columns, words)))
        if others := [i for i, request in enumerate(requests) if i not in rows]:
            parts.append((others, self.run([requests[i] for i in others])))
        return given_words.merged(parts)

    def format(self, columns: Columns) -> list[Answer]:
        """Turns the outputs that `run` returned into an answer for each row."""
        # Those of a loaded function are in another order in each process.
        known = [name for name in self._kind.outputs if name in columns]
        names = [*known, *sorted({*columns} - {*known})]
        return self._kind.format({name: columns[name] for name in names})

    def warm_up(self) -> None:
        """Does once what would make a later answer wait, such as traces."""
        sample = tuple(entry.sample for entry in self._reader.inputs)
        (request,) = self.prepare([sample])
        self._answers.warm_up(request)

    def check(self, item: object) -> tuple[Value, ...]:
        """Returns the values of an item, encoded, as `input_names` orders them.

        Raises:
            ValueError: the item is not what `predict` takes.
        """
        return self._reader.check(item)
