"""Pretrained models by name, and models in folders of many formats.

    model = pretrained.open("bert-base-uncased")     downloaded once
    model = pretrained.open("some/folder")           see `formats.folders`

    model.config, model.vocab_file, model.weights()

The classes read such a model themselves: `BertClassifier.from_pretrained`,
`BertPreprocessor.from_pretrained` and so on.

assets/demo/   bert_config.json, vocab.txt and bert_model.ckpt of the model
               named "demo": small and uncased, pretrained on three novels and
               the messages of assets/sms/train.tsv; docs/pretraining.md says
               how. Stored in float16.
assets/sms/    train.tsv, dev.tsv, test.tsv: text messages, ham or spam
"""

import dataclasses
import os
from typing import Any

from bert_tf import files, json_files
from bert_tf.config import BertConfig
from bert_tf.downloads import download, releases
from bert_tf.errors import UserError
from bert_tf.formats import folders, hugging_face, keras_hub
from bert_tf.formats.model import StoredModel
from bert_tf.tokenizer_settings import TokenizerSettings
from bert_tf.vocab_files import check_size, is_cased, load_vocab

ASSETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "assets")

# The bundled model's files, by the names of their settings.
BUNDLED_MODEL = {
    "vocab_file": os.path.join(ASSETS, "demo", "vocab.txt"),
    "bert_config_file": os.path.join(ASSETS, "demo", "bert_config.json"),
    "init_checkpoint": os.path.join(ASSETS, "demo", "bert_model.ckpt"),
}

DEFAULT_LENGTH = 128  # Tokens of a sequence, where nobody says.

# The kind of a run that trains vectors, and what its task.json says of them.
VECTORS = "embedding"
VECTOR_SETTINGS = ("pooling", "layers", "normalize", "dimension")

DEMO = "demo"  # The bundled model's name.
DEMO_TASK = "sms"

# The demo's flags. Its small model needs a higher learning rate than the
# released models, for which the defaults are meant.
DEMO_FLAGS: dict[str, str | int | float] = {
    "data_dir": os.path.join(ASSETS, "sms"),
    **BUNDLED_MODEL,
    "max_seq_length": 64,
    "learning_rate": 3e-4,
    "num_train_epochs": 2.6,
}


def open(name: str) -> StoredModel:  # noqa: A001  As other libraries call it.
    """Opens a pretrained or fine-tuned model; its weights are not read yet.

    Args:
        name: "demo", the bundled model; a name of a released model, which is
            downloaded once, see `downloads.releases`; or the path of a folder,
            or of weights in it, see `formats.folders`. A folder of this name
            that holds a model wins over a released model.

    Raises:
        UserError: there is no such model, it cannot be downloaded, or its
            files cannot be used.
    """
    if not name:
        raise UserError("an empty name: it must be a name or a folder")
    # A folder of a run's data may be called "demo", too.
    is_name = not folders.holds_model(name)
    release = releases.find(name) if is_name else None
    if release:
        model = folders.open_path(download.fetch(release))
        settings = TokenizerSettings(do_lower_case=release.do_lower_case)
        model = dataclasses.replace(model, tokenizer=settings)
    elif files.exists(name) or files.exists(f"{name}.index"):
        model = folders.open_path(name)
    else:
        meant = releases.suggest(name)
        hint = f"; did you mean {meant}?" if meant else ""
        raise UserError(
            f"{name}: no such file or folder, and no released model has this "
            f"name{hint}"
        )
    return _with_tokenizer(model)


def _with_tokenizer(model: StoredModel) -> StoredModel:
    """Takes the casing from the vocabulary, where nothing else says it."""
    if model.tokenizer is not None:
        return model
    is_uncased = model.vocab_file is None or not is_cased(
        load_vocab(model.vocab_file)
    )
    settings = TokenizerSettings(do_lower_case=is_uncased)
    return dataclasses.replace(model, tokenizer=settings)


def vocab_file_of(model: StoredModel) -> str:
    """The path of a model's vocabulary.

    Raises:
        UserError: it has none, or one with more entries than the model.
    """
    if model.vocab_file is None:
        raise UserError(
            f"must be given: {model.path} has no vocabulary",
            setting="vocab_file",
        )
    vocab = load_vocab(model.vocab_file)
    check_size(
        vocab, model.config.vocab_size, model.vocab_file, model.config_file
    )
    return model.vocab_file


def tokenizer_arguments(name: str) -> dict[str, Any]:
    """The arguments of everything that tokenizes as a model does.

    Args:
        name: see `open`.

    Returns:
        {"vocab_file", "do_lower_case", "strip_accents",
        "tokenize_chinese_chars"}, by name.

    Raises:
        UserError: see `open`; or the model has no vocabulary.
    """
    return _tokenizer_arguments_of(open(name))


def _tokenizer_arguments_of(model: StoredModel) -> dict[str, Any]:
    assert model.tokenizer is not None
    return {
        "vocab_file": vocab_file_of(model),
        **model.tokenizer.tokenizer_arguments(),
    }


def arguments(name: str) -> dict[str, Any]:
    """The arguments of what reads a model's files and its texts.

    Args:
        name: see `open`.

    Returns:
        `tokenizer_arguments`, and "bert_config_file" and "init_checkpoint".

    Raises:
        UserError: see `open`; or the model has no vocabulary.
    """
    model = open(name)
    return {
        "bert_config_file": model.config_file,
        "init_checkpoint": model.weights_file,
        **_tokenizer_arguments_of(model),
    }


def vector_settings(model: StoredModel) -> dict[str, Any]:
    """How a model was trained to make a vector of a text, {} for others.

    Args:
        model: what was opened.

    Returns:
        Arguments of `pooling.BertEmbedder`, by name.
    """
    if model.kind != VECTORS:
        return {}
    return {n: model.task[n] for n in VECTOR_SETTINGS if n in model.task}


def default_length(name: str) -> int:
    """Tokens of a sequence where nobody says: 128, or what the model reads.

    Args:
        name: see `open`.

    Raises:
        UserError: see `open`.
    """
    return min(DEFAULT_LENGTH, open(name).config.max_position_embeddings)


def read_config(path: str) -> BertConfig:
    """Reads the shape of a network from a file or folder of any known format.

    Args:
        path: a bert_config.json, a config.json of another library, or what
            `open` opens.

    Raises:
        UserError: it cannot be used.
    """
    is_preset = keras_hub.recognises(os.path.dirname(path))
    if is_preset or not _is_single_file(path):
        return folders.open_path(
            os.path.dirname(path) if is_preset else path
        ).config
    values = json_files.read_object(path)
    if hugging_face.is_config(values):
        return hugging_face.to_config(values, path)
    return BertConfig.from_json_file(path)


def is_config_of_original(path: str) -> bool:
    """Whether a path is a bert_config.json, and not another library's file.

    Args:
        path: a path that `read_config` takes.
    """
    if not _is_single_file(path) or keras_hub.recognises(os.path.dirname(path)):
        return False
    return not hugging_face.is_config(json_files.read_object(path))


def _is_single_file(path: str) -> bool:
    return not files.is_folder(path) and not files.exists(f"{path}.index")
