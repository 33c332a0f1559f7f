"""Names and numbers that settings may be, without the code that they choose.

Flags, their help and their checks need them before TensorFlow, which takes
seconds, is loaded. The module that a comment names holds that code.
"""

from collections.abc import Collection

from bert_tf import suggestions
from bert_tf.errors import UserError

# The largest size: TensorFlow counts with an int32.
MAX_COUNT = 2**31 - 1

# bert_tf.optimization
OPTIMIZERS = ("adamw", "lamb")

# bert_tf.training.trainer
PRECISIONS = ("float32", "bfloat16", "float16")

# bert_tf.training.trackers, and the packages that they need.
REPORT_TO = ("tensorboard", "mlflow", "wandb")
REPORT_PACKAGES = {"mlflow": "mlflow", "wandb": "wandb"}

# bert_tf.export.engines: what computes an exported model's network.
ENGINES = ("float32", "bfloat16", "int8", "auto")
MAX_BATCH_TOKENS = 4096
ON_LONG = ("truncate", "error")

# bert_tf.training.distribution
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu")

# bert_tf.pooling: of a text's tokens, and of its windows.
POOLINGS = ("mean", "max", "mean_max", "cls", "sep", "none", "cls_pooled")
WINDOW_POOLINGS = ("mean", "max")

# bert_tf.data.text_groups: what vectors are learned from.
GROUP_KINDS = ("pairs", "triples", "scored", "labelled", "sentences")

# bert_tf.vector_losses
VECTOR_LOSSES = ("in_batch_negatives", "cosent", "cosine", "triplet")

# bert_tf.attention_distillation: pairs of queries, keys and values, and the
# names of their losses.
TEACHER_RELATIONS = {
    "qq": "qq_relation_loss",
    "kk": "kk_relation_loss",
    "vv": "vv_relation_loss",
    "qk": "qk_relation_loss",
}

# bert_tf.data.text_reader
LONG_DOCUMENTS = ("truncate", "head_tail", "windows")

# bert_tf.data.labels.label_cells
PROBLEM_TYPES = ("single_label", "multi_label", "regression")

# bert_tf.data.glue
XNLI_LANGUAGES = tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split())

# bert_tf.heads: the original's, whatever bert_config.json says.
CLASSIFIER_DROPOUT = 0.1

# bert_tf.metrics: the scores of run_squad of which more is better, and those of
# run_pretraining.
SQUAD_V1_NAMES = ("exact_match", "f1")
SQUAD_V2_NAMES = (
    "exact",
    "HasAns_exact",
    "NoAns_exact",
    "best_exact",
    "f1",
    "HasAns_f1",
    "NoAns_f1",
    "best_f1",
)
PRETRAINING_NAMES = (
    "loss",
    "masked_lm_loss",
    "masked_lm_accuracy",
    "masked_lm_perplexity",
    "next_sentence_loss",
    "next_sentence_accuracy",
)

# bert_tf.export.predictor: texts that a model reads together.
BATCH_SIZE = 32

# bert_tf.data.tabular.text_rows, bert_tf.export.answer_files
INPUT_FORMATS = ("csv", "tsv", "jsonl", "lines")
OUTPUT_FORMATS = ("csv", "tsv", "jsonl")

# bert_tf.tools.beam_runner
RUNNERS = ("local", "beam")

# bert_tf.tasks.tagging: tags in a column more, or places of entities.
PREDICTION_FORMATS = ("conll", "spans")

# bert_tf.export.answer_files: {name in model.json: setting} of the columns of
# a run's files, and of how they are written.
COLUMN_SETTINGS = {
    "text": "text_column",
    "text_pair": "text_pair_column",
    "label": "label_column",
    "delimiter": "delimiter",
    "encoding": "encoding",
    "header": "header",
}

# bert_tf.heads: the kinds of heads that are fine-tuned, and answer texts.
FINE_TUNED_KINDS = (
    "single_label",
    "multi_label",
    "regression",
    "tags",
    "multiple_choice",
    "question_answering",
    "relation",
)

# bert_tf.tasks.registry: {task: the settings that say where its examples are}.
FILE_SETTINGS = (
    "train_file",
    "dev_file",
    "test_file",
    "dev_fraction",
    "test_fraction",
    "split_seed",
    "strict",
    "missing_label",
)
TABLE_SETTINGS = (
    *FILE_SETTINGS,
    "text_column",
    "text_pair_column",
    "label_column",
    "id_column",
    "header",
    "delimiter",
    "encoding",
    "problem_type",
    "label_delimiter",
    "unlabelled_file",
)
FOLDER_SETTINGS = ("data_dir", "strict", "missing_label", "unlabelled_file")
TASKS: dict[str, tuple[str, ...]] = {
    "cola": FOLDER_SETTINGS,
    "sst-2": FOLDER_SETTINGS,
    "mrpc": FOLDER_SETTINGS,
    "sts-b": FOLDER_SETTINGS,
    "qqp": FOLDER_SETTINGS,
    "mnli": FOLDER_SETTINGS,
    "mnli-mm": FOLDER_SETTINGS,
    "qnli": FOLDER_SETTINGS,
    "rte": FOLDER_SETTINGS,
    "wnli": FOLDER_SETTINGS,
    "ax": FOLDER_SETTINGS,
    "xnli": (*FOLDER_SETTINGS, "xnli_language"),
    "snli": FOLDER_SETTINGS,
    "scitail": FOLDER_SETTINGS,
    "sms": FOLDER_SETTINGS,
    "csv": TABLE_SETTINGS,
    "tsv": TABLE_SETTINGS,
    "jsonl": TABLE_SETTINGS,
    "ner": (
        *FILE_SETTINGS,
        "word_column",
        "tag_column",
        "encoding",
        "delimiter",
        "prediction_format",
    ),
    "swag": (*FILE_SETTINGS, "id_column", "encoding", "delimiter"),
    "relations": (*FILE_SETTINGS, "id_column"),
}
# Other names of tasks.
TASK_SYNONYMS = {
    "sst": ("sst-2",),
    "sst2": ("sst-2",),
    "stsb": ("sts-b",),
    "sts": ("sts-b",),
    "mnli_m": ("mnli",),
    "mnli_matched": ("mnli",),
    "mnli_mismatched": ("mnli-mm",),
    "conll": ("ner",),
    "conll2003": ("ner",),
    "conll03": ("ner",),
    "tagging": ("ner",),
    "token_classification": ("ner",),
    "pos": ("ner",),
    "spam": ("sms",),
    "demo": ("sms",),
    "json": ("jsonl",),
    "ndjson": ("jsonl",),
    "multiple_choice": ("swag",),
    "choice": ("swag",),
    "semeval": ("relations",),
    "relation_extraction": ("relations",),
    "text": ("csv",),
    "classification": ("csv",),
    "text_classification": ("csv",),
    "regression": ("csv",),
    "custom": ("csv",),
}
# Programs for what is not a task, with their purpose.
OTHER_PROGRAMS = {
    "squad": "run_squad.py answers questions",
    "qa": "run_squad.py answers questions",
    "question_answering": "run_squad.py answers questions",
    "pretraining": "run_pretraining.py pretrains",
    "mlm": "run_pretraining.py pretrains",
}


def known_task(name: str, tasks: Collection[str] = tuple(TASKS)) -> str:
    """The name of a task as `TASKS` has it, from upper or lower case.

    Args:
        name: what was given.
        tasks: the tasks there are.

    Raises:
        UserError: there is no such task; the message lists them all, and says
            which one may be meant.
    """
    if name.lower() in tasks:
        return name.lower()
    word = suggestions.words_of(name)
    program = OTHER_PROGRAMS.get(word.rstrip("0123456789_v"))
    end = suggestions.hint(name, tasks, TASK_SYNONYMS, form="{}")
    raise UserError(
        f"no such task; known are {', '.join(tasks)}"
        + (f"; {program}" if program else end),
        setting="task_name",
        value=name,
    )


# The formats in which a model's folder can be written, see bert_tf.storing.
MODEL_FORMATS = ("original", "huggingface", "keras")
