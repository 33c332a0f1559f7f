"""Workers: their start, their end, and those that die."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from support.common import ROOT


@contextlib.contextmanager
def workers(number, action="serve"):
    """Runs `worker_fakes.py`; gives (process, port)."""
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "tests" / "support" / "worker_fakes.py"),
            str(number),
            action,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""},
    )
    try:
        line = process.stdout.readline().strip()
        yield process, int(line) if line else None
    finally:
        process.kill()
        process.communicate()


def ask(port):
    """The process that answers a connection."""
    address = ("127.0.0.1", port)
    with socket.create_connection(address, timeout=5) as client:
        return int(client.recv(100))


def command_of(pid):
    with contextlib.suppress(OSError):
        return open(f"/proc/{pid}/cmdline").read()
    return ""


def wait_until(holds):
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ends(process, status):
    assert process.wait(timeout=15) == status
    return process.stderr.read()


def test_all_answer_on_one_port_and_one_signal_ends_them():
    with workers(2) as (process, port):
        found = set()
        wait_until(lambda: found.add(ask(port)) or len(found) == 2)
        process.send_signal(signal.SIGTERM)
        ends(process, 0)
        assert not any(map(command_of, found))
        with pytest.raises(OSError):
            ask(port)


def test_one_that_dies_is_started_again():
    with workers(2) as (process, port):
        dead = ask(port)
        os.kill(dead, signal.SIGKILL)
        for _ in range(20):
            assert ask(port) != dead  # Nobody is kept waiting.
        found = set()
        wait_until(lambda: found.add(ask(port)) or len(found) == 2)
        process.send_signal(signal.SIGINT)
        log = ends(process, 0)
    (line,) = [line for line in log.splitlines() if f"{dead}" in line]
    assert line.endswith("was ended by SIGKILL; it is started again in 1 s")


@pytest.mark.parametrize(
    "action, error",
    [
        ("fail", "engine=int8: is not there"),
        ("die", "ended with status 3 while it started"),
    ],
)
def test_one_that_cannot_start_ends_the_server(action, error):
    with workers(2, action) as (process, port):
        assert port is None
        assert error in ends(process, 1)


def test_a_second_signal_ends_workers_that_hang():
    with workers(2, "hang") as (process, port):
        ask(port)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        ends(process, 1)
        assert time.monotonic() - start < 2
