"""Runs a program inside somebody else's process, and leaves no trace there.

The programs keep their flags in Abseil's one FLAGS, log through its one
logger, and set Keras' precision and the seeds. A notebook or a service has
flags, a log and seeds of its own. `isolated` gives the block fresh ones, and
puts everything back at its end.

Threads of the process that read Abseil's flags, while a block runs, see those
of the block. So there is one block at a time.
"""

import contextlib
import copy
import logging as standard_logging
import random
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags, logging

from bert_tf.programs import console, next_step

_one_at_a_time = threading.RLock()
# Abseil's own flags, without those that its programs define as they start.
_LIBRARY = "absl."
_NOT_TAKEN = ("help", "?", "helpshort", "helpfull", "helpxml")


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Gives the block flags, log and seeds of its own."""
    with _one_at_a_time, contextlib.ExitStack() as stack:
        for part in (
            _seeds_restored(),
            _precision_restored(),
            _log_restored(),
            _fresh_flags(),
            _lines_on_standard_output(),
            next_step.left_out(),  # They are commands.
        ):
            stack.enter_context(part)
        yield


# ---------------------------------------------------------------------------
# Flags.


@contextlib.contextmanager
def _fresh_flags() -> Iterator[None]:
    """Lets FLAGS hold nothing but copies of Abseil's own flags."""
    held = vars(flags.FLAGS)
    before = dict(held)
    fresh = flags.FlagValues()
    for module, its_flags in flags.FLAGS.flags_by_module_dict().items():
        for flag in its_flags:
            if module.startswith(_LIBRARY) and flag.name not in _NOT_TAKEN:
                own = copy.deepcopy(flag)
                own.unparse()  # The default, whatever the host has given.
                flags.DEFINE_flag(own, fresh, module_name=module)
    held.clear()
    held.update(vars(fresh))
    try:
        yield
    finally:
        defined = flags.FLAGS.flags_by_module_dict()
        held.clear()
        held.update(before)
        _keep_of_libraries(defined)


def _keep_of_libraries(defined: dict[str, list[flags.Flag]]) -> None:
    """Defines what libraries defined that were imported in the block.

    They are not imported again, so their flags would be missing.
    """
    for module, its_flags in defined.items():
        if module.startswith(("bert_tf", "run_", _LIBRARY)):
            continue
        for flag in its_flags:
            if flag.name not in flags.FLAGS:
                flags.DEFINE_flag(flag, module_name=module)


# ---------------------------------------------------------------------------
# The log.


@contextlib.contextmanager
def _log_restored() -> Iterator[None]:
    """Puts levels and handlers of the log back as they were."""
    loggers = [standard_logging.getLogger(), logging.get_absl_logger()]
    before = [(one, one.level, one.handlers[:]) for one in loggers]
    try:
        yield
    finally:
        for logger, level, handlers in before:
            logger.setLevel(level)
            logger.handlers[:] = handlers


@contextlib.contextmanager
def _lines_on_standard_output() -> Iterator[None]:
    """Shows messages on standard output, as `fit` of Keras does.

    The host's own handlers get what they would get of any library: no details,
    and nothing twice on the same screen.
    """
    root, logger = standard_logging.getLogger(), logging.get_absl_logger()
    handler = logging.get_absl_handler()
    least = logger.getEffectiveLevel()
    others = [one for one in root.handlers if one is not handler]

    def is_for_others(record: standard_logging.LogRecord) -> bool:
        return record.name != "absl" or record.levelno >= least

    def is_of_another(record: standard_logging.LogRecord) -> bool:
        return record.name != "absl"

    def is_worth_showing(record: standard_logging.LogRecord) -> bool:
        return not any(words in str(record.msg) for words in console.NOT_SHOWN)

    filters: list[tuple[Any, Any]] = [
        (one, is_of_another if _is_screen(one) else is_for_others)
        for one in others
    ]
    filters.append((standard_logging.getLogger("tensorflow"), is_worth_showing))
    for one, its_filter in filters:
        one.addFilter(its_filter)
    if handler not in root.handlers:
        logger.addHandler(handler)
    stream = handler.python_handler.stream
    handler.python_handler.stream = sys.stdout
    try:
        yield
    finally:
        handler.python_handler.stream = stream
        for one, its_filter in filters:
            one.removeFilter(its_filter)


def _is_screen(handler: standard_logging.Handler) -> bool:
    """Whether a handler writes to standard output or standard error."""
    return getattr(handler, "stream", None) in (sys.stdout, sys.stderr)


# ---------------------------------------------------------------------------
# Seeds and precision.


@contextlib.contextmanager
def _seeds_restored() -> Iterator[None]:
    """Puts the states of Python's and NumPy's random numbers back."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


@contextlib.contextmanager
def _precision_restored() -> Iterator[None]:
    """Puts Keras' precision back; without Keras there is nothing to keep."""
    keras: Any = sys.modules.get("keras")
    before = keras.config.dtype_policy() if keras else None
    try:
        yield
    finally:
        keras = sys.modules.get("keras")
        if keras:
            keras.config.set_dtype_policy(before or keras.config.floatx())
