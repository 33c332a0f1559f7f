"""The programs as tests run them, on a small data set and model.

Most tests call `main()` in their own process, which saves the import of
TensorFlow. Some run the file as a program, for its exit status and messages:
in their own process too, or in a new one where it matters.
"""

import contextlib
import copy
import functools
import importlib
import io
import json
import logging
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
from unittest import mock

import tensorflow as tf
from absl import flags
from absl import logging as absl_logging
from absl.testing import flagsaver

from bert_tf import BertPreprocessor, checkpoints, pretrained
from bert_tf.data import text_reader
from bert_tf.errors import UserError
from bert_tf.programs import program, run_report
from bert_tf.programs.program import message_of
from support.common import ROOT

DEMO = pathlib.Path(pretrained.ASSETS)
SMALL_CONFIG = {
    "vocab_size": 5000,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
}


def make_folder(folder):
    """Fills a folder with a small sms data set and a small model's files."""
    data = folder / "data"
    data.mkdir()
    for name in ("train", "dev", "test"):
        text = (DEMO / "sms" / f"{name}.tsv").read_text(encoding="utf-8")
        rows = text.split("\n")[:42]
        (data / f"{name}.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    shutil.copy(DEMO / "demo" / "vocab.txt", folder)
    (folder / "config.json").write_text(json.dumps(SMALL_CONFIG))
    return folder


def arguments(folder, **changes):
    values = {
        "task_name": "sms",
        "data_dir": str(folder / "data"),
        "vocab_file": str(folder / "vocab.txt"),
        "bert_config_file": str(folder / "config.json"),
        "output_dir": str(folder / "out"),
        "max_seq_length": 16,
        "train_batch_size": 8,
        "num_train_epochs": 2.0,
        "learning_rate": 1e-3,
        **changes,
    }
    return {name: v for name, v in values.items() if v is not None}


PREPROCESSORS = {}


def shared_preprocessor(vocab_file, *settings, **more_settings):
    """A `BertPreprocessor`; the same vocabulary and settings share one.

    The runs of a test process then trace the tokenizer once, not twice each,
    which is a third of a short run's time. It has no state that a run changes.
    """
    vocabulary = pathlib.Path(vocab_file).read_bytes()
    key = vocabulary, settings, *sorted(more_settings.items())
    if key not in PREPROCESSORS:
        PREPROCESSORS[key] = BertPreprocessor(
            vocab_file, *settings, **more_settings
        )
    return PREPROCESSORS[key]


text_reader.BertPreprocessor = shared_preprocessor

# A page takes a second, and most tests do not look at it. Those that do put
# this function back.
draw_report = run_report.draw
run_report.draw = lambda folders: None


class Program:
    """A program at the top, with flags of its own.

    Every program defines its flags, such as --do_train, in absl's one FLAGS.
    They could not be defined twice, and flagsaver only resets values: so all
    that FLAGS holds is exchanged when another program runs.
    """

    before = None  # What FLAGS holds before the first program.

    def __init__(self, name: str):
        if Program.before is None:
            Program.before = copies(vars(flags.FLAGS))
        vars(flags.FLAGS).update(copies(Program.before))
        self.module = importlib.import_module(name)
        flags.FLAGS([f"{name}.py"])
        self.state = dict(vars(flags.FLAGS))

    @contextlib.contextmanager
    def flags(self, **values):
        """The program's flags, of which some have these values."""
        vars(flags.FLAGS).update(self.state)
        with flagsaver.flagsaver(**values):
            yield flags.FLAGS

    def run(self, **values):
        with self.flags(**values):
            self.main()

    def main(self, *texts):
        """Runs it; a message names flags, as the program prints it."""
        try:
            self.module.main(*texts)
        except UserError as error:
            raise type(error)(message_of(error)) from error


def copies(values: dict) -> dict:
    return {name: copy.copy(value) for name, value in values.items()}


@functools.cache  # A module is imported, and defines its flags, but once.
def program_of(module: str) -> Program:
    return Program(module)


RUN_CLASSIFIER = program_of("run_classifier")
RUN_SQUAD = program_of("run_squad")
RUN_PRETRAINING = program_of("run_pretraining")


def run(folder, **changes):
    RUN_CLASSIFIER.run(**arguments(folder, **changes))


def run_program(*args, program="run_classifier.py", limit=None, cwd=ROOT):
    """Runs the program itself; returns the finished process."""

    def set_limit():
        if limit:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, str(ROOT / program), *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        preexec_fn=set_limit,
    )


class Messages(logging.Handler):
    """The messages of Abseil's log while it is entered, as strings.

    For fixtures that several tests share, which cannot use `caplog`.
    """

    def __enter__(self):
        self.lines = []
        self.logger = logging.getLogger("absl")
        self.old_level = self.logger.level
        self.logger.setLevel("DEBUG")
        self.logger.addHandler(self)
        return self.lines

    def __exit__(self, *_):
        self.logger.removeHandler(self)
        self.logger.setLevel(self.old_level)

    def emit(self, record):
        self.lines.append(record.getMessage())


class Abseil:
    """`absl.app` without its changes to the process."""

    @staticmethod
    def run(main, flags_parser):
        main(flags_parser(sys.argv))


def run_here(path, *arguments):
    """`python path`, within this process; returns it as if it were finished."""
    vars(flags.FLAGS).update(copies(Program.before))
    out, err, status = io.StringIO(), io.StringIO(), 0
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    old_handlers = {number: signal.getsignal(number) for number in handled}
    old_verbosity = absl_logging.get_verbosity()
    try:
        with (
            mock.patch.object(program, "app", Abseil),
            mock.patch.object(sys, "argv", [path, *arguments]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            runpy.run_path(str(ROOT / path), run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        absl_logging.set_verbosity(old_verbosity)
    return subprocess.CompletedProcess(
        arguments, status, out.getvalue(), err.getvalue()
    )


def as_flags(values):
    return [f"--{name}={value}" for name, value in values.items()]


def last_line(process):
    return process.stderr.strip().split("\n")[-1]


def results_of(path):
    lines = path.read_text().splitlines()
    assert lines == sorted(lines)
    return dict(line.split(" = ") for line in lines)


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def values_of(prefix):
    """{name: array} of a checkpoint."""
    checkpoint = checkpoints.Checkpoint(str(prefix))
    return {name: checkpoint.read(name) for name in checkpoint.shapes}


def events_of(folder):
    """{tag: [(step, number)]} of the event files of a folder."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                number = float(tf.make_ndarray(value.tensor))
                found.setdefault(value.tag, []).append((event.step, number))
    return found
