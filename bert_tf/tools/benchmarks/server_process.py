"""A server in a process of its own, for benchmarks and soaks."""

import contextlib
import dataclasses
import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

from bert_tf.errors import UserError
from bert_tf.tools.benchmarks import workers


@dataclasses.dataclass(frozen=True)
class ServerProcess:
    """A server that runs.

    Attributes:
        process: its process, which has no status before the block ends.
        port: the port where it listens.
        log: the lines of its log so far.
    """

    process: subprocess.Popen[str]
    port: int
    log: list[str]


@contextlib.contextmanager
def serving(
    model: str, *settings: str, root: str = ""
) -> Iterator[ServerProcess]:
    """Runs a server until the block ends, which sends SIGTERM.

    Args:
        model: folder of the exported model, or of its versions.
        *settings: more flags of the server.
        root: folder of the checkout whose server runs; by default ours.

    Raises:
        UserError: the server does not start.
    """
    command = [sys.executable, "-m", "bert_tf.tools.serve", "--port=0"]
    if root:
        # `-m` looks for modules in the folder in which it is started.
        model = os.path.abspath(model)
    process = subprocess.Popen(
        [*command, f"--model=m={model}", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root or None,
        env=os.environ | workers.path_with(root) if root else None,
    )
    assert process.stdout and process.stderr  # Both are pipes.
    # Somebody must read its log, or it would block on a full pipe.
    lines: list[str] = []
    read = functools.partial(lines.extend, process.stderr)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        address = process.stdout.readline()
        if not address:
            reader.join()
            why = lines[-1].strip() if lines else "it ended"
            raise UserError(f"{model}: the server does not start: {why}")
        port = int(address.rpartition(":")[2])
        yield ServerProcess(process, port, lines)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
