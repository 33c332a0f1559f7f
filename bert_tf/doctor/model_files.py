"""Checks of a model's files against each other, without building the model."""

from collections.abc import Callable, Mapping

from bert_tf import vocab_files
from bert_tf.checkpoints import open_weights
from bert_tf.config import BertConfig
from bert_tf.counts import counted
from bert_tf.data.tabular.table import listed
from bert_tf.doctor.findings import Finding
from bert_tf.errors import UserError
from bert_tf.formats.encoder_shapes import encoder_shapes
from bert_tf.formats.heads import POOLER

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = "bert/embeddings/word_embeddings"


def guarded(
    check: Callable[[], object], name: str, subject: str = ""
) -> list[Finding]:
    """Runs a check of the package, and turns its error into a finding.

    Args:
        check: function() that raises UserError.
        name: the name of the finding.
        subject: what it is about.
    """
    try:
        check()
    except UserError as error:
        return [of_error(error, name, subject)]
    return []


def of_error(
    error: UserError, name: str, subject: str = "", severity: str = "error"
) -> Finding:
    """The finding that a mistake of a user is."""
    return Finding(
        severity=severity,
        name=name,
        subject=subject,
        what=error.message_for(lambda setting: f"`{setting}`"),
    )


def check_vocabulary(
    vocab: Mapping[str, int],
    vocab_file: str,
    do_lower_case: bool,
    pretraining: bool = False,
) -> list[Finding]:
    """Checks casing and special tokens of a vocabulary.

    Args:
        vocab: {token: id}.
        vocab_file: its file, for messages.
        do_lower_case: the setting.
        pretraining: whether [MASK] is needed.
    """
    findings = guarded(
        lambda: vocab_files.check_casing(vocab, do_lower_case), "casing"
    )
    needed = [*SPECIAL_TOKENS, *(["[MASK]"] if pretraining else [])]
    if missing := [token for token in needed if token not in vocab]:
        findings.append(
            Finding(
                severity="error",
                name="special tokens",
                what=f"{vocab_file} has no {listed(missing)}",
                advice="it is not the vocabulary of a BERT, or it is not whole",
            )
        )
    elif vocab["[PAD]"] != 0:
        findings.append(
            Finding(
                severity="warning",
                name="special tokens",
                what=f"{vocab_file}: [PAD] has the id {vocab['[PAD]']}",
                advice="sequences are padded with 0; released vocabularies "
                "start with [PAD]",
            )
        )
    return findings


def check_sizes(
    vocab: Mapping[str, int],
    vocab_file: str,
    config: BertConfig,
    config_file: str,
) -> list[Finding]:
    """Compares the sizes of a vocabulary and of a config."""
    findings = guarded(
        lambda: vocab_files.check_size(
            vocab, config.vocab_size, vocab_file, config_file
        ),
        "vocabulary size",
    )
    num_ids = 1 + max(index for token, index in vocab.items() if token)
    # Sizes are rounded up to multiples of 8, 64 or 128, for speed.
    if not findings and num_ids < min(
        config.vocab_size - 128, 0.99 * config.vocab_size
    ):
        findings.append(
            Finding(
                severity="warning",
                name="vocabulary size",
                what=f"{vocab_file} has {num_ids} entries, and {config_file} "
                f"says vocab_size={config.vocab_size}",
                advice="is it the vocabulary of this model?",
            )
        )
    if config.hidden_size % config.num_attention_heads:
        findings.append(
            Finding(
                severity="error",
                name="config",
                what=f"{config_file}: hidden_size={config.hidden_size} does "
                "not divide by num_attention_heads="
                f"{config.num_attention_heads}",
            )
        )
    return findings


def check_weights(
    path: str, config: BertConfig, config_file: str
) -> list[Finding]:
    """Compares the shapes in a checkpoint with a config.

    Args:
        path: of the checkpoint.
        config, config_file: the config, and its file.
    """
    try:
        weights = open_weights(path)
        shapes = {n: tuple(shape) for n, shape in weights.shapes.items()}
    except UserError as error:
        return [of_error(error, "checkpoint")]
    findings = []
    rows = shapes.get(WORDS, (config.vocab_size,))[0]
    if rows != config.vocab_size:
        findings.append(
            Finding(
                severity="error",
                name="embedding rows",
                what=f"{path} has embeddings of {rows} tokens, and "
                f"{config_file} says vocab_size={config.vocab_size}",
                advice="they are the files of two models",
            )
        )
    findings += _check_variables(path, shapes, config, config_file)
    layers = {
        name.split("/")[2]
        for name in shapes
        if name.startswith("bert/encoder/")
    }
    if not findings and len(layers) > config.num_hidden_layers:
        findings.append(
            Finding(
                severity="warning",
                name="checkpoint",
                what=f"{path} has {len(layers)} layers, and {config_file} "
                f"says num_hidden_layers={config.num_hidden_layers}",
                advice="the other layers are not used",
            )
        )
    return findings


def _check_variables(
    path: str,
    shapes: Mapping[str, tuple[int, ...]],
    config: BertConfig,
    config_file: str,
) -> list[Finding]:
    """Says so where variables of the encoder are missing, or have other shapes.

    Args:
        path: of the checkpoint.
        shapes: {name: shape} of what is in it.
        config, config_file: the config, and its file.
    """
    needed = encoder_shapes(config)
    others = [
        name
        for name, shape in needed.items()
        if name in shapes
        and shapes[name] != shape
        and (name != WORDS or shapes[name][1:] != shape[1:])
    ]
    missing = [
        name
        for name in needed
        if name not in shapes and not name.startswith(POOLER)
    ]
    if not others and not missing:
        return []
    name = (others or missing)[0]
    found = list(shapes[name]) if others else "nothing"
    return [
        Finding(
            severity="error",
            name="checkpoint",
            what=f"{path}: "
            + counted(
                len(others) + len(missing),
                len(needed),
                "variable",
                "do",
                "of the encoder",
            )
            + f" not fit {config_file}; {name} should have the shape "
            f"{list(needed[name])}, and has {found}",
            advice="they are the files of two models",
        )
    ]
