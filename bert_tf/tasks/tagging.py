"""What can be asked about words: a tag for each, such as named entities.

The answers of `BertTokenClassifier`; examples are `tagging.Sentence`s.
"""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import heads, losses
from bert_tf.data import tagging
from bert_tf.data.tagging_windows import (
    convert_window,
    first_piece_rows,
    join_windows,
    split_into_windows,
    tagging_specs,
)
from bert_tf.export.tagging import TagAnswering
from bert_tf.metrics import entities, reports
from bert_tf.tasks.problem import (
    LONG_FLAGS,
    Evaluation,
    PredictionFile,
    Problem,
    as_float32,
    cross_entropies,
)


@dataclasses.dataclass(frozen=True)
class Tagging(Problem):
    """A tag for each word of a sentence: a `tagging.Sentence`.

    Scores are those of named entities, as conlleval counts them.
    """

    labels: list

    main_metric = "f1"
    kind = "tags"
    description = "tags of words"
    refused_flags = (
        *("class_weights", "classifier_hidden", *LONG_FLAGS),
        *("export_batch_size", "export_pad_to_max_length"),
    )

    def prepare(self, examples, reader):
        windows = split_into_windows(
            examples, reader.tokenizer, reader.max_seq_length
        )
        if len(windows) > len(examples):
            logging.info(
                "%d sentences are read in %d windows of %d tokens",
                len(examples),
                len(windows),
                reader.max_seq_length,
            )
        return windows

    def feature_specs(self, reader):
        return tagging_specs(reader.max_seq_length)

    def convert(self, example, reader):
        return convert_window(
            example, self.ids, reader.max_seq_length, reader.tokenizer
        )

    def row_signature(self, reader):
        return {
            spec.name: tf.TensorSpec(spec.shape, tf.int32)
            for spec in self.feature_specs(reader)
        }

    def encode(self, example, reader):
        return self.convert(example, reader)[0]

    def features_of_rows(self, rows, reader):
        return rows

    def num_tokens(self, examples, reader):
        return np.array(
            [
                sum(map(len, window.pieces)) + window.num_cut + 2
                for window in examples
            ]
        )

    def build_model(self, config, settings):
        return heads.BertTokenClassifier(
            config, len(self.labels), settings.dropout_rate
        )

    def answering(self, model, reader, shape, takes_pairs):
        return TagAnswering(
            model,
            reader.with_length_multiple(shape.length_multiple).preprocess,
            self.labels,
        )

    def loss_terms(self, class_weights, label_smoothing):
        return losses.tagging_loss(label_smoothing)

    def answers(self, rows, examples):
        """Yields (sentence, float [words, C])."""
        return join_windows(
            (
                window,
                first_piece_rows(logits, row["label_mask"]),
            )
            for window, (logits, row) in zip(examples, rows, strict=True)
        )

    @property
    def metric_names(self):
        return {
            *("eval_accuracy", "eval_loss", "precision", "recall", "f1"),
            "num_labels_predicted",
        }

    def tags(self, logits) -> list:
        return [self.labels[index] for index in logits.argmax(axis=-1)]

    def evaluate(self, labels, outputs, batch_size):
        predictions = [self.tags(logits) for logits in outputs]
        scores = entities.entity_scores(labels, predictions)
        label_ids = [self.ids[tag] for tags in labels for tag in tags]
        each = cross_entropies(np.concatenate(outputs), np.array(label_ids))
        results = {
            "eval_accuracy": scores["accuracy"],
            "eval_loss": each.mean(),
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

    def prediction_files(self):
        return {
            "test_predictions.conll": PredictionFile(
                "",
                lambda sentence, logits: tagging.conll_lines(
                    sentence, self.tags(logits)
                ),
            )
        }
