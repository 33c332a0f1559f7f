"""SQuAD: its files, windows of its contexts, and answers."""

from bert_tf.data.squad.answers import compute_predictions
from bert_tf.data.squad.examples import read_squad_examples
from bert_tf.data.squad.windows import convert_examples_to_features

__all__ = [
    "compute_predictions",
    "convert_examples_to_features",
    "read_squad_examples",
]


def __dir__() -> list[str]:
    return __all__
