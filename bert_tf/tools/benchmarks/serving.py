"""Measures the server with several settings; see benchmark.py."""

import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import threading
import time
from collections.abc import Iterable
from concurrent import futures

import numpy as np
from absl import flags

from bert_tf import files
from bert_tf.export import saved_models
from bert_tf.programs import program
from bert_tf.tools.benchmarks.data import read_texts
from bert_tf.tools.benchmarks.racing import print_cells, race, ratio
from bert_tf.tools.benchmarks.server_process import serving

FLAGS = flags.FLAGS
NUM_CLIENTS = 32
NUM_REQUESTS = 1280  # Per round, so that its start and end do not matter.
HEADERS = {"Content-Type": "application/json"}


class Clients:
    """Clients that send without a pause, each over a connection of its own.

    Args:
        port: the server's port.
        number: number of clients.
        bodies: the bodies of all requests; each is sent once per round.

    Attributes:
        seconds: the time of each request that was answered.
    """

    def __init__(self, port: int, number: int, bodies: list[bytes]):
        self._bodies = bodies
        self._connections = [
            http.client.HTTPConnection("127.0.0.1", port, timeout=600)
            for _ in range(number)
        ]
        self.seconds: list[float] = []

    def work(self) -> None:
        """Sends each body once."""
        waiting = iter(self._bodies)
        lock = threading.Lock()
        with futures.ThreadPoolExecutor(len(self._connections)) as pool:
            done = [
                pool.submit(self._client, connection, waiting, lock)
                for connection in self._connections
            ]
        for each in done:
            each.result()

    def _client(self, connection, waiting, lock):
        while (body := self._next(waiting, lock)) is not None:
            start = time.perf_counter()
            connection.request("POST", "/v1/models/m:predict", body, HEADERS)
            reply = connection.getresponse()
            answer = reply.read()
            if reply.status != 200:
                raise RuntimeError(f"{reply.status}: {answer[:200]}")
            self.seconds.append(time.perf_counter() - start)
        # The server would close it while the other contestants work.
        connection.close()

    def _next(self, waiting, lock):
        with lock:
            return next(waiting, None)


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A server, and how many clients ask it.

    Attributes:
        settings: flags of the server.
        num_clients: number of clients.
        root: folder of the checkout that it is of; by default this one.
    """

    settings: tuple[str, ...] = ()
    num_clients: int = NUM_CLIENTS
    root: str = ""


def contestants() -> dict[str, Contestant]:
    """Returns what is measured, by the names of the table's rows."""
    many = f"{NUM_CLIENTS} clients"
    found = {
        many: Contestant(),
        f"{many}, 2 workers": Contestant(("--workers=2",)),
    }
    folder = saved_models.find(FLAGS.model)
    if files.exists(os.path.join(folder, saved_models.INT8_NETWORK)):
        int8 = "--engine=int8"
        found[f"{many}, int8"] = Contestant((int8,))
        found[f"{many}, int8, 2 workers"] = Contestant((int8, "--workers=2"))
    found[f"{many}, no batches"] = Contestant(("--max_batch_size=1",))
    found["one client"] = Contestant(num_clients=1)
    if FLAGS.baseline:
        root = os.path.abspath(FLAGS.baseline)
        found[f"{many}, baseline"] = Contestant(root=root)
    return found


def benchmark_serving() -> None:
    """Compares servers with other settings, and of another checkout."""
    program.require("model")
    if FLAGS.baseline:
        program.require_existing("baseline", folder=True)
    bodies = requests_of(read_texts())
    with contextlib.ExitStack() as stack:
        clients = {
            name: Clients(
                stack.enter_context(
                    serving(FLAGS.model, *each.settings, root=each.root)
                ).port,
                each.num_clients,
                bodies,
            )
            for name, each in contestants().items()
        }
        seconds = race(
            {name: each.work for name, each in clients.items()}, FLAGS.rounds
        )
    print(
        f"\n{len(bodies)} requests of one text each to {FLAGS.model}, on "
        f"{os.cpu_count()} cores that clients and server share.\n"
    )
    compared = [f"{NUM_CLIENTS} clients", "one client"]
    if FLAGS.baseline:
        compared.append(f"{NUM_CLIENTS} clients, baseline")
    rows = []
    for name, each in clients.items():
        measured = each.seconds[len(bodies) :]  # Without the warm-up round.
        middle, slow = np.percentile(measured, [50, 99]) * 1000
        rows.append(
            [
                name,
                f"{len(bodies) / np.median(seconds[name]):,.1f}",
                *(f"{ratio(seconds, name, other):.2f}" for other in compared),
                f"{middle:.1f}",
                f"{slow:.1f}",
            ]
        )
    header = ["", "requests/s", *(f"times {name}" for name in compared)]
    print_cells([*header, "p50, ms", "p99, ms"], rows)


def requests_of(texts: Iterable[str]) -> list[bytes]:
    """Returns the bodies of NUM_REQUESTS requests of one text each."""
    texts = itertools.islice(itertools.cycle(texts), NUM_REQUESTS)
    return [body_of(text) for text in texts]


def body_of(instance: object) -> bytes:
    """Returns the body of a request for one answer."""
    return json.dumps({"instances": [instance]}).encode()
