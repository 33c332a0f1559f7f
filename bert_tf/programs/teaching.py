"""The teacher of a run: opened, checked, and asked about each batch.

    found = teaching.find_for_problem(problem, config)
    teacher = teaching.make(found, session)
    lesson = teaching.lesson(teacher, student, labels, of_teacher)
    session.train(lesson.loss_terms, …, **lesson.hooks)

The teacher's weights belong to no checkpoint, optimizer or export: the student
does not hold it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
from absl import flags

from bert_tf import (
    distillation_losses,
    heads,
    loading,
    model_classes,
    storing,
    training,
)
from bert_tf.backend import Tensor
from bert_tf.choices import FINE_TUNED_KINDS
from bert_tf.config import BertConfig
from bert_tf.counts import number_of
from bert_tf.distillation_losses import LAYER, LOGITS, SPANS, Distilled
from bert_tf.errors import UserError
from bert_tf.formats.heads import LABELLED, has_head_at_root
from bert_tf.formats.model import StoredModel
from bert_tf.losses import Batch, LossTerm
from bert_tf.modeling import Encoded, layers_kept
from bert_tf.programs import console, distill_flags
from bert_tf.programs.session import Session
from bert_tf.programs.teacher_checks import check_reads, naming_teacher
from bert_tf.tasks import record as task_record
from bert_tf.tasks.problem import Problem
from bert_tf.tasks.teacher_answers import translation

FLAGS = flags.FLAGS
SQUAD = "question_answering"
# Function from the outputs of a teacher to what the loss reads of them.
Answers = Callable[[Any], Batch]


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A model that answers the batches of a training.

    Attributes:
        model: the model. It does not learn.
        answers: function(its outputs) -> {name: tensor}, named as in
            `distillation_losses`.
        pairs: the layers that are compared, (its own, the student's) each.
    """

    model: keras.Model
    answers: Answers
    pairs: tuple[tuple[int, int], ...] = ()

    def __call__(self, batch: Batch) -> Batch:
        """What it says of a batch, without dropout."""
        if not self.pairs:
            return self.answers(self.model(batch, training=False))
        with layers_kept(self.model) as kept:
            said = self.answers(self.model(batch, training=False))
        for place, (layer, _) in enumerate(self.pairs):
            said[f"{LAYER}{place}"] = _states(kept[-1], layer)
        return said


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a student minimizes, and how a training step gets there.

    Attributes:
        loss_terms: the terms of the loss.
        hooks: arguments of `Session.train`.
    """

    loss_terms: Sequence[LossTerm]
    hooks: dict[str, Any] = dataclasses.field(default_factory=dict)


def lesson(
    teacher: Teacher | None,
    student: keras.Model,
    labels: Sequence[LossTerm],
    of_teacher: Callable[[float], Sequence[LossTerm]],
) -> Lesson:
    """What a student learns; the labels alone without a teacher.

    Call it when all that depends on batches is set up in the student.

    Args:
        teacher: the teacher.
        student: the model that is trained.
        labels: the terms of the labels.
        of_teacher: function(temperature) -> the terms of the teacher's
            answers, of `distillation_losses`.
    """
    if teacher is None:
        return Lesson(labels)
    # Both read the same batches, in the same form.
    teacher.model.bert.read_as(student.bert)
    terms = distillation_losses.distilled(
        labels,
        of_teacher(FLAGS.distill_temperature),
        FLAGS.distill_weight,
        len(teacher.pairs),
    )
    hooks: dict[str, Any] = {"teacher": teacher}
    if teacher.pairs:
        layers = [layer for _, layer in teacher.pairs]
        hooks["forward"] = forward_with(student, layers)
    return Lesson(terms, hooks)


def forward_with(
    student: keras.Model, layers: Sequence[int]
) -> training.Forward:
    """Calls the student, and keeps the states of some of its layers."""

    def forward(batch: Batch, seed: Tensor) -> Distilled:
        with layers_kept(student) as kept:
            answers = student(batch, training=True, seed=seed)
        return Distilled(
            answers, tuple(_states(kept[-1], layer) for layer in layers)
        )

    return forward


def _states(encoded: Encoded, layer: int) -> Tensor:
    """The hidden states of a layer, float [A, S, D]."""
    return encoded.places.sequences(encoded.all_rows[layer])


# ---------------------------------------------------------------------------
# Which model it is.


@dataclasses.dataclass(frozen=True)
class Found:
    """A teacher that is checked, and not made yet.

    Attributes:
        stored: the model, with the kind of its head.
        answers, pairs: see `Teacher`.
    """

    stored: StoredModel
    answers: Answers
    pairs: tuple[tuple[int, int], ...]


def find_for_problem(problem: Problem, config: BertConfig) -> Found | None:
    """Finds the teacher of a task of run_classifier.

    Args:
        problem: the student's.
        config: the student's.

    Returns:
        None without --teacher, and where nothing is trained.

    Raises:
        UserError: the teacher cannot teach the student.
    """

    def answers_of(stored: StoredModel) -> Answers:
        labels = stored.labels
        if labels is None and stored.kind in LABELLED:
            labels = storing.unnamed_labels(stored.weights())
        stored = dataclasses.replace(stored, labels=labels)
        record = task_record.of_stored(stored)
        if record is None:
            raise UserError("nothing says what its labels are")
        translated = translation(problem, record.values)
        return lambda logits: {LOGITS: translated(logits)}

    return _find(problem.kind, answers_of, config)


def find_for_questions(config: BertConfig) -> Found | None:
    """Finds the teacher of run_squad; see `find_for_problem`."""

    def answers(outputs: dict[str, Tensor]) -> Batch:
        return {f"teacher_{name}": outputs[name] for name in SPANS}

    return _find(SQUAD, lambda stored: answers, config)


def _find(
    kind: str,
    answers_of: Callable[[StoredModel], Answers],
    config: BertConfig,
) -> Found | None:
    if FLAGS.teacher is None or not FLAGS.do_train:
        return None
    stored = distill_flags.open_teacher()
    with naming_teacher():
        weights = stored.weights()
        known = stored.kind_with(weights)
        _check_kind(known, kind, has_head_at_root(weights.shapes))
        check_reads(stored.config, config)
        stored = dataclasses.replace(stored, kind=known)
        pairs = _pairs_in(stored.config, config)
        answers = answers_of(stored)
    return Found(stored, answers, pairs)


def make(found: Found | None, session: Session) -> Teacher | None:
    """Makes the teacher, on the devices and in the precision of the run.

    Call it before the student is made, and before anything is written.

    Args:
        found: what was found, if anything.
        session: the run.

    Raises:
        UserError: its weights are damaged.
    """
    if found is None:
        return None
    stored, settings = found.stored, {}
    model_class = model_classes.class_of(stored.kind)
    if model_class is heads.BertClassifier:
        # The student combines the windows of a long text in the same way.
        settings["pooling"] = FLAGS.window_pooling
    with naming_teacher(), session.strategy.scope():
        model = loading.make_model(model_class, stored, settings, is_whole=True)
    model.trainable = False
    # The student's new weights are those that it has without a teacher.
    training.set_seed(session.settings.seed)
    layers = number_of(stored.config.num_hidden_layers, "layer")
    console.show(
        "Teacher",
        f"{stored.path}, {stored.format}: {layers} of width "
        f"{stored.config.hidden_size}, {console.amount(model.count_params())} "
        "weights",
    )
    return Teacher(model, found.answers, found.pairs)


def _check_kind(known: str | None, wanted: str, has_head: bool) -> None:
    """Raises UserError unless the teacher's head answers the task."""
    if known == wanted:
        return
    if known is None and has_head:
        raise UserError(
            "nothing says which task its head is for; name a run of this "
            "package, an export, or a folder of Hugging Face"
        )
    if known is None or known not in FINE_TUNED_KINDS:
        raise UserError(
            "a pretrained model without a head for this task; fine-tune it, "
            "and name the folder of that run"
        )
    raise UserError(
        f"its head is of the kind {known}, and this task needs {wanted}"
    )


def _pairs_in(
    teacher: BertConfig, student: BertConfig
) -> tuple[tuple[int, int], ...]:
    """--distill_layers, if both models have the layers.

    Raises:
        UserError: a layer is not there, or the widths differ.
    """
    pairs = distill_flags.layer_pairs()
    numbers = teacher.num_hidden_layers, student.num_hidden_layers
    for pair in pairs:
        for layer, number, whose in zip(
            pair, numbers, ("teacher", "student"), strict=True
        ):
            if layer not in range(-number, number):
                raise _refused_layers(
                    f"the {whose} has {number_of(number, 'layer')}, from 0 to "
                    f"{number - 1}, and no layer {layer}"
                )
    widths = teacher.hidden_size, student.hidden_size
    if pairs and widths[0] != widths[1]:
        raise _refused_layers(
            "both models must have the same width; the teacher's is "
            f"{widths[0]}, the student's {widths[1]}"
        )
    return pairs


def _refused_layers(why: str) -> UserError:
    return UserError(why, setting="distill_layers", value=FLAGS.distill_layers)
