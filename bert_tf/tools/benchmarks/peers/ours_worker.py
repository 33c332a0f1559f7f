"""Trains with this package, or with another checkout of it.

The checkout is the one that PYTHONPATH names.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# The folder of this file is the first where Python looks.
import on_tensorflow
import worker_loop
from bert_tf import BertConfig, losses, training
from bert_tf.heads import BertClassifier, BertPretrainer, BertSpanLabeler
from bert_tf.optimization import OPTIMIZERS, WarmupLinearDecay

try:
    from bert_tf import memory
except ImportError:  # An older checkout.
    memory = None  # type: ignore[assignment]  # It has no such module.

NUM_LABELS = 2
# {problem: (function(config) that makes the model, its loss)}.
PROBLEMS: dict[str, tuple[Callable[[BertConfig], keras.Model], Any]] = {
    "classification": (
        lambda config: BertClassifier(config, NUM_LABELS),
        losses.CLASSIFIER_LOSS,
    ),
    "questions": (BertSpanLabeler, losses.span_loss()),
    "pretraining": (BertPretrainer, losses.pretraining_loss()),
}


class Ours:
    """Our trainer, as the programs set it up.

    Args:
        task: what to train. Its settings are `xla`, `remat`,
            `pad_to_max_length`, `gradient_accumulation_steps` and `optimizer`.
    """

    def __init__(self, task: worker_loop.Task):
        self.device = on_tensorflow.device()
        self.versions = f"TensorFlow {tf.__version__}"
        self.precision = task.precision
        if memory:
            memory.keep_freed_memory()
        keras.config.set_dtype_policy(training.POLICIES[task.precision])
        make_model, loss = PROBLEMS[task.problem]
        model = make_model(BertConfig(**task.config))
        settings = task.settings
        model.bert.encoder.recompute = settings["remat"]
        # Older checkouts always compute padding.
        if hasattr(model.bert, "compute_padding"):
            model.bert.compute_padding = (
                settings["xla"]
                or settings["pad_to_max_length"]
                or model.reads_padding
            )
        self.trainer = training.Trainer(
            model,
            OPTIMIZERS[settings["optimizer"]](),
            WarmupLinearDecay(1e-6, 10**6),
            loss,
            num_micro_batches=settings["gradient_accumulation_steps"],
            jit_compile=settings["xla"],
        )
        number = len(task.batches[0]["input_ids"])
        more = {
            "is_real_example": tf.ones(number, tf.int32),
            "example_index": tf.range(number),
        }
        batches = [{**batch, **more} for batch in task.batches]
        self.iterator = iter(on_tensorflow.endless(batches))

    def train(self, num_steps: int) -> float:
        metrics = self.trainer.train_steps(
            self.iterator, tf.constant(num_steps), tf.constant(0.0)
        )
        return float(metrics["loss"])

    def product(self, size: int) -> Callable[[], object]:
        return on_tensorflow.product(size, self.precision)

    def peak_bytes(self) -> int:
        return on_tensorflow.peak_bytes()

    def profile(self, num_steps: int, folder: str) -> None:
        """Trains steps, and leaves a trace of them in a folder."""
        tf.profiler.experimental.start(folder)
        self.train(num_steps)
        tf.profiler.experimental.stop()


if __name__ == "__main__":
    worker_loop.run(Ours)
