"""Flags that say how an exported model answers: its engine, and long texts."""

from typing import Any

from absl import flags

from bert_tf import choices
from bert_tf.programs.flags import define_count

FLAGS = flags.FLAGS


def define() -> None:
    """Defines the flags of programs that ask an exported model."""
    flags.DEFINE_enum(
        "engine",
        None,
        choices.ENGINES,
        "What computes the model: float32; bfloat16, for processors that have "
        "it; int8, for models that were exported with --export_int8; or auto, "
        "the fastest one that python -m bert_tf.tools.tune found. By default "
        "the precision of the export.",
    )
    _define_sizes()
    flags.DEFINE_enum(
        "on_long",
        "truncate",
        choices.ON_LONG,
        "What happens to a text that is longer than the model reads: truncate "
        "cuts it off; error refuses it.",
    )
    flags.DEFINE_bool(
        "with_lengths",
        False,
        "Add to each answer num_tokens, the length of the whole text in "
        "WordPieces, and truncated, whether the model did not read all of it.",
    )


def define_for_encoders() -> None:
    """Defines the flags of programs that compute vectors from a checkpoint."""
    flags.DEFINE_enum(
        "engine",
        "float32",
        [name for name in choices.ENGINES if name != "auto"],
        "What computes the vectors: float32; bfloat16, for processors that "
        "have it; or int8, which takes some seconds to prepare.",
    )
    _define_sizes()


def _define_sizes() -> None:
    define_count(
        "num_threads",
        None,
        "Threads of LiteRT, which computes int8, and float32 for a few texts "
        "of an exported model. By default as many as there are processor "
        "cores.",
    )
    define_count(
        "max_batch_tokens",
        choices.MAX_BATCH_TOKENS,
        "Tokens that the model reads together, padding included.",
    )


def settings() -> dict[str, Any]:
    """The arguments of `Predictor` that the flags ask for."""
    names = (
        "engine",
        "num_threads",
        "max_batch_tokens",
        "on_long",
        "with_lengths",
    )
    return {name: FLAGS[name].value for name in names}
