"""BERT of TensorFlow's Model Garden: checkpoints, and encoders of TF Hub.

Its BertEncoder was saved as a TensorFlow 2 checkpoint, and published on
TensorFlow Hub and Kaggle as a SavedModel. Both hold the variables under the
names that they have in the code, after a prefix that may be any:

    bert_encoder_v2/transformer/layer_0/self_attention/query/kernel  [D, N, K]

The first modules of TF Hub, bert_…/1 and /2, come from earlier code:

    bert_model/encoder/layer_0/self_attention/query/kernel           [D, N, K]

Nothing says the sizes: they are read from the shapes.
"""

import os
import re

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats.checkpoint_paths import prefixes_in
from bert_tf.formats.model_garden_names import (
    EMBEDDINGS,
    LM,
    QUERY,
    TABLE,
    WORDS,
    short_name,
    table_names,
)
from bert_tf.formats.saved_model_proto import (
    FILE,
    VARIABLES,
    SavedModelProto,
    is_saved_model,
)
from bert_tf.formats.tf2_arrays import ObjectArrays
from bert_tf.formats.weights import ForeignWeights, Renamed

_LOWER = "do_lower_case"
_SENTENCES = "sentence_prediction/logits/bias"
# What training keeps besides the model, by its place.
_TRAINING = re.compile(
    r"(.*/)?(\.OPTIMIZER_SLOT|\w*optimizer\w*|keras_api|save_counter"
    r"|(global_)?step)(/.*)?"
)


def recognises(path: str) -> bool:
    """Whether a checkpoint or a SavedModel holds an encoder of Model Garden.

    Args:
        path: a checkpoint's prefix, a folder of checkpoints, or the folder of
            a SavedModel.
    """
    try:
        names = {short_name(name) for name in _arrays(path).shapes}
    except UserError:
        return False
    return WORDS in names and any(name.endswith(QUERY) for name in names)


def open_weights(path: str) -> ForeignWeights:
    """The weights of an encoder, and of a head if there is one.

    Two outputs for each token under the name that several heads have are there
    twice, as classes and as the start and end of an answer.

    Args:
        path: see `recognises`.

    Raises:
        UserError: the file is missing or damaged.
    """
    arrays = _arrays(path)
    names = table_names(arrays.shapes)
    for name, place in arrays.places.items():
        # No variable of BERT is a scalar: those are counters and flags.
        if _TRAINING.fullmatch(place) or not arrays.shapes[name]:
            names[name] = ()
    return ForeignWeights(Renamed(arrays, names.__getitem__), TABLE)


def read_config(path: str) -> BertConfig:
    """The shape of the encoder, from the shapes of its variables.

    Dropout is not stored: it is the original's. A checkpoint does not say the
    activation either; it is taken for the gelu that Model Garden has, which is
    the original's. A SavedModel contains it.

    Args:
        path: see `recognises`.

    Raises:
        UserError: a variable is missing, or the shapes are not those of a BERT.
    """
    arrays = _arrays(path)
    short = {short_name(name): arrays.shapes[name] for name in arrays.shapes}
    shapes = open_weights(path).shapes

    def size(name: str, axis: int) -> int:
        shape = shapes.get(name, ())
        if len(shape) <= axis:
            raise UserError(
                f"{arrays.path}: {name} is missing or has the wrong shape; it "
                f"holds {', '.join(sorted(short)[:3])}"
            )
        return shape[axis]

    layers = {
        int(found[1])
        for name in shapes
        if (found := re.match(r"bert/encoder/layer_(\d+)/", name))
    }
    heads = short.get(QUERY, ())
    if len(heads) != 3:
        raise UserError(
            f"{arrays.path}: {QUERY} has shape {list(heads)}; it needs three "
            "axes, of which the second is that of the heads"
        )
    try:
        return BertConfig(
            vocab_size=size(f"{EMBEDDINGS}/word_embeddings", 0),
            hidden_size=size(f"{EMBEDDINGS}/word_embeddings", 1),
            num_hidden_layers=max(layers) + 1,
            num_attention_heads=heads[1],
            intermediate_size=size(
                "bert/encoder/layer_0/intermediate/dense/kernel", 1
            ),
            hidden_act=_activation(path),
            max_position_embeddings=size(
                f"{EMBEDDINGS}/position_embeddings", 0
            ),
            type_vocab_size=size(f"{EMBEDDINGS}/token_type_embeddings", 0),
        )
    except UserError as error:
        why = str(error)
        if why.startswith(arrays.path):
            raise
        raise UserError(f"{arrays.path}: {why}") from None


def vocab_file(path: str) -> str | None:
    """The path of a SavedModel's vocabulary; None if it has none.

    Raises:
        UserError: `saved_model.pb` is damaged.
    """
    if not is_saved_model(path):
        return None
    return SavedModelProto(path).asset("vocab_file")


def tokenizer_settings(path: str) -> dict[str, bool] | None:
    """`do_lower_case` of a SavedModel; None where nothing says it.

    Raises:
        UserError: the variables are damaged.
    """
    if not is_saved_model(path):
        return None
    arrays = _arrays(path)
    for name, place in arrays.places.items():
        if place == _LOWER:
            return {_LOWER: bool(arrays.read(name))}
    return None


def labels(path: str) -> list[str] | None:
    """None: the files do not name classes."""
    del path
    return None


def head_kind(path: str) -> str | None:
    """The kind of the head, where its name says it.

    Returns:
        "pretraining", "masked_lm", "single_label" or "regression"; None
        without a head, and for one of which only the sizes are known.

    Raises:
        UserError: the file is missing or damaged.
    """
    shapes = open_weights(path).shapes
    if f"{LM}/output_bias" in shapes:
        both = "cls/seq_relationship/output_bias" in shapes
        return "pretraining" if both else "masked_lm"
    names = _arrays(path).shapes
    if not any(name.endswith(_SENTENCES) for name in names):
        return None
    return "regression" if shapes["output_bias"] == (1,) else "single_label"


def _arrays(path: str) -> ObjectArrays:
    if is_saved_model(path):
        return ObjectArrays(os.path.join(path, VARIABLES))
    if files.exists(os.path.join(path, FILE)):
        raise UserError(f"{path}: the SavedModel has no variables")
    # Without the file `checkpoint`, which `Checkpoint` needs, the newest.
    if files.is_folder(path) and not files.exists(
        os.path.join(path, "checkpoint")
    ):
        path = next(iter(prefixes_in(path)), path)
    return ObjectArrays(path)


def _activation(path: str) -> str:
    """The activation that a SavedModel computes; the usual one otherwise."""
    if not is_saved_model(path):
        return "gelu"
    operations = SavedModelProto(path).operations()
    if operations & {"Erf", "Erfc"}:
        return "gelu_exact"
    return "relu" if "Relu" in operations else "gelu"
