"""The names of BERT's variables in PyTorch models of Hugging Face.

PyTorch keeps the matrix of a dense layer as [outputs, inputs], the original
as [inputs, outputs]. The matrices of outputs (classes, start and end, next
sentence) are [outputs, inputs] in both.
"""

from bert_tf.formats.tables import SAME, TRANSPOSED, Layout, Rule, Table

PREFIX = "bert."  # Before the encoder's names, in a model with a head.


def _dense(original: str, foreign: str) -> list[Rule]:
    return [
        Rule(f"{original}/kernel", f"{foreign}.weight", TRANSPOSED),
        Rule(f"{original}/bias", f"{foreign}.bias"),
    ]


def _layer_norm(original: str, foreign: str) -> list[Rule]:
    return [
        Rule(f"{original}/gamma", f"{foreign}.weight"),
        Rule(f"{original}/beta", f"{foreign}.bias"),
        # Before 2019, and in models that were converted from the original.
        Rule(f"{original}/gamma", f"{foreign}.gamma", is_written=False),
        Rule(f"{original}/beta", f"{foreign}.beta", is_written=False),
    ]


def _encoder(prefix: str) -> list[Rule]:
    """The rules of the encoder, whose foreign names start with a prefix."""
    rules = [
        Rule(
            f"bert/embeddings/{name}", f"{prefix}embeddings.{name}.weight", SAME
        )
        for name in (
            "word_embeddings",
            "position_embeddings",
            "token_type_embeddings",
        )
    ]
    rules += _layer_norm(
        "bert/embeddings/LayerNorm", f"{prefix}embeddings.LayerNorm"
    )
    original = "bert/encoder/layer_{n}"
    foreign = f"{prefix}encoder.layer.{{n}}"
    for part in (
        "attention/self/query",
        "attention/self/key",
        "attention/self/value",
        "attention/output/dense",
        "intermediate/dense",
        "output/dense",
    ):
        dotted = part.replace("/", ".")
        rules += _dense(f"{original}/{part}", f"{foreign}.{dotted}")
    for part in ("attention/output", "output"):
        dotted = part.replace("/", ".")
        rules += _layer_norm(
            f"{original}/{part}/LayerNorm", f"{foreign}.{dotted}.LayerNorm"
        )
    return rules + _dense("bert/pooler/dense", f"{prefix}pooler.dense")


def _output(original: str, foreign: str, layout: Layout = SAME) -> list[Rule]:
    scope = f"{original}/" if original else ""
    return [
        Rule(f"{scope}output_weights", f"{foreign}.weight", layout),
        Rule(f"{scope}output_bias", f"{foreign}.bias"),
    ]


_PREDICTIONS = "cls/predictions"
HEADS = [
    *_dense(
        f"{_PREDICTIONS}/transform/dense", "cls.predictions.transform.dense"
    ),
    *_layer_norm(
        f"{_PREDICTIONS}/transform/LayerNorm",
        "cls.predictions.transform.LayerNorm",
    ),
    Rule(f"{_PREDICTIONS}/output_bias", "cls.predictions.bias"),
    # The same values under a second name, in some versions.
    Rule(
        f"{_PREDICTIONS}/output_bias",
        "cls.predictions.decoder.bias",
        is_written=False,
    ),
    *_output("cls/seq_relationship", "cls.seq_relationship"),
    *_output("cls/squad", "qa_outputs"),
    *_output("", "classifier"),
]
# The masked LM's output matrix: the table of words once more.
DECODER = "cls.predictions.decoder.weight"
# The numbers 0, 1, 2, …, which some versions store.
POSITION_IDS = ("embeddings.position_ids", f"{PREFIX}embeddings.position_ids")

# For reading: whether a model has a head does not matter.
READING = Table([*_encoder(PREFIX), *_encoder(""), *HEADS])
WITH_HEAD = Table([*_encoder(PREFIX), *HEADS])
WITHOUT_HEAD = Table(_encoder(""))
