"""What run_classifier needs to know about each task."""

from bert_tf.tasks.registry import TASKS, get_task

__all__ = ["TASKS", "get_task"]
