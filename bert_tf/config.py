"""BertConfig: the shape of one BERT model, as stored in `bert_config.json`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from absl import logging

from bert_tf import json_files
from bert_tf.errors import UserError

# The original also takes "" and null for "linear".
ACTIVATION_NAMES = ("gelu", "gelu_exact", "relu", "tanh", "linear", "", None)
LAYER_NORM_EPS = 1e-12  # The default of tf.contrib.layers.layer_norm.

_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_FRACTIONS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
)


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The hyper-parameters of a BERT network: its variables and arithmetic.

    Field names, meanings and defaults are those of `bert_config.json` as
    released with google-research/bert, so those files load unchanged.

    Attributes:
        vocab_size: number of WordPieces; rows of the word embedding table.
        hidden_size: width D of every layer; a multiple of
            `num_attention_heads`.
        num_hidden_layers: number of transformer layers.
        num_attention_heads: number of heads N in each layer.
        intermediate_size: width of the feed-forward layer.
        hidden_act: "gelu", "gelu_exact", "relu", "tanh" or "linear";
            feed-forward activation. "gelu" is the original's, the form with
            tanh; "gelu_exact" is the form with erf, which other libraries call
            "gelu". The pooler always uses tanh.
        hidden_dropout_prob: dropout after embeddings, attention output and
            feed-forward output, at least 0 and below 1.
        attention_probs_dropout_prob: dropout on attention probabilities, at
            least 0 and below 1.
        max_position_embeddings: longest sequence the model can read.
        type_vocab_size: number of segment ids. The default, 16, is the
            original's; every released model has 2.
        initializer_range: standard deviation of the truncated normal that
            initializes every weight matrix.
        layer_norm_eps: what layer normalization adds to a variance, above 0
            and below 1. The original always adds 1e-12.

    Raises:
        UserError: a value has the wrong type or is out of range, or
            `hidden_size` is not a multiple of `num_attention_heads`.
    """

    vocab_size: int
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 16
    initializer_range: float = 0.02
    layer_norm_eps: float = dataclasses.field(
        default=LAYER_NORM_EPS, kw_only=True
    )

    def __post_init__(self) -> None:
        for name in _SIZES:
            value = getattr(self, name)
            # A bool is an int in Python, but in JSON `true` is not a size.
            if type(value) is not int or not 1 <= value < 2**31:
                raise UserError(
                    f"{name} must be a positive whole number below 2^31. "
                    f"Received: {value!r}"
                )
        for name in _FRACTIONS:
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < 1:
                raise UserError(
                    f"{name} must be at least 0 and below 1. "
                    f"Received: {value!r}"
                )
        epsilon = self.layer_norm_eps
        if type(epsilon) not in (int, float) or not 0 < epsilon < 1:
            raise UserError(
                "layer_norm_eps must be above 0 and below 1. "
                f"Received: {epsilon!r}"
            )
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                "hidden_size must be a multiple of num_attention_heads. "
                f"Received: hidden_size={self.hidden_size}, "
                f"num_attention_heads={self.num_attention_heads}"
            )
        if self.activation_name not in ACTIVATION_NAMES:
            raise UserError(
                "hidden_act must be one of gelu (with tanh), gelu_exact (with "
                "erf), relu, tanh, linear. "
                f"Received: {self.hidden_act!r}"
            )

    @property
    def activation_name(self) -> str | None:
        """`hidden_act` in lower case, as the original compares it."""
        act = self.hidden_act
        return act.lower() if isinstance(act, str) else act

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BertConfig":
        """Builds a config; unknown keys are logged, not kept.

        Args:
            values: the content of a `bert_config.json`.

        Raises:
            UserError: a value is wrong, or `vocab_size` is missing.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        unused = sorted(set(values) - fields)
        if unused:
            logging.info("bert_config keys not used: %s", ", ".join(unused))
        if "vocab_size" not in values:
            raise UserError("vocab_size is missing")
        return cls(**{k: v for k, v in values.items() if k in fields})

    @classmethod
    def from_json_file(cls, path: str) -> "BertConfig":
        """Reads a `bert_config.json`.

        Raises:
            UserError: the file is not JSON, or a value is wrong. The message
                names the file.
        """
        values = json_files.read_object(path)
        try:
            return cls.from_dict(values)
        except UserError as error:
            message = str(error)
            with_path = message if path in message else f"{path}: {message}"
            raise UserError(with_path) from None

    def to_dict(self) -> dict[str, Any]:
        """The content of a `bert_config.json`.

        `layer_norm_eps` is there only if it is not the original's.
        """
        values = dataclasses.asdict(self)
        if self.layer_norm_eps == LAYER_NORM_EPS:
            del values["layer_norm_eps"]
        return values
