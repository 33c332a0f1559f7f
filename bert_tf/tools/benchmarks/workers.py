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

from absl import logging

from bert_tf import suggestions
from bert_tf.errors import UserError

FOLDER = pathlib.Path(__file__).parent / "peers"
PACKAGE_ROOT = pathlib.Path(__file__).parents[3]
OURS = "ours"
BASELINE = "baseline"
TRAINING, INFERENCE = "training", "inference"
_TORCH = ("torch", "pytorch", "huggingface", "hugging_face", "hf")
# {what is compared: {peer: what else it is called}}.
PEERS: dict[str, dict[str, tuple[str, ...]]] = {
    TRAINING: {
        "transformers": _TORCH,
        "keras_hub": ("kerashub", "keras", "keras_nlp"),
    },
    INFERENCE: {
        "transformers": _TORCH,
        "onnxruntime": ("onnx", "ort", "onnx_runtime"),
        "openvino": ("ov", "open_vino"),
    },
}
# {what is compared: the file of a worker}.
SCRIPTS = {TRAINING: "{}_worker.py", INFERENCE: "{}_inference.py"}
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
        script: the worker's file, in `FOLDER`.
        root: the folder of the checkout that it imports; "" for a peer.
        arguments: of the worker, after its task.
    """

    name: str
    python: str
    script: str
    root: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether it is this checkout."""
        return self.root == str(PACKAGE_ROOT) and self.name != BASELINE

    def command(self, *arguments: str, script: str = "") -> list[str]:
        """The command line of a script; by default the worker's."""
        return [self.python, str(FOLDER / (script or self.script)), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        found = {**os.environ, **QUIET}
        return found | path_with(self.root) if self.root else found


def path_with(root: str) -> dict[str, str]:
    """Environment variables with which Python imports a checkout first."""
    others = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{root}{os.pathsep}{others}" if others else root}


def check_peer(name: str, setting: str, job: str) -> None:
    """Raises UserError for a name that is not a peer's.

    Args:
        name: what was given.
        setting: the flag that has it.
        job: what is compared, a key of `PEERS`.
    """
    peers = PEERS[job]
    if name not in peers:
        meant = {other: (peer,) for peer in peers for other in peers[peer]}
        raise UserError(
            f"no such peer; known are {', '.join(peers)}"
            + suggestions.hint(name, peers, meant, form="{}"),
            setting=setting,
            value=name,
        )


def contestants(
    peers: list[str],
    pythons: list[str],
    baseline: str | None,
    job: str = TRAINING,
) -> list[Contestant]:
    """Ours, another checkout of ours, and peers.

    Args:
        peers: the peers' names.
        pythons: "peer=path", the interpreters of peers that are not in this
            environment.
        baseline: the folder of the other checkout; None for no such one.
        job: what is compared, a key of `PEERS`.

    Raises:
        UserError: a name or a path is wrong.
    """
    for name in peers:
        check_peer(name, "compare", job)
    interpreters = dict(interpreter_of(value, peers, job) for value in pythons)
    ours = SCRIPTS[job].format(OURS)
    found = [Contestant(OURS, sys.executable, ours, str(PACKAGE_ROOT))]
    if baseline:
        if not os.path.isdir(os.path.join(baseline, "bert_tf")):
            raise UserError(
                "no checkout: it has no folder bert_tf",
                setting="baseline",
                value=baseline,
            )
        root = os.path.abspath(baseline)
        found.append(Contestant(BASELINE, sys.executable, ours, root))
    for name in dict.fromkeys(peers):
        python = interpreters.get(name, sys.executable)
        found.append(Contestant(name, python, SCRIPTS[job].format(name)))
    return found


def interpreter_of(value: str, peers: list[str], job: str) -> tuple[str, str]:
    """A peer's name and its interpreter, of "peer=path".

    Args:
        value: what was given.
        peers: the names of the peers that take part.
        job: what is compared, a key of `PEERS`.

    Raises:
        UserError: the form, the name or the path is wrong.
    """

    def mistake(why: str) -> UserError:
        return UserError(why, setting="peer_python", value=value)

    name, _, path = value.partition("=")
    if not path:
        raise mistake("must have the form transformers=/path/to/python")
    check_peer(name, "peer_python", job)
    if name not in peers:
        raise mistake(f"{name} is not compared with")
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        raise mistake("there is no such program")
    return name, path


def run_script(contestant: Contestant, script: str, *arguments: str) -> None:
    """Runs a script of `FOLDER` as a contestant's process, to its end.

    Args:
        contestant: whose interpreter and checkout it uses.
        script: the file's name.
        *arguments: of the script.

    Raises:
        NotInstalled: a package is missing.
        UserError: the script has failed.
    """
    done = subprocess.run(
        contestant.command(*arguments, script=script),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=contestant.environment,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise _failure(contestant, script, done.stderr, done.returncode)


def _failure(
    contestant: Contestant, what: str, log: str, status: int
) -> Exception:
    """The exception for a process that has ended too early.

    Args:
        contestant: whose process it was.
        what: what has ended, for the message.
        log: the process's standard error.
        status: its exit status.
    """
    lines = log.strip().splitlines()
    last = lines[-1] if lines else f"it ended with status {status}"
    if contestant.is_ours:
        print(*lines, sep="\n", file=sys.stderr)
    elif last.startswith("ModuleNotFoundError: "):
        return NotInstalled(last.partition(": ")[2])
    return UserError(f"{contestant.name}: {what} has ended: {last}")


class Worker:
    """A process that has built its model and worked once.

    Use it as a context manager: at its end the process ends.

    Args:
        contestant: what runs.
        task_file: see `worker_loop.write_task` and `answer_loop.write_task`.

    Attributes:
        contestant: what runs.
        name: the contestant's.
        first: what the process says when it has worked once: `versions`, the
            packages that compute; `device`, "CPU" or "GPU"; and more.
        seconds_to_first: from the start of the process until then: to the end
            of its first step, or to its first answer.

    Raises:
        NotInstalled: a package is missing.
        UserError: the process has ended for another reason.
    """

    def __init__(self, contestant: Contestant, task_file: str):
        self.contestant, self.name = contestant, contestant.name
        start = time.perf_counter()
        # A full pipe would block it.
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            contestant.command(task_file, *contestant.arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=contestant.environment,
            text=True,
        )
        try:
            self.first = self._answer()
        except BaseException:
            self.close()
            raise
        self.seconds_to_first = time.perf_counter() - start

    @property
    def versions(self) -> str:
        """The packages that compute, and on what."""
        return f"{self.first['versions']}, {self.first['device']}"

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, do: str, **values: Any) -> Mapping[str, Any]:
        """Sends a request and waits for the answer.

        Args:
            do: a request that the worker knows, see `worker_loop`.
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
        log = self._log.read()
        raise _failure(self.contestant, "its process", log, status)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream, "it is a pipe or a file"
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def start(
    contestants: list[Contestant],
    task_file: str,
    stack: contextlib.ExitStack,
) -> list[Worker]:
    """Starts contestants one after the other, and reports those that fail.

    Args:
        contestants: who takes part. Those that are not installed are taken off
            the list.
        task_file: see `Worker`.
        stack: ends their processes.

    Raises:
        UserError: ours has failed.
    """
    started = []
    for contestant in list(contestants):
        try:
            worker = Worker(contestant, task_file)
        except NotInstalled as error:
            print_not_installed(contestant, error)
            contestants.remove(contestant)
        except UserError as error:
            if contestant.is_ours:
                raise
            print(f"Left out: {error}")
        else:
            started.append(stack.enter_context(worker))
            logging.info(
                "%s has worked once after %.1f s",
                worker.name,
                worker.seconds_to_first,
            )
    return started


def print_not_installed(contestant: Contestant, error: NotInstalled) -> None:
    """Reports a contestant that is left out."""
    print(
        f"{contestant.name} is not installed, and left out: {error} in "
        f"{contestant.python}"
    )
