"""A model that somebody stored, in whatever format, as one value."""

import dataclasses
from collections.abc import Callable
from typing import Any

from bert_tf.config import BertConfig
from bert_tf.formats import heads
from bert_tf.formats.weights import Weights
from bert_tf.tokenizer_settings import TokenizerSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredModel:
    """What a folder or a file says of a model. Its weights are not read yet.

    Attributes:
        path: what was opened.
        format: what it is, for people, such as "a folder of Hugging Face".
        config: the shape of the network.
        config_file: a path from which `pretrained.read_config` reads `config`.
        vocab_file: the path of the vocabulary; None if there is none.
        tokenizer: how text becomes words. None if nothing says it: then the
            entries of the vocabulary do.
        weights_file: a path from which `open_weights` reads the weights.
        open_weights: function(weights_file).
        kind: the kind of the head, such as "single_label"; None if there is no
            head, or nothing says which.
        labels: the labels of its classes or tags, if it has any.
        task: the content of task.json, {} without one.
        dropout_rate: dropout before the output of its head, if it is known.
    """

    path: str
    format: str
    config: BertConfig
    config_file: str
    vocab_file: str | None
    tokenizer: TokenizerSettings | None
    weights_file: str
    open_weights: Callable[[str], Weights]
    kind: str | None = None
    labels: list[str] | None = None
    task: dict[str, Any] = dataclasses.field(default_factory=dict)
    dropout_rate: float | None = None

    def kind_with(self, weights: Weights) -> str | None:
        """`kind`; where no file says it, the one that variables show."""
        return self.kind or heads.kind_of(weights.shapes)

    def task_of(self, kind: str | None) -> dict[str, Any]:
        """What is known of a head of a kind: labels, thresholds, mean …

        Args:
            kind: of `kind_with`.
        """
        values = {name: v for name, v in self.task.items() if name != "problem"}
        if self.labels and kind != "regression":
            values["labels"] = self.labels
        return values

    def weights(self) -> Weights:
        """Opens the weights.

        Raises:
            UserError: they are damaged.
        """
        return self.open_weights(self.weights_file)
