"""Answers with a peer's network, in the way that is fastest on this machine.

Before anything is measured, each peer tries batches of several sizes, and
whether all threads share a batch or each has its own; the fastest way counts.
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
from peer_reading import READERS, Answer, Ids, Outputs, Reader

BATCH_SIZES = 16, 32, 64
# Limits of the items that are tried.
MOST_TRIED = 320
MOST_CHARACTERS = 60_000
NUM_TRIALS = 2  # The first of them warms up.

# From input_ids, input_mask, segment_ids, int64 [B, S], to arrays [B, …].
Network = Callable[[np.ndarray, np.ndarray, np.ndarray], Sequence[np.ndarray]]


class Way(NamedTuple):
    """How sequences are computed.

    Attributes:
        batch_size: sequences of a batch.
        at_once: batches that are computed at the same time, by an equal part
            of the threads each.
    """

    batch_size: int
    at_once: int


class Peer:
    """Base of the peers.

    Args:
        task: what to answer.
        make_network: function(number of threads) that loads the network.
    """

    def __init__(self, task: Task, make_network: Callable[[int], Network]):
        self._reader: Reader = READERS[task.kind](task.settings)
        self._make_network = make_network
        self._num_threads = task.num_threads
        self._networks: dict[int, Network] = {}
        self._pools = {
            number: futures.ThreadPoolExecutor(number)
            for number in {1, task.num_threads}
        }
        self._way = Way(BATCH_SIZES[1], 1)
        self._clients_way = self._way
        self._free = threading.Semaphore(1)
        self._network(1)

    def answer_one(self, item: Item) -> Answer:
        (answer,) = self._answer([item], Way(BATCH_SIZES[0], 1))
        return answer

    def answer_all(self, items: Sequence[Item]) -> list[Answer]:
        return self._answer(items, self._way)

    def answer_for_client(self, item: Item) -> Answer:
        with self._free:
            (answer,) = self._answer([item], self._clients_way)
        return answer

    def compared(self, answer: Answer) -> tuple[str, list[float]]:
        return answer

    def tune(self, items: Sequence[Item], num_clients: int) -> str:
        tried = [*_some(items)]
        at_once = sorted({1, self._num_threads})
        ways = [Way(*way) for way in itertools.product(BATCH_SIZES, at_once)]
        self._way = _fastest(ways, lambda way: self._answer(tried, way))
        for number in at_once:
            self._network(number)
        alone = [Way(BATCH_SIZES[0], number) for number in at_once]

        def ask(way: Way) -> None:
            self._clients_way = way
            self._free = threading.Semaphore(way.at_once)
            with futures.ThreadPoolExecutor(num_clients) as pool:
                for _ in pool.map(self.answer_for_client, tried):
                    pass

        best = _fastest(alone, ask)
        self._clients_way = best
        self._free = threading.Semaphore(best.at_once)
        return (
            f"batches of {self._way.batch_size}, {self._way.at_once} at once; "
            f"for clients {best.at_once} at once"
        )

    def _network(self, at_once: int) -> Network:
        """The network, with its part of the threads."""
        if at_once not in self._networks:
            threads = max(1, self._num_threads // at_once)
            self._networks[at_once] = self._make_network(threads)
        return self._networks[at_once]

    def _answer(self, items: Sequence[Item], way: Way) -> list[Answer]:
        """The answers to items; batches have about equal lengths."""
        network = self._network(way.at_once)
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
