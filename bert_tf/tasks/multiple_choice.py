"""What can be asked about a text with several endings: which one fits.

The answers of `BertMultipleChoice`; examples are
`multiple_choice.ChoiceExample`s.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from bert_tf import heads, losses, metrics
from bert_tf.data.features import FeatureSpec
from bert_tf.export.answering import ChoiceAnswering
from bert_tf.metrics import reports
from bert_tf.tasks.problem import (
    IS_REAL,
    LONG_FLAGS,
    Evaluation,
    PredictionFile,
    Problem,
    as_float32,
    cross_entropies,
    line,
    mean_losses,
    softmax,
)


@dataclasses.dataclass(frozen=True)
class MultipleChoice(Problem):
    """Which of N endings fits: a `multiple_choice.ChoiceExample`.

    An example may have fewer than N endings.
    """

    num_choices: int

    kind = "multiple_choice"
    description = "multiple choice"
    refused_flags = (
        *("class_weights", "classifier_hidden", "label_smoothing"),
        "export_tflite",
        *LONG_FLAGS,
    )

    labels = None  # A number says nothing about an ending.

    def feature_specs(self, reader):
        return [
            *(
                FeatureSpec(spec.name, (self.num_choices, *spec.shape))
                for spec in reader.sequence_specs()
            ),
            FeatureSpec("label_ids", ()),
            IS_REAL,
        ]

    def convert(self, example, reader):
        found = [
            reader.convert(example.text, ending) for ending in example.endings
        ]
        rows = [converted for converted, _ in found]
        rows += [reader.numbers([], [])] * (self.num_choices - len(rows))
        converted = {name: [r[name] for r in rows] for name in rows[0]}
        converted["label_ids"] = int(example.label or 0)
        tokens = [token for _, tokens in found for token in tokens]
        return {**converted, IS_REAL.name: 1}, tokens

    def row_signature(self, reader):
        return {
            "text": tf.string,
            "endings": tf.TensorSpec([self.num_choices], tf.string),
            "num_endings": tf.int32,
            "label_ids": tf.int32,
            IS_REAL.name: tf.int32,
        }

    def encode(self, example, reader):
        missing = self.num_choices - len(example.endings)
        endings = [ending.encode() for ending in example.endings]
        return {
            "text": example.text.encode(),
            "endings": endings + [b""] * missing,
            "num_endings": len(example.endings),
            "label_ids": int(example.label or 0),
            IS_REAL.name: 1,
        }

    def features_of_rows(self, rows, reader):
        texts = reader.read_choices(
            rows["text"],
            tf.ensure_shape(rows["endings"], [None, self.num_choices]),
            rows["num_endings"],
        )
        others = ("label_ids", IS_REAL.name)
        return {**texts, **{name: rows[name] for name in others}}

    def num_tokens(self, examples, reader):
        """Of each example's longest sequence."""
        pairs = [(e.text, ending) for e in examples for ending in e.endings]
        lengths = reader.num_tokens(*zip(*pairs, strict=True))
        sizes = [len(example.endings) for example in examples]
        return np.maximum.reduceat(lengths, np.cumsum([0, *sizes[:-1]]))

    def build_model(self, config, settings):
        return heads.BertMultipleChoice(config, settings.dropout_rate)

    def loss_terms(self, class_weights, label_smoothing):
        return losses.classifier_loss()

    def answering(self, model, reader, shape, takes_pairs):
        return ChoiceAnswering(model, reader, self.served, shape)

    def served(self, logits) -> dict:
        """float [B, N] -> what an exported model answers, in the graph."""
        probabilities = tf.nn.softmax(logits)
        return {
            "label": tf.argmax(probabilities, axis=-1, output_type=tf.int32),
            "score": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
        }

    @property
    def metric_names(self):
        return {"eval_accuracy", "eval_loss", "loss", "num_labels_predicted"}

    def evaluate(self, labels, outputs, batch_size):
        label_ids = np.array([int(label) for label in labels])
        predictions = np.array([logits.argmax() for logits in outputs])
        each = np.array(
            [
                cross_entropies(logits, label_id)
                for logits, label_id in zip(outputs, label_ids, strict=True)
            ]
        )
        results = {
            "eval_accuracy": metrics.accuracy(label_ids, predictions),
            **mean_losses(each, batch_size),
        }
        number = len(np.unique(predictions))
        last = max(label_ids.max(), predictions.max())
        report = reports.classification_report(
            [str(index) for index in range(last + 1)], label_ids, predictions
        )
        return Evaluation(
            as_float32(results),
            {"num_labels_predicted": number},
            report,
            number < 2,
        )

    def prediction_files(self):
        def probabilities(example, logits):
            return softmax(logits[: len(example.endings)])

        def best(example, logits):
            found = probabilities(example, logits)
            return line(example.guid, np.argmax(found), np.max(found))

        return {
            "test_results.tsv": PredictionFile(
                "", lambda *pair: line(*probabilities(*pair))
            ),
            "test_predictions.tsv": PredictionFile(
                line("id", "label", "score"), best
            ),
        }

    def learned(self):
        return {"problem": self.kind}
