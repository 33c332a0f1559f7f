"""Answers with this package, or with another checkout of it.

The checkout is the one that PYTHONPATH names.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

# The folder of this file is the first where Python looks.
import answer_loop
import on_tensorflow
from answer_task import Item, Task
from bert_tf.export.predictor import Predictor

# The default, and the only engine of older checkouts.
FLOAT32 = "float32"


class Ours:
    """A `Predictor` with its defaults.

    Args:
        task: what to answer.
        variant: "ours" or "baseline", a slash, and the name of an engine.
    """

    def __init__(self, task: Task, variant: str):
        name, _, engine = variant.partition("/")
        self.device = on_tensorflow.device()
        self.versions = f"TensorFlow {tf.__version__}"
        settings: dict[str, Any] = {}
        if engine != FLOAT32:
            settings["engine"] = engine
        self._predictor = Predictor(task.folders[name], **settings)

    def tune(self, items: Sequence[Item], num_clients: int) -> str:
        used = getattr(self._predictor, "engine", FLOAT32)
        return f"engine {used}"

    def answer_one(self, item: Item) -> Any:
        (answer,) = self._predictor.predict([item])
        return answer

    def answer_all(self, items: Sequence[Item]) -> Sequence[Any]:
        return self._predictor.predict(items)

    # It is not measured: our clients ask the server.
    answer_for_client = answer_one

    def compared(self, answer: Any) -> tuple[str, list[float]]:
        if "answer" in answer:
            return answer["answer"], [answer["score"]]
        return answer["label"], [*answer["probabilities"].values()]


if __name__ == "__main__":
    answer_loop.run(Ours, lambda: tf.matmul(tf.ones((2, 2)), tf.ones((2, 2))))
