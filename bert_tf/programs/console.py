"""What a program shows while it runs: plain lines for people.

A line is a message of the log at the level INFO, without time and place.
Details are at the level DEBUG: `--verbosity=1` shows them, and then every line
has its time and its place in the code. run.log has everything, see `run_log`.

    Train set    3,375 rows of train.tsv: ham 52.0 %, spam 48.0 %
    Training   274 steps of 32 examples
"""

import contextlib
import logging as standard_logging
import sys
from collections.abc import Iterator
from typing import Any

from absl import flags, logging
from absl.logging import converter

from bert_tf import progress

FLAGS = flags.FLAGS
WIDTH = 11  # The first column's.
# Warnings of other libraries that tell people nothing. TensorFlow counts the
# graphs of all objects of a class together: several runs look to it like one
# function that changes. Matplotlib looks for fonts when it is used first.
NOT_SHOWN = ("triggered tf.function retracing", "building the font cache")


@logging.skip_log_prefix
def show(key: str, text: str, *args: Any) -> None:
    """Logs a line: a word or two in the first column, then what is to say.

    Args:
        key: the first column; "" continues the line before.
        text: the rest, as `logging.info` takes it if there are `args`.
        *args: what is put into the text.
    """
    shown = text % args if args else text
    logging.info("%s%s", f"{key:<{WIDTH}}", shown)


@logging.skip_log_prefix
def show_written(folder: str, *names: str) -> None:
    """Logs which files were written to a folder."""
    show("Written", f"{folder}: {', '.join(names)}")


def amount(number: int) -> str:
    """A large number in few digits: 12,345, or 1.2 million."""
    if number < 1_000_000:
        return f"{number:,}"
    return f"{number / 1e6:,.1f} million"


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Shows plain lines while it lasts, and details only if they are asked for.

    Other handlers, such as `run_log.RunLog`, get all of it.
    """
    handler = logging.get_absl_handler().python_handler
    formatter, lines = handler.formatter, _Lines(handler.formatter)
    handler.setFormatter(lines)
    handler.addFilter(lines.is_shown)
    try:
        with contextlib.ExitStack() as stack:
            if FLAGS.verbosity >= logging.INFO:
                bars = progress.bars_on(sys.stderr, handler.lock)
                stack.enter_context(bars)
            yield
    finally:
        handler.removeFilter(lines.is_shown)
        handler.setFormatter(formatter)


class _Lines(standard_logging.Formatter):
    """Messages as lines.

    Args:
        detailed: the format that tells time and place.
    """

    def __init__(self, detailed: standard_logging.Formatter | None):
        super().__init__()
        self.detailed = detailed

    def is_shown(self, record: standard_logging.LogRecord) -> bool:
        if record.levelno < converter.absl_to_standard(FLAGS.verbosity):
            return False
        if record.name == "absl" or FLAGS.verbosity >= logging.DEBUG:
            return True
        # People see only warnings and errors of other libraries.
        text = str(record.msg)
        return record.levelno >= standard_logging.WARNING and not any(
            words in text for words in NOT_SHOWN
        )

    def format(self, record: standard_logging.LogRecord) -> str:
        progress.erase_bar()  # The handler holds its lock.
        if self.detailed and FLAGS.verbosity >= logging.DEBUG:
            return self.detailed.format(record)
        text = super().format(record)
        if record.levelno <= standard_logging.INFO:
            return text
        return f"{record.levelname}: {text}"
