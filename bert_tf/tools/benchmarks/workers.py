"""Contestants in processes of their own, which work only when they are asked.

A worker's file, in `peers`, may run in another environment than this one.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from bert_tf import suggestions
from bert_tf.errors import UserError

FOLDER = pathlib.Path(__file__).parent / "peers"
PACKAGE_ROOT = pathlib.Path(__file__).parents[3]
OURS = "ours"
BASELINE = "baseline"
# {peer: what else it is called}.
PEERS = {
    "transformers": ("torch", "pytorch", "huggingface", "hugging_face", "hf"),
    "keras_hub": ("kerashub", "keras", "keras_nlp"),
}
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "KERAS_BACKEND": "tensorflow",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


class NotInstalled(Exception):
    """A package that a worker needs is not there."""


class Contestant(NamedTuple):
    """How a worker is started.

    Attributes:
        name: how it is called in tables.
        python: the interpreter that runs it.
        root: the folder of the checkout that it imports; "" for a peer.
    """

    name: str
    python: str
    root: str = ""

    @property
    def script(self) -> str:
        """The worker's file."""
        kind = "ours" if self.root else self.name
        return str(FOLDER / f"{kind}_worker.py")


def check_peer(name: str, setting: str) -> None:
    """Raises UserError for a name that is not a peer's."""
    if name not in PEERS:
        meant = {other: (peer,) for peer in PEERS for other in PEERS[peer]}
        raise UserError(
            f"no such peer; known are {', '.join(PEERS)}"
            + suggestions.hint(name, PEERS, meant, form="{}"),
            setting=setting,
            value=name,
        )


def contestants(
    peers: list[str], pythons: list[str], baseline: str | None
) -> list[Contestant]:
    """Ours, another checkout of ours, and peers.

    Args:
        peers: the peers' names.
        pythons: "peer=path", the interpreters of peers that are not in this
            environment.
        baseline: the folder of the other checkout; None for no such one.

    Raises:
        UserError: a name or a path is wrong.
    """
    for name in peers:
        check_peer(name, "compare")
    interpreters = dict(interpreter_of(value, peers) for value in pythons)
    found = [Contestant(OURS, sys.executable, str(PACKAGE_ROOT))]
    if baseline:
        if not os.path.isdir(os.path.join(baseline, "bert_tf")):
            raise UserError(
                "no checkout: it has no folder bert_tf",
                setting="baseline",
                value=baseline,
            )
        root = os.path.abspath(baseline)
        found.append(Contestant(BASELINE, sys.executable, root))
    for name in dict.fromkeys(peers):
        python = interpreters.get(name, sys.executable)
        found.append(Contestant(name, python))
    return found


def interpreter_of(value: str, peers: list[str]) -> tuple[str, str]:
    """A peer's name and its interpreter, of "peer=path".

    Args:
        value: what was given.
        peers: the names of the peers that take part.

    Raises:
        UserError: the form, the name or the path is wrong.
    """

    def mistake(why: str) -> UserError:
        return UserError(why, setting="peer_python", value=value)

    name, _, path = value.partition("=")
    if not path:
        raise mistake("must have the form transformers=/path/to/python")
    check_peer(name, "peer_python")
    if name not in peers:
        raise mistake(f"{name} is not compared with")
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise mistake("there is no such program")
    return name, path


class Worker:
    """A process that has built its model and trained one step.

    Use it as a context manager: at its end the process ends.

    Args:
        contestant: what runs.
        task_file: see `worker_loop.write_task`.

    Attributes:
        name: the contestant's.
        seconds_to_first_step: from the start of the process.
        versions: the packages that compute.
        device: "CPU" or "GPU".

    Raises:
        NotInstalled: a package is missing.
        UserError: the process has ended for another reason.
    """

    def __init__(self, contestant: Contestant, task_file: str):
        self.name = contestant.name
        environment = {**os.environ, **QUIET}
        if contestant.root:
            environment["PYTHONPATH"] = contestant.root
        start = time.perf_counter()
        # A full pipe would block it.
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [contestant.python, contestant.script, task_file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
        )
        try:
            first = self._answer()
        except BaseException:
            self.close()
            raise
        self.seconds_to_first_step = time.perf_counter() - start
        self.versions, self.device = first["versions"], first["device"]

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, do: str, **values: Any) -> Mapping[str, Any]:
        """Sends a request and waits for the answer.

        Args:
            do: one of `worker_loop.REQUESTS`.
            **values: its arguments.
        """
        assert self._process.stdin, "it is a pipe"
        with contextlib.suppress(BrokenPipeError):  # `_answer` says why.
            self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        status = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        last = lines[-1] if lines else f"it ended with status {status}"
        if last.startswith("ModuleNotFoundError: "):
            raise NotInstalled(last.partition(": ")[2])
        if self.name == OURS:
            print(*lines, sep="\n", file=sys.stderr)
        raise UserError(f"{self.name}: its process has ended: {last}")

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream, "it is a pipe or a file"
            with contextlib.suppress(BrokenPipeError):
                stream.close()
