"""Loads TensorFlow without its notes, and without libraries that nobody uses.

TensorFlow's C++ code writes notes to file descriptor 2 before its own settings
for the log apply: of oneDNN, and of graphics cards that a machine without any
does not have. They are caught while it loads, and logged as details. A warning
or an error is shown; so is each note about CUDA where a graphics card is
present and TensorFlow does not see it.
"""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import logging

from bert_tf.import_hooks import ImportHook

# Keras loads them where they are installed, to accept and to give objects of
# theirs. That takes a third of its time, and programs have no use for it.
NOT_FOR_KERAS = ("matplotlib", "pandas", "sklearn")
# What Linux has where a graphics card of NVIDIA or AMD has a driver.
GPU_FILES = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/kfd")
_START = re.compile(r"[IWEF]\d{4} \S+ +\d+ (\S+\] )")
_PREINIT = "WARNING: All log messages before absl::InitializeLog()"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Makes the first import of TensorFlow in the block a quiet one."""
    if "tensorflow" in sys.modules:
        yield
        return
    hook = ImportHook("tensorflow", _load)
    hook.install()
    try:
        yield
    finally:
        hook.remove()


def _load(execute: Callable[[], None], module: Any) -> None:
    """Executes TensorFlow's module, and looks for its devices."""
    notes: list[str] = []
    with _caught(notes):
        with _absent(NOT_FOR_KERAS):
            execute()
        devices = module.config.list_physical_devices()
    is_blind = has_gpu() and all(d.device_type == "CPU" for d in devices)
    for note, is_shown in sorted_out(notes, is_blind):
        (logging.warning if is_shown else logging.debug)("%s", note)


def has_gpu() -> bool:
    """Whether the machine has a graphics card with a driver."""
    return any(map(os.path.exists, GPU_FILES))


def sorted_out(
    lines: Sequence[str], is_blind: bool
) -> Iterator[tuple[str, bool]]:
    """Decides which of TensorFlow's lines people see.

    Args:
        lines: what it has written while it was loaded.
        is_blind: whether the machine has a graphics card, and TensorFlow sees
            none.

    Yields:
        (message without its time, whether it is shown).
    """
    is_shown, seen = True, set[str]()
    for line in lines:
        if line.startswith(_PREINIT) or not line.strip():
            continue
        if start := _START.match(line):
            is_about_gpu = re.search("(?i)cuda|gpu|rocm|cudnn", line)
            is_shown = is_blind if is_about_gpu else line[0] != "I"
            line = line[start.start(1) :]
        if line not in seen:  # Two of its libraries say the same.
            seen.add(line)
            yield f"TensorFlow: {line}", is_shown


@contextlib.contextmanager
def _absent(names: Sequence[str]) -> Iterator[None]:
    """Lets libraries that are not loaded seem to be missing in the block."""
    hidden = [name for name in names if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            if modules.get(name, 0) is None:
                del modules[name]


@contextlib.contextmanager
def _caught(lines: list[str]) -> Iterator[None]:
    """Catches what the block writes to file descriptor 2.

    If the block fails, everything is written there after all: also if the
    process dies in it, as TensorFlow's does on processors that are too old.

    Args:
        lines: gets what was written.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file, _spare_stderr() as stderr:
        with _shown_if_process_dies(file, stderr):
            os.dup2(file.fileno(), 2)
            try:
                yield
            except BaseException:
                _copy(file, stderr)
                raise
            finally:
                sys.stderr.flush()
                os.dup2(stderr, 2)
        file.seek(0)
        lines += file.read().decode("utf-8", "replace").splitlines()


@contextlib.contextmanager
def _spare_stderr() -> Iterator[int]:
    stderr = os.dup(2)
    try:
        yield stderr
    finally:
        os.close(stderr)


@contextlib.contextmanager
def _shown_if_process_dies(file: Any, stderr: int) -> Iterator[None]:
    """Copies a file to standard error if the block does not end.

    A small process waits for that: nothing in a process survives its abort.
    """
    waits, ends = os.pipe()
    watcher = os.fork()
    if watcher == 0:
        try:
            os.close(ends)
            if not os.read(waits, 1):
                _copy(file, stderr)
        finally:
            os._exit(0)
    os.close(waits)
    try:
        yield
    finally:
        os.write(ends, b"x")
        os.close(ends)
        os.waitpid(watcher, 0)


def _copy(file: Any, target: int) -> None:
    length = os.fstat(file.fileno()).st_size
    if content := os.pread(file.fileno(), length, 0):
        os.write(target, content)
