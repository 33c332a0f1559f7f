"""How a stored model reads its texts: what its run or its export says."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from bert_tf import choices, files, json_files
from bert_tf.export import saved_models
from bert_tf.formats.model import StoredModel

RUN_RECORD = "train.json"
MODES = ("train", "eval", "predict")
LONGEST = 512  # Tokens of a sequence, where nothing says how many.


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """How a model reads its texts, by the names of the flags.

    Attributes:
        max_seq_length: tokens of a sequence at most, special ones included.
        truncation: the part of a longer text that it reads, "head" or
            "head_tail".
        max_windows: windows of a long text; None for a single sequence.
        doc_stride: pieces from the start of a window to that of the next;
            None for windows next to each other. That of questions is 128 by
            default.
        window_pooling: how the logits of windows are combined.
        max_query_length: pieces of a question at most.
        max_answer_length: pieces of an answer at most.
        version_2_with_negative: whether a question may have no answer.
        null_score_diff_threshold: see run_squad.
        columns: those of the files that it was trained on, and how these were
            written, by the names of `choices.COLUMN_SETTINGS`.
    """

    max_seq_length: int
    truncation: str = "head"
    max_windows: int | None = None
    doc_stride: int | None = None
    window_pooling: str = "mean"
    max_query_length: int = 64
    max_answer_length: int = 30
    version_2_with_negative: bool = False
    null_score_diff_threshold: float = 0.0
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def settings_of(stored: StoredModel) -> ReadingSettings:
    """What the files of a model say, and else the defaults.

    Args:
        stored: the model.

    Raises:
        UserError: a file is damaged.
    """
    values = _recorded(stored)
    long_documents = values.get("long_documents")
    if long_documents == "head_tail":
        values["truncation"] = "head_tail"
    # A run has a number of windows even where it does not use it.
    if long_documents not in (None, "windows"):
        values.pop("max_windows", None)
        values.pop("doc_stride", None)
    if "columns" not in values:
        values["columns"] = {
            name: values[flag]
            for name, flag in choices.COLUMN_SETTINGS.items()
            if values.get(flag) is not None
        }
    limit = stored.config.max_position_embeddings
    length = values.get("max_seq_length")
    values["max_seq_length"] = min(limit, length or LONGEST)
    names = [field.name for field in dataclasses.fields(ReadingSettings)]
    known = {n: values[n] for n in names if values.get(n) is not None}
    return ReadingSettings(**known)


def _recorded(stored: StoredModel) -> dict[str, Any]:
    """The flags of a run, or the content of an export's model.json."""
    folder = os.path.dirname(stored.config_file)
    description = os.path.join(
        folder, os.path.basename(saved_models.DESCRIPTION)
    )
    if files.exists(description):
        return json_files.read_object(description)
    record = os.path.join(folder, RUN_RECORD)
    if not files.exists(record):
        return {}
    values = json_files.read_object(record)
    modes = (values.get(mode) for mode in MODES)
    flags = (mode.get("flags") for mode in modes if isinstance(mode, dict))
    return {**next((f for f in flags if isinstance(f, dict)), {})}
