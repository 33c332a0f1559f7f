"""Predicts each training example with a model that has not seen it.

The training examples are divided into folds. For each fold a model is trained
on the others, as the flags say. It answers all examples several times while it
trains. Its last answers to this fold are those of a model that has not seen the
example; the answers to all examples show which labels it learns last. With
several seeds both are averaged. What is computed is kept in a folder, so that
the same command continues where it was stopped.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from absl import flags

from bert_tf import files, training
from bert_tf.data import pipeline
from bert_tf.doctor import label_errors
from bert_tf.doctor.rows import normalized
from bert_tf.errors import UserError
from bert_tf.programs import (
    batches,
    console,
    devices,
    initial_heads,
    labelled_data,
    labelled_run,
    model_files,
    program,
    training_run,
    weights,
)
from bert_tf.programs.class_weights import class_weights
from bert_tf.programs.session import Session
from bert_tf.programs.settings import RunSettings, from_flags
from bert_tf.tasks.problem import softmax
from bert_tf.tasks.registry import get_task
from bert_tf.tasks.texts import SingleLabel

FLAGS = flags.FLAGS

# How often a model answers all examples while it trains. Each time costs about
# a tenth of a training of three epochs.
NUM_MOMENTS = 4


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the models of all folds say about each training example.

    Attributes:
        probabilities: float [N, C], of models that have not seen the example.
        margins: float [N], of `label_errors.margins`, averaged over all
            models and `NUM_MOMENTS` moments of their training.
    """

    probabilities: np.ndarray
    margins: np.ndarray


class Folds:
    """The training examples of a run, predicted fold by fold.

    Args:
        folder: where the probabilities of each fold are kept.
        num_folds: how many folds.
        num_seeds: how many models answer each example.

    Attributes:
        examples: the training examples.
        labels: every label.
        label_ids: int [N], the label of each example.

    Raises:
        UserError: the task has not one label for each text, or a file is
            wrong.
    """

    def __init__(self, folder: str, num_folds: int, num_seeds: int):
        self.folder, self.num_folds, self.num_seeds = (
            folder,
            num_folds,
            num_seeds,
        )
        self.strategy = devices.set_up(["train"])
        task = get_task(FLAGS.task_name)
        self.config, tokenizer = model_files.read_model_files()
        settings = labelled_run.task_settings(FLAGS.flag_values_dict())
        self.session = Session(
            task.name,
            ["train"],
            self.strategy,
            from_flags(RunSettings, FLAGS.flag_values_dict()),
        )
        sets, self.problem = labelled_data.read_sets(
            task, settings, self.session
        )
        if not isinstance(self.problem, SingleLabel):
            raise UserError(
                "label errors are found where each text has one label",
                setting="task_name",
                value=FLAGS.task_name,
            )
        labelled_data.fit_flags(self.session, self.config, tokenizer, sets)
        self.reader = labelled_run.make_reader(
            tokenizer, FLAGS.flag_values_dict()
        )
        self.source = sets["train"]
        self.examples = list(self.problem.prepare(sets["train"], self.reader))
        self.labels = list(self.problem.labels or ())
        self.label_ids = np.array(
            [self.problem.ids[example.label] for example in self.examples]
        )

    def answers(self) -> Answers:
        """The mean answers of all models; trains what is not yet kept."""
        probabilities = np.zeros((len(self.examples), len(self.labels)))
        margins = np.zeros(len(self.examples))
        keys = [(normalized(e.text_a), e.text_b) for e in self.examples]
        for index in range(self.num_seeds):
            seed = FLAGS.seed + index
            fold_of = label_errors.folds(
                keys, self.label_ids.tolist(), self.num_folds, seed
            )
            for fold in range(self.num_folds):
                answers = self._fold(seed, fold, fold_of)
                inside = fold_of == fold
                probabilities[inside] += answers.probabilities[inside]
                margins += answers.margins
        return Answers(
            probabilities / self.num_seeds,
            margins / (self.num_seeds * self.num_folds),
        )

    def _fold(self, seed: int, fold: int, fold_of: np.ndarray) -> Answers:
        """The answers of the model of one fold, read or computed."""
        path = os.path.join(self.folder, f"seed-{seed}-fold-{fold}.npz")
        fingerprint = self._fingerprint(fold_of)
        if files.exists(path):
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["fingerprint"]) == fingerprint:
                    return Answers(kept["probabilities"], kept["margins"])
        console.show(
            "Fold", "%d of %d, seed %d", fold + 1, self.num_folds, seed
        )
        outside = [self.examples[i] for i in np.flatnonzero(fold_of != fold)]
        answers = self._train_and_answer(outside, seed)
        files.make_folder(self.folder)
        with files.replacing(path) as temporary:
            with files.open_binary(temporary, "wb") as writer:
                np.savez(
                    writer,
                    fingerprint=fingerprint,
                    **dataclasses.asdict(answers),
                )
        return answers

    def _fingerprint(self, fold_of: np.ndarray) -> str:
        """Says which examples and flags a fold's answers are of."""
        digest = hashlib.sha256(fold_of.tobytes())
        digest.update(f"{NUM_MOMENTS} moments".encode())
        digest.update(repr(self.examples).encode())
        values = {k: v for k, v in program.values().items() if k in OF_MODEL}
        digest.update(json.dumps(values, default=str).encode())
        return digest.hexdigest()

    def _train_and_answer(self, train: Sequence[Any], seed: int) -> Answers:
        """Trains a model on `train`, and asks it about all examples."""
        training.set_seed(seed)
        model = self._new_model()
        num_steps = training_run.count_train_steps(len(train))
        trainer = training_run.make_trainer(
            model,
            self.strategy,
            self.problem.loss_terms(
                class_weights(FLAGS.class_weights, self.labels, train),
                FLAGS.label_smoothing,
            ),
            settings=self.session.settings,
            num_train_steps=num_steps,
            num_warmup_steps=training_run.count_warmup_steps(num_steps),
        )
        runner = training.BatchRunner(model, self.strategy)
        moments = []

        def answer() -> dict[str, float]:
            moments.append(self._probabilities(runner))
            return {}

        training.train(
            trainer,
            batches.training_batches(
                self.strategy, model, self._rows(train), len(train), seed
            ),
            num_steps,
            evaluate=answer,
            eval_steps=-(-num_steps // NUM_MOMENTS),
        )
        margins = [label_errors.margins(p, self.label_ids) for p in moments]
        return Answers(moments[-1], np.mean(margins, axis=0))

    def _new_model(self) -> keras.Model:
        with self.strategy.scope():
            model = labelled_run.build_model(
                self.problem, self.config, FLAGS.flag_values_dict()
            )
        weights.prepare(model, devices.needs_static_shapes(self.strategy))
        record = labelled_data.record_before(self.session)
        why_another = initial_heads.why_another(record, self.problem)
        weights.load_weights(model, "", [], True, why_another)
        return model

    def _probabilities(self, runner: training.BatchRunner) -> np.ndarray:
        """What the model says now about all examples, float [N, C]."""
        dataset = batches.evaluation_batches(
            self.strategy,
            self._rows(self.examples),
            batches.batch_size("eval"),
        )
        rows = pipeline.in_file_order(runner(dataset))
        predictions = self.problem.predictions(rows, self.examples)
        return softmax(np.stack([outputs for _, outputs in predictions]))

    def _rows(self, examples: Sequence[Any]) -> batches.Rows:
        problem, reader = self.problem, self.reader
        return problem.rows(examples, reader), (
            lambda rows: problem.features_of_rows(rows, reader)
        )


# Flags on which the answers depend.
OF_MODEL = frozenset(
    "bert_config_file class_weights classifier_dropout classifier_hidden "
    "doc_stride do_lower_case freeze_layers gradient_accumulation_steps "
    "group_by_length init_checkpoint label_smoothing layerwise_lr_decay "
    "learning_rate long_documents max_seq_length max_windows num_train_epochs "
    "optimizer pack_sequences precision strip_accents train_batch_size "
    "tokenize_chinese_chars vocab_file warmup_proportion window_pooling".split()
)
