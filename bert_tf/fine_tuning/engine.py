"""Runs a program with settings in place of flags.

    run("run_classifier", {"task_name": "sms", "do_train": True, …})

does what `python run_classifier.py --task_name=sms --do_train …` does, in this
process: it reads the same settings, by their names, and writes the same files.
A mistake is an exception, whose message names settings.
"""

import contextlib
import importlib.util
import logging as standard_logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from absl import flags, logging

from bert_tf import suggestions
from bert_tf.errors import UserError
from bert_tf.fine_tuning.isolation import isolated
from bert_tf.programs import (
    command_line,
    console,
    flags_from,
    program,
    run_log,
    tensorflow_start,
)
from bert_tf.programs.flag_names import SYNONYMS

FLAGS = flags.FLAGS
PROGRAMS = ("run_classifier", "run_squad")
EXPORT = "bert_tf.tools.export_model"
Settings = Mapping[str, Any]


def run(module: str, settings: Settings, *, verbose: bool) -> None:
    """Runs a program.

    Args:
        module: one of `PROGRAMS`, or `EXPORT`.
        settings: {flag: value}; None leaves a flag out.
        verbose: whether its lines are shown, and not warnings alone.

    Raises:
        UserError: a setting does not exist, or something cannot be used.
        KeyboardInterrupt: somebody stopped it.
    """
    try:
        with isolated():
            main = _load(module)
            check_names(settings)
            with _mistakes_name_settings():
                arguments = [*arguments_of(settings)]
                path = f"{module.rpartition('.')[2]}.py"
                program.parse_flags([path, *arguments])
                _run(main, ["python", path, *arguments], verbose)
    except _Stopped as error:
        # The handlers of the process are back: they decide what happens.
        if error.number != signal.SIGINT:
            signal.raise_signal(error.number)
        raise KeyboardInterrupt(str(error)) from None


def _run(main: Callable[[], None], command: list[str], verbose: bool) -> None:
    """Runs a program whose flags are parsed; see `program.run`."""
    if FLAGS["verbosity"].using_default_value:
        logging.set_verbosity(logging.INFO if verbose else logging.WARNING)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_log_names_settings())
        stack.enter_context(console.plain())
        if command[1] != EXPORT.rpartition(".")[2] + ".py":
            stack.enter_context(run_log.kept(command))
        if flags_from.NAME in FLAGS:
            flags_from.warn_of_left_out()
        stack.enter_context(tensorflow_start.quiet())
        main()


def _load(module: str) -> Callable[[], None]:
    """Executes a program's file, which defines its flags.

    Another `run_classifier`, such as the original's, may be on the path: the
    file is the one next to this package.
    """
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
    path = os.path.join(root, *module.split(".")) + ".py"
    spec = importlib.util.spec_from_file_location(module, path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module)
    sys.modules[module] = loaded  # Abseil asks there whose flags they are.
    try:
        spec.loader.exec_module(loaded)
    finally:
        del sys.modules[module]
        if before is not None:
            sys.modules[module] = before
    main: Callable[[], None] = loaded.main
    return main


# ---------------------------------------------------------------------------
# Settings as flags.


def check_names(settings: Settings) -> None:
    """Raises UserError if a setting is not a flag of the loaded program."""
    names = [flag.name for flag in command_line.own_flags()]
    for name in settings:
        if name not in names:
            hint = suggestions.hint(name, names, SYNONYMS, form="{}")
            raise UserError(f"{name}: no such setting{hint}")


def arguments_of(settings: Settings) -> Iterator[str]:
    """The settings as one types them."""
    for name, value in settings.items():
        if value is None:
            continue
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        elif isinstance(value, list | tuple):
            value = list(value)
        elif name == "grid" and isinstance(value, Mapping):
            value = ";".join(
                f"{key}:{','.join(map(str, values))}"
                for key, values in value.items()
            )
        yield f"--{name}={flags_from.written(value)}"


# ---------------------------------------------------------------------------
# Messages that name settings.


def in_settings(text: str) -> str:
    """A message with `name` where it names the flag --name."""

    def plain(found: re.Match[str]) -> str:
        name = found[2] if found[2] in FLAGS else f"{found[1] or ''}{found[2]}"
        return name if name in FLAGS else found[0]

    return re.sub(r"(?:\bflag )?--(no)?([a-z][a-z0-9_]*)", plain, text)


@contextlib.contextmanager
def _log_names_settings() -> Iterator[None]:
    """Lets the log name settings where the programs' log names flags."""

    def rename(record: standard_logging.LogRecord) -> bool:
        message = record.getMessage()
        if "--" in message or "`" in message:
            message = str(UserError(in_settings(message)))
            record.msg, record.args = message, ()
        return True

    logger = logging.get_absl_logger()
    logger.addFilter(rename)
    try:
        yield
    finally:
        logger.removeFilter(rename)


class _Stopped(Exception):
    """A training that ended because a signal came, after a checkpoint.

    Args:
        why: its message.
        number: the signal.
    """

    def __init__(self, why: str, number: int):
        super().__init__(why)
        self.number = number


@contextlib.contextmanager
def _mistakes_name_settings() -> Iterator[None]:
    """Raises what a user can fix as UserError, in the words of settings."""
    try:
        yield
    except flags.Error as error:
        raise UserError(in_settings(command_line.message_of(error))) from None
    except UserError as error:
        message = in_settings(str(error))
        if error.exit_status > 128:
            why = message.partition("; resume with: ")[0]
            raise _Stopped(
                f"{why}; the same call resumes", error.exit_status - 128
            ) from None
        renamed = UserError(message)
        renamed.setting, renamed.value = error.setting, error.value
        raise renamed from error.__cause__
    except Exception as error:
        if line := program.tensorflow_mistake(error):
            raise UserError(in_settings(line)) from error
        raise
