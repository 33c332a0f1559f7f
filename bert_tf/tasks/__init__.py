"""The tasks of run_classifier: what each reads, and what it asks."""

from bert_tf.tasks.registry import TASKS, get_task

__all__ = ["TASKS", "get_task"]


def __dir__() -> list[str]:
    return __all__
