"""Predicts each training example with a model that has not seen it.

The training examples are divided into folds. For each fold a model is trained
on the others, as the flags say, and answers this fold. With several seeds the
probabilities are averaged. What is computed is kept in a folder, so that the
same command continues where it was stopped.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

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
    labelled_program,
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
        sets, self.problem = labelled_program.read_sets(
            task, settings, self.session
        )
        if not isinstance(self.problem, SingleLabel):
            raise UserError(
                "label errors are found where each text has one label",
                setting="task_name",
                value=FLAGS.task_name,
            )
        labelled_program.fit_flags(self.session, self.config, tokenizer, sets)
        self.reader = labelled_run.make_reader(
            tokenizer, FLAGS.flag_values_dict()
        )
        self.source = sets["train"]
        self.examples = list(self.problem.prepare(sets["train"], self.reader))
        self.labels = list(self.problem.labels or ())
        self.label_ids = np.array(
            [self.problem.ids[example.label] for example in self.examples]
        )

    def probabilities(self) -> np.ndarray:
        """The mean of all seeds, float [N, C]; trains what is not yet kept."""
        total = np.zeros((len(self.examples), len(self.labels)))
        keys = [(normalized(e.text_a), e.text_b) for e in self.examples]
        for index in range(self.num_seeds):
            seed = FLAGS.seed + index
            fold_of = label_errors.folds(
                keys, self.label_ids.tolist(), self.num_folds, seed
            )
            for fold in range(self.num_folds):
                total[fold_of == fold] += self._fold(seed, fold, fold_of)
        return total / self.num_seeds

    def _fold(self, seed: int, fold: int, fold_of: np.ndarray) -> np.ndarray:
        """The probabilities of one fold, float [n, C], read or computed."""
        path = os.path.join(self.folder, f"seed-{seed}-fold-{fold}.npz")
        fingerprint = self._fingerprint(fold_of)
        if files.exists(path):
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["fingerprint"]) == fingerprint:
                    return kept["probabilities"]
        console.show(
            "Fold", "%d of %d, seed %d", fold + 1, self.num_folds, seed
        )
        inside, outside = (
            [self.examples[i] for i in np.flatnonzero(chosen)]
            for chosen in (fold_of == fold, fold_of != fold)
        )
        found = self._train_and_predict(outside, inside, seed)
        files.make_folder(self.folder)
        with files.replacing(path) as temporary:
            with files.open_binary(temporary, "wb") as writer:
                np.savez(writer, probabilities=found, fingerprint=fingerprint)
        return found

    def _fingerprint(self, fold_of: np.ndarray) -> str:
        """Says which examples and flags a fold's probabilities are of."""
        digest = hashlib.sha256(fold_of.tobytes())
        digest.update(repr(self.examples).encode())
        values = {k: v for k, v in program.values().items() if k in OF_MODEL}
        digest.update(json.dumps(values, default=str).encode())
        return digest.hexdigest()

    def _train_and_predict(
        self, train: Sequence[Any], other: Sequence[Any], seed: int
    ) -> np.ndarray:
        problem, flag_values = self.problem, FLAGS.flag_values_dict()
        training.set_seed(seed)
        with self.strategy.scope():
            model = labelled_run.build_model(problem, self.config, flag_values)
        weights.prepare(model, devices.needs_static_shapes(self.strategy))
        record = labelled_program.record_before(self.session)
        weights.load_weights(
            model, "", [], True, initial_heads.why_another(record, problem)
        )
        num_steps = training_run.count_train_steps(len(train))
        trainer = training_run.make_trainer(
            model,
            self.strategy,
            problem.loss_terms(
                class_weights(FLAGS.class_weights, self.labels, train),
                FLAGS.label_smoothing,
            ),
            settings=self.session.settings,
            num_train_steps=num_steps,
            num_warmup_steps=training_run.count_warmup_steps(num_steps),
        )
        training.train(
            trainer,
            batches.training_batches(
                self.strategy, model, self._rows(train), len(train), seed
            ),
            num_steps,
        )
        runner = training.BatchRunner(model, self.strategy)
        dataset = batches.evaluation_batches(
            self.strategy, self._rows(other), batches.batch_size("eval")
        )
        rows = pipeline.in_file_order(runner(dataset))
        outputs = [out for _, out in problem.predictions(rows, other)]
        return softmax(np.stack(outputs))

    def _rows(self, examples: Sequence[Any]) -> batches.Rows:
        problem, reader = self.problem, self.reader
        return problem.rows(examples, reader), (
            lambda rows: problem.features_of_rows(rows, reader)
        )


# Flags on which the probabilities depend.
OF_MODEL = frozenset(
    "bert_config_file class_weights classifier_dropout classifier_hidden "
    "doc_stride do_lower_case freeze_layers gradient_accumulation_steps "
    "group_by_length init_checkpoint label_smoothing layerwise_lr_decay "
    "learning_rate long_documents max_seq_length max_windows num_train_epochs "
    "optimizer pack_sequences precision strip_accents train_batch_size "
    "tokenize_chinese_chars vocab_file warmup_proportion window_pooling".split()
)
