"""TextProblem: the base of the problems about one text or a pair of texts.

The model is a `BertClassifier`; examples are `InputExample`s.

Shape letters: B examples of a batch, C labels.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bert_tf import heads
from bert_tf.config import BertConfig
from bert_tf.data.features import FeatureSpec
from bert_tf.data.input_example import InputExample
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.export.serving_modules import InputShape, Tensors, TextServing
from bert_tf.tasks.problem import IS_REAL, HeadSettings, Labels, Problem


def unknown_labels(labels: Labels, known: Mapping[str, Any]) -> list[str]:
    """The labels of examples that a model does not know, each once, sorted.

    Args:
        labels: a label, or a tuple of labels, of each example.
        known: those that the model knows, as keys.
    """
    several = (x if isinstance(x, tuple) else (x,) for x in labels)
    return sorted({*itertools.chain.from_iterable(several)}.difference(known))


class TextProblem(Problem):
    """Base of the problems about one text or a pair of texts."""

    @property
    def label_spec(self) -> FeatureSpec:
        """The feature that holds the label."""
        raise NotImplementedError

    def check(
        self, examples: Sequence[InputExample], reader: TextReader
    ) -> None:
        """Refuses pairs of texts if texts are read in windows."""
        if reader.has_windows and next(iter(examples)).text_b is not None:
            raise UserError(
                "does not support pairs of texts; `long_documents`=head_tail "
                "does",
                setting="long_documents",
                value="windows",
            )

    def label_value(self, label: Any) -> float | list[int]:
        """Returns a label as a number or a list of numbers.

        Where the label is unknown, None, any number will do.
        """
        raise NotImplementedError

    def label_text(self, label: Any) -> str:
        """Returns a label for people."""
        return str(label)

    def example_columns(self, example: InputExample) -> dict[str, str]:
        columns = {"text": example.text_a}
        if example.text_b is not None:
            columns["text_pair"] = example.text_b
        label = example.label
        columns["true_label"] = "" if label is None else self.label_text(label)
        return columns

    @property
    def num_outputs(self) -> int:
        return len(self.labels or ())

    def feature_specs(self, reader: TextReader) -> list[FeatureSpec]:
        return [*reader.sequence_specs(), self.label_spec, IS_REAL]

    def convert(
        self, example: InputExample, reader: TextReader
    ) -> tuple[dict[str, Any], list[str]]:
        converted, tokens = reader.convert(example.text_a, example.text_b)
        converted[self.label_spec.name] = self.label_value(example.label)
        return {**converted, IS_REAL.name: 1}, tokens

    def row_signature(self, reader: TextReader) -> dict[str, Any]:
        label = self.label_spec
        dtype = tf.int32 if label.dtype == "int64" else label.dtype
        return {
            "text_a": tf.string,
            "text_b": tf.string,
            label.name: tf.TensorSpec(label.shape, dtype),
            IS_REAL.name: tf.int32,
        }

    def encode(
        self, example: InputExample, reader: TextReader
    ) -> dict[str, Any]:
        return {
            "text_a": example.text_a.encode(),
            "text_b": (example.text_b or "").encode(),
            self.label_spec.name: self.label_value(example.label),
            IS_REAL.name: 1,
        }

    def item_of(self, example: InputExample) -> dict[str, Any]:
        if example.text_b is None:
            return {"text": example.text_a}
        return {"text": example.text_a, "text_pair": example.text_b}

    def features_of_rows(self, rows: Tensors, reader: TextReader) -> Tensors:
        texts = reader.read(rows["text_a"], rows["text_b"])
        others = (self.label_spec.name, IS_REAL.name)
        return {**texts, **{name: rows[name] for name in others}}

    def num_tokens(
        self, examples: list[InputExample], reader: TextReader
    ) -> np.ndarray:
        return reader.num_tokens(
            [example.text_a for example in examples],
            [example.text_b for example in examples],
        )

    def build_model(
        self, config: BertConfig, settings: HeadSettings
    ) -> keras.Model:
        return heads.BertClassifier(
            config,
            self.num_outputs,
            settings.dropout_rate,
            settings.hidden_units,
            settings.pooling,
        )

    def serving_module(
        self,
        model: keras.Model,
        reader: TextReader,
        shape: InputShape,
        takes_pairs: bool,
    ) -> TextServing:
        return TextServing(
            model,
            reader,
            kind=self.kind,
            takes_pairs=takes_pairs,
            outputs_of=self.serving_outputs,
            shape=shape,
            answers_softmax=self.answers_softmax and not reader.has_windows,
            confidence=self.confidence,
        )

    @property
    def answers_softmax(self) -> bool:
        """Whether `serving_outputs` is `export.serving_outputs.label`."""
        return False

    def serving_outputs(self, logits: tf.Tensor) -> Tensors:
        """Computes an exported model's outputs, in the graph.

        Args:
            logits: float [B, C].

        Returns:
            {name: tensor [B, …]}.
        """
        raise NotImplementedError
