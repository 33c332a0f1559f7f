"""A certificate for localhost, made when a test needs it."""

import functools
import pathlib
import shutil
import subprocess
import tempfile

import pytest


@functools.cache
def _made():
    """{file: content}; made once, because a key takes a while."""
    program = shutil.which("openssl")
    if not program:
        pytest.skip("needs the program openssl")
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "req", "-x509", "-newkey", "ec", "-nodes"]
        command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
        command += ["-subj", "/CN=localhost", "-addext"]
        command += ["subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", "key.pem", "-out", "cert.pem"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return {
            name: (pathlib.Path(folder) / name).read_text()
            for name in ("cert.pem", "key.pem")
        }


def certificate(folder):
    """Writes a certificate and its key to a folder; returns their paths."""
    for name, content in _made().items():
        (folder / name).write_text(content)
    return str(folder / "cert.pem"), str(folder / "key.pem")
