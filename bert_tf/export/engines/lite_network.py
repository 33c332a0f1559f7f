"""LiteNetwork: a LiteRT file computes the network, each sequence by itself.

An interpreter reads a sequence at its own length, so nothing is padded. It
releases Python's lock while it computes: several of them share the cores.
"""

import contextlib
import os
import queue
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bert_tf import extras, files, memory
from bert_tf.errors import UserError
from bert_tf.export.engines.sequences import (
    Network,
    Numbers,
    OutputShapes,
    Sequences,
    has_places,
)

SIGNATURE = "serving_default"
ROWS_AT_ONCE = 16  # Sequences that an interpreter takes together.
OPEN_FILES = "/proc/self/fd"  # Linux has the files of a process there.


class LiteNetwork(Network):
    """A LiteRT file, and interpreters of it.

    Args:
        path: the file.
        shapes: see `Network`.
        num_threads: the number of threads that compute.
        shares_cores: whether several sequences are computed at once, by an
            interpreter of one thread each. Each of them has a copy of the
            weights. Otherwise all threads share one sequence.
        folder: a temporary folder with the file, which is kept as long as the
            network.

    Raises:
        UserError: the file is damaged, or not one of this package.
    """

    def __init__(
        self,
        path: str,
        shapes: OutputShapes,
        *,
        num_threads: int,
        shares_cores: bool,
        folder: tempfile.TemporaryDirectory | None = None,
    ):
        super().__init__(shapes)
        self._folder = folder
        self._file = _KeptFile(path)
        self._num_threads = num_threads
        # For a sequence by itself.
        self._alone: queue.SimpleQueue[_Interpreter] = queue.SimpleQueue()
        self._alone.put(_Interpreter(self._file, num_threads, shapes))
        self._executor = None
        if shares_cores and num_threads > 1:
            self._executor = ThreadPoolExecutor(num_threads)
        self._of_thread = threading.local()

    def run(self, sequences: Sequences) -> Numbers:
        numbers = sequences.empty_numbers(self.shapes)
        order = sequences.in_order()
        if self._executor is None or len(order) == 1:
            with self._borrowed() as interpreter:
                interpreter.run(sequences, order, numbers)
            return numbers
        at_once = len(order) // (4 * self._num_threads)
        at_once = max(1, min(ROWS_AT_ONCE, at_once))
        parts = np.split(order, range(at_once, len(order), at_once))

        def work(part: np.ndarray) -> None:
            self._own().run(sequences, part, numbers)

        for _ in self._executor.map(work, parts):
            pass
        return numbers

    def warm_up(self, longest: int) -> None:
        self.run(Sequences.of_ones(2 * self._num_threads, longest))

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator["_Interpreter"]:
        interpreter = self._alone.get()
        try:
            yield interpreter
        finally:
            self._alone.put(interpreter)

    def _own(self) -> "_Interpreter":
        """The interpreter of this thread."""
        if not hasattr(self._of_thread, "interpreter"):
            self._of_thread.interpreter = _Interpreter(
                self._file, 1, self.shapes
            )
        return self._of_thread.interpreter


class _KeptFile:
    """A file that can be read again after another has taken its place.

    Interpreters are made when they are needed. A model that is exported into
    the same folder meanwhile must not answer for the one that was loaded. That
    holds on Linux; other systems have no name for an open file.

    Attributes:
        path: its name in messages.
        name: the name under which LiteRT reads it.
    """

    def __init__(self, path: str):
        self.path = self.name = path
        if files.is_remote(path):
            self._folder = tempfile.TemporaryDirectory()
            self.name = os.path.join(self._folder.name, "network.tflite")
            with (
                files.naming(path),
                files.open_binary(path) as reader,
                open(self.name, "wb") as writer,
            ):
                shutil.copyfileobj(reader, writer)
        elif os.path.isdir(OPEN_FILES):
            descriptor = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, descriptor)
            self.name = f"{OPEN_FILES}/{descriptor}"


def interpreter_class() -> Any:
    """Returns the class of LiteRT's interpreters.

    Raises:
        UserError: its package is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise UserError(
            f"LiteRT {extras.need('lite', extras.missing('lite'))}"
        ) from None
    return Interpreter


class _Interpreter:
    """An interpreter of ai-edge-litert, for one thread at a time.

    Args:
        file: the file.
        num_threads: how many threads share a sequence.
        shapes: see `Network`.
    """

    def __init__(self, file: _KeptFile, num_threads: int, shapes: OutputShapes):
        make, path = interpreter_class(), file.path
        try:
            self._interpreter = make(file.name, num_threads=num_threads)
            runner = self._interpreter.get_signature_runner(SIGNATURE)
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"{path}: not a LiteRT model, or damaged: "
                f"{files.reason(error).replace(file.name, path)}"
            ) from None
        self._inputs = _indexes(runner.get_input_details())
        self._outputs = _indexes(runner.get_output_details())
        if missing := {*shapes} - {*self._outputs}:
            raise UserError(
                f"{path}: does not compute {', '.join(sorted(missing))}; "
                "export the model again"
            )
        self._is_by_place = {
            name: has_places(shape) for name, shape in shapes.items()
        }
        self._length: int | None = None
        self._name: str | None = file.name

    def run(
        self, sequences: Sequences, rows: np.ndarray, numbers: Numbers
    ) -> None:
        """Computes the numbers of some rows into `numbers`."""
        for row in rows:
            length = int(sequences.lengths[row])
            if length != self._length:
                self._resize(length)
            for name, index in self._inputs.items():
                ids = sequences.ids[name][row : row + 1, :length]
                self._interpreter.set_tensor(index, ids)
            self._interpreter.invoke()
            for name, is_by_place in self._is_by_place.items():
                value = self._interpreter.get_tensor(self._outputs[name])[0]
                if is_by_place:
                    numbers[name][row, :length] = value
                else:
                    numbers[name][row] = value
        if self._name:
            # It has copied most weights by now.
            memory.release_file_pages(self._name)
            self._name = None

    def _resize(self, length: int) -> None:
        self._length = None  # It has none if the memory does not suffice.
        for index in self._inputs.values():
            self._interpreter.resize_tensor_input(index, (1, length))
        self._interpreter.allocate_tensors()
        self._length = length


def _indexes(details: dict[str, Any]) -> dict[str, int]:
    return {name: entry["index"] for name, entry in details.items()}
