"""Servers of fake models in processes of their own."""

import contextlib
import http.client
import re
import subprocess
import sys

from support.common import ROOT


class Process:
    """`serving_fakes.py` run as a program.

    Args:
        folder, seconds, *options: its arguments.

    Attributes:
        port, rpc_port: its ports; 0 for none.
    """

    def __init__(self, folder, seconds, *options):
        command = [
            sys.executable,
            str(ROOT / "tests" / "support" / "serving_fakes.py"),
        ]
        self.process = subprocess.Popen(
            [*command, str(folder), str(seconds), *options],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""},
        )
        address, rpc_port = self.process.stdout.readline().split()
        self.port = int(address.rpartition(":")[2])
        self.rpc_port = int(rpc_port)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def memory(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


@contextlib.contextmanager
def server(folder, seconds=0.0, *options):
    """Runs a server while the block runs; gives its Process."""
    process = Process(folder, seconds, *options)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.wait()
