"""Answers with a peer's network, in the way that is fastest on this machine.

Before anything is measured, each peer tries batches of several sizes, whether
all threads share a batch or each has its own, and the forms of its network, if
there are several. The fastest way counts.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np

# The folder of this file is the first where Python looks.
from answer_task import Item, Task
from peer_reading import READERS, Ids, Reader
from peer_spans import Answer, Outputs

BATCH_SIZES = 16, 32, 64
# Limits of the items that are tried.
MOST_TRIED = 192
MOST_CHARACTERS = 20_000
NUM_TRIALS = 2  # The first of them warms up.

# From input_ids, input_mask, segment_ids, int64 [B, S], to arrays [B, …].
Network = Callable[[np.ndarray, np.ndarray, np.ndarray], Sequence[np.ndarray]]


class Way(NamedTuple):
    """How sequences are computed.

    Attributes:
        form: the name of a form of the network; "" where there is one alone.
        at_once: batches that are computed at the same time, by an equal part
            of the threads each.
        batch_size: sequences of a batch.
    """

    form: str
    at_once: int
    batch_size: int = BATCH_SIZES[1]

    def __str__(self) -> str:
        return f"{self.form} {self.at_once} at once".strip()


class Peer:
    """Base of the peers.

    Args:
        task: what to answer.
        make_network: function(form, number of threads) that loads the network.
        forms: names of the network's forms.
    """

    def __init__(
        self,
        task: Task,
        make_network: Callable[[str, int], Network],
        forms: Sequence[str] = ("",),
    ):
        self._reader: Reader = READERS[task.kind](task.settings)
        self._make_network = make_network
        self._num_threads = task.num_threads
        self._forms = forms
        self._networks: dict[tuple[str, int], Network] = {}
        self._pools = {
            number: futures.ThreadPoolExecutor(number)
            for number in self._numbers_at_once
        }
        # How one item is answered, all of them, and those of clients.
        self._one = self._all = self._of_clients = Way(forms[0], 1)
        self._free = threading.Semaphore(1)
        self._network(self._one)

    def answer_one(self, item: Item) -> Answer:
        (answer,) = self._answer([item], self._one)
        return answer

    def answer_all(self, items: Sequence[Item]) -> list[Answer]:
        return self._answer(items, self._all)

    def answer_for_client(self, item: Item) -> Answer:
        with self._free:
            (answer,) = self._answer([item], self._of_clients)
        return answer

    def compared(self, answer: Answer) -> tuple[str, list[float]]:
        return answer

    def tune(self, items: Sequence[Item], num_clients: int) -> str:
        tried = [*_some(items)]
        alone = [Way(form, 1) for form in self._forms]
        ways = [
            Way(*way)
            for way in itertools.product(self._forms, self._numbers_at_once)
        ]
        of_all = [
            way._replace(batch_size=size)
            for way in ways
            for size in BATCH_SIZES
        ]
        # The networks are loaded before time counts.
        for way in ways:
            self._network(way)

        def ask_one(way: Way) -> None:
            for item in tried:
                self._answer([item], way)

        def ask_as_clients(way: Way) -> None:
            self._set_way_of_clients(way)
            with futures.ThreadPoolExecutor(num_clients) as pool:
                for _ in pool.map(self.answer_for_client, tried):
                    pass

        self._one = _fastest(alone, ask_one)
        self._all = _fastest(of_all, lambda way: self._answer(tried, way))
        self._set_way_of_clients(_fastest(ways, ask_as_clients))
        used = {_key(w) for w in (self._one, self._all, self._of_clients)}
        self._networks = {key: self._networks[key] for key in used}
        return (
            f"one: {self._one}; all: {self._all}, in batches of "
            f"{self._all.batch_size}; clients: {self._of_clients}"
        )

    @property
    def _numbers_at_once(self) -> list[int]:
        """How many batches may be computed at the same time."""
        return sorted({1, self._num_threads})

    def _set_way_of_clients(self, way: Way) -> None:
        self._of_clients = way
        self._free = threading.Semaphore(way.at_once)

    def _network(self, way: Way) -> Network:
        """The network in a way's form, with its part of the threads."""
        if _key(way) not in self._networks:
            num_threads = max(1, self._num_threads // way.at_once)
            self._networks[_key(way)] = self._make_network(
                way.form, num_threads
            )
        return self._networks[_key(way)]

    def _answer(self, items: Sequence[Item], way: Way) -> list[Answer]:
        """The answers to items; batches have about equal lengths."""
        network = self._network(way)
        sequences, read = self._reader.read(items)
        order = sorted(
            range(len(sequences)), key=lambda i: len(sequences[i].input_ids)
        )
        batches = [
            order[first : first + way.batch_size]
            for first in range(0, len(order), way.batch_size)
        ]
        outputs: list[Outputs] = [()] * len(sequences)

        def compute(places: Sequence[int]) -> None:
            arrays = network(*padded([sequences[place] for place in places]))
            for row, place in enumerate(places):
                outputs[place] = tuple(array[row] for array in arrays)

        if way.at_once > 1 and len(batches) > 1:
            # The longest come first, so that no thread waits for another's.
            for _ in self._pools[way.at_once].map(compute, batches[::-1]):
                pass
        else:
            for batch in batches:
                compute(batch)
        return self._reader.answers(items, read, outputs)


def padded(
    sequences: Sequence[Ids],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """input_ids, input_mask and segment_ids, int64 [B, S], of sequences."""
    longest = max(len(each.input_ids) for each in sequences)
    input_ids, input_mask, segment_ids = np.zeros(
        (3, len(sequences), longest), np.int64
    )
    for row, each in enumerate(sequences):
        length = len(each.input_ids)
        input_ids[row, :length] = each.input_ids
        input_mask[row, :length] = 1
        segment_ids[row, :length] = each.segment_ids
    return input_ids, input_mask, segment_ids


def _key(way: Way) -> tuple[str, int]:
    """What a network depends on."""
    return way.form, way.at_once


def _some(items: Sequence[Item]) -> Iterator[Item]:
    """The first items, as many as are tried."""
    characters = 0
    for item in items[:MOST_TRIED]:
        yield item
        characters += len(item if isinstance(item, str) else " ".join(item))
        if characters > MOST_CHARACTERS:
            return


def _fastest(ways: Sequence[Way], work: Callable[[Way], object]) -> Way:
    """The way in which work takes the least time."""
    seconds = {}
    for way in ways:
        for _ in range(NUM_TRIALS):
            start = time.perf_counter()
            work(way)
            seconds[way] = time.perf_counter() - start
    return min(ways, key=seconds.__getitem__)
