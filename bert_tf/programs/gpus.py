"""The GPUs of this machine: those that TensorFlow sees, and all others."""

import shutil
import subprocess

import tensorflow as tf

from bert_tf import files
from bert_tf.doctor.machine import Devices


def devices() -> Devices:
    """The devices for `machine.check_devices`."""
    names, capabilities = nvidia_devices()
    return Devices(
        seen=num_seen(),
        present=names,
        capabilities=capabilities,
        build=dict(tf.sysconfig.get_build_info()),
    )


def num_seen() -> int:
    """How many GPUs TensorFlow sees."""
    return len(tf.config.list_physical_devices("GPU"))


def memory() -> float | None:
    """The bytes of the smallest GPU that nvidia-smi names; None without it."""
    rows = _nvidia_smi("memory.total")
    sizes = [float(row[0].split()[0]) for row in rows if row[0][:1].isdigit()]
    return min(sizes) * (1 << 20) if sizes else None


def nvidia_devices() -> tuple[list[str], list[str]]:
    """The NVIDIA devices of this machine: (names, compute capabilities).

    They are those that nvidia-smi names, or else the files in /dev.
    """
    rows = _nvidia_smi("name,compute_cap")
    if rows:
        return [row[0] for row in rows], [row[-1] for row in rows]
    names = [
        f"/dev/{name}"
        for name in files.entries("/dev")
        if name.startswith("nvidia") and name[6:].isdecimal()
    ]
    return sorted(names), []


def _nvidia_smi(query: str) -> list[list[str]]:
    """The rows that nvidia-smi answers; [] without it."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    if not shutil.which(command[0]):
        return []
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=5, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in answer.strip().split("\n")]
    number = len(query.split(","))
    return [row for row in rows if len(row) == number]
