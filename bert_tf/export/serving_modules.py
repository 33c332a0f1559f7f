"""Modules that SavedModels are written from: raw text in, answers out.

    ServingModule         base of all, in `serving_base`; its other classes are
                          in `tagging`, `question_answering` and `relations`
      SequenceServing     base of those that read a text as one example
        TextServing       texts or pairs: a label, labels, a number
        EmbeddingServing  texts: a vector
        ChoiceServing     texts with several endings: which one fits

B is the number of rows of a request, S the length of a sequence.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from bert_tf.data.text_reader import TextReader
from bert_tf.export import kinds
from bert_tf.export.confidence import NOT_FITTED, Confidence
from bert_tf.export.saved_models import SCALED_SOFTMAX, SOFTMAX
from bert_tf.export.serving_base import (
    SAMPLES,
    Function,
    InputShape,
    ServingModule,
    Tensors,
    lengths_and_limit,
)
from bert_tf.pooling import NO_CHOICE
from bert_tf.text.packing import ID_NAMES
from bert_tf.vocab_files import tokens_by_id


class SequenceServing(ServingModule):
    """Base of modules that read each item as one example.

    Args:
        model: see `ServingModule`.
        reader: the `TextReader` of the training.
        outputs_of: function from the model's logits to {output: tensor}, in
            the graph; for example `TextProblem.serving_outputs`.
        shape: an `InputShape`.
        answers_softmax: whether `outputs_of` is `serving_outputs.label`, so
            that others can compute it without TensorFlow.
        confidence: the one with which `outputs_of` computes.
    """

    def __init__(
        self,
        model: keras.Model,
        reader: TextReader,
        *,
        outputs_of: Callable[[tf.Tensor], Tensors],
        shape: InputShape,
        answers_softmax: bool = False,
        confidence: Confidence = NOT_FITTED,
    ):
        self._finish_name = ""
        if answers_softmax:
            is_plain = confidence == NOT_FITTED
            self._finish_name = SOFTMAX if is_plain else SCALED_SOFTMAX
        self._trained_with = reader
        self._reader = reader.with_length_multiple(shape.length_multiple)
        self._outputs_of = outputs_of
        super().__init__(model, reader.max_seq_length, shape)
        self.serve, self.encode = (
            tf.function(
                function, input_signature=self._string_specs(), autograph=False
            )
            for function in (self._serve, self._encode)
        )

    def description(self) -> dict[str, Any]:
        finish = {"finish": self._finish_name} if self._finish_name else {}
        return finish | {
            "max_seq_length": self._max_seq_length,
            **self._reader.preprocess.settings.tokenizer_arguments(),
            "batch_size": self._shape.batch_size,
            "pads_to_max_seq_length": self._shape.pads_to_max,
            "truncation": self._reader.preprocess.truncation,
        }

    def vocabulary(self) -> list[str]:
        """Returns the tokens: `Predictor` and clients of vectors need them."""
        return tokens_by_id(self._reader.preprocess.tokenizer.vocab)

    def _read(self, reader: TextReader, *strings: tf.Tensor) -> Tensors:
        """Strings -> {"input_ids", "input_mask", "segment_ids"}."""
        raise NotImplementedError

    def _encode(self, *strings):
        return self._read(self._reader, *strings)

    def _read_all(self, *strings):
        return self._encode(*strings)

    def _serve(self, *strings):
        return self._answer_to(self._encode(*strings))

    def _answer_to(self, ids):
        return self._answer_with(self._traced_network, ids)

    def _answer_with(self, network: Function, ids: Tensors) -> Tensors:
        sequences = {name: _as_sequences(x) for name, x in ids.items()}
        numbers = network(sequences)
        return self._finish({"input_mask": ids["input_mask"]}, numbers)

    def _network(self, ids):
        logits = self._outputs_of_model(ids)
        return {"logits": tf.cast(logits, tf.float32)}

    def _finish(self, read, numbers):
        return self._outputs_of(numbers["logits"])

    def expected(self, **inputs: tf.Tensor) -> Tensors:
        """Computes them without a graph, on sequences padded as in training."""
        strings = [inputs[spec.name] for spec in self._string_specs()]
        ids = self._read(self._trained_with, *strings)
        return self._answer_with(self._network, ids)


class TextServing(SequenceServing):
    """Answers texts, or pairs of texts, with a label, labels or a number.

    Args:
        model, reader: see `SequenceServing`.
        kind: name of the problem's kind.
        takes_pairs: whether each text has a second one.
        **settings: `outputs_of`, `shape`, `answers_softmax` and `confidence`
            of a `SequenceServing`.
    """

    def __init__(
        self,
        model: keras.Model,
        reader: TextReader,
        *,
        kind: str,
        takes_pairs: bool = False,
        **settings: Any,
    ):
        self.kind = kind
        self._takes_pairs = takes_pairs
        super().__init__(model, reader, **settings)

    def description(self) -> dict[str, Any]:
        reader = self._reader
        if not reader.has_windows:
            return super().description()
        return super().description() | {
            "max_windows": reader.max_windows,
            "doc_stride": reader.doc_stride,
            "window_pooling": self._model.pooling,
        }

    def _string_specs(self):
        names = ("text", "text_pair") if self._takes_pairs else ("text",)
        shape = [self._shape.batch_size]
        return [tf.TensorSpec(shape, tf.string, name=name) for name in names]

    def _axes(self):
        reader = self._reader
        return (reader.max_windows,) if reader.has_windows else ()

    def _read(self, reader, text, text_pair=None):
        return reader.read(text, text_pair)

    def _lengths(self, text, text_pair=None):
        lengths = self._reader.preprocess.sequence_lengths(text, text_pair)
        return lengths_and_limit(lengths, self._reader.capacity)

    def _finish(self, read, numbers):
        if not self._reader.has_windows:
            return super()._finish(read, numbers)
        logits, is_there = by_item(numbers["logits"], read["input_mask"])
        return self._outputs_of(self._model.pool_windows(logits, is_there))

    def samples(self) -> list[Tensors]:
        columns = {"text": SAMPLES}
        if self._takes_pairs:
            columns["text_pair"] = SAMPLES[::-1]
        return self._shape.requests(columns)


class EmbeddingServing(TextServing):
    """Answers texts with vectors: the encoder itself.

    Args:
        model: a `BertEmbedder`.
        reader: see `SequenceServing`.
        shape: an `InputShape`.
    """

    def __init__(
        self, model: keras.Model, reader: TextReader, shape: InputShape
    ):
        super().__init__(
            model,
            reader,
            kind=kinds.EMBEDDING.name,
            outputs_of=dict,  # Unused: the outputs need the ids, too.
            shape=shape,
        )

    @property
    def signatures(self) -> dict[str, Function]:
        aliases = kinds.EMBEDDING.aliases
        return {**super().signatures, **dict.fromkeys(aliases, self.serve)}

    def expected(self, **inputs: tf.Tensor) -> Tensors:
        outputs = super().expected(**inputs)
        if self._model.pooling == "none":
            # The graph pads no further than the texts of the request need.
            length = self.encode(*inputs.values())["input_ids"].shape[1]
            outputs["embedding"] = outputs["embedding"][:, :length]
        return outputs

    def _network(self, ids):
        vectors = self._outputs_of_model(ids)
        return {"embedding": tf.cast(vectors, tf.float32)}

    def _finish(self, read, numbers):
        outputs = dict(numbers)
        if self._model.pooling == "none":
            # The first num_tokens vectors are those of tokens, not of padding.
            mask = tf.cast(read["input_mask"] != 0, tf.int32)
            outputs["num_tokens"] = tf.reduce_sum(mask, axis=-1)
        return outputs


class ChoiceServing(SequenceServing):
    """Answers texts with several endings: which ending fits.

    A text with fewer endings than others has "" in place of the missing ones.
    """

    kind = kinds.MULTIPLE_CHOICE.name

    def _string_specs(self):
        rows = self._shape.batch_size
        return [
            tf.TensorSpec([rows], tf.string, name="text"),
            tf.TensorSpec([rows, None], tf.string, name="endings"),
        ]

    def _axes(self):
        return (None,)

    def _parse(self, serialized):
        # Examples of one request have the number of choices of their run.
        choices = tf.io.FixedLenSequenceFeature(
            [self._max_seq_length], tf.int64, allow_missing=True
        )
        parsed = tf.io.parse_example(
            serialized, dict.fromkeys(ID_NAMES, choices)
        )
        return {name: tf.cast(ids, tf.int32) for name, ids in parsed.items()}

    def _read(self, reader, text, endings):
        is_ending = endings != ""
        place = 1 + tf.range(tf.shape(endings)[1])
        last = tf.reduce_max(tf.where(is_ending, place, 0), axis=1)
        return reader.read_choices(text, endings, last)

    def samples(self) -> list[Tensors]:
        endings = [*zip(SAMPLES, SAMPLES[::-1], SAMPLES, strict=True)]
        return self._shape.requests({"text": SAMPLES, "endings": endings})

    def _lengths(self, text, endings):
        number = tf.shape(endings)[1]
        flat = tf.reshape(endings, [-1])
        lengths = self._reader.preprocess.sequence_lengths(
            tf.repeat(text, number), flat
        )
        lengths = tf.where(flat == "", tf.zeros_like(lengths), lengths)
        longest = tf.reduce_max(tf.reshape(lengths, [-1, number]), axis=1)
        return lengths_and_limit(longest, self._reader.capacity)

    def _network(self, ids):
        # Each sequence is an item with one ending.
        return super()._network({n: x[:, tf.newaxis] for n, x in ids.items()})

    def _finish(self, read, numbers):
        logits, is_there = by_item(numbers["logits"], read["input_mask"])
        return self._outputs_of(tf.where(is_there, logits[..., 0], NO_CHOICE))


def by_item(
    numbers: tf.Tensor, input_mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gives the numbers of sequences to the items that have N of them each.

    Args:
        numbers: float [B N, C].
        input_mask: int [B, N, S].

    Returns:
        float [B, N, C], and bool [B, N]: which sequences are not empty.
    """
    number = input_mask.shape[1] or tf.shape(input_mask)[1]
    is_there = tf.reduce_any(input_mask != 0, axis=-1)
    shape = [-1, number, numbers.shape[-1]]
    return tf.reshape(numbers, shape), is_there


def _as_sequences(ids):
    """int [B, S] or [B, N, S] -> [B, S] or [B N, S]."""
    if ids.shape.rank == 2:
        return ids
    return tf.reshape(ids, [-1, ids.shape[-1] or tf.shape(ids)[-1]])
