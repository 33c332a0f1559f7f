"""Exports a model with this package, or with another checkout of it.

python FILE source.json FOLDER [int8]
"""

import sys
from typing import Any

from answer_task import Source, read_source

# The folder of this file is the first where Python looks.
from bert_tf import BertConfig, BertPreprocessor
from bert_tf.export.fitted import export_model
from bert_tf.export.question_answering import SquadSettings
from bert_tf.heads import BertClassifier, BertSpanLabeler

SQUAD_SETTINGS = (
    "doc_stride",
    "max_query_length",
    "n_best_size",
    "max_answer_length",
    "version_2_with_negative",
    "null_score_diff_threshold",
)

# Settings that earlier versions of this package do not have, and what these do.
OTHER_TOKENIZERS = {"strip_accents": None, "tokenize_chinese_chars": True}


def export(source: Source, folder: str, **settings: Any) -> None:
    """Writes a SavedModel.

    Args:
        source: the model.
        folder: the folder that it becomes.
        **settings: more of `export_model`.
    """
    config = BertConfig(**source.config)
    described = source.settings
    model: Any
    if source.kind == "question_answering":
        model = BertSpanLabeler(config)
        settings["squad"] = SquadSettings(
            **{name: described[name] for name in SQUAD_SETTINGS}
        )
    else:
        model = BertClassifier(config, len(described["labels"]))
        settings["labels"] = described["labels"]
        settings["takes_pairs"] = source.takes_pairs
    weights = source.read_weights()
    for variable in model.weights:
        variable.assign(weights[variable.path])
    preprocess = BertPreprocessor(
        described["vocab_file"],
        do_lower_case=described["do_lower_case"],
        max_seq_length=described["max_seq_length"],
        **{
            name: described[name]
            for name, value in OTHER_TOKENIZERS.items()
            if described.get(name, value) != value
        },
    )
    export_model(folder, model, preprocess, **settings)


if __name__ == "__main__":
    more = {}
    if "int8" in sys.argv[3:]:
        from bert_tf.export.int8 import Int8Settings  # Older ones have none.

        more["int8"] = Int8Settings()  # Not measured: the weights are random.
    export(read_source(sys.argv[1]), sys.argv[2], **more)
