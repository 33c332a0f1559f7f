"""Tagging: a tag for each word, such as named entities.

The model is a `BertTokenClassifier`; examples are `sentences.Sentence`s.

Shape letters: C tags.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import distillation_losses, heads, losses
from bert_tf.config import BertConfig
from bert_tf.counts import number_of
from bert_tf.data import tagging_windows
from bert_tf.data.features import FeatureSpec
from bert_tf.data.tagged.sentences import Sentence, conll_lines, span_lines
from bert_tf.data.tagging import LearnedTags
from bert_tf.data.text_reader import TextReader
from bert_tf.export import kinds
from bert_tf.export.serving_modules import InputShape, Tensors
from bert_tf.export.tagging import TagServing
from bert_tf.metrics import entities, reports
from bert_tf.tasks.problem import (
    LONG_FLAGS,
    Evaluation,
    HeadSettings,
    Labels,
    LossTerms,
    Output,
    Outputs,
    PredictionFile,
    Problem,
    Record,
    as_float32,
    cross_entropies,
    softmax,
)

ROWS_FILE = "test_predictions.conll"
SPANS_FILE = "test_predictions.jsonl"


@dataclasses.dataclass(frozen=True)
class Tagging(Problem):
    """A tag for each word of a sentence.

    It is scored by named entities, counted as conlleval counts them.

    Attributes:
        labels: the tags, as the package spells them.
        learned: how the training file has them; None for just so.
        prediction_format: one of `choices.PREDICTION_FORMATS`.
    """

    labels: list[str]
    learned: LearnedTags | None = None
    prediction_format: str = "conll"

    main_metric = "f1"
    kind = kinds.TAGS.name
    description = "tags of words"
    refused_flags = (
        "class_weights",
        "classifier_hidden",
        *LONG_FLAGS,
        "export_batch_size",
        "export_pad_to_max_length",
    )

    def prepare(
        self, examples: Sequence[Sentence], reader: TextReader
    ) -> Sequence[tagging_windows.Window]:
        windows = tagging_windows.split_into_windows(
            examples, reader.tokenizer, reader.max_seq_length
        )
        if len(windows) > len(examples):
            logging.info(
                "%s in %d windows of %d tokens",
                number_of(len(examples), "sentence"),
                len(windows),
                reader.max_seq_length,
            )
        return windows

    def feature_specs(self, reader: TextReader) -> list[FeatureSpec]:
        return tagging_windows.tagging_specs(reader.max_seq_length)

    def convert(
        self, example: tagging_windows.Window, reader: TextReader
    ) -> tuple[dict[str, Any], list[str]]:
        return tagging_windows.convert_window(
            example, self.ids, reader.max_seq_length, reader.tokenizer
        )

    def row_signature(self, reader: TextReader) -> dict[str, Any]:
        return {
            spec.name: tf.TensorSpec(spec.shape, tf.int32)
            for spec in self.feature_specs(reader)
        }

    def encode(
        self, example: tagging_windows.Window, reader: TextReader
    ) -> dict[str, Any]:
        return self.convert(example, reader)[0]

    def item_of(self, example: Sentence) -> dict[str, Any]:
        return {"words": list(example.words)}

    def features_of_rows(self, rows: Tensors, reader: TextReader) -> Tensors:
        return rows

    def num_tokens(
        self, examples: list[tagging_windows.Window], reader: TextReader
    ) -> np.ndarray:
        return np.array(
            [
                sum(map(len, window.pieces)) + window.num_cut + 2
                for window in examples
            ]
        )

    def build_model(
        self, config: BertConfig, settings: HeadSettings
    ) -> keras.Model:
        return heads.BertTokenClassifier(
            config, len(self.labels), settings.dropout_rate
        )

    def serving_module(
        self,
        model: keras.Model,
        reader: TextReader,
        shape: InputShape,
        takes_pairs: bool,
    ) -> TagServing:
        return TagServing(
            model,
            reader.with_length_multiple(shape.length_multiple).preprocess,
            self.labels,
        )

    def loss_terms(
        self, class_weights: Any, label_smoothing: float
    ) -> LossTerms:
        return losses.tagging_loss(label_smoothing)

    def teacher_loss(self, temperature: float) -> LossTerms:
        return distillation_losses.tags_loss(temperature)

    def predictions(
        self,
        rows: Iterable[tuple[Output, dict[str, Any]]],
        examples: Sequence[tagging_windows.Window],
    ) -> Iterator[tuple[Sentence, Output]]:
        """Yields (sentence, logits of its words, float [words, C])."""
        return tagging_windows.join_windows(
            (
                window,
                tagging_windows.first_piece_rows(logits, window),
            )
            for window, (logits, _) in zip(examples, rows, strict=True)
        )

    @property
    def metric_names(self) -> set[str]:
        return {
            "eval_accuracy",
            "eval_loss",
            "precision",
            "recall",
            "f1",
            "num_labels_predicted",
        }

    def tags(self, logits: np.ndarray) -> list[str]:
        """Returns the likeliest tag of each word: float [words, C]."""
        return [self.labels[index] for index in logits.argmax(axis=-1)]

    def evaluate(
        self, labels: Labels, outputs: Outputs, batch_size: int
    ) -> Evaluation:
        """Scores outputs; see `Problem.evaluate`.

        Words without a tag are not scored, and neither are sentences whose
        label is None. A tag that the model does not know is missed, and counts
        in no loss.
        """
        gold, scored = [], []
        for tags, logits in zip(labels, outputs, strict=True):
            places = [i for i, tag in enumerate(tags or ()) if tag is not None]
            if places:
                gold.append([tags[place] for place in places])
                scored.append(np.asarray(logits)[places])
        predictions = [self.tags(logits) for logits in scored]
        scores = entities.entity_scores(gold, predictions)
        label_ids = np.array(
            [self.ids.get(t, -1) for s in gold for t in s], int
        )
        is_known = label_ids >= 0
        each = np.zeros(0)
        if is_known.any():
            each = cross_entropies(
                np.concatenate(scored)[is_known], label_ids[is_known]
            )
        results = {
            "eval_accuracy": scores["accuracy"],
            "eval_loss": each.mean() if each.size else float("nan"),
            "precision": scores["precision"],
            "recall": scores["recall"],
            "f1": scores["f1"],
        }
        number = len({*itertools.chain.from_iterable(predictions)})
        return Evaluation(
            as_float32(results),
            {"num_labels_predicted": number},
            reports.entity_report(scores),
            number < 2,
        )

    def prediction_files(self) -> dict[str, PredictionFile]:
        if self.prediction_format == "spans":
            return {SPANS_FILE: PredictionFile("", self._spans)}
        return {ROWS_FILE: PredictionFile("", self._rows)}

    def other_prediction_files(self) -> list[str]:
        return [
            name
            for name in (SPANS_FILE, ROWS_FILE)
            if name not in self.prediction_files()
        ]

    def _spans(self, sentence: Sentence, logits: np.ndarray) -> str:
        scores = softmax(logits).max(axis=-1).tolist()
        return span_lines(sentence, self.tags(logits), scores)

    def _rows(self, sentence: Sentence, logits: np.ndarray) -> str:
        """The rows with tags as the training file spells them."""
        tags = self.tags(logits)
        if self.learned is None:
            return conll_lines(sentence, tags)
        write = self.learned.spelling.write
        outside = write("O") if "O" in self.labels else "O"
        return conll_lines(sentence, [*map(write, tags)], outside)

    def report_row(self, example: Sentence, output: Output) -> dict[str, Any]:
        scores = softmax(output).max(axis=-1).astype(float)
        return {
            "id": example.guid,
            "words": list(example.words),
            "label": None if example.label is None else list(example.label),
            "predicted": self.tags(output),
            "scores": scores.round(4).tolist(),
        }

    def record(self) -> Record:
        return self.learned.record() if self.learned else super().record()

    @classmethod
    def check_record(cls, record: Mapping[str, Any]) -> None:
        super().check_record(record)
        LearnedTags.from_record(record)
