"""The texts of train_embeddings as batches.

training     {"input_ids", "input_mask", "segment_ids"}: int32 [B, T, S],
             label_ids or label_values, is_real_example
evaluation   texts alone, [B, S]
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags, logging

from bert_tf.counts import counted, number_of, plural
from bert_tf.data import group_targets, pipeline, splits
from bert_tf.data.text_groups import TextGroups, read_groups
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.programs import (
    batches,
    console,
    data_lines,
    defaults,
    devices,
    embedding_flags,
)
from bert_tf.programs.batches import Rows, Tensors

FLAGS = flags.FLAGS
NUM_MEASURED = 10_000  # Texts whose lengths are shown.
MOST_ROUNDS = 20  # In each round labelled texts get other partners.
UNITS = {
    "pairs": "pair",
    "triples": "triple",
    "scored": "scored pair",
    "labelled": "labelled text",
    "sentences": "sentence",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRows:
    """What a training reads.

    Attributes:
        texts: [T][N]: the texts of each row.
        pairs: int64 [N, 2]: for labelled texts, which texts are a row.
        targets: {name: [N]}: what the loss is told of each row.
        num_examples: how many rows an epoch has.
    """

    texts: Sequence[Sequence[str]]
    pairs: np.ndarray | None
    targets: dict[str, np.ndarray]
    num_examples: int

    @property
    def num_texts(self) -> int:
        """T, the texts of a row."""
        return len(self.texts) if self.pairs is None else 2

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    def texts_of(self, row: int) -> list[str]:
        """The texts of a row."""
        if self.pairs is None:
            return [texts[row] for texts in self.texts]
        return [self.texts[0][place] for place in self.pairs[row]]

    def rows(self, reader: TextReader) -> Rows:
        """The rows, and what makes features of them."""
        signature: dict[str, Any] = {
            "texts": tf.TensorSpec([self.num_texts], tf.string),
            **{name: tf.as_dtype(v.dtype) for name, v in self.targets.items()},
        }
        dataset = pipeline.from_examples(
            range(len(self)), self._encode, signature
        )
        return dataset, lambda rows: self._features(rows, reader)

    def _encode(self, row):
        texts = [text.encode() for text in self.texts_of(row)]
        return {
            "texts": texts,
            **{name: values[row] for name, values in self.targets.items()},
        }

    def _features(self, rows: Tensors, reader: TextReader) -> Tensors:
        texts = rows["texts"]
        targets = {name: rows[name] for name in self.targets}
        ids = reader.read(tf.reshape(texts, [-1]), None)
        length = tf.shape(ids["input_ids"])[1]
        shape = [-1, self.num_texts, length]
        sequences = {n: tf.reshape(values, shape) for n, values in ids.items()}
        is_real = tf.ones_like(texts[:, 0], tf.int32)
        return {**sequences, **targets, "is_real_example": is_real}


def read_training(seed: int) -> tuple[TextGroups, TrainingRows, str]:
    """Reads --train_file.

    Args:
        seed: of the partners of labelled texts.

    Returns:
        (what it holds, the rows, the name of the loss).

    Raises:
        UserError: the file cannot be used, or has nothing to learn from.
    """
    groups = read_groups(
        FLAGS.train_file, embedding_flags.group_settings("train")
    )
    loss = embedding_flags.check_loss(groups.kind)
    embedding_flags.check_columns(groups.kind)
    # A later command reads the dev file with the same columns.
    defaults.fill("train_on", groups.kind)
    defaults.fill("loss", loss)
    columns = ", ".join(
        filter(None, (*groups.columns.texts, groups.columns.label))
    )
    unit = f"{len(groups):,} {plural(UNITS[groups.kind], len(groups))}"
    console.show(
        "Train set", f"{unit} of {FLAGS.train_file}: {columns}; --loss={loss}"
    )
    return groups, training_rows(groups, seed), loss


def training_rows(groups: TextGroups, seed: int) -> TrainingRows:
    """The rows of a training.

    Args:
        groups: the file.
        seed: see `read_training`.

    Raises:
        UserError: there is nothing to learn.
    """
    if groups.kind == "labelled":
        return _rows_of_labels(groups, seed)
    if groups.kind == "scored":
        scores = group_targets.scaled_scores(
            groups, embedding_flags.score_range()
        )
        return TrainingRows(
            texts=groups.texts,
            pairs=None,
            targets={"label_values": scores},
            num_examples=len(groups),
        )
    texts = groups.texts
    if groups.kind == "sentences":  # Dropout makes two vectors of it.
        texts = [texts[0], texts[0]]
    same = group_targets.same_groups(texts[:2])
    # Triples have negatives of their own.
    if groups.kind != "triples" and len(np.unique(same)) < 2:
        raise UserError(
            f"{groups.path}: {number_of(len(groups), 'row')} and no negatives: "
            "rows that share a text, or share one with the same row, are not "
            "negatives of each other"
        )
    return TrainingRows(
        texts=texts,
        pairs=None,
        targets={"label_ids": same},
        num_examples=len(groups),
    )


def _rows_of_labels(groups: TextGroups, seed: int) -> TrainingRows:
    """Texts with other ones of the same label."""
    labels = np.array([str(label) for label in groups.labels or ()], object)
    splits.check_varied(
        labels.tolist(),
        groups.path,
        what=f"all {len(groups)} rows have the label {labels[0]!r}",
        where=f"`label_column`={groups.columns.label}",
    )
    rounds = math.ceil(FLAGS.num_train_epochs or 1)
    pairs = group_targets.draw_partners(
        labels.tolist(), min(rounds, MOST_ROUNDS), seed
    )
    number = len(np.unique(pairs))
    if not number:
        raise UserError(
            f"{groups.path}: each label has one row, and pairs of the same "
            "label are needed"
        )
    if alone := len(groups) - number:
        logging.warning(
            "%s: %s a label that no other row has: left out",
            groups.path,
            counted(alone, len(groups), "row"),
        )
    _, label_ids = np.unique(
        labels[pairs[:, 0]].astype(str), return_inverse=True
    )
    return TrainingRows(
        texts=groups.texts,
        pairs=pairs,
        targets={"label_ids": label_ids.astype(np.int32)},
        num_examples=number,
    )


def show_lengths(name: str, texts: Sequence[str], reader: TextReader) -> None:
    """Shows how long texts are, and how many are cut.

    Args:
        name: of the set.
        texts: the texts.
        reader: how they are read.
    """
    # Texts of all columns: the first ones are those of the first column.
    some = texts[:: -(-len(texts) // NUM_MEASURED) or 1]
    lengths = reader.num_tokens(some, [None] * len(some))
    data_lines.show_lengths(name, lengths, len(texts), reader.max_seq_length)


def training_batches(
    strategy: tf.distribute.Strategy,
    rows: TrainingRows,
    reader: TextReader,
    seed: int,
) -> Callable[[int], tf.data.Dataset]:
    """Full batches of the flags, as `training.train` takes them.

    Args:
        strategy: the strategy that trains on them.
        rows: what is read.
        reader: how texts are read.
        seed: of their order.
    """
    dataset, to_features = rows.rows(reader)
    multiple = batches.XLA_LENGTH_MULTIPLE

    def batches_from(first_step: int) -> tf.data.Dataset:
        found = pipeline.training_batches(
            dataset,
            to_features,
            num_examples=len(rows),
            batch_size=FLAGS.train_batch_size,
            seed=seed,
            first_step=first_step,
            fixed_length=devices.needs_full_length(strategy),
            length_multiple=multiple if FLAGS.xla else pipeline.LENGTH_MULTIPLE,
        )
        return found.map(with_number)

    def with_number(batch: Tensors) -> Tensors:
        """Each row has T texts, which cutting to the longest forgets."""
        return {
            name: tf.ensure_shape(values, [None, rows.num_texts, None])
            if len(values.shape) == 3
            else values
            for name, values in batch.items()
        }

    return batches_from


def text_batches(
    strategy: tf.distribute.Strategy, texts: Sequence[str], reader: TextReader
) -> tf.data.Dataset:
    """Batches of texts of which vectors are wanted.

    Args:
        strategy: the strategy that computes them.
        texts: the texts.
        reader: how they are read.
    """

    def to_features(rows: Tensors) -> Tensors:
        ones = tf.ones_like(rows["text"], tf.int32)
        return {**reader.read(rows["text"], None), "is_real_example": ones}

    dataset = pipeline.from_examples(
        texts, lambda text: {"text": text.encode()}, {"text": tf.string}
    )
    return batches.evaluation_batches(
        strategy, (dataset, to_features), batches.batch_size("eval")
    )
