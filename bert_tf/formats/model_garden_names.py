"""The names of BERT's variables in TensorFlow's Model Garden.

A kernel of attention has an axis for the N heads, [D, N, K], where the
original has [D, N K].
"""

import re
from collections.abc import Mapping

from bert_tf.formats.tables import (
    HEADS_FIRST,
    HEADS_LAST,
    SAME,
    TRANSPOSED,
    Layout,
    Rule,
    Table,
)

WORDS = "word_embeddings/embeddings"
QUERY = "layer_0/self_attention/query/kernel"
EMBEDDINGS = "bert/embeddings"
LM = "cls/predictions"
# Names without what comes before them. Heads are named by their users, so
# only the end of their names is known.
_KNOWN = re.compile(
    r"(?:.*?/)??("  # As little as possible is left out.
    r"word_embeddings/embeddings"
    r"|(?:position_embedding|type_embeddings)/embeddings"
    r"|embeddings/layer_norm/(?:gamma|beta)"
    r"|embedding_postprocessor/.+"
    r"|layer_\d+/.+"
    r"|pooler_(?:transform|dense)/(?:kernel|bias)"
    r"|cls/predictions/.+"
    r"|predictions/transform/logits/(?:kernel|bias)"
    r"|next_sentence/logits/(?:kernel|bias)"
    r"|logits/(?:kernel|bias)"
    r"|classifier/(?:kernel|bias)"
    r")"
)


def _layer(
    original: str, foreign: str, kernel: Layout = SAME, bias: Layout = SAME
) -> list[Rule]:
    return [
        Rule(f"{original}/kernel", f"{foreign}/kernel", kernel),
        Rule(f"{original}/bias", f"{foreign}/bias", bias),
    ]


def _norm(original: str, foreign: str) -> list[Rule]:
    return [
        Rule(f"{original}/LayerNorm/{name}", f"{foreign}/{name}")
        for name in ("gamma", "beta")
    ]


def _output(original: str, foreign: str) -> list[Rule]:
    return [
        Rule(f"{original}output_weights", f"{foreign}/kernel", TRANSPOSED),
        Rule(f"{original}output_bias", f"{foreign}/bias"),
    ]


_OWN = "bert/encoder/layer_{n}/"
_OLD = "embedding_postprocessor/"
_LOGITS = "predictions/transform/logits"
TABLE = Table(
    [
        Rule(f"{EMBEDDINGS}/word_embeddings", WORDS),
        Rule(
            f"{EMBEDDINGS}/position_embeddings",
            "position_embedding/embeddings",
        ),
        Rule(
            f"{EMBEDDINGS}/token_type_embeddings", "type_embeddings/embeddings"
        ),
        *_norm(EMBEDDINGS, "embeddings/layer_norm"),
        Rule(f"{EMBEDDINGS}/position_embeddings", f"{_OLD}position_embeddings"),
        Rule(f"{EMBEDDINGS}/token_type_embeddings", f"{_OLD}type_embeddings"),
        *_norm(EMBEDDINGS, f"{_OLD}layer_norm"),
        *(
            rule
            for part in ("query", "key", "value")
            for rule in _layer(
                f"{_OWN}attention/self/{part}",
                f"layer_{{n}}/self_attention/{part}",
                HEADS_LAST,
                HEADS_LAST,
            )
        ),
        *(
            rule
            for name in (
                "self_attention/attention_output",
                "self_attention_output",
            )
            for rule in _layer(
                f"{_OWN}attention/output/dense",
                f"layer_{{n}}/{name}",
                HEADS_FIRST,
            )
        ),
        *_norm(
            f"{_OWN}attention/output", "layer_{n}/self_attention_layer_norm"
        ),
        *_layer(f"{_OWN}intermediate/dense", "layer_{n}/intermediate"),
        *_layer(f"{_OWN}output/dense", "layer_{n}/output"),
        *_norm(f"{_OWN}output", "layer_{n}/output_layer_norm"),
        *_layer("bert/pooler/dense", "pooler_transform"),
        *_layer(f"{LM}/transform/dense", f"{LM}/transform/dense"),
        *_norm(f"{LM}/transform", f"{LM}/transform/LayerNorm"),
        Rule(f"{LM}/output_bias", f"{LM}/output_bias/bias"),
        *_output("cls/seq_relationship/", "next_sentence"),
        *_output("cls/squad/", "span"),
        *_output("", "head"),
    ]
)


def short_name(name: str) -> str:
    """A variable's name without what the model's author put before it.

    "bert_encoder_v2/pooler_transform/bias" -> "pooler_transform/bias".
    """
    found = _KNOWN.fullmatch(name)
    return found[1] if found else name


def table_names(
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, tuple[str, ...]]:
    """{name in a file: its names in `TABLE`}.

    A variable that would get the name of another one keeps its own.

    Args:
        shapes: {name in the file: shape}.
    """
    short = {short_name(name): shape for name, shape in shapes.items()}
    given: set[str] = set()
    result = {}
    for name in shapes:
        found = _names_of(short_name(name), short)
        result[name] = (name,) if given & {*found} else found
        given |= {*found}
    return result


def _names_of(
    name: str, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[str, ...]:
    """The names of a variable in `TABLE`; a head may be of several kinds.

    Args:
        name: its short name.
        shapes: {short name: shape}, of all variables of the file.
    """
    scope, _, last = name.rpartition("/")
    if "pooler_dense/kernel" in shapes:
        # A head with a pooler of its own: the encoder's is neither trained nor
        # used.
        if scope == "pooler_dense":
            return (f"pooler_transform/{last}",)
        if scope == "pooler_transform":
            return (f"{name} (not used)",)
    if scope == "next_sentence/logits":
        return (f"next_sentence/{last}",)
    if scope in ("logits", "classifier"):
        return (f"head/{last}",)
    if scope == _LOGITS:
        # Classes, tags, spans and the next sentence have the same name.
        if f"{LM}/output_bias/bias" in shapes:
            return (f"next_sentence/{last}",)
        if shapes.get(f"{_LOGITS}/bias") == (2,):
            return (f"head/{last}", f"span/{last}")
        return (f"head/{last}",)
    return (name,)
