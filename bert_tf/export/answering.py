"""What a SavedModel computes: raw text in, labelled answer out.

    text              strings
      read            the model's ids
      model           logits
      answer          label, score, probabilities: `Problem.served`

`TextAnswering` and `ChoiceAnswering` are here, `EmbeddingAnswering` too; those
of words and of questions have modules of their own.
"""

import dataclasses

import tensorflow as tf

from bert_tf.data import features
from bert_tf.text.packing import ID_NAMES

WINDOWS_AT_ONCE = 16  # That the model reads together.
LENGTH_MULTIPLE = 16  # Sequences are padded to the longest, and up to this.

# What exported models are tried with: that they answer as the model did that
# was exported, and TensorFlow Serving before it answers anybody else.
SAMPLES = (
    "Is this a text?",
    "",
    "Crème brûlée in Ærøskøbing, naïve façade, ΣΊΣΥΦΟΣ",
    "東京 and 北京 are cities 👩‍👩‍👧‍👦 👍🏽!!! $5",
    " \t\n\x00 [MASK] \u200b x" + "y" * 120,
    "A long text has more words than the model can read. " * 60,
)


@dataclasses.dataclass(frozen=True)
class Shape:
    """What of the shapes of inputs is fixed; accelerators want all of it.

    Attributes:
        batch_size: rows of each request; None for any number.
        pads_to_max: all sequences have the full length, not that of the
            longest one of the request.
    """

    batch_size: int | None = None
    pads_to_max: bool = False

    @property
    def length_multiple(self) -> int | None:
        """As `BertPreprocessor` takes it."""
        return None if self.pads_to_max else LENGTH_MULTIPLE

    def length(self, max_seq_length: int) -> int | None:
        return max_seq_length if self.pads_to_max else None

    def requests(self, columns: dict) -> list:
        """{name: N values} as one request, or as many as their size wants.

        The last one is filled up with values from the start.
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


def map_chunks(function, columns, specs: list) -> list:
    """What a function makes of many windows, some of them at a time.

    A request of long texts has more windows than memory may hold logits for.

    Args:
        function: from a chunk of the columns to a list of tensors, whose
            first axes are of any size.
        columns: a named tuple of tensors [W], a part of each window.
        specs: a tf.TensorSpec for each tensor that the function returns.

    Returns:
        list of tensors: what it returned for all chunks, one after the other.
    """
    num_windows = tf.size(columns[0])
    # An array of no chunks has no shape.
    num_chunks = tf.maximum(-(-num_windows // WINDOWS_AT_ONCE), 1)

    def add(index, arrays):
        first = index * WINDOWS_AT_ONCE
        limit = tf.minimum(first + WINDOWS_AT_ONCE, num_windows)
        chunk = type(columns)(*(values[first:limit] for values in columns))
        values = zip(arrays, function(chunk), strict=True)
        return index + 1, [array.write(index, value) for array, value in values]

    arrays = [
        tf.TensorArray(
            spec.dtype,
            num_chunks,
            element_shape=spec.shape,
            infer_shape=False,
        )
        for spec in specs
    ]
    _, arrays = tf.while_loop(
        lambda index, _: index < num_chunks,
        add,
        [0, arrays],
        parallel_iterations=1,  # The memory of one chunk.
    )
    return [array.concat() for array in arrays]


class Answering(tf.Module):
    """Base of what is exported.

    Args:
        model: a head of `bert_tf.heads`, in the precision of the export.
        max_seq_length: of its sequences.
        shape: a `Shape`.

    Attributes:
        kind: of its answers, as model.json calls it.
        serve: tf.function of strings, the signature `serving_default`.
        ids: tf.function of the model's ids, [B, S] each.
        examples: tf.function of serialized tf.Examples, such as
            --write_tf_records makes; [B].
    """

    kind: str
    serve: tf.types.experimental.PolymorphicFunction

    def __init__(self, model, max_seq_length: int, shape: Shape):
        super().__init__(name=self.kind)
        self._model = model
        self._max_seq_length = max_seq_length
        self._shape = shape
        self.ids = tf.function(self._ids, input_signature=self._id_specs())
        self.examples = tf.function(
            lambda serialized: self._answer_to(self._parse(serialized)),
            input_signature=[
                tf.TensorSpec([shape.batch_size], tf.string, name="examples")
            ],
        )

    @property
    def id_shape(self) -> tuple:
        """That of each tensor of the signature `ids`."""
        length = self._shape.length(self._max_seq_length)
        return (self._shape.batch_size, *self._axes(), length)

    @property
    def signatures(self) -> dict:
        """{name: tf.function}."""
        return {
            "serving_default": self.serve,
            "ids": self.ids,
            "examples": self.examples,
        }

    def description(self) -> dict:
        """What model.json tells of it."""
        raise NotImplementedError

    def samples(self) -> list:
        """Inputs of `serve` to compare by: {name: tf.string [B]} each."""
        raise NotImplementedError

    def expected(self, **inputs) -> dict:
        """The answers to inputs as the program gives them that trained."""
        return self.serve(**inputs)

    def _answer_to(self, ids: dict) -> dict:
        """What the signatures `ids` and `examples` answer."""
        raise NotImplementedError

    def _axes(self) -> tuple:
        """Sizes of the axes between that of the batch and that of tokens."""
        return ()

    def _id_specs(self):
        return [
            tf.TensorSpec(self.id_shape, tf.int32, name=name)
            for name in ID_NAMES
        ]

    def _ids(self, input_ids, input_mask, segment_ids):
        ids = (input_ids, input_mask, segment_ids)
        return self._answer_to(dict(zip(ID_NAMES, ids, strict=True)))

    def _parse(self, serialized) -> dict:
        shape = (*self._axes(), self._max_seq_length)
        specs = [features.FeatureSpec(name, shape) for name in ID_NAMES]
        return features.parse_examples(serialized, specs)


class SequenceAnswering(Answering):
    """Answers on the sequences that some strings become.

    Args:
        model, shape: see `Answering`.
        reader: a `TextReader`, as in training.
        answer: function(outputs of the model) -> {name: tensor}, in the
            graph; for example `Problem.served`.
    """

    def __init__(self, model, reader, answer, shape: Shape):
        self._trained_with = reader
        self._reader = reader.with_length_multiple(shape.length_multiple)
        self._answer = answer
        super().__init__(model, reader.max_seq_length, shape)
        self.serve, self.encode = (
            tf.function(function, input_signature=self._string_specs())
            for function in (self._serve, self._encode)
        )

    def description(self):
        return {
            "max_seq_length": self._max_seq_length,
            "do_lower_case": self._reader.preprocess.do_lower_case,
            "batch_size": self._shape.batch_size,
            "pads_to_max_seq_length": self._shape.pads_to_max,
        }

    def _string_specs(self) -> list:
        raise NotImplementedError

    def _read(self, reader, *strings) -> dict:
        """Strings -> {"input_ids", "input_mask", "segment_ids"}."""
        raise NotImplementedError

    def _encode(self, *strings):
        return self._read(self._reader, *strings)

    def _serve(self, *strings):
        return self._answer_to(self._encode(*strings))

    def _answer_to(self, ids):
        return self._answer(self._model(ids, training=False))

    def expected(self, **inputs):
        """From sequences that are padded as in training, without a graph."""
        strings = [inputs[spec.name] for spec in self._string_specs()]
        return self._answer_to(self._read(self._trained_with, *strings))


class TextAnswering(SequenceAnswering):
    """Answers on texts, or pairs of texts: a label, labels, a number.

    Args:
        kind: of the problem.
        takes_pairs: whether a second text belongs to each.
        model, reader, answer, shape: see `SequenceAnswering`.
    """

    def __init__(self, kind: str, takes_pairs: bool, *args):
        self.kind = kind
        self._takes_pairs = takes_pairs
        super().__init__(*args)

    def _string_specs(self):
        names = ("text", "text_pair") if self._takes_pairs else ("text",)
        shape = [self._shape.batch_size]
        return [tf.TensorSpec(shape, tf.string, name=name) for name in names]

    def _axes(self):
        reader = self._reader
        return (reader.max_windows,) if reader.has_windows else ()

    def _read(self, reader, text, text_pair=None):
        return reader.read(text, text_pair)

    def samples(self):
        columns = {"text": SAMPLES}
        if self._takes_pairs:
            columns["text_pair"] = SAMPLES[::-1]
        return self._shape.requests(columns)


class EmbeddingAnswering(TextAnswering):
    """A vector for each text: the encoder itself.

    Args:
        model: a `BertEmbedder`.
        reader, shape: see `SequenceAnswering`.
    """

    def __init__(self, model, reader, shape: Shape):
        super().__init__("embedding", False, model, reader, None, shape)

    @property
    def signatures(self):
        return {**super().signatures, "embed": self.serve}

    def expected(self, **inputs):
        outputs = super().expected(**inputs)
        if self._model.pooling == "none":
            # Padded no further than the texts of the request need.
            length = self.encode(*inputs.values())["input_ids"].shape[1]
            outputs["embedding"] = outputs["embedding"][:, :length]
        return outputs

    def _answer_to(self, ids):
        vectors = self._model(ids, training=False)
        outputs = {"embedding": tf.cast(vectors, tf.float32)}
        if self._model.pooling == "none":
            # Of the vectors of tokens so many are not of padding.
            mask = tf.cast(ids["input_mask"] != 0, tf.int32)
            outputs["num_tokens"] = tf.reduce_sum(mask, axis=-1)
        return outputs


class ChoiceAnswering(SequenceAnswering):
    """Which ending of a text fits.

    Of texts with fewer endings than others the last ones are "", no ending.
    """

    kind = "multiple_choice"

    def _string_specs(self):
        rows = self._shape.batch_size
        return [
            tf.TensorSpec([rows], tf.string, name="text"),
            tf.TensorSpec([rows, None], tf.string, name="endings"),
        ]

    def _axes(self):
        return (None,)

    def _parse(self, serialized):
        # Examples of one request have as many choices as the run had.
        choices = tf.io.FixedLenSequenceFeature(
            [self._max_seq_length], tf.int64, allow_missing=True
        )
        found = tf.io.parse_example(
            serialized, dict.fromkeys(ID_NAMES, choices)
        )
        return {name: tf.cast(ids, tf.int32) for name, ids in found.items()}

    def _read(self, reader, text, endings):
        is_ending = endings != ""
        place = 1 + tf.range(tf.shape(endings)[1])
        last = tf.reduce_max(tf.where(is_ending, place, 0), axis=1)
        return reader.read_choices(text, endings, last)

    def samples(self):
        endings = [*zip(SAMPLES, SAMPLES[::-1], SAMPLES, strict=True)]
        return self._shape.requests({"text": SAMPLES, "endings": endings})
