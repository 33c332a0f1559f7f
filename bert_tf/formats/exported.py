"""SavedModels that this package exported, as models to continue with.

saved_model.pb, variables/        TensorFlow's files
assets.extra/model.json           kind, labels, how text becomes words
assets.extra/bert_config.json     the network
assets.extra/vocab.txt            the vocabulary
"""

import os

from bert_tf import files, json_files
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats.model import StoredModel
from bert_tf.formats.original import check_task
from bert_tf.formats.tables import Rule, Table
from bert_tf.formats.weights import ForeignWeights
from bert_tf.tokenizer_settings import TokenizerSettings

DESCRIPTION = os.path.join("assets.extra", "model.json")
CONFIG = os.path.join("assets.extra", "bert_config.json")
VOCABULARY = os.path.join("assets.extra", "vocab.txt")
_WITHOUT_TASK = (None, "embedding", "question_answering")
# What model.json has of a run's task.json.
_RECORD = (
    "labels",
    "thresholds",
    "temperature",
    "coverage",
    "set_threshold",
    "mean",
    "deviation",
    "tag_spelling",
    "tag_scheme",
)
WEIGHTS = os.path.join("variables", "variables")


def is_model(folder: str) -> bool:
    """Whether a folder is an export of this package."""
    return files.exists(os.path.join(folder, DESCRIPTION))


def folder_of_weights(prefix: str) -> str | None:
    """The folder of the export whose variables a prefix names, if it is one."""
    if not prefix.replace(os.sep, "/").endswith("variables/variables"):
        return None
    folder = os.path.dirname(os.path.dirname(prefix)) or "."
    return folder if is_model(folder) else None


def open_folder(path: str, folder: str) -> StoredModel:
    """Describes an exported model.

    Args:
        path: what was asked for, for errors.
        folder: the folder of the SavedModel.

    Raises:
        UserError: an earlier version wrote it, or a file is damaged.
    """
    config_file = os.path.join(folder, CONFIG)
    if not files.exists(config_file):
        raise UserError(
            f"{path}: an earlier version exported this model, and it does not "
            "say how many attention heads there are; name the folder of the "
            "run, or export it again"
        )
    description = json_files.read_object(os.path.join(folder, DESCRIPTION))
    record = {n: description[n] for n in _RECORD if n in description}
    if "kind" in description:
        record["problem"] = description["kind"]
    task = check_task(record, os.path.join(folder, DESCRIPTION))
    vocab_file = os.path.join(folder, VOCABULARY)
    return StoredModel(
        path=path,
        format="an exported model",
        config=BertConfig.from_json_file(config_file),
        config_file=config_file,
        vocab_file=vocab_file if files.exists(vocab_file) else None,
        tokenizer=TokenizerSettings.of(description),
        weights_file=os.path.join(folder, WEIGHTS),
        open_weights=open_weights,
        kind=task.get("problem"),
        labels=task.get("labels"),
        # No run has one of the others.
        task=task if task.get("problem") not in _WITHOUT_TASK else {},
    )


def open_weights(prefix: str) -> ForeignWeights:
    """Opens the variables, whose names are the original's.

    Raises:
        UserError: they are damaged.
    """
    # It loads TensorFlow, which is not needed to describe a model.
    from bert_tf.formats.tf2_arrays import ObjectArrays

    arrays = ObjectArrays(prefix)
    names = [name for name in arrays.shapes if not name.startswith("_")]
    return ForeignWeights(arrays, Table([Rule(n, n) for n in names]))
