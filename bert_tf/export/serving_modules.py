"""Modules that SavedModels are written from: raw text in, answers out.

    text              strings
      read            the model's ids
      model           logits
      outputs         label, score, probabilities: `TextProblem.serving_outputs`

    ServingModule         base of all, here and in `tagging` (TagServing) and
                          `question_answering` (QuestionServing)
      SequenceServing     base of those that read a text as one example
        TextServing       texts or pairs: a label, labels, a number
        EmbeddingServing  texts: a vector
        ChoiceServing     texts with several endings: which one fits

B is the number of rows of a request, S the length of a sequence.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from bert_tf.data import features
from bert_tf.data.text_reader import TextReader
from bert_tf.export import kinds
from bert_tf.export.saved_models import LENGTH_MULTIPLE
from bert_tf.modeling import needs_padding, padding_computed
from bert_tf.text.packing import ID_NAMES
from bert_tf.text.wordpiece import tokens_by_id

Tensors = dict[str, tf.Tensor]
Function = Callable[..., Tensors]  # A tf.function.

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
    """

    kind: str
    serve: Function

    def __init__(
        self, model: keras.Model, max_seq_length: int, shape: InputShape
    ):
        super().__init__(name=self.kind)
        self._model = model
        self._max_seq_length = max_seq_length
        self._shape = shape
        # Where shapes are fixed, sizes must not depend on the tokens.
        self.computes_padding = shape.pads_to_max or needs_padding(model)
        self.ids = tf.function(self._ids, input_signature=self._id_specs())
        self.examples = tf.function(
            lambda serialized: self._answer_to(self._parse(serialized)),
            input_signature=[
                tf.TensorSpec([shape.batch_size], tf.string, name="examples")
            ],
        )

    @property
    def id_shape(self) -> tuple[int | None, ...]:
        """The shape of each tensor of the signature `ids`."""
        length = self._shape.length(self._max_seq_length)
        return (self._shape.batch_size, *self._axes(), length)

    @property
    def signatures(self) -> dict[str, Function]:
        """The SavedModel's signatures by their names."""
        return {
            "serving_default": self.serve,
            "ids": self.ids,
            "examples": self.examples,
        }

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

    def padded_ids(self) -> Function:
        """A tf.function as `ids`, in whose graph padding is computed, too.

        LiteRT files need it: sizes in them depend on the inputs' sizes alone.
        """

        def compute(input_ids, input_mask, segment_ids):
            before, self.computes_padding = self.computes_padding, True
            try:
                return self._ids(input_ids, input_mask, segment_ids)
            finally:
                self.computes_padding = before

        return tf.function(compute, input_signature=self._id_specs())

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


class SequenceServing(ServingModule):
    """Base of modules that read each item as one example.

    Args:
        model: see `ServingModule`.
        reader: the `TextReader` of the training.
        outputs_of: function from the model's logits to {output: tensor}, in
            the graph; for example `TextProblem.serving_outputs`.
        shape: an `InputShape`.
    """

    def __init__(
        self,
        model: keras.Model,
        reader: TextReader,
        *,
        outputs_of: Callable[[tf.Tensor], Tensors],
        shape: InputShape,
    ):
        self._trained_with = reader
        self._reader = reader.with_length_multiple(shape.length_multiple)
        self._outputs_of = outputs_of
        super().__init__(model, reader.max_seq_length, shape)
        self.serve, self.encode = (
            tf.function(function, input_signature=self._string_specs())
            for function in (self._serve, self._encode)
        )

    def description(self) -> dict[str, Any]:
        return {
            "max_seq_length": self._max_seq_length,
            "do_lower_case": self._reader.preprocess.do_lower_case,
            "batch_size": self._shape.batch_size,
            "pads_to_max_seq_length": self._shape.pads_to_max,
        }

    def _string_specs(self) -> list[tf.TensorSpec]:
        raise NotImplementedError

    def _read(self, reader: TextReader, *strings: tf.Tensor) -> Tensors:
        """Strings -> {"input_ids", "input_mask", "segment_ids"}."""
        raise NotImplementedError

    def _encode(self, *strings):
        return self._read(self._reader, *strings)

    def _serve(self, *strings):
        return self._answer_to(self._encode(*strings))

    def _answer_to(self, ids):
        return self._outputs_of(self._outputs_of_model(ids))

    def expected(self, **inputs: tf.Tensor) -> Tensors:
        """Computes them without a graph, on sequences padded as in training."""
        strings = [inputs[spec.name] for spec in self._string_specs()]
        return self._answer_to(self._read(self._trained_with, *strings))


class TextServing(SequenceServing):
    """Answers texts, or pairs of texts, with a label, labels or a number.

    Args:
        model, reader: see `SequenceServing`.
        kind: name of the problem's kind.
        takes_pairs: whether each text has a second one.
        **settings: `outputs_of` and `shape` of a `SequenceServing`.
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

    def _string_specs(self):
        names = ("text", "text_pair") if self._takes_pairs else ("text",)
        shape = [self._shape.batch_size]
        return [tf.TensorSpec(shape, tf.string, name=name) for name in names]

    def _axes(self):
        reader = self._reader
        return (reader.max_windows,) if reader.has_windows else ()

    def _read(self, reader, text, text_pair=None):
        return reader.read(text, text_pair)

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

    def description(self) -> dict[str, Any]:
        truncation = self._reader.preprocess.truncation
        return {**super().description(), "truncation": truncation}

    def vocabulary(self) -> list[str]:
        """Returns the tokens: bert-as-service's clients send and ask them."""
        return tokens_by_id(self._reader.preprocess.tokenizer.vocab)

    def expected(self, **inputs: tf.Tensor) -> Tensors:
        outputs = super().expected(**inputs)
        if self._model.pooling == "none":
            # The graph pads no further than the texts of the request need.
            length = self.encode(*inputs.values())["input_ids"].shape[1]
            outputs["embedding"] = outputs["embedding"][:, :length]
        return outputs

    def _answer_to(self, ids):
        vectors = self._outputs_of_model(ids)
        outputs = {"embedding": tf.cast(vectors, tf.float32)}
        if self._model.pooling == "none":
            # The first num_tokens vectors are those of tokens, not of padding.
            mask = tf.cast(ids["input_mask"] != 0, tf.int32)
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
