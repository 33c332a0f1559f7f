"""What `tools.tune` found to be fastest on this machine, kept in a folder."""

import dataclasses
import json
import os
import platform

from bert_tf import files
from bert_tf.export.engines.sequences import check_sizes

NAME = os.path.join("assets.extra", "tuned.json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuned:
    """The fastest settings of a `Predictor` on a machine.

    Attributes:
        machine: what `machine` returned there.
        engine, num_threads, max_batch_tokens: see `Predictor`.
    """

    machine: str
    engine: str
    num_threads: int
    max_batch_tokens: int

    def __post_init__(self):
        check_sizes(
            num_threads=self.num_threads,
            max_batch_tokens=self.max_batch_tokens,
        )


def machine() -> str:
    """Names the processor and the number of cores that this process has."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as reader:
            names = [line for line in reader if line.startswith("model name")]
        name = names[0].partition(":")[2].strip()
    except (OSError, IndexError):
        pass  # Another system, or another kind of processor.
    return f"{name}, {num_cores()} cores"


def num_cores() -> int:
    """The number of cores that this process, and those it starts, may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def write(folder: str, tuned: Tuned) -> None:
    """Keeps settings in the folder of an export."""
    path = os.path.join(folder, NAME)
    files.make_folder_of(path)
    files.write_text(path, json.dumps(dataclasses.asdict(tuned), indent=2))


def read(folder: str) -> Tuned | None:
    """Reads the settings for this machine.

    Returns:
        None if the folder has none, or those of another machine.
    """
    path = os.path.join(folder, NAME)
    if not files.exists(path):
        return None
    try:
        tuned = Tuned(**json.loads(files.read_text(path)))
    except (ValueError, TypeError):
        return None
    return tuned if tuned.machine == machine() else None
