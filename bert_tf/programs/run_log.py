"""run.log: everything that a command logs, in its --output_dir.

Each command appends to it: a line that gives the command, then each message
with its time and its line in the code, whatever --verbosity shows. The folder
is made only after all checks: until then, messages are kept in memory.
"""

import contextlib
import logging as standard_logging
import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from typing import IO

from absl import logging

from bert_tf import files
from bert_tf.errors import UserError

NAME = "run.log"
_current: "RunLog | None" = None


class RunLog(standard_logging.Handler):
    """Keeps messages until `open` names a folder, then appends them there.

    Args:
        command: the command that runs, as somebody types it.
    """

    def __init__(self, command: str):
        super().__init__(standard_logging.DEBUG)
        self.setFormatter(_Formatter())
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        self.first_line = f"# {started} in {os.getcwd()}: {command}"
        self.kept: list[str] = []
        self.file: IO[bytes] | None = None
        self.is_remote = False

    def emit(self, record: standard_logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # As other handlers: a message ends no run.
            self.handleError(record)
            return
        self.write(line)

    def write(self, line: str) -> None:
        """Writes a line, or keeps it until there is a file."""
        if self.file is None:
            self.kept.append(line)
            return
        try:
            self.file.write(f"{line}\n".encode("utf-8", "backslashreplace"))
            if not self.is_remote:  # There, each flush sends the whole file.
                self.file.flush()
        except OSError as error:  # Such as a full disk, which saving reports.
            self.leave()
            logging.warning("%s cannot be written: %s", NAME, error.strerror)

    def open(self, folder: str) -> None:
        """Appends what is kept, and what follows, to the log of a folder.

        Args:
            folder: it exists.
        """
        self.leave()
        path = os.path.join(folder, NAME)
        self.is_remote = files.is_remote(path)
        with files.naming(path, "cannot be written"):
            self.file = files.open_binary(path, "ab")
        kept, self.kept = self.kept, []
        for line in [self.first_line, *kept]:
            self.write(line)

    def leave(self) -> None:
        """Ends the file; later messages are kept for the next one."""
        file, self.file = self.file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def close(self) -> None:
        self.leave()
        super().close()


class _Formatter(standard_logging.Formatter):
    """Abseil's format: level, date, time, file and line, then the message."""

    def format(self, record: standard_logging.LogRecord) -> str:
        prefix: str = logging.get_absl_log_prefix(record)
        return prefix + super().format(record)


@contextlib.contextmanager
def kept(command: list[str] | None = None) -> Iterator[RunLog]:
    """Keeps all messages of the block for run.log, details included.

    An error that ends the block is written there too.

    Args:
        command: the words of the command; default: those of this process.
    """
    global _current
    words = command or [os.path.basename(sys.executable), *sys.argv]
    log = _current = RunLog(shlex.join(words))
    root, logger = standard_logging.getLogger(), logging.get_absl_logger()
    level = logger.level
    logger.setLevel(standard_logging.DEBUG)
    root.addHandler(log)
    try:
        yield log
    except BaseException as error:
        if not isinstance(error, SystemExit):
            log.write(_last_words(error))
        raise
    finally:
        root.removeHandler(log)
        logger.setLevel(level)
        log.close()
        _current = None


def _last_words(error: BaseException) -> str:
    if isinstance(error, UserError):
        return error.message_for(lambda name: f"--{name}")
    return "".join(traceback.format_exception(error)).rstrip()


def open_in(folder: str) -> None:
    """Lets this command's log be in a folder from now on."""
    if _current is not None:
        _current.open(folder)


def leave() -> None:
    """Ends the log of a run, of which a command has several."""
    if _current is not None:
        _current.leave()
