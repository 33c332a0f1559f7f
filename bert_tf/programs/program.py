"""Starts a program, checks its flags, and reports mistakes in one line."""

import contextlib
import io
import logging as standard_logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NoReturn

from absl import app, flags, logging

from bert_tf import files, literal_paths
from bert_tf.errors import UserError
from bert_tf.programs import (
    arguments,
    command_line,
    console,
    entry_points,
    flags_from,
    next_step,
    run_log,
    tensorflow_start,
)
from bert_tf.programs.signals import Stopped, StopSignals

FLAGS = flags.FLAGS


def value_of(name: str) -> Any:
    """The value of a flag whose name is known only when the program runs."""
    return FLAGS[name].value


def require(*names: str) -> None:
    """Raises UserError unless each of these flags was given a value."""
    missing = [f"--{name}" for name in names if FLAGS[name].value is None]
    if missing:
        raise UserError(f"{', '.join(missing)} must be given")


def refuse(why: str, *names: str) -> None:
    """Raises UserError if one of these flags was given and changes anything.

    Args:
        why: why it cannot be given.
        *names: the flags. A flag that was given its default is accepted.
    """
    for name in names:
        flag = FLAGS[name]
        if flag.present and flag.value != flag.default:
            value = flag.value
            if isinstance(value, list):
                value = ",".join(map(str, value))
            raise UserError(why, setting=name, value=value)


def require_existing(*names: str, folder: bool = False) -> None:
    """Raises UserError unless each flag names an existing file, or folder."""
    for name in names:
        path = value_of(name)
        if not files.exists(path):
            raise UserError("no such file or folder", setting=name, value=path)
        if files.is_folder(path) != folder:
            wanted, actual = "file", "folder"
            if folder:
                wanted, actual = actual, wanted
            raise UserError(
                f"a {wanted} is needed, this is a {actual}",
                setting=name,
                value=path,
            )


def matching_files(name: str) -> list[str]:
    """Finds the files of a flag that holds patterns, separated by commas.

    Returns:
        Paths, in order: pattern by pattern, sorted within each.

    Raises:
        UserError: a pattern matches no file.
    """
    require(name)
    paths: list[str] = []
    patterns = value_of(name).split(",")
    if files.exists(value_of(name)):  # Its name may hold commas, too.
        patterns = [value_of(name)]
    for pattern in filter(None, patterns):
        matches = [pattern]  # The name of a file may hold brackets.
        if not files.exists(pattern):
            matches = _pattern_matches(pattern)
        matches = [path for path in matches if not files.is_folder(path)]
        if not matches:
            raise UserError(f"--{name}: no file matches {pattern}")
        paths += matches
    if not paths:
        raise UserError("names no file", setting=name, value=FLAGS[name].value)
    if len(set(paths)) < len(paths):
        logging.warning(
            "--%s=%s: names files more than once", name, FLAGS[name].value
        )
    return paths


def existing_files(name: str) -> list[str]:
    """Finds the files of a flag that holds one name, or patterns.

    Returns:
        Paths, see `matching_files`. A single file need not be a regular one.

    Raises:
        UserError: there is no such file.
    """
    path = value_of(name)
    is_name = not re.search(r"[*?\[,]", path)
    if is_name or files.exists(path):
        require_existing(name)
        return [path]
    return matching_files(name)


def _pattern_matches(pattern):
    # So may the name of a folder that is there.
    folder = os.path.dirname(pattern)
    if literal_paths.is_pattern(folder) and files.is_folder(folder):
        return files.glob(pattern)
    return files.pattern_matches(pattern)


def check_folder(name: str) -> None:
    """Raises UserError unless the folder of a flag can be written, or made.

    Nothing is left there. Call it before anything is read.
    """
    path = value_of(name)
    if not path:
        raise UserError("a folder is needed", setting=name, value=path)
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError("this is a file", setting=name, value=path)
    # Only one of several processes writes.
    if "TF_CONFIG" not in os.environ:
        _check_creatable(name, path)


def _check_creatable(name, path):
    try:
        files.check_creatable(path)
    except OSError as error:
        is_it = files.is_same(error.filename, path)
        where = "" if is_it else f"{error.filename}: "
        raise UserError(
            f"cannot be written: {where}{error.strerror}",
            setting=name,
            value=path,
        ) from None


def check_output(name: str, path: str, inputs: Iterable[str]) -> None:
    """Raises UserError if a file cannot be written, or is an input.

    Args:
        name: the flag that names the file.
        path: the file.
        inputs: the files that the program reads.
    """
    if not os.path.basename(path):
        raise UserError(
            "a file name is needed", setting=name, value=FLAGS[name].value
        )
    why = None
    if files.is_folder(path):
        why = "this is a folder"
    elif files.exists(path) and not files.is_regular(path):
        why = "this is not a regular file"
    elif any(files.is_same(path, other) for other in inputs):
        why = "would replace an input"
    if why:
        raise UserError(why, setting=name, value=path)
    _check_creatable(name, path)


def values() -> dict[str, Any]:
    """{name: value} of all flags of this program, but not of libraries."""
    by_name = {flag.name: flag.value for flag in command_line.own_flags()}
    by_name.pop(flags_from.NAME, None)  # What it repeats is among the others.
    return dict(sorted(by_name.items()))


# ---------------------------------------------------------------------------
# Start and end.


def message_of(error: UserError) -> str:
    """The message of an error, with settings written as flags."""
    return error.message_for(
        lambda name: f"--{name}" if name in FLAGS else f"`{name}`"
    )


@contextlib.contextmanager
def flags_in_the_log() -> Iterator[None]:
    """While it lasts, the log names flags where messages name settings."""
    logger = logging.get_absl_logger()
    logger.addFilter(name_flags)
    try:
        yield
    finally:
        logger.removeFilter(name_flags)


def name_flags(record: standard_logging.LogRecord) -> bool:
    """Writes the settings of a message of the log as flags, as of errors.

    Returns:
        True: the log takes every message.
    """
    values = record.args if isinstance(record.args, tuple) else ()
    if any(isinstance(value, UserError) for value in values):
        record.args = tuple(
            message_of(value) if isinstance(value, UserError) else value
            for value in values
        )
    message = record.getMessage()
    if "`" in message:
        record.msg, record.args = message_of(UserError(message)), ()
    return True


def run(
    main: Callable[..., None],
    *,
    required: Collection[str] = (),
    takes_texts: bool = False,
    keeps_log: bool = False,
    logs_time: bool = False,
) -> None:
    """Runs `main()` with parsed flags; a user's mistake ends in one line.

    The status is 0 after --help, 1 after a mistake, 130 after Ctrl-C and 143
    after SIGTERM.

    Args:
        main: the program's function(), or function(*texts). The text at the
            top of its file says what the program does.
        required: the flags that --help marks as required; `main` checks them.
        takes_texts: whether arguments that are not flags are passed to
            `main` as texts.
        keeps_log: whether everything is logged to --output_dir too; see
            `run_log`.
        logs_time: whether each message shows its time, as of a server.
    """
    _use_utf8()
    # A signal then cleans up unfinished files and other processes. Several
    # machines may wait for each other inside TensorFlow, where Python's
    # handlers are never called: there it must end the process at once.
    stop_signals = StopSignals()
    if "TF_CONFIG" not in os.environ:
        stop_signals.install()
    description = main.__globals__["__doc__"]

    def parse(argv: list[str]) -> list[str]:
        with _mistakes_end_in_one_line(description, stop_signals):
            command_line.define_help_flags(description, required)
            return parse_flags(argv, takes_texts)

    def guarded(argv: list[str]) -> None:
        with _mistakes_end_in_one_line(description, stop_signals):
            texts = argv[1:] if takes_texts else []
            if len(argv) > 1 and not takes_texts:
                _exit(command_line.message_of_words(argv[1:], sys.argv[1:]))
            if FLAGS["verbosity"].using_default_value:
                logging.set_verbosity(logging.INFO)
            with contextlib.ExitStack() as stack:
                stack.enter_context(flags_in_the_log())
                if not logs_time:
                    stack.enter_context(console.plain())
                if keeps_log:
                    command = [*next_step.this_program(), *sys.argv[1:]]
                    stack.enter_context(run_log.kept(command))
                if flags_from.NAME in FLAGS:
                    flags_from.warn_of_left_out()
                stack.enter_context(tensorflow_start.quiet())
                main(*texts)

    # Flags may also come after a text.
    FLAGS.set_gnu_getopt(takes_texts)
    app.run(guarded, flags_parser=parse)


def parse_flags(argv: list[str], takes_texts: bool = False) -> list[str]:
    """Gives the flags of this program the values of a command line.

    Args:
        argv: the program and its arguments.
        takes_texts: see `run`.

    Returns:
        The program and the words that are not flags.

    Raises:
        UserError, flags.Error: an argument cannot be used.
    """
    given = argv[1:]
    arguments.check_arguments(given, takes_texts)
    if flags_from.NAME in FLAGS:
        given = flags_from.expanded(given)
    try:
        words: list[str] = FLAGS([argv[0], *given])
    except UnicodeDecodeError as error:  # Of a file of flags.
        raise UserError(
            f"the file of flags is not UTF-8: byte {error.start + 1}"
        ) from None
    arguments.check_values(command_line.own_flags())
    if flags_from.NAME in FLAGS:
        flags_from.check_was_expanded(argv[1:])
    return words


def _use_utf8() -> None:
    """Names files in UTF-8, as TensorFlow does, whatever the locale says.

    Where Python does not, as with LC_ALL=C and PYTHONCOERCECLOCALE=0, the
    program starts again in Python's UTF-8 mode: TensorFlow would refuse
    `größe`, or write to a folder of another name. Text that the terminal
    cannot show is printed with escapes.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        kept = f"{sys.stdout.encoding}:backslashreplace"
        os.environ.setdefault("PYTHONIOENCODING", kept)
        os.environ["PYTHONUTF8"] = "1"  # Of other processes, too.
        command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, command)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _mistakes_end_in_one_line(
    description: str, stop_signals: StopSignals
) -> Iterator[None]:
    """Ends the process if the block raises what a user can fix.

    Args:
        description: what the program does, with an example.
        stop_signals: what handles signals, if anything does.
    """
    try:
        with stop_signals.kept():
            yield
    except flags.Error as error:
        _exit(command_line.message_of(error))
    except UserError as error:
        message = message_of(error)
        if len(sys.argv) == 1:  # Somebody wants to know what to give.
            message += _advice(description)
        if error.exit_status > 128:  # A training was asked to stop.
            stop_signals.end()
        _exit(message, error.exit_status)
    except KeyboardInterrupt as error:
        stop_signals.end()
        stopped = error if isinstance(error, Stopped) else Stopped()
        _exit(stopped.message, stopped.exit_status)
    except BrokenPipeError:
        # The reader of the output has enough. Python would complain again
        # when it closes the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        _exit(f"{error.filename}: {error.strerror}")
    except Exception as error:
        if why := tensorflow_mistake(error):
            _exit(why)
        raise


def tensorflow_mistake(error: Exception) -> str | None:
    """A line for an error of TensorFlow that a user can fix; None for others.

    TensorFlow is loaded if it has raised the error.
    """
    tf = sys.modules.get("tensorflow")
    if tf is None:
        return None
    if isinstance(
        error,
        (  # For a path or a file system that it cannot use.
            tf.errors.NotFoundError,
            tf.errors.PermissionDeniedError,
            tf.errors.UnimplementedError,
        ),
    ):
        return error.message.split("\n")[0]
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return (
            "out of memory: lower the batch size or --max_seq_length "
            f"({error.message.split(chr(10))[0]})"
        )
    return None


def _advice(description):
    """An example of a command, for somebody who gave no flags."""
    example = command_line.example_of(description)
    start = f"; for example: {example} " if example else "; "
    return f"{start}(--help lists all flags)"


def _exit(message: str, status: int = 1) -> NoReturn:
    message += arguments.hint_of_empty_variable(
        command_line.own_flags(), message
    )
    message = message.replace("\n", "\\n").replace("\r", "\\r")  # One line.
    name = entry_points.typed or os.path.basename(sys.argv[0])
    print(f"{name}: {message}", file=sys.stderr)
    sys.exit(status)
