"""How a loaded model computes the outputs of its requests.

    PartAnswers       read, network, finish: the network is that of an engine
    WholeAnswers      the SavedModel's signatures, for exports of earlier
                      versions and those with inputs of fixed sizes

Both turn what `reading.Reader` made of items into {output: array [B, …]}.
"""

import abc
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf.export.engines.sequences import Network, Sequences
from bert_tf.export.finishing import Columns, finish_of
from bert_tf.export.kinds import Request
from bert_tf.export.loaded_model import LoadedModel
from bert_tf.export.reading import Reader
from bert_tf.export.saved_models import LENGTH_MULTIPLE
from bert_tf.text.packing import ID_NAMES

Tensors = dict[str, tf.Tensor]


class Answers(abc.ABC):
    """Computes the outputs of requests.

    Args:
        model: the model.
        reader: what made the requests.
    """

    def __init__(self, model: LoadedModel, reader: Reader):
        self._model = model
        self._reader = reader

    @abc.abstractmethod
    def outputs(self, requests: Sequence[Request]) -> Columns:
        """Returns the outputs of requests, none of which has words."""

    @abc.abstractmethod
    def outputs_of_words(self, text: tf.Tensor) -> Columns:
        """Returns the outputs of words with spaces between, tf.string [B]."""

    @abc.abstractmethod
    def warm_up(self, request: Request) -> None:
        """Does once what would make a later answer wait, such as traces.

        Args:
            request: any request.
        """


class PartAnswers(Answers):
    """Answers whose network an engine computes.

    Args:
        model, reader: see `Answers`.
        network: the engine's.
    """

    def __init__(self, model: LoadedModel, reader: Reader, network: Network):
        super().__init__(model, reader)
        self._network = network
        self._finish = finish_of(model)

    def outputs(self, requests: Sequence[Request]) -> Columns:
        if self._reader.reads_ids:
            return self._answer(joined(requests))
        columns = self._reader.columns(requests)
        return self._answer(self._model.functions.read(*columns.values()))

    def outputs_of_words(self, text: tf.Tensor) -> Columns:
        return self._answer(self._model.functions.read_words(text))

    def warm_up(self, request: Request) -> None:
        self._network.warm_up(self._model.info["max_seq_length"])
        self.outputs([request])

    def _answer(self, read: Mapping[str, Any]) -> Columns:
        """Computes outputs from what was read."""
        ids = {name: np.asarray(read[name]) for name in ID_NAMES}
        length = ids["input_ids"].shape[-1]
        ids = {name: x.reshape(-1, length) for name, x in ids.items()}
        lengths = read.get("lengths")
        if lengths is None:
            lengths = ids["input_mask"].sum(axis=1)
        numbers = self._network.run(Sequences(ids, np.asarray(lengths)))
        return self._finish(read, numbers)


class WholeAnswers(Answers):
    """Answers that the signatures of a SavedModel compute.

    Args:
        model, reader: see `Answers`.
    """

    def __init__(self, model: LoadedModel, reader: Reader):
        super().__init__(model, reader)
        self._by_length: dict[int, Callable[..., Tensors]] = {}
        self._lock = threading.Lock()

    def outputs(self, requests: Sequence[Request]) -> Columns:
        if self._reader.reads_ids:
            outputs = self._run_ids(requests)
        else:
            serve = self._model.signatures["serving_default"]
            outputs = serve(**self._reader.columns(requests))
        number = len(requests)
        return {name: value.numpy()[:number] for name, value in outputs.items()}

    def outputs_of_words(self, text: tf.Tensor) -> Columns:
        outputs = self._model.signatures["words"](text=text)
        return {name: value.numpy() for name, value in outputs.items()}

    def warm_up(self, request: Request) -> None:
        if not self._reader.reads_ids:
            self.outputs([request])
            return
        longest = self._model.info["max_seq_length"]
        lengths = [*range(LENGTH_MULTIPLE, longest, LENGTH_MULTIPLE), longest]
        for length in lengths:
            ids = {
                name: np.resize(values, length)
                for name, values in request.ids.items()
            }
            self.outputs([dataclasses.replace(request, ids=ids, length=length)])

    def _run_ids(self, requests: Sequence[Request]) -> Tensors:
        length = max(request.length for request in requests)
        if self._model.info.get("pads_to_max_seq_length"):
            length = self._model.info["max_seq_length"]
        batch = joined(self._reader.filled(requests), length)
        return self._function(length)(
            **{name: tf.constant(ids) for name, ids in batch.items()}
        )

    def _function(self, length: int) -> Callable[..., Tensors]:
        """Returns the signature `ids`, traced for one length of sequences."""
        signature = self._model.signatures["ids"]
        with self._lock:
            if length not in self._by_length:
                _, specs = signature.structured_input_signature
                self._by_length[length] = tf.function(
                    signature, autograph=False
                ).get_concrete_function(
                    **{
                        name: tf.TensorSpec(
                            [spec.shape[0], length], spec.dtype, name=name
                        )
                        for name, spec in specs.items()
                    }
                )
        return self._by_length[length]


def joined(
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
