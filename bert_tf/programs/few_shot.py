"""Training on few examples: pairs of texts, then a logistic regression.

    pairs        of texts of the same label, score 1, and of different ones, 0
    encoder      the cosine of a pair's vectors becomes its score
    head         a logistic regression on the vectors of the texts

A text's vector is the encoder's pooled output, so the model is the one that
fine-tuning makes, and everything that uses it stays as it is. See
`few_shot_flags` for the paper.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags, logging
from numpy.typing import NDArray

from bert_tf import checkpoints, vector_losses
from bert_tf.checkpoints import Checkpoint, CheckpointFolder
from bert_tf.data.tabular.table import listed
from bert_tf.errors import UserError
from bert_tf.export.kinds import SINGLE_LABEL
from bert_tf.programs import console, devices, run_record, training_run
from bert_tf.programs.few_shot_flags import num_trained
from bert_tf.programs.labelled_job import Job, read_rows
from bert_tf.programs.logistic_head import fit_head
from bert_tf.programs.session import Session
from bert_tf.tasks.problem import Problem
from bert_tf.text.packing import ID_NAMES, LENGTH_MULTIPLE

FLAGS = flags.FLAGS
TEXTS_AT_ONCE = 64
MOST_PAIRS = 1_000_000  # A longer training sees the same pairs again.
HEAD = ("output_weights", "output_bias")

Features = dict[str, NDArray[np.int_]]


def check(problem: Problem, examples: Iterable[Any], session: Session) -> None:
    """Checks that the run can be trained as --few_shot asks.

    Args:
        problem: what is asked about a text.
        examples: the training set.
        session: the run, which may have begun earlier.

    Raises:
        UserError: the answers are not one label of several, a label has no
            text, or the run was begun in the other way.
    """
    before = run_record.flags_of(session.folder.record, ["train"])
    was_few_shot = before.get("few_shot", FLAGS.few_shot and not before)
    if session.existing and was_few_shot != FLAGS.few_shot:
        way = "without" if FLAGS.few_shot else "with"
        raise _refused(
            f"the training in `output_dir`={FLAGS.output_dir} was begun {way} "
            "it, and is only continued in the same way; name another folder"
        )
    if not FLAGS.few_shot:
        return
    if problem.kind != SINGLE_LABEL.name:
        raise _refused(
            f"not for {problem.description}: each text needs one label"
        )
    found = {example.label for example in examples}
    missing = [label for label in problem.labels or () if label not in found]
    if missing:
        raise _refused(
            "each label needs a text, and the training set has none of "
            f"{listed(missing)}"
        )


def _refused(why: str) -> UserError:
    return UserError(why, setting="few_shot", value=FLAGS.few_shot)


def train(job: Job, num_train_steps: int) -> int:
    """Trains encoder and head; returns the step at which training ended."""
    features = read_features(job)
    number = num_train_steps * FLAGS.train_batch_size
    one_epoch = num_trained(len(features["label_ids"]))
    pairs = make_pairs(
        features["label_ids"],
        min(number, max(MOST_PAIRS, one_epoch)),
        job.session.settings.seed,
    )
    logging.debug("***** Running training on pairs *****")
    logging.debug("  Num pairs = %d", len(pairs))
    step = job.session.train(
        vector_losses.cosine_regression(),
        batches_of(features, pairs, FLAGS.train_batch_size),
        num_train_steps=num_train_steps,
        num_warmup_steps=training_run.count_warmup_steps(num_train_steps),
        evaluate=None,
        # They are random: nobody may take them for a head.
        not_saved=HEAD,
        num_examples=len(features["label_ids"]),
    )
    fit(job, features)
    return step


def read_features(job: Job) -> Features:
    """The features of all training examples, {name: int [N, …]}.

    Sequences are cut to the longest, unless devices need the full length.
    """
    examples = job.examples["train"]
    rows, to_features = read_rows(job, "train")
    (block,) = rows.batch(len(examples)).take(1)
    features = {n: x.numpy() for n, x in to_features(block).items()}
    if not devices.needs_full_length(job.session.strategy):
        longest = int(features["input_mask"].sum(axis=1).max())
        longest = -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        for name in ID_NAMES:
            features[name] = features[name][:, :longest]
    return features


def make_pairs(
    label_ids: NDArray[np.int_], number: int, seed: int
) -> NDArray[np.int_]:
    """Pairs of places, and whether both have the same label.

    Each text in turn is paired with one of its own label, itself if there is
    no other, and with one of another label. The order is then mixed.

    Args:
        label_ids: int [N], of at least two labels.
        number: how many pairs.
        seed: of the choice and the order.

    Returns:
        int [number, 3]: first, second, and 1 or 0.
    """
    rng = np.random.default_rng(seed)
    total = len(label_ids)
    by_label = np.argsort(label_ids, kind="stable")
    where = np.argsort(by_label)  # Where each text is in `by_label`.
    sizes = np.bincount(label_ids)
    starts = np.cumsum(sizes) - sizes  # Where each label begins in it.

    rounds = -(-number // (2 * total))
    first = np.tile(np.arange(total), (rounds, 1))
    first = rng.permuted(first, axis=1).ravel()
    label = label_ids[first]
    start, size = starts[label], sizes[label]
    # The next ones of its label, as in a ring; then those of other labels.
    step = rng.integers(1, np.maximum(size, 2))
    same = by_label[start + (where[first] - start + step) % size]
    step = rng.integers(0, total - size)
    other = by_label[(start + size + step) % total]
    ones = np.ones_like(first)
    pairs = np.concatenate(
        [
            np.stack([first, same, ones], axis=1),
            np.stack([first, other, 0 * ones], axis=1),
        ]
    )
    return rng.permutation(pairs)[:number]


def batches_of(
    features: Features, pairs: NDArray[np.int_], batch_size: int
) -> Callable[[int], tf.data.Dataset]:
    """Function(first step) -> endless dataset of batches of pairs.

    A batch has the ids, int32 [B, 2, S], `is_real_example` and
    `label_values`, as `vector_losses` reads them.
    """
    ids = {n: tf.constant(features[n], tf.int32) for n in ID_NAMES}

    def to_batch(chosen: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = {n: tf.gather(x, chosen[:, :2]) for n, x in ids.items()}
        score = tf.cast(chosen[:, 2], tf.float32)
        return {
            **batch,
            "label_values": score,
            "is_real_example": tf.ones_like(chosen[:, 2], tf.int32),
        }

    def batches(first_step: int) -> tf.data.Dataset:
        dataset = tf.data.Dataset.from_tensor_slices(pairs).repeat()
        dataset = dataset.batch(batch_size, drop_remainder=True)
        return dataset.skip(first_step).map(to_batch).prefetch(1)

    return batches


def fit(job: Job, features: Features) -> None:
    """Fits the head, and puts it into the newest checkpoint.

    Until then no checkpoint of the training has a head: a run that was stopped
    is an encoder without one.
    """
    model = job.model
    vectors = []
    for first in range(0, len(features["label_ids"]), TEXTS_AT_ONCE):
        part = slice(first, first + TEXTS_AT_ONCE)
        ids = {n: tf.constant(features[n][part], tf.int32) for n in ID_NAMES}
        vectors.append(model.vectors(ids, training=False).numpy())
    num_labels = len(job.problem.labels or ())
    # The vectors are trained to be easy to tell apart: cross-validation on
    # them would choose no penalty at all.
    kernel, bias = fit_head(
        np.concatenate(vectors),
        features["label_ids"],
        num_labels,
        chooses_strength=False,
    )
    model.output_weights.assign(kernel.T)
    model.output_bias.assign(bias)
    console.show(
        "Head", "a logistic regression on the vectors of the training set"
    )
    folder = job.session.folder
    if folder.writes:
        prefix, *_ = CheckpointFolder(folder.path).newest_first()
        checkpoint = Checkpoint(prefix)
        tensors = {name: checkpoint.read(name) for name in checkpoint.shapes}
        new = checkpoints.tensors_of(model)
        tensors |= {name: np.array(new[name]) for name in HEAD}
        checkpoints.write_checkpoint(prefix, tensors)
