"""Logs at the start of a run what the doctor finds at a glance."""

import dataclasses
import itertools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from absl import flags, logging

from bert_tf.config import BertConfig
from bert_tf.data.labelled_set import TableSet
from bert_tf.doctor import machine, quick
from bert_tf.doctor import rows as row_sets
from bert_tf.programs import console, gpus
from bert_tf.tokenization import FullTokenizer

FLAGS = flags.FLAGS
MAX_LINES = 5
NUM_READ = 30_000  # Rows of a set that is read from its file each time.
POINTER = (
    "python -m bert_tf.tools.doctor before this command says more, and "
    "writes nothing"
)


def warn(
    sets: Mapping[str, Iterable[Any]],
    kind: str,
    tokenizer: FullTokenizer,
    said: Collection[str] = (),
) -> None:
    """Logs findings, at most `MAX_LINES` lines.

    Args:
        sets: {"train", "dev" or "test": examples}.
        kind: of the problem.
        tokenizer: of the run.
        said: names of the checks that have warned already, see `hearing`.
    """
    several = [
        _rows_of(examples, name, kind) for name, examples in sets.items()
    ]
    findings = quick.look(several, tokenizer, said)
    if not findings:
        return
    for finding in findings[: MAX_LINES - 1]:
        logging.warning("%s", finding.line())
    console.show("Doctor", POINTER)


def warn_of_machine(config: BertConfig) -> None:
    """Logs what the run needs and the machine has not, or does not use.

    Args:
        config: the model's.
    """
    seen = gpus.num_seen()
    findings = machine.check_devices(gpus.devices()) if not seen else []
    if FLAGS.do_train and not seen and FLAGS.max_seq_length:
        at_once = FLAGS.train_batch_size // FLAGS.gradient_accumulation_steps
        need = machine.need_of(
            config,
            max(1, at_once),
            FLAGS.max_seq_length,
            precision=FLAGS.precision,
            remat=FLAGS.remat,
        )
        # Most texts are shorter: what surely does not fit is worth a warning.
        findings += [
            finding
            for finding in machine.check_memory(
                need, machine.memory_of_machine(), "this machine", at_once
            )
            if finding.severity == "error"
        ]
    for finding in findings:
        logging.warning("%s", finding.line())


class _First:
    """The first rows of a set, with their places."""

    def __init__(self, examples: Any):
        self._examples = examples
        self.sample = getattr(examples, "sample", None)
        self.path = getattr(self.sample, "path", "")

    def __iter__(self) -> Any:
        return itertools.islice(self._examples, NUM_READ)


class _Some:
    """Some rows of a table, chosen at random, with their places."""

    def __init__(self, table: TableSet, number: int):
        self.path, self._table = table.path, table
        draw = np.random.default_rng(len(table))
        chosen = draw.choice(len(table), number, replace=False)
        self._rows = np.sort(chosen).tolist()

    def __iter__(self) -> Any:
        return map(self._table.__getitem__, self._rows)

    def place(self, row: int) -> str:
        """The place of one of them."""
        return self._table.place(self._rows[row])


def _rows_of(examples: Any, name: str, kind: str) -> row_sets.RowSet:
    """The rows that are looked at: making an example takes its time, too."""
    most = quick.NUM_TRAIN if name == "train" else quick.NUM_OTHER
    some: Any = examples
    if isinstance(examples, TableSet) and len(examples) > most:
        some = _Some(examples, most)
    elif not isinstance(examples, (TableSet, list)):
        some = _First(examples)  # It is read from its file each time.
    rows = row_sets.of_examples(some, name, kind)
    number = len(examples) if hasattr(examples, "__len__") else len(rows)
    return dataclasses.replace(rows, number=number)
