"""What run_pretraining learns: masked words, or the relations of a teacher.

Both have the same methods, so the program need not know which it is.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
from absl import logging
from keras import ops

from bert_tf import checkpoints, losses, metrics
from bert_tf.attention_distillation import (
    RelationStudent,
    RelationTeacher,
    relation_loss,
    relation_sums,
)
from bert_tf.config import BertConfig
from bert_tf.heads import BertPretrainer
from bert_tf.losses import Batch, LossTerm
from bert_tf.programs import pretraining_teacher
from bert_tf.programs.pretraining_teacher import Distillation
from bert_tf.programs.teacher_checks import naming_teacher

BEST = "masked_lm_best"  # Beside the sums of `losses.pretraining_sums`.


def from_flags(config: BertConfig) -> "Pretraining":
    """What the flags ask for. A teacher is not read yet.

    Args:
        config: of the model to train.

    Raises:
        UserError: there is no such teacher, or it does not fit.
    """
    distillation = pretraining_teacher.from_flags(config)
    if distillation is None:
        return Pretraining()
    return RelationDistillation(distillation)


class Pretraining:
    """Masked LM and next sentence prediction.

    Attributes:
        has_answers: whether the model predicts masked words.
        teacher: see `training.Trainer`; None if there is none, or before
            `read_teacher`.
    """

    has_answers = True
    teacher: RelationTeacher | None = None

    def make_model(self, config: BertConfig) -> BertPretrainer:
        """Makes the model to train."""
        return BertPretrainer(config)

    def read_teacher(self) -> None:
        """Reads the teacher, if there is one, in the strategy's scope.

        Raises:
            UserError: it cannot be read.
        """

    def read_as(self, model: BertPretrainer) -> None:
        """Lets a teacher read batches as the model does."""

    def loss(self) -> tuple[LossTerm, ...]:
        """What training minimizes."""
        return losses.pretraining_loss()

    def sums(self, outputs: Batch, batch: Batch) -> dict[str, tf.Tensor]:
        """What an evaluation adds up, so that only sums leave the device.

        And the likeliest pieces, int [B, P], which the accuracy needs anyway.

        Args:
            outputs: of the model.
            batch: what it has read.

        Returns:
            {name: [B] or [B, P]}.
        """
        return {
            **losses.pretraining_sums(outputs, batch),
            BEST: ops.argmax(outputs["mlm_logits"], axis=-1),
        }

    def scores(
        self, batches: Iterable[Mapping[str, np.ndarray]]
    ) -> dict[str, float]:
        """The scores of an evaluation.

        Args:
            batches: `sums` without `BEST`, of real examples.
        """
        return metrics.pretraining_scores(batches, losses.MASKED_LM_EPSILON)


class RelationDistillation(Pretraining):
    """The relations of a teacher; masked LM too if that has a weight.

    Args:
        distillation: what is learned from which teacher.
    """

    def __init__(self, distillation: Distillation):
        self.distillation = distillation
        self.has_answers = distillation.masked_lm_weight > 0.0

    def make_model(self, config: BertConfig) -> RelationStudent:
        return RelationStudent(config, has_answers=self.has_answers)

    def read_teacher(self) -> None:
        what = self.distillation
        what.show()
        teacher = RelationTeacher(what.stored.config, what.layer)
        with naming_teacher():
            report = checkpoints.load_weights(teacher, what.stored.weights())
        if report.unexpected:
            unused = ", ".join(report.unexpected)
            logging.debug("Not used of the teacher: %s", unused)
        self.teacher = teacher

    def read_as(self, model: BertPretrainer) -> None:
        if self.teacher is not None:
            self.teacher.read_as(model)

    def loss(self) -> tuple[LossTerm, ...]:
        what = self.distillation
        return relation_loss(
            what.relations, what.num_heads, what.masked_lm_weight
        )

    def sums(self, outputs: Batch, batch: Batch) -> dict[str, tf.Tensor]:
        what = self.distillation
        assert self.teacher is not None, "it is read before"
        batch = {**batch, **self.teacher(batch)}
        sums = relation_sums(outputs, batch, what.relations, what.num_heads)
        if self.has_answers:
            sums |= super().sums(outputs, batch)
        return sums

    def scores(
        self, batches: Iterable[Mapping[str, np.ndarray]]
    ) -> dict[str, float]:
        return metrics.distillation_scores(
            batches,
            losses.MASKED_LM_EPSILON,
            self.distillation.masked_lm_weight,
        )
