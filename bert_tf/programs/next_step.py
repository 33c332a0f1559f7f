"""Logs the command that a user may want to type after a run."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterator

from absl import flags

from bert_tf import files
from bert_tf.programs import console, entry_points

FLAGS = flags.FLAGS
_is_shown = True


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """Logs no commands in the block, which runs for somebody without any."""
    global _is_shown
    before, _is_shown = _is_shown, False
    try:
        yield
    finally:
        _is_shown = before


def log_next_step(modes: Collection[str], labels_files: bool) -> None:
    """Logs a command, `Next: …`.

    The commands need no flags that describe the model or the data: the run's
    record has them.

    Args:
        modes: what the run did.
        labels_files: whether --test_file or --predict_file names a file to
            answer.
    """
    folder = FLAGS.output_dir
    if "export" in modes:
        _log(
            "answer a file of texts",
            *_tool("predict"),
            f"--model={folder}",
            "--input=FILE",
        )
        # A served model's name has fewer characters than a folder's.
        name = os.path.basename(os.path.abspath(folder))
        name = re.sub("[^A-Za-z0-9_.-]+", "_", name) or "model"
        _log(
            "serve it, with a page to try it on",
            *_tool("serve"),
            f"--model={name}={folder}",
        )
        return
    if "eval" not in modes and "predict" not in modes:
        _log(
            "evaluate it",
            *this_program(),
            "--do_eval",
            *(_evaluation_file() if labels_files else []),
            _output_dir(folder),
        )
        return
    if labels_files and "predict" not in modes:
        flag = "predict_file" if "predict_file" in FLAGS else "test_file"
        _log(
            "answer a new file",
            *this_program(),
            "--do_predict",
            f"--{flag}=FILE",
            _output_dir(folder),
        )
    if not files.exists(os.path.join(folder, "export")):
        _log(
            "export it, to use it without this program",
            *this_program(),
            "--do_export",
            _output_dir(folder),
        )


def _evaluation_file() -> list[str]:
    """The flag of the file to evaluate on, if the run does not know one."""
    is_squad = "predict_file" in FLAGS
    names = ["predict_file"] if is_squad else ["dev_file", "dev_fraction"]
    is_known = any(FLAGS[name].value for name in names)
    return [] if is_known else [f"--{names[0]}=FILE"]


def log_next_step_of_pretraining(modes: Collection[str]) -> None:
    """Logs the command that fine-tunes the model, or evaluates it first.

    Args:
        modes: what the run did.
    """
    folder = FLAGS.output_dir
    if "eval" not in modes:
        _log("evaluate it", *this_program(), "--do_eval", _output_dir(folder))
        return
    has_vocab = files.exists(os.path.join(folder, "vocab.txt"))
    vocab = [] if has_vocab else ["--vocab_file=VOCAB"]
    _log(
        "fine-tune it",
        *("python", "run_classifier.py", "--task_name=TASK", "--do_train"),
        *("--do_eval", f"--pretrained={folder}", *vocab),
        "--output_dir=FOLDER",
    )


def log_next_step_of_vectors(modes: Collection[str]) -> None:
    """Logs the command that exports the model, or makes vectors of texts.

    Args:
        modes: what the run did.
    """
    folder = FLAGS.output_dir
    _log(
        "vectors of a file's lines",
        *_tool("extract_features"),
        *(f"--pretrained={folder}", "--input_file=FILE"),
        *("--output_format=npy", "--output_file=FILE.npy"),
    )
    if "export" not in modes:
        _log(
            "export it, to use it without this program",
            *this_program(),
            "--do_export",
            _output_dir(folder),
        )


def this_program() -> list[str]:
    """The running program, as one types it."""
    if entry_points.typed:
        return [entry_points.typed]
    path = sys.argv[0]
    if is_tool(path):
        return _tool(os.path.splitext(os.path.basename(path))[0])
    return (
        ["python", path] if path.endswith(".py") else [os.path.basename(path)]
    )


def is_tool(path: str) -> bool:
    """Whether a program is run as `python -m bert_tf.tools.NAME`.

    Args:
        path: its file.
    """
    return os.path.dirname(path).endswith(os.path.join("bert_tf", "tools"))


def _tool(name: str) -> list[str]:
    """The command of a tool, as one types it in the current folder.

    A program that runs by its path from another folder finds the package next
    to itself; `python -m` does not.
    """
    if entry_points.typed:
        return [f"bert-{name.replace('_', '-')}"]
    command = ["python", "-m", f"bert_tf.tools.{name}"]
    if any(map(_has_package, [os.getcwd(), *sys.path[1:]])):
        return command
    folder = os.path.dirname(os.path.abspath(sys.argv[0]))
    return (
        [f"PYTHONPATH={folder}", *command] if _has_package(folder) else command
    )


def _has_package(folder: str) -> bool:
    return os.path.isdir(os.path.join(folder, "bert_tf"))


def _output_dir(folder: str) -> str:
    return f"--output_dir={folder}"


def _log(purpose: str, *command: str) -> None:
    if _is_shown:
        console.show("Next", f"{shlex.join(command)}  # {purpose}")
