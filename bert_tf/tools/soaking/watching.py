"""The memory of a server during a soak, and the versions that it is given."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

from bert_tf.errors import UserError
from bert_tf.tools.soaking.clients import Clients

SAMPLE_SECONDS = 0.25
LOOK_SECONDS = 0.05  # Between two looks at the progress and the versions.
LOAD_SECONDS = 60  # A version that is loading after the last request has these.
BROKEN = 3  # The number of the broken one among the new versions.


def memory_of(pid: int) -> float:
    """Returns the memory that a process uses, in megabytes.

    Raises:
        UserError: the system does not say it; only Linux does, in /proc.
    """
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024
    except (OSError, IndexError):
        raise UserError(
            f"the memory of process {pid} cannot be read: it has ended, or "
            "this system has no /proc"
        ) from None


class Memory:
    """Reads the memory of a process again and again.

    Attributes:
        samples: [(seconds since the start, megabytes)].
    """

    def __init__(self, pid: int):
        self._pid = pid
        self.samples: list[tuple[float, float]] = []

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Takes samples until the block ends."""
        start, done = time.monotonic(), threading.Event()

        def work() -> None:
            while not done.wait(SAMPLE_SECONDS):
                with contextlib.suppress(UserError):  # It has just ended.
                    megabytes = memory_of(self._pid)
                    self.samples.append((time.monotonic() - start, megabytes))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    @property
    def growth(self) -> float:
        """Megabytes from the second fifth of the soak to its last fifth.

        In the first fifth the server allocates what it keeps: threads,
        buffers, the second version of the model.
        """
        used = [megabytes for _, megabytes in self.samples]
        fifth = max(1, len(used) // 5)
        early, late = used[fifth : 2 * fifth] or used[:1], used[-fifth:]
        return sorted(late)[len(late) // 2] - sorted(early)[len(early) // 2]


class Versions:
    """A folder of versions of one model, which gets new ones.

    Args:
        model: the exported model, of which all versions are copies.
        folder: an empty folder.

    Attributes:
        folder: the folder.
        number: the newest version that can be loaded.
        broken: versions that cannot be loaded.
    """

    def __init__(self, model: str, folder: str):
        self._model = model
        self.folder = pathlib.Path(folder)
        self.number = 0
        self.broken: list[int] = []
        self._newest = 0

    def add(self, is_broken: bool = False) -> None:
        """Adds a version; a broken one has half of its graph."""
        self._newest += 1
        partial = self.folder / f"{self._newest}.partial"
        shutil.copytree(self._model, partial)
        if is_broken:
            self.broken.append(self._newest)
            graph = partial / "saved_model.pb"
            os.truncate(graph, graph.stat().st_size // 2)
        else:
            self.number = self._newest
        partial.rename(self.folder / str(self._newest))
        self._remove_old()

    def _remove_old(self) -> None:
        """Removes what the server no longer reads."""
        for path in self.folder.iterdir():
            if path.name.isdigit() and int(path.name) < self.number - 3:
                shutil.rmtree(path)


class Reloads:
    """Gives a server new versions while clients ask it.

    Args:
        versions: the folder that the server reads.
        clients: the clients; the versions come at even parts of their work.
        port: the server's port.
        number: number of new versions.

    Attributes:
        seconds: the seconds since the start at which each new version
            answered.
    """

    def __init__(
        self, versions: Versions, clients: Clients, port: int, number: int
    ):
        self._versions = versions
        self._clients = clients
        self._port = port
        self._number = number
        self._done = threading.Event()
        self.seconds: list[float] = []

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Adds the versions during the block.

        A short soak can send its last request while a version is loading.
        Then the end of the block waits for that version, and for those that
        are left.
        """
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
            thread.join(LOAD_SECONDS)
        finally:
            self._done.set()
            thread.join()

    def _work(self) -> None:
        for number in range(1, self._number + 1):
            while self._clients.progress < number / (self._number + 1):
                if self._done.wait(LOOK_SECONDS):
                    return
            self._versions.add(is_broken=number == BROKEN)
            if number == BROKEN:
                continue
            while not is_available(self._port, self._versions.number):
                if self._done.wait(LOOK_SECONDS):
                    return
            self.seconds.append(self._clients.seconds)


def get(port: int, path: str) -> Any:
    """Returns the JSON that a server on this machine answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def is_available(port: int, version: int) -> bool:
    """Whether a server answers with a version of its model "m"."""
    try:
        states = get(port, "/v1/models/m")["model_version_status"]
    except (OSError, KeyError):
        return False
    return {"version": str(version), "state": "AVAILABLE"} in [
        {name: state[name] for name in ("version", "state")} for state in states
    ]
