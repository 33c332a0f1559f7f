"""What some settings may be, in a module that loads nothing else.

Flags, their help and their checks need these names before TensorFlow, which
takes seconds, is loaded. The module that a comment names holds what is behind
them.
"""

# bert_tf.optimization
OPTIMIZERS = ("adamw", "lamb")

# bert_tf.training.trainer
PRECISIONS = ("float32", "bfloat16", "float16")

# bert_tf.training.distribution
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu")

# bert_tf.pooling: of a text's tokens, and of its windows.
POOLINGS = ("mean", "max", "mean_max", "cls", "sep", "none", "cls_pooled")
WINDOW_POOLINGS = ("mean", "max")

# bert_tf.data.text_reader
LONG_DOCUMENTS = ("truncate", "head_tail", "windows")

# bert_tf.data.label_cells
PROBLEM_TYPES = ("single_label", "multi_label", "regression")

# bert_tf.data.glue
XNLI_LANGUAGES = tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split())

# bert_tf.heads: the original's, whatever bert_config.json says.
CLASSIFIER_DROPOUT = 0.1

# bert_tf.tasks.registry: {task: the settings that say where its examples are}.
FILE_SETTINGS = (
    "train_file",
    "dev_file",
    "test_file",
    "dev_fraction",
    "test_fraction",
    "split_seed",
    "strict",
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
)
FOLDER_SETTINGS = ("data_dir", "strict")
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
    "ner": FILE_SETTINGS,
    "swag": (*FILE_SETTINGS, "id_column", "encoding", "delimiter"),
    "relations": (*FILE_SETTINGS, "id_column"),
}
