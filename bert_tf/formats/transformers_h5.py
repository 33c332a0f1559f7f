"""`tf_model.h5`: the weights of the TFBert… classes of transformers 2 to 4.

Each path in the file starts with a layer and the model's name, which may be
any, and ends with the variable's:

    bert/tf_bert_model/bert/encoder/layer_._0/output/dense/kernel:0
    mlm___cls/tf_bert_for_masked_lm/mlm___cls/predictions/bias:0

The masked LM head, `mlm___cls`, lists the embeddings once more, because its
output layer is the table of words. `config.json` beside the file is that of
every Hugging Face folder.
"""

import re

from bert_tf.formats.h5_arrays import H5Arrays, is_h5
from bert_tf.formats.tables import SAME, TRANSPOSED, Layout, Rule, Table
from bert_tf.formats.weights import ForeignWeights, Renamed

# Version 4.2 alone wrote kernels [D, N, K] and [N, K, D] and biases [N, K],
# with an axis for the heads; all others joined the heads, as the original.
_JOINED_LAST = Layout(
    lambda x: x.reshape(x.shape[0], -1),
    lambda shape: (shape[0], _product(shape[1:])),
    lambda x, _: x,
)
_JOINED_FIRST = Layout(
    lambda x: x.reshape(-1, x.shape[-1]),
    lambda shape: (_product(shape[:-1]), shape[-1]),
    lambda x, _: x,
)
_JOINED = Layout(
    lambda x: x.reshape(-1), lambda shape: (_product(shape),), lambda x, _: x
)


def _product(sizes: tuple[int, ...]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


_LAYER = "bert/encoder/layer_{n}/"
_FOREIGN_LAYER = "bert/encoder/layer_._{n}/"


def _in_layer(name: str, layout: Layout = SAME) -> Rule:
    return Rule(_LAYER + name, _FOREIGN_LAYER + name, layout)


def _with_bias(original: str, foreign: str) -> list[Rule]:
    """A head's linear output, whose matrix the original keeps as [C, D]."""
    return [
        Rule(original + "output_weights", foreign + "/kernel", TRANSPOSED),
        Rule(original + "output_bias", foreign + "/bias"),
    ]


_EMBEDDINGS = "bert/embeddings/"
_TRANSFORM = "predictions/transform/"
TABLE = Table(
    [
        Rule(
            _EMBEDDINGS + "word_embeddings",
            _EMBEDDINGS + "word_embeddings/weight",
        ),
        Rule(
            _EMBEDDINGS + "position_embeddings",
            _EMBEDDINGS + "position_embeddings/embeddings",
        ),
        Rule(
            _EMBEDDINGS + "token_type_embeddings",
            _EMBEDDINGS + "token_type_embeddings/embeddings",
        ),
        *(
            Rule(name, name)
            for name in (
                _EMBEDDINGS + "LayerNorm/gamma",
                _EMBEDDINGS + "LayerNorm/beta",
                "bert/pooler/dense/kernel",
                "bert/pooler/dense/bias",
            )
        ),
        *(
            _in_layer(f"attention/self/{part}/{name}", layout)
            for part in ("query", "key", "value")
            for name, layout in (("kernel", _JOINED_LAST), ("bias", _JOINED))
        ),
        _in_layer("attention/output/dense/kernel", _JOINED_FIRST),
        *(
            _in_layer(name)
            for name in (
                "attention/output/dense/bias",
                "attention/output/LayerNorm/gamma",
                "attention/output/LayerNorm/beta",
                "intermediate/dense/kernel",
                "intermediate/dense/bias",
                "output/dense/kernel",
                "output/dense/bias",
                "output/LayerNorm/gamma",
                "output/LayerNorm/beta",
            )
        ),
        *(
            Rule(f"cls/{_TRANSFORM}{name}", f"mlm___cls/{_TRANSFORM}{name}")
            for name in (
                "dense/kernel",
                "dense/bias",
                "LayerNorm/gamma",
                "LayerNorm/beta",
            )
        ),
        Rule("cls/predictions/output_bias", "mlm___cls/predictions/bias"),
        *_with_bias("cls/seq_relationship/", "nsp___cls/seq_relationship"),
        *_with_bias("", "classifier"),
        *_with_bias("cls/squad/", "qa_outputs"),
    ]
)
_WITHOUT_START = re.compile(
    r"(?:.*/)?((?:bert|mlm___cls|nsp___cls|classifier|qa_outputs)/.+)"
)


def short_name(path: str) -> str:
    """A variable's name without the layer, the model and `:0`.

    "bert/my_model/bert/pooler/dense/bias:0" -> "bert/pooler/dense/bias".
    """
    found = _WITHOUT_START.fullmatch(path)
    return (found[1] if found else path).removesuffix(":0")


def open_weights(path: str) -> ForeignWeights:
    """The weights of a `tf_model.h5`, under the original's names.

    Args:
        path: of the file, which may have any name.

    Raises:
        UserError: the file is missing or damaged.
    """
    return ForeignWeights(Renamed(H5Arrays(path), short_name), TABLE)


def recognises(path: str) -> bool:
    """Whether a file holds a BERT encoder that transformers wrote.

    Raises:
        UserError: it is an HDF5 file, and damaged.
    """
    if not is_h5(path):
        return False
    names = {short_name(name) for name in H5Arrays(path).shapes}
    return "bert/embeddings/word_embeddings/weight" in names
