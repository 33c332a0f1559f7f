"""Files that say what workers answer, and with which model.

A worker may run in an environment of its own, so this module imports nothing
of bert_tf.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# A text, or [text, second text], or [question, context].
Item = str | list[str]


@dataclasses.dataclass(frozen=True)
class Task:
    """The texts that a worker answers, and with what.

    Attributes:
        kind: "single_label" or "question_answering".
        items: the texts, in random order.
        num_requests: how many of them are asked one at a time in a round.
        num_clients: how many clients ask at once.
        num_threads: threads that may compute at once.
        folders: {"ours", "baseline" or a peer: the folder of its model}.
        settings: the model's model.json, and `vocab_file`.
    """

    kind: str
    items: Sequence[Item]
    num_requests: int
    num_clients: int
    num_threads: int
    folders: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def requests(self) -> Sequence[Item]:
        """The items that are asked one at a time."""
        return self.items[: self.num_requests]


@dataclasses.dataclass(frozen=True)
class Source:
    """A model that each contestant exports or converts for itself.

    Attributes:
        kind: "single_label" or "question_answering".
        config: the sizes of the model, as in bert_config.json.
        weights: the .npz file of its variables, float32, by the original's
            names.
        settings: its model.json, and `vocab_file`.
        takes_pairs: whether each text has a second one.
    """

    kind: str
    config: Mapping[str, Any]
    weights: str
    settings: Mapping[str, Any]
    takes_pairs: bool

    def read_weights(self) -> dict[str, np.ndarray]:
        """{the original's name: float32 array}."""
        with np.load(self.weights) as arrays:
            return dict(arrays)


def read_task(path: str) -> Task:
    """Reads what `write_task` has written."""
    return Task(**_read(path))


def write_task(task: Task, folder: str) -> str:
    """Writes a task into a folder, for all workers; returns the file's path."""
    path = os.path.join(folder, "task.json")
    with open(path, "w", encoding="utf-8") as writer:
        json.dump(dataclasses.asdict(task), writer)
    return path


def read_source(path: str) -> Source:
    """Reads what `write_source` has written."""
    return Source(**_read(path))


def write_source(source: Source, folder: str) -> str:
    """Writes a source into a folder; returns the file's path."""
    return _write(source, os.path.join(folder, "source.json"))


def _read(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as reader:
        return json.load(reader)


def _write(values: Task | Source, path: str) -> str:
    with open(path, "w", encoding="utf-8") as writer:
        json.dump(dataclasses.asdict(values), writer)
    return path
