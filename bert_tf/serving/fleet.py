"""What the worker processes of one server know of each other.

A `Board` is memory that they share. Each worker has a part of it, which it
alone writes, and all read all parts:

    is_ready      whether it answers
    pid           its process
    connections   the connections that it holds
    requests      the requests that its processes have answered so far
    changes       number of changes of its versions
    for each model
        waiting   sequences that wait for it
        versions  those that are loaded, in slots; 0 is a free one

Every number is an aligned int64, which is written and read as a whole.
"""

import multiprocessing
from collections.abc import Collection, Iterator, Sequence
from typing import Any

_READY, _PID, _CONNECTIONS, _REQUESTS, _CHANGES = range(5)
_HEAD = 5  # Numbers before those of the models.


class Board:
    """Memory that all workers of a server share; see the module.

    Processes that are started by `spawn` may be given it.

    Args:
        num_workers: number of workers.
        models: the models' names.
        num_versions: versions that a worker holds of a model at most.
    """

    def __init__(
        self, num_workers: int, models: Sequence[str], num_versions: int
    ):
        self.num_workers = num_workers
        self.models = list(models)
        self.num_versions = num_versions
        context = multiprocessing.get_context("spawn")
        self._memory: Any = context.RawArray("q", num_workers * self.part_size)

    @property
    def part_size(self) -> int:
        """How many numbers a worker's part has."""
        return _HEAD + len(self.models) * (1 + self.num_versions)

    def numbers(self) -> memoryview:
        """Returns all numbers, those of the first worker first."""
        return memoryview(self._memory).cast("B").cast("q")

    def forget(self, worker: int) -> None:
        """Empties the part of a worker whose process has ended.

        The requests that it has answered still count.
        """
        numbers = self.numbers()
        start = worker * self.part_size
        for place in range(self.part_size):
            if place not in (_REQUESTS, _CHANGES):
                numbers[start + place] = 0
        numbers[start + _CHANGES] += 1


class Fleet:
    """The workers of a server, as one of them sees them.

    Args:
        board: the memory that they share.
        worker: the number of this worker, from 0.
    """

    def __init__(self, board: Board, worker: int):
        self.num_workers = board.num_workers
        self._numbers = board.numbers()
        size = board.part_size
        self._parts = [i * size for i in range(board.num_workers)]
        self._own = self._parts[worker]
        self._models = {
            name: _HEAD + place * (1 + board.num_versions)
            for place, name in enumerate(board.models)
        }
        self._num_versions = board.num_versions
        self._common: dict[str, tuple[list[int], frozenset[int]]] = {}

    def _add(self, place: int, number: int) -> None:
        self._numbers[self._own + place] += number

    def _values(self, place: int) -> Iterator[int]:
        return (self._numbers[part + place] for part in self._parts)

    # -----------------------------------------------------------------------
    # Processes, connections and requests.

    def set_ready(self, pid: int) -> None:
        """Notes that this worker answers, with its process."""
        self._numbers[self._own + _PID] = pid
        self._numbers[self._own + _READY] = 1
        self._add(_CHANGES, 1)

    @property
    def pids(self) -> list[int]:
        """The processes of the workers that answer."""
        return [pid for pid in self._values(_PID) if pid]

    def set_connections(self, number: int) -> None:
        """Notes how many connections this worker holds."""
        self._numbers[self._own + _CONNECTIONS] = number

    @property
    def connections_of_others(self) -> int:
        """The connections that the other workers hold."""
        own = self._numbers[self._own + _CONNECTIONS]
        return sum(self._values(_CONNECTIONS)) - own

    def count_request(self) -> None:
        """Counts a request that this worker has answered."""
        self._add(_REQUESTS, 1)

    @property
    def num_requests(self) -> int:
        """The requests that all workers have answered so far."""
        return sum(self._values(_REQUESTS))

    # -----------------------------------------------------------------------
    # Models.

    def set_waiting(self, model: str, number: int) -> None:
        """Notes how many rows wait for a model in this worker."""
        self._numbers[self._own + self._models[model]] = number

    def num_waiting(self, model: str) -> int:
        """Returns how many rows wait for a model in all workers."""
        return sum(self._values(self._models[model]))

    def publish(self, model: str, versions: Collection[int]) -> None:
        """Notes the versions of a model that are loaded in this worker."""
        codes = {_code(number) for number in versions}
        first = self._own + self._models[model] + 1
        slots = range(first, first + self._num_versions)
        new = codes - {self._numbers[slot] for slot in slots}
        # New ones go into free slots first: what others read in between has
        # all that stays.
        places = [s for s in slots if self._numbers[s] not in codes]
        places.sort(key=lambda slot: self._numbers[slot] != 0)
        for slot in places:
            self._numbers[slot] = new.pop() if new else 0
        self._add(_CHANGES, 1)

    def in_common(self, model: str, versions: Collection[int]) -> list[int]:
        """Returns those of its own versions that all workers have loaded.

        Args:
            model: the model's name.
            versions: the versions that are loaded in this worker.

        Returns:
            The versions in their order. All of them if the workers have none
            in common: each then answers with its own.
        """
        changes = [*self._values(_CHANGES)]
        known = self._common.get(model)
        if known is None or known[0] != changes:
            known = self._common[model] = (changes, self._shared(model))
        common = [n for n in versions if _code(n) in known[1]]
        return common or [*versions]

    def _shared(self, model):
        first = self._models[model] + 1
        sets = [
            {*self._numbers[part + first : part + first + self._num_versions]}
            for part in self._parts
            if self._numbers[part + _READY] or part == self._own
        ]
        return frozenset.intersection(*map(frozenset, sets)) - {0}


def _code(number: int) -> int:
    """A version's number as an int64 that is not 0."""
    return number % 2**62 + 1
