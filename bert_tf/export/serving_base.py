"""ServingModule: the base of what SavedModels are written from.

A SavedModel answers a request in three parts, which are functions of it, too:

    strings, [B]
      read            ids of R sequences, and what the answers need of the text
      network         numbers for each sequence: logits, vectors
      answer          label, score, probabilities; tags; places
    outputs, [B, …]

The signature `serving_default` is all three. `Predictor` may compute the
network with another engine, see `export/engines`.

No part has Python's control flow on tensors, so all are traced without
AutoGraph, whose reading of the code would take a third of an export's time.

B is the number of rows of a request, R that of sequences that the network
reads for them, S the length of a sequence.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from bert_tf.config import BertConfig
from bert_tf.data import features
from bert_tf.export.int8_words import words_in_int8
from bert_tf.export.saved_models import LENGTH_MULTIPLE, NOT_FINISHED
from bert_tf.modeling import (
    computed_in,
    needs_padding,
    padding_computed,
    reading_one_sequence,
)
from bert_tf.text.packing import ID_NAMES

Tensors = dict[str, tf.Tensor]
Function = Any  # A tf.function of tensors, which returns `Tensors`.

# Texts that exported models are tried with: by the export, which compares the
# answers with those of the trained model, and by TensorFlow Serving before it
# answers clients.
SAMPLES = (
    "Is this a text?",
    "",
    "Crème brûlée in Ærøskøbing, naïve façade, ΣΊΣΥΦΟΣ",
    "東京 and 北京 are cities 👩‍👩‍👧‍👦 👍🏽!!! $5",
    " \t\n\x00 [MASK] \u200b x" + "y" * 120,
    "A long text has more words than the model can read. " * 60,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputShape:
    """Sizes of the inputs that are fixed; accelerators need all of them fixed.

    Attributes:
        batch_size: rows of each request; None for any number.
        pads_to_max: whether all sequences have the full length instead of that
            of the longest one of the request.
    """

    batch_size: int | None = None
    pads_to_max: bool = False

    @property
    def length_multiple(self) -> int | None:
        """The setting of this name of a `BertPreprocessor`."""
        return None if self.pads_to_max else LENGTH_MULTIPLE

    def length(self, max_seq_length: int) -> int | None:
        """Returns S where it is fixed, or None."""
        return max_seq_length if self.pads_to_max else None

    def requests(self, columns: Mapping[str, Sequence[Any]]) -> list[Tensors]:
        """Splits {name: N values} into requests of the fixed size, if any.

        The last request is filled up with values from the start.
        """
        (number, *_) = map(len, columns.values())
        size = self.batch_size or number
        return [
            {
                name: tf.constant(
                    [column[i % number] for i in range(first, first + size)]
                )
                for name, column in columns.items()
            }
            for first in range(0, number, size)
        ]


class ServingModule(tf.Module):
    """Base of the modules that are exported.

    Args:
        model: a head of `bert_tf.heads`, in the precision of the export.
        max_seq_length: the longest sequence that it reads.
        shape: an `InputShape`.

    Attributes:
        kind: name of its kind of answers, see `kinds.KINDS`.
        serve: tf.function of strings, the signature `serving_default`.
        ids: tf.function of the model's ids, int32 [B, S] each.
        examples: tf.function of serialized tf.Examples [B], which a program
            writes with its flag write_tf_records.
        computes_padding: whether a graph that is built computes the vectors
            of padding, too, which change no answer.
        reads_padding: whether padding changes answers, so that the network
            must read it.
        answers_lengths: whether `serving_default` also answers "num_tokens" and
            "truncated", see `add_parts`.
        read, lengths, network, network_bfloat16, finish: the parts of an
            answer, see `add_parts`.
    """

    kind: str
    answers_lengths = False
    serve: Function
    read: Function
    lengths: Function
    network: Function
    network_bfloat16: Function
    finish: Function

    def __init__(
        self, model: keras.Model, max_seq_length: int, shape: InputShape
    ):
        super().__init__(name=self.kind)
        self._model = model
        self._max_seq_length = max_seq_length
        self._shape = shape
        self.reads_padding = needs_padding(model)
        # Where shapes are fixed, sizes must not depend on the tokens.
        self.computes_padding = shape.pads_to_max or self.reads_padding
        self._has_own_graph = False
        if self.has_parts:
            specs = [
                tf.TensorSpec([None, None], tf.int32, name=name)
                for name in ID_NAMES
            ]
            self.network, self.network_bfloat16 = (
                tf.function(function, input_signature=specs, autograph=False)
                for function in (self._network_of, self._bfloat16_network_of)
            )
        self.ids = tf.function(
            self._ids, input_signature=self._id_specs(), autograph=False
        )
        self.examples = tf.function(
            lambda serialized: self._answer_to(self._parse(serialized)),
            input_signature=[
                tf.TensorSpec([shape.batch_size], tf.string, name="examples")
            ],
            autograph=False,
        )

    @property
    def config(self) -> BertConfig | None:
        """The shape of the network; None of a model that does not say it."""
        return getattr(self._model, "config", None)

    @property
    def id_shape(self) -> tuple[int | None, ...]:
        """The shape of each tensor of the signature `ids`."""
        length = self._shape.length(self._max_seq_length)
        return (self._shape.batch_size, *self._axes(), length)

    @property
    def signatures(self) -> dict[str, Function]:
        """The SavedModel's signatures by their names."""
        return {
            "serving_default": self._serve_with_lengths(),
            "ids": self.ids,
            "examples": self.examples,
        }

    def _serve_with_lengths(self) -> Function:
        if not self.answers_lengths:
            return self.serve
        return tf.function(
            # "num_tokens" of an answer itself stays.
            lambda *strings: {
                **self._lengths(*strings),
                **self.serve(*strings),
            },
            input_signature=self._string_specs(),
            autograph=False,
        )

    def description(self) -> dict[str, Any]:
        """Returns its part of model.json."""
        raise NotImplementedError

    def vocabulary(self) -> list[str] | None:
        """Returns the token of each id, if the SavedModel's folder has them."""
        return None

    def samples(self) -> list[Tensors]:
        """Returns requests for comparisons, {input: tf.string [B]}."""
        raise NotImplementedError

    def expected(self, **inputs: tf.Tensor) -> Tensors:
        """Returns the answers as the program that trained the model gives them.

        Args:
            **inputs: one of `samples`.
        """
        return self.serve(**inputs)

    def padded_ids(self, *, int8: bool = False) -> Function:
        """A tf.function as `ids`, in whose graph padding is computed, too.

        LiteRT files need it: sizes in them depend on the inputs' sizes alone.

        Args:
            int8: whether it is for a file of int8, see `words_in_int8`.
        """

        def compute(input_ids, input_mask, segment_ids):
            with self._computing_padding(int8):
                return self._ids(input_ids, input_mask, segment_ids)

        return tf.function(
            compute, input_signature=self._id_specs(), autograph=False
        )

    # -----------------------------------------------------------------------
    # The parts of an answer, for engines.

    @property
    def has_parts(self) -> bool:
        """Whether other engines may compute its network."""
        return self._shape == InputShape()

    def add_parts(self) -> None:
        """Adds the parts of an answer, which a SavedModel then has.

        read(*strings) -> {"input_ids", "input_mask", "segment_ids": int32
            [R, S] or [B, N, S]}, and what `finish` needs. "lengths", int32
            [R], are the places that the network must read, if they are
            more than the tokens.
        network(input_ids, input_mask, segment_ids) -> {name: float32 [R,
            …]}, from int32 [R, S] each.
        network_bfloat16: the same, computed in bfloat16.
        lengths(*strings) -> "num_tokens", int64 [B], those of the whole
            texts, and "truncated", bool [B], whether some are not read.
        finish(read, numbers) -> the outputs of `serving_default`. `read`
            is without "input_ids", "segment_ids" and "lengths".
        """
        self.read, self.lengths = (
            tf.function(
                function, input_signature=self._string_specs(), autograph=False
            )
            for function in (self._read_all, self._lengths)
        )
        read = self.read.get_concrete_function().structured_outputs
        numbers = self.network.get_concrete_function().structured_outputs
        kept = {n: x for n, x in read.items() if n not in NOT_FINISHED}
        self.finish = tf.function(
            self._finish,
            input_signature=[_specs_of(kept), _specs_of(numbers)],
            autograph=False,
        )

    def lite_network(self, *, int8: bool = False) -> Function:
        """A tf.function for a LiteRT file that computes the network.

        It reads a sequence, int32 [1, S]: `input_ids` and `segment_ids`, and
        where padding changes answers `input_mask`, too.

        Args:
            int8: whether it is for a file of int8, see `words_in_int8`.
        """
        names = ["input_ids", "segment_ids"]
        if self.reads_padding:
            names.append("input_mask")

        def compute(*values):
            ids = dict(zip(names, values, strict=True))
            is_alone = hasattr(self._model, "bert") and not self.reads_padding
            alone = (
                reading_one_sequence(self._model)
                if is_alone
                else contextlib.nullcontext()
            )
            with self._computing_padding(int8), alone:
                return self._network(ids)

        specs = [tf.TensorSpec([1, None], tf.int32, name=n) for n in names]
        return tf.function(compute, input_signature=specs, autograph=False)

    def _string_specs(self) -> list[tf.TensorSpec]:
        """The inputs of `serving_default`."""
        raise NotImplementedError

    def _read_all(self, *strings: tf.Tensor) -> Tensors:
        """The part `read`, see `add_parts`."""
        raise NotImplementedError

    def _lengths(self, *strings: tf.Tensor) -> Tensors:
        """The part `lengths`."""
        raise NotImplementedError

    def _network(self, ids: Tensors) -> Tensors:
        """The part `network`; `ids` may have no "input_mask"."""
        raise NotImplementedError

    def _finish(self, read: Tensors, numbers: Tensors) -> Tensors:
        """The part `finish`."""
        raise NotImplementedError

    def _network_of(self, *ids):
        return self._network(dict(zip(ID_NAMES, ids, strict=True)))

    def _bfloat16_network_of(self, *ids):
        with computed_in(self._model, "mixed_bfloat16"):
            return self._network_of(*ids)

    def _traced_network(self, ids: Tensors) -> Tensors:
        """The network as a function of the graph, which is traced once."""
        # Sizes that are fixed stay known inside.
        if self._has_own_graph or not self.has_parts:
            return self._network(ids)
        return self.network(*(ids[name] for name in ID_NAMES))

    @contextlib.contextmanager
    def _computing_padding(self, int8: bool) -> Iterator[None]:
        """Builds a graph of its own, in which padding is computed, too."""
        before, self.computes_padding = self.computes_padding, True
        self._has_own_graph = True
        words = words_in_int8(self._model) if int8 else contextlib.nullcontext()
        try:
            with words:
                yield
        finally:
            self.computes_padding, self._has_own_graph = before, False

    # -----------------------------------------------------------------------

    def _answer_to(self, ids: Tensors) -> Tensors:
        """Computes the outputs of the signatures `ids` and `examples`."""
        raise NotImplementedError

    def _outputs_of_model(self, ids: Tensors) -> Any:
        if not hasattr(self._model, "bert"):  # Not one of `bert_tf.heads`.
            return self._model(ids, training=False)
        with padding_computed(self._model, self.computes_padding):
            return self._model(ids, training=False)

    def _axes(self) -> tuple[int | None, ...]:
        """Sizes of the axes between that of the batch and that of tokens."""
        return ()

    def _id_specs(self) -> list[tf.TensorSpec]:
        return [
            tf.TensorSpec(self.id_shape, tf.int32, name=name)
            for name in ID_NAMES
        ]

    def _ids(self, input_ids, input_mask, segment_ids):
        ids = (input_ids, input_mask, segment_ids)
        return self._answer_to(dict(zip(ID_NAMES, ids, strict=True)))

    def _parse(self, serialized: tf.Tensor) -> Tensors:
        # An axis that varies is None, which parsing takes.
        shape: tuple[Any, ...] = (*self._axes(), self._max_seq_length)
        specs = [features.FeatureSpec(name, shape) for name in ID_NAMES]
        return features.parse_examples(serialized, specs)


def lengths_and_limit(num_tokens: tf.Tensor, limit: int) -> Tensors:
    """The outputs of `lengths` where the model reads up to `limit` tokens.

    Args:
        num_tokens: int [B].
        limit: the longest text of which nothing is cut off, in tokens.
    """
    num_tokens = tf.cast(num_tokens, tf.int64)
    return {"num_tokens": num_tokens, "truncated": num_tokens > limit}


def _specs_of(tensors: Tensors) -> dict[str, tf.TensorSpec]:
    return {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in tensors.items()
    }
