"""Relations: the relation between two marked entities of a sentence.

The model is a `BertRelationClassifier`; examples are
`relations.RelationExample`s.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import heads
from bert_tf.config import BertConfig
from bert_tf.counts import number_of
from bert_tf.data.features import FeatureSpec
from bert_tf.data.text_reader import TextReader
from bert_tf.export import kinds
from bert_tf.export.relations import NUM_SPECIAL, MarkedReader, RelationServing
from bert_tf.export.serving_modules import InputShape, Tensors
from bert_tf.metrics.relations import relation_report
from bert_tf.tasks.problem import (
    IS_REAL,
    LONG_FLAGS,
    Evaluation,
    Example,
    HeadSettings,
    Labels,
    Outputs,
    PredictionFile,
    as_float32,
    line,
)
from bert_tf.tasks.texts import SingleLabel

SENTENCES_AT_ONCE = 4096  # Their tokens are counted together.


@functools.lru_cache(maxsize=1)  # It searches the vocabulary for the marks.
def marked_reader(reader: TextReader) -> MarkedReader:
    """Returns the `MarkedReader` of a reader."""
    return MarkedReader(reader)


@dataclasses.dataclass(frozen=True)
class Relations(SingleLabel):
    """One relation for each sentence.

    The main score is SemEval's macro F1, see `metrics.relations`.
    """

    main_metric = "macro_f1"
    kind = kinds.RELATION.name
    description = "relations"
    refused_flags = ("classifier_hidden", "export_tflite", *LONG_FLAGS)

    def prepare(
        self, examples: Sequence[Example], reader: TextReader
    ) -> Sequence[Example]:
        """Logs how many sentences lose text that the relation may depend on.

        Raises:
            UserError: the vocabulary has no entries for the marks, or no
                sentence fits into `max_seq_length`.
        """
        room = marked_reader(reader).room
        _, first, between, second, _ = self._part_lengths(examples, reader).T
        num_apart = int(np.sum(first + between + second > room))
        num_cut = int(np.sum(first + second > room))
        if num_apart:
            logging.warning(
                "The entities of %d of %s are too far apart for %d tokens: the "
                "text between them loses its middle; an entity loses a part, "
                "too, in %d of these",
                num_apart,
                number_of(len(examples), "sentence"),
                reader.max_seq_length,
                num_cut,
            )
        return examples

    def feature_specs(self, reader: TextReader) -> list[FeatureSpec]:
        return [*marked_reader(reader).specs(), self.label_spec, IS_REAL]

    def convert(
        self, example: Example, reader: TextReader
    ) -> tuple[dict[str, Any], list[str]]:
        converted, tokens = marked_reader(reader).convert(example)
        label = {self.label_spec.name: self.label_value(example.label)}
        return {**converted, **label, IS_REAL.name: 1}, tokens

    def row_signature(self, reader: TextReader) -> dict[str, Any]:
        return {
            "text": tf.string,
            self.label_spec.name: tf.int32,
            IS_REAL.name: tf.int32,
        }

    def encode(self, example: Example, reader: TextReader) -> dict[str, Any]:
        return {
            "text": MarkedReader.encode(example),
            self.label_spec.name: self.label_value(example.label),
            IS_REAL.name: 1,
        }

    def item_of(self, example: Example) -> dict[str, Any]:
        return {"text": example.marked()}

    def features_of_rows(self, rows: Tensors, reader: TextReader) -> Tensors:
        others = (self.label_spec.name, IS_REAL.name)
        return {
            **marked_reader(reader).read(rows["text"]),
            **{name: rows[name] for name in others},
        }

    def num_tokens(
        self, examples: list[Example], reader: TextReader
    ) -> np.ndarray:
        lengths = self._part_lengths(examples, reader)
        return lengths.sum(axis=1) + NUM_SPECIAL

    def _part_lengths(self, examples, reader) -> np.ndarray:
        """int64 [N, 5]: tokens of the parts of each sentence."""
        texts = [MarkedReader.encode(example) for example in examples]
        chunks = [
            texts[first : first + SENTENCES_AT_ONCE]
            for first in range(0, len(texts), SENTENCES_AT_ONCE)
        ]
        count = marked_reader(reader).lengths
        return np.concatenate([count(tf.constant(c)) for c in chunks])

    def build_model(
        self, config: BertConfig, settings: HeadSettings
    ) -> keras.Model:
        return heads.BertRelationClassifier(
            config, self.num_outputs, settings.dropout_rate
        )

    def serving_module(
        self,
        model: keras.Model,
        reader: TextReader,
        shape: InputShape,
        takes_pairs: bool,
    ) -> RelationServing:
        return RelationServing(
            model, reader, outputs_of=self.serving_outputs, shape=shape
        )

    @property
    def metric_names(self) -> set[str]:
        return {*super().metric_names, "macro_f1"}

    def evaluate(
        self, labels: Labels, outputs: Outputs, batch_size: int
    ) -> Evaluation:
        evaluation = super().evaluate(labels, outputs, batch_size)
        predictions = [self.labels[logits.argmax()] for logits in outputs]
        report = relation_report(labels, predictions)
        score = as_float32({"macro_f1": report["macro_avg"]["f1"]})
        return dataclasses.replace(
            evaluation, results={**evaluation.results, **score}, report=report
        )

    def example_columns(self, example: Example) -> dict[str, str]:
        return {"text": example.marked(), "true_label": example.label or ""}

    def prediction_files(self) -> dict[str, PredictionFile]:
        def proposed(example, logits):
            return line(example.guid, self.labels[logits.argmax()])

        # SemEval's scorer reads this file.
        answers = PredictionFile("", proposed)
        return {**super().prediction_files(), "proposed_answers.txt": answers}
