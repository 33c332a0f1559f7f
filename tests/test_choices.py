"""The names of choices.py are those of what is behind them."""

from bert_tf import choices, optimization, pooling
from bert_tf.tasks.registry import TASKS, TaskSettings
from bert_tf.training import trainer


def test_names_are_those_of_what_is_behind_them():
    assert choices.OPTIMIZERS == tuple(optimization.OPTIMIZERS)
    assert choices.PRECISIONS == tuple(trainer.POLICIES)
    assert choices.WINDOW_POOLINGS == tuple(pooling.WINDOW_POOLINGS)
    assert choices.POOLINGS == (*pooling.TOKEN_POOLINGS, "cls_pooled")


def test_tasks_and_what_they_read():
    assert choices.TASKS == {name: task.flags for name, task in TASKS.items()}
    assert [*choices.TASKS] == [*TASKS]
    fields = {*TaskSettings.__dataclass_fields__}
    assert fields == {
        name for names in choices.TASKS.values() for name in names
    }
