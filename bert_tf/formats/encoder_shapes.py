"""The variables of an encoder, as a config says them."""

from collections.abc import Mapping

from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats.heads import POOLER
from bert_tf.formats.weights import Weights

Shapes = dict[str, tuple[int, ...]]


def encoder_shapes(config: BertConfig) -> Shapes:
    """{name in the original: shape} of all variables of an encoder."""
    width, inner = config.hidden_size, config.intermediate_size
    shapes: Shapes = {
        "bert/embeddings/word_embeddings": (config.vocab_size, width),
        "bert/embeddings/token_type_embeddings": (
            config.type_vocab_size,
            width,
        ),
        "bert/embeddings/position_embeddings": (
            config.max_position_embeddings,
            width,
        ),
        **_layer_norm("bert/embeddings", width),
        **_dense("bert/pooler/dense", width, width),
    }
    for number in range(config.num_hidden_layers):
        layer = f"bert/encoder/layer_{number}"
        for part in ("self/query", "self/key", "self/value", "output/dense"):
            shapes |= _dense(f"{layer}/attention/{part}", width, width)
        shapes |= _dense(f"{layer}/intermediate/dense", width, inner)
        shapes |= _dense(f"{layer}/output/dense", inner, width)
        shapes |= _layer_norm(f"{layer}/attention/output", width)
        shapes |= _layer_norm(f"{layer}/output", width)
    return shapes


def _dense(name: str, num_inputs: int, num_outputs: int) -> Shapes:
    return {
        f"{name}/kernel": (num_inputs, num_outputs),
        f"{name}/bias": (num_outputs,),
    }


def _layer_norm(scope: str, width: int) -> Shapes:
    return {
        f"{scope}/LayerNorm/gamma": (width,),
        f"{scope}/LayerNorm/beta": (width,),
    }


def check_encoder(weights: Weights, config: BertConfig) -> list[str]:
    """Checks that weights hold an encoder; only a pooler may be missing.

    Returns:
        The variables of the pooler that are missing.

    Raises:
        UserError: a variable is missing, has another shape, or is one of a
            layer that the config does not have.
    """
    shapes: Mapping[str, tuple[int, ...]] = weights.shapes
    needed = encoder_shapes(config)
    missing = []
    for name, shape in needed.items():
        if name not in shapes:
            if name.startswith(POOLER):
                missing.append(name)
                continue
            raise UserError(
                f"{weights.prefix}: {name} is missing, so the encoder is "
                "incomplete"
            )
        if tuple(shapes[name]) != shape:
            raise UserError(
                f"{weights.prefix}: {name} has shape {list(shapes[name])}, and "
                f"the config says {list(shape)}"
            )
    for name in shapes:
        if name.startswith("bert/encoder/") and not any(
            name == known or name.startswith(f"{known}/") for known in needed
        ):
            raise UserError(
                f"{weights.prefix}: {name} is there, and the config says "
                f"num_hidden_layers={config.num_hidden_layers}"
            )
    return missing
