"""The loop of a worker: a process that trains a model when it is asked to.

    python FOLDER/transformers_worker.py task.json

A worker builds its model, trains one step, and says so. From then on it reads
requests from its standard input, one JSON object a line, and answers each with
another. It computes nothing in between, so that others can be measured.

A worker may run in an environment of its own. So this module, and the workers
but for ours, import nothing of bert_tf, and are run by their paths.
"""

import dataclasses
import itertools
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

# Products of a measurement of the peak; the fastest counts.
NUM_PRODUCTS = 5

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Task:
    """The training that a worker runs.

    Attributes:
        problem: "classification", "questions" or "pretraining".
        config: the sizes of the model, as in bert_config.json.
        precision: "float32" or "bfloat16".
        batches: the batches of a round, with the names of the original's
            features: int [B, S], or [B] for labels.
        settings: more settings, of our worker alone.
    """

    problem: str
    config: Mapping[str, Any]
    precision: str
    batches: Sequence[Arrays]
    settings: Mapping[str, Any]


class Contestant(Protocol):
    """A model with random weights, and its training.

    Attributes:
        device: where it computes, "CPU" or "GPU".
        versions: the packages that compute, such as "PyTorch 2.14".
    """

    device: str
    versions: str

    def train(self, num_steps: int) -> float:
        """Trains steps, on the next batches in turn; returns the last loss."""
        ...

    def product(self, size: int) -> Callable[[], object]:
        """Work that multiplies two matrices [size, size], in the precision."""
        ...

    def peak_bytes(self) -> int:
        """The largest memory so far, of the GPU if it computes there."""
        ...


def read_task(path: str) -> Task:
    """Reads what `write_task` has written."""
    with open(path, encoding="utf-8") as reader:
        values = json.load(reader)
    arrays = np.load(values.pop("arrays"))
    batches: list[Arrays] = [{} for _ in range(values.pop("num_batches"))]
    for key in arrays:
        number, _, name = key.partition("/")
        batches[int(number)][name] = arrays[key]
    return Task(batches=batches, **values)


def write_task(task: Task, folder: str) -> str:
    """Writes a task into a folder, for all workers; returns the file's path."""
    arrays_path = os.path.join(folder, "batches.npz")
    arrays: dict[str, Any] = {
        f"{number}/{name}": values
        for number, batch in enumerate(task.batches)
        for name, values in batch.items()
    }
    np.savez(arrays_path, **arrays)
    values = {
        field.name: getattr(task, field.name)
        for field in dataclasses.fields(task)
        if field.name != "batches"
    }
    values |= {"arrays": arrays_path, "num_batches": len(task.batches)}
    path = os.path.join(folder, "task.json")
    with open(path, "w", encoding="utf-8") as writer:
        json.dump(values, writer)
    return path


def endless(batches: Sequence[Any]) -> Callable[[], Any]:
    """A function that gives the batches in turn, without end."""
    return itertools.cycle(batches).__next__


def run(make: Callable[[Task], Contestant]) -> None:
    """Trains a step, and answers requests until the standard input ends.

    Args:
        make: function(task) that builds the model.
    """
    answer = answer_channel()
    contestant = make(read_task(sys.argv[1]))
    trained(contestant, 1)
    answer({"device": contestant.device, "versions": contestant.versions})
    answer_requests(contestant, REQUESTS, answer)


def answer_channel() -> Callable[[Mapping[str, Any]], None]:
    """A function that writes an answer to what was the standard output.

    Libraries print to standard output, too, which becomes the standard error.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(values: Mapping[str, Any]) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    return answer


def answer_requests(
    contestant: Any,
    requests: Mapping[str, Callable[..., dict[str, Any]]],
    answer: Callable[[Mapping[str, Any]], None],
) -> None:
    """Answers requests until the standard input ends.

    Args:
        contestant: the first argument of all functions.
        requests: {name: function(contestant, **values) -> an answer}.
        answer: see `answer_channel`.
    """
    for line in sys.stdin:
        request = json.loads(line)
        answer(requests[request.pop("do")](contestant, **request))


def trained(contestant: Contestant, num_steps: int) -> dict[str, Any]:
    """Trains steps; returns the loss of the last one.

    Raises:
        RuntimeError: the loss is not a finite number.
    """
    loss = contestant.train(num_steps)
    if not math.isfinite(loss):
        raise RuntimeError(f"the loss is {loss}")
    return {"loss": loss}


def product_rate(contestant: Contestant, size: int) -> dict[str, Any]:
    """The FLOP/s of a matrix product [size, size] x [size, size]."""
    work = contestant.product(size)
    work()
    seconds = []
    for _ in range(NUM_PRODUCTS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return {"flops": 2 * size**3 / min(seconds)}


def peak_memory(contestant: Contestant) -> dict[str, Any]:
    """The largest memory so far, in bytes."""
    return {"bytes": contestant.peak_bytes()}


def profiled(
    contestant: Contestant, num_steps: int, folder: str
) -> dict[str, Any]:
    """Trains steps, and leaves TensorFlow's trace of them in a folder."""
    contestant.profile(num_steps, folder)  # type: ignore[attr-defined]
    return {}


REQUESTS: dict[str, Callable[..., dict[str, Any]]] = {
    "train": trained,
    "product": product_rate,
    "memory": peak_memory,
    "profile": profiled,
}


def peak_bytes_of_process() -> int:
    """The largest memory of this process so far, in bytes.

    On Linux `getrusage` starts with the memory of the process that started
    this one.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak if sys.platform == "darwin" else peak * 1024
    return _bytes_of_status("VmHWM:") or peak


def bytes_of_process() -> int:
    """The memory of this process now, in bytes; elsewhere than on Linux the
    largest so far."""
    return _bytes_of_status("VmRSS:") or peak_bytes_of_process()


def _bytes_of_status(name: str) -> int | None:
    """A size in Linux's description of this process."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(name):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
