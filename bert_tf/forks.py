"""Models in forked processes, which would wait for ever, raise an error.

`fork` copies a process with one of its threads. TensorFlow's threads, which
start with its first operation, are missing in the copy, and what is given to
them is never done. A process that is forked before that can use models, and a
tokenizer in Python works anywhere.
"""

import os
import sys
import types


class ForkedProcess(RuntimeError):
    """A model is used in a process that was forked after TensorFlow ran."""

    def __init__(self):
        super().__init__(
            "this process was forked after TensorFlow had been used, and would "
            "wait for ever: use models in forked processes only and load them "
            "there (gunicorn: preload_app = False), or start processes by "
            "multiprocessing's method 'spawn'"
        )


_state = types.SimpleNamespace(
    pid=None,  # The process that used a model first, if any did.
    is_broken=False,  # Whether TensorFlow had run when this one was forked.
)


def check() -> None:
    """Checks that TensorFlow can run here; call it before it does.

    Raises:
        ForkedProcess: this process was forked after TensorFlow had run.
    """
    pid = os.getpid()
    if _state.is_broken or _state.pid not in (None, pid):
        raise ForkedProcess()
    _state.pid = pid


def check_process(pid: int) -> None:
    """Raises ForkedProcess unless this is the process `pid`."""
    if os.getpid() != pid:
        raise ForkedProcess()


def _note_fork() -> None:
    """Notes, in a forked process, whether TensorFlow had run before.

    The user's own program may have used it, without a model of this package.
    """
    eager = sys.modules.get("tensorflow.python.eager.context")
    context = getattr(eager, "_context", None)
    if getattr(context, "_context_handle", None) is not None:
        _state.is_broken = True


if hasattr(os, "register_at_fork"):  # Windows does not fork.
    os.register_at_fork(after_in_child=_note_fork)
