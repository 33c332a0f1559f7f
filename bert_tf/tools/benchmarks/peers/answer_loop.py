"""The loop of a worker that answers texts with a model when it is asked to.

    python FOLDER/onnxruntime_inference.py task.json int8

A worker loads its model, answers one text, and says so. From then on it answers
requests as `worker_loop` has them.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, Protocol

import numpy as np

# The folder of this file is the first where Python looks.
import worker_loop
from answer_task import Item, Task, read_task


class Contestant(Protocol):
    """A model that answers.

    Attributes:
        device: where it computes, "CPU" or "GPU".
        versions: the packages that compute, such as "PyTorch 2.14".
    """

    device: str
    versions: str

    def tune(self, items: Sequence[Item], num_clients: int) -> str:
        """Tries settings, keeps the fastest, and names them."""
        ...

    def answer_one(self, item: Item) -> Any:
        """Answers one item."""
        ...

    def answer_all(self, items: Sequence[Item]) -> Sequence[Any]:
        """Answers all items, in their order."""
        ...

    def answer_for_client(self, item: Item) -> Any:
        """Answers one item, while other threads call this function."""
        ...

    def compared(self, answer: Any) -> tuple[str, list[float]]:
        """The label or the text of an answer, and its probabilities."""
        ...


class Asked:
    """A contestant, what it is asked, and what it has answered.

    Args:
        contestant: who answers.
        task: what is asked.
    """

    def __init__(self, contestant: Contestant, task: Task):
        self._contestant, self._task = contestant, task
        self._one: Sequence[Any] = ()
        self._batches: Sequence[Any] = ()

    def tune(self) -> dict[str, Any]:
        """Lets the contestant choose its settings; {"chosen": their names}."""
        task = self._task
        chosen = self._contestant.tune(task.items, task.num_clients)
        return {"chosen": chosen}

    def one(self) -> dict[str, Any]:
        """Asks one at a time; {"seconds": that each answer took}."""
        seconds, answers = [], []
        for item in self._task.requests:
            start = time.perf_counter()
            answers.append(self._contestant.answer_one(item))
            seconds.append(time.perf_counter() - start)
        self._one = answers
        return {"seconds": seconds}

    def batches(self) -> dict[str, Any]:
        """Asks for all items together."""
        self._batches = self._contestant.answer_all(self._task.items)
        return {}

    def clients(self) -> dict[str, Any]:
        """Asks from several threads; {"seconds": that each answer took}.

        Each thread asks again when it has its answer.
        """
        seconds: list[float] = []
        waiting = iter(self._task.requests)
        lock = threading.Lock()

        def client() -> None:
            while True:
                with lock:
                    item = next(waiting, None)
                if item is None:
                    return
                start = time.perf_counter()
                self._contestant.answer_for_client(item)
                seconds.append(time.perf_counter() - start)

        number = self._task.num_clients
        with futures.ThreadPoolExecutor(number) as pool:
            done = [pool.submit(client) for _ in range(number)]
        for each in done:
            each.result()
        return {"seconds": seconds}

    def memory(self) -> dict[str, Any]:
        """The memory of the process in bytes: now, and the largest so far."""
        return {
            "now": worker_loop.bytes_of_process(),
            "peak": worker_loop.peak_bytes_of_process(),
        }

    def answers(self, path: str) -> dict[str, Any]:
        """Writes the last answers, those of `one` after those of `batches`.

        Args:
            path: the .npz file; `labels`, str [N], and `probabilities`,
                float [N, C].
        """
        answers = [*self._batches, *self._one]
        compared = [self._contestant.compared(answer) for answer in answers]
        labels, probabilities = zip(*compared, strict=True)
        np.savez(
            path, labels=np.array(labels), probabilities=np.array(probabilities)
        )
        return {}


REQUESTS: dict[str, Callable[..., dict[str, Any]]] = {
    "tune": Asked.tune,
    "one": Asked.one,
    "batches": Asked.batches,
    "clients": Asked.clients,
    "memory": Asked.memory,
    "answers": Asked.answers,
}


def run(
    make: Callable[[Task, str], Contestant],
    start_library: Callable[[], object],
) -> None:
    """Answers a text, and then requests until the standard input ends.

    Args:
        make: function(task, variant) that loads the model. The variant is the
            worker's second argument, such as "int8".
        start_library: work that lets the library allocate what it needs
            without a model.
    """
    answer = worker_loop.answer_channel()
    task = read_task(sys.argv[1])
    start_library()
    library = worker_loop.bytes_of_process()
    contestant = make(task, sys.argv[2])
    contestant.answer_one(task.items[0])
    answer(
        {
            "device": contestant.device,
            "versions": contestant.versions,
            "library": library,
            "loaded": worker_loop.bytes_of_process(),
        }
    )
    worker_loop.answer_requests(Asked(contestant, task), REQUESTS, answer)
