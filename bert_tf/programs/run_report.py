"""Writes a run's report.html, and in the folder report what it is made of.

report/data.json    {"given_flags": […], "sets": {"train", "unlabelled", "eval"
                    or "test": num_examples, files, labels, lengths}}
report/eval.jsonl, report/test.jsonl
                    a line for each example, see `Problem.report_row`

`training.step_log` writes report/steps.jsonl. A mistake in here ends no run: it
is a warning.
"""

import collections
import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags, logging

from bert_tf import files, json_files
from bert_tf.programs import console, defaults, program, report_rows
from bert_tf.programs.run_folder import RunFolder, source_of
from bert_tf.programs.session import Session
from bert_tf.progress import working
from bert_tf.report import pictures, stored, writing

FLAGS = flags.FLAGS
NUM_COUNTED = 100_000  # Examples whose labels are counted.
NUM_BINS = 40  # In a histogram of lengths.
SETS = {mode: name for name, mode in stored.MODES.items()}
# Function(example, output): keeps a line of an example.
Keep = Callable[[Any, Any], None]


@contextlib.contextmanager
def mistakes_are_warnings() -> Iterator[None]:
    """Turns errors into a warning; the log has all of them at `debug`."""
    try:
        yield
    except Exception as error:
        logging.warning("No report of this run: %s", files.reason(error))
        logging.debug("The report failed", exc_info=True)


class RunReport:
    """What a run leaves for its report.

    Args:
        session: the run.
    """

    def __init__(self, session: Session):
        self.session = session
        self.folders: dict[str, RunFolder] = {}
        self.sets: dict[str, dict[str, Any]] = {}

    def add_set(
        self,
        mode: str,
        examples: Iterable[Any],
        num_examples: int,
        *,
        lengths: np.ndarray | None = None,
        capacity: int = 0,
    ) -> None:
        """Describes a set.

        Args:
            mode: "train", "eval", "predict" or "unlabelled".
            examples: its examples, which have a `label`.
            num_examples: how many there are.
            lengths: int [N], the WordPieces of the first ones.
            capacity: how many WordPieces a sequence holds.
        """
        with mistakes_are_warnings():
            of_set: dict[str, Any] = {
                "num_examples": num_examples,
                "files": [self.path_of(mode, examples)],
                "labels": label_counts(examples),
            }
            if lengths is not None and len(lengths):
                of_set["lengths"] = length_histogram(lengths, capacity)
            self.sets[SETS.get(mode, mode)] = of_set

    def path_of(self, mode: str, examples: Any = ()) -> str:
        """The file that a mode reads, absolute; "" if it is not known.

        Args:
            mode: "train", "eval" or "predict".
            examples: what was read; it may know its `path`.
        """
        values = self.session.flag_values()
        path = getattr(examples, "path", None)
        if mode == "train":
            names = ("train_file", "data_dir", "input_file")
            path = path or next(filter(None, map(values.get, names)), "")
        path = path or source_of(mode, values)[0]
        return os.path.abspath(path) if _is_here(path) else path

    @contextlib.contextmanager
    def keeping(
        self,
        mode: str,
        folder: RunFolder,
        row_of: Callable[[Any, Any], dict[str, Any]],
        examples: Any = (),
    ) -> Iterator[Keep]:
        """Gives what keeps the lines of the examples of a set.

        Args:
            mode: "eval" or "predict".
            folder: the folder of the results.
            row_of: function(example, output) -> a line, see
                `Problem.report_row`.
            examples: see `path_of`.
        """
        self.folders[mode] = folder
        if not folder.writes:
            yield lambda example, output: None
            return
        # It takes half a second; the model computes meanwhile.
        threading.Thread(target=pictures.preload, daemon=True).start()
        path = self.path_of(mode, examples)
        lines: list[str] = []
        num_characters = 0
        is_over = False

        def keep(example, output):
            nonlocal is_over, num_characters
            if is_over or len(lines) >= stored.MAX_ROWS:
                return
            try:
                row = {**place_of(example, path), **row_of(example, output)}
                line = stored.to_line(row)
                num_characters += len(line)
                is_over = num_characters > stored.MAX_CHARACTERS
                if not is_over:
                    lines.append(line)
            except Exception as error:
                is_over = True
                logging.warning(
                    "The report shows no examples: %s", files.reason(error)
                )
                logging.debug("No line of an example", exc_info=True)

        yield keep
        with mistakes_are_warnings():
            report_rows.write_lines(folder, f"{SETS[mode]}.jsonl", lines)

    def write(self) -> None:
        """Writes data.json and report.html, after everything else."""
        folder = self.session.folder
        if not folder.writes or not (self.session.trains or self.folders):
            return
        with mistakes_are_warnings():
            if self.session.trains:  # They are of an earlier training.
                for mode in ("eval", "predict"):
                    if mode not in self.folders:
                        name = f"{SETS[mode]}.jsonl"
                        folder.remove(stored.file_of("", name))
            for other in {f.path for f in (folder, *self.folders.values())}:
                self._write_data(other)
            done = {f.path for f in self.folders.values()} or {folder.path}
            draw(sorted(done))

    def _write_data(self, folder):
        """Adds what this command read to the folder's data.json."""
        path = stored.file_of(folder, stored.DATA)
        before = {}
        if files.exists(path) and not self.session.trains:
            before = json_files.read_object(path)
        here = {SETS[m] for m, f in self.folders.items() if f.path == folder}
        if folder == self.session.folder.path:
            here |= {"train", "unlabelled"}
        sets = {
            name: of_set for name, of_set in self.sets.items() if name in here
        }
        data = {
            "given_flags": sorted(given_flags()),
            **before,
            "sets": {**before.get("sets", {}), **sets},
        }
        files.make_folder_of(path)
        files.write_text(path, stored.to_json(data))


def draw(folders: Iterable[str]) -> None:
    """Writes the pages of runs, if matplotlib is installed."""
    if not pictures.is_available():
        console.show("Report", f"{writing.NAME} {writing.HOW_TO_INSTALL}")
        return
    for folder in folders:
        start = time.perf_counter()
        with working("Drawing the report"):
            page = writing.write_page(folder)
        logging.debug("It took %.2f s", time.perf_counter() - start)
        console.show("Report", page)


def given_flags() -> set[str]:
    """The flags of this package's programs that the command line gave."""
    return {name for name in program.values() if defaults.is_given(name)}


def _is_here(path):
    """Whether a path is one of this machine."""
    return bool(path) and not files.is_remote(path)


def place_of(example: Any, path: str) -> dict[str, Any]:
    """{"file", "line"} of an example, as far as they are known.

    Args:
        example: of any task.
        path: its set's file.
    """
    if place := getattr(example, "place", ""):
        name, _, line = place.rpartition(":")
        name = os.path.abspath(name) if _is_here(name) else name
        return {"file": name, "line": int(line)}
    line = getattr(example, "line", 0)
    if callable(line):  # A sentence has a line for each word.
        line = line(0) if len(getattr(example, "lines", ())) else 0
    if not line:
        return {}
    return {"file": path, "line": line}


def label_counts(examples: Iterable[Any]) -> dict[str, int]:
    """{label: how many of the first examples have it}, the commonest first.

    Numbers and tags of words are not counted.
    """
    counts: collections.Counter[str] = collections.Counter()
    for example in itertools.islice(examples, NUM_COUNTED):
        label = getattr(example, "label", None)
        if isinstance(label, str):
            counts[label] += 1
        elif isinstance(label, tuple):
            counts.update(label)
    return dict(counts.most_common())


def length_histogram(
    lengths: Sequence[int] | np.ndarray, capacity: int
) -> dict[str, Any]:
    """How many texts have which length, for data.json.

    Args:
        lengths: int [N], WordPieces.
        capacity: how many a sequence holds; the rest is cut. The last bin
            has all texts of twice as many and more.
    """
    lengths = np.asarray(lengths)
    longest = int(lengths.max())
    # A power of two: the bins of one set are then whole bins of another.
    # A few very long texts must not squeeze all others into one bin.
    last = min(longest, 2 * capacity) if capacity else longest
    width = 1 << (last // NUM_BINS).bit_length()
    return {
        "bin_width": width,
        "counts": np.bincount(np.minimum(lengths, last) // width),
        "last_is_open": last < longest,
        "num_measured": len(lengths),
        "num_truncated": int(np.sum(lengths > capacity)),
        "longest": longest,
        "mean": float(lengths.mean()),
        "capacity": capacity,
    }
