"""--flags_from: repeats the flags of an earlier run.

    python run_classifier.py --flags_from=/tmp/sms --output_dir=/tmp/again \\
        --seed=7

takes the flags of the training in /tmp/sms/train.json; those on the command
line win. --output_dir is never repeated, so that nothing is overwritten, and
--resume is not, which belongs to a folder. Relative paths are taken from the
folder in which the earlier run was started.
"""

import csv
import io
import json
import os
from collections.abc import Mapping
from typing import Any

from absl import flags, logging

from bert_tf import files, suggestions
from bert_tf.errors import UserError
from bert_tf.programs import flag_groups, run_record

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # See flags.py.
NAME = "flags_from"
NOT_REPEATED = (NAME, "output_dir", "resume")
_LEFT_OUT: list[str] = []  # Flags of the earlier run that are not known.


@flag_groups.heading(flag_groups.FILES)
def define() -> None:
    """Defines the flag."""
    flags.DEFINE_string(
        NAME,
        None,
        "A run's folder, or its train.json: repeats the flags of its training. "
        "Flags on the command line win. --output_dir is not repeated, and "
        "must be given.",
    )


def expanded(arguments: list[str]) -> list[str]:
    """Puts the flags of the earlier run before those that are given.

    Args:
        arguments: the command line, without the program.

    Raises:
        UserError: there is no such record, or it is that of another program.
    """
    _LEFT_OUT.clear()
    path = _path_in(arguments)
    if path is None:
        return arguments
    values = run_record.flags_of(_record_of(path), ["train"])
    if not values:
        raise UserError("has no flags of a training", setting=NAME, value=path)
    repeated, unknown = [], []
    for name, value in values.items():
        if name in NOT_REPEATED or value is None:
            continue
        if name not in FLAGS:
            unknown.append(name)
        elif FLAGS[name].default != value:
            repeated.append(f"--{name}={written(value)}")
    _LEFT_OUT[:] = [f"--{name}={values[name]}" for name in sorted(unknown)]
    return [*repeated, *arguments]


def warn_of_left_out() -> None:
    """Names the flags that `expanded` left out, once the log is set up."""
    if _LEFT_OUT:
        logging.warning(
            "--%s=%s: flags that this version does not have are left out: %s",
            NAME,
            FLAGS[NAME].value,
            ", ".join(_LEFT_OUT),
        )


def check_was_expanded(arguments: list[str]) -> None:
    """Raises UserError if the flag stands where it is not looked for.

    Args:
        arguments: the command line, without the program.
    """
    if FLAGS[NAME].value is not None and _path_in(arguments) is None:
        raise UserError(
            "must be on the command line, not in a file of flags",
            setting=NAME,
            value=FLAGS[NAME].value,
        )


def _path_in(arguments):
    """The last value of the flag; None without one."""
    path = None
    for place, argument in enumerate(arguments):
        if argument == "--":
            break
        name, equals, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or name != NAME:
            continue
        path = value if equals else next(iter(arguments[place + 1 :]), None)
    return path


def _record_of(path: str) -> Mapping[str, Any]:
    """The content of a train.json.

    Raises:
        UserError: there is none, or another program wrote it.
    """
    file = path
    if files.is_folder(path):
        file = os.path.join(path, run_record.NAME)
    if not files.exists(file):
        hint = ""
        if files.is_folder(os.path.dirname(file) or "."):
            names = files.entries(os.path.dirname(file) or ".")
            hint = suggestions.hint(os.path.basename(file), names)
        where = "" if file == path else f" {run_record.NAME} in it"
        raise UserError(
            f"there is no{where or ' such file'}{hint}",
            setting=NAME,
            value=path,
        )
    if os.path.basename(file) == run_record.NAME:
        record = run_record.read(os.path.dirname(file))
    else:
        try:
            record = json.loads(files.read_text(file))
        except ValueError:
            record = {}
        record = record if isinstance(record, dict) else {}
    program = _program_of(record.get("task_name"))
    here = _program_of(None)
    if record and program != here:
        raise UserError(
            f"is a run of {program}, not of {here}", setting=NAME, value=path
        )
    return record


def _program_of(task_name: str | None) -> str:
    """The program of a task; that which is running without a name."""
    if task_name is None:
        if "task_name" in FLAGS:
            return "run_classifier.py"
        is_squad = "version_2_with_negative" in FLAGS
        return "run_squad.py" if is_squad else "run_pretraining.py"
    others = {"squad": "run_squad.py", "pretraining": "run_pretraining.py"}
    return others.get(task_name, "run_classifier.py")


def written(value: Any) -> str:
    """A value of train.json as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value)
        return line.getvalue()
    return str(value)
