"""Fills in flags that the command line leaves out, in this order.

    1. the model that --pretrained names
    2. the run in --output_dir, or next to --init_checkpoint: its train.json
    3. what is bundled: a model, and the data of --task_name=sms; see `bundled`
    4. what fits the model and the data, see `hyperparameters`

A flag that is given wins. The values become the flags' defaults: the flags are
checked, shown in messages and recorded in train.json. TensorFlow is not needed.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import flags, logging

from bert_tf import files, pretrained
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.formats.checkpoint_paths import prefixes_in
from bert_tf.formats.model import StoredModel
from bert_tf.programs import console, hyperparameters, program, run_record
from bert_tf.vocab_files import load_vocab

FLAGS = flags.FLAGS

MODEL_FLAGS = (
    "vocab_file",
    "bert_config_file",
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
)
# The run's own copies of its model's files, which move with the folder.
COPIES = {"vocab_file": "vocab.txt", "bert_config_file": "bert_config.json"}

# What a command does, where, and on which devices is for each command to say.
OF_A_COMMAND = frozenset(
    {
        "cpu_replicas",
        "distribution_strategy",
        "do_eval",
        "do_export",
        "do_predict",
        "do_train",
        "allow_loss",
        "calibrate",
        "calibration_file",
        "coverage",
        "export_batch_size",
        "export_int8",
        "export_lengths",
        "export_pad_to_max_length",
        "export_precision",
        "export_tflite",
        "gcp_project",
        "grid",
        "keep_runs",
        "master",
        "num_processes",
        "num_seeds",
        "num_tpu_cores",
        "output_dir",
        "pretrained",
        "report_to",
        "resume",
        "strict",
        "tpu_name",
        "tpu_zone",
        "use_tpu",
        "verbose_logging",
        "write_tf_records",
    }
)
# How training computes, and from whom it learns. A run that does not train
# needs none of it.
OF_TRAINING = frozenset(
    {
        "deterministic",
        "distill_layers",
        "distill_temperature",
        "distill_weight",
        "pack_sequences",
        "precision",
        "remat",
        "teacher",
        "unlabelled_file",
        "xla",
    }
)
# If a fraction is given, the run's file is not used. A file that is given
# leaves the run's fraction as it is: without it other sets would change.
ALTERNATIVES = {"dev_file": "dev_fraction", "test_file": "test_fraction"}


def is_given(name: str) -> bool:
    """Whether the command line gives a flag."""
    return not FLAGS[name].using_default_value


def fill(name: str, value: Any) -> None:
    """Makes a value a flag's default: a flag that was given keeps its own."""
    FLAGS.set_default(name, value)


def fill_if_none(name: str, value: Any) -> None:
    """Makes a value the default of a flag that has none."""
    if FLAGS[name].value is None:
        fill(name, value)


# ---------------------------------------------------------------------------
# 1. The model that --pretrained names.


def use_pretrained() -> None:
    """Fills in the flags of the files of the model that --pretrained names.

    Raises:
        UserError: there is no such model, it cannot be used, or it has no
            vocabulary.
    """
    if "pretrained" not in FLAGS or FLAGS.pretrained is None:
        return
    try:
        model = pretrained.open(FLAGS.pretrained)
        assert model.tokenizer is not None
    except UserError as error:
        if error.setting:
            raise
        why = program.message_of(error).removeprefix(f"{FLAGS.pretrained}: ")
        raise UserError(
            why, setting="pretrained", value=FLAGS.pretrained
        ) from None
    values: dict[str, Any] = {
        "bert_config_file": model.config_file,
        "init_checkpoint": model.weights_file,
        "vocab_file": model.vocab_file,
        **model.tokenizer.tokenizer_arguments(),
        **vector_flags(model),
    }
    needs_vocab = "vocab_file" in FLAGS and not is_given("vocab_file")
    if model.vocab_file is None and needs_vocab:
        raise UserError(
            f"must be given: {model.path} has no vocabulary",
            setting="vocab_file",
        )
    names = [
        name
        for name, value in values.items()
        if name in FLAGS and not is_given(name) and FLAGS[name].value != value
    ]
    for name in names:
        fill(name, values[name])
    if names:  # It is called again after each other source of values.
        shown = " ".join(f"--{name}={FLAGS[name].value}" for name in names)
        logging.debug("From %s, %s: %s", model.path, model.format, shown)
        console.show("Model", f"{model.path}, {model.format}")


def vector_flags(model: StoredModel) -> dict[str, Any]:
    """{flag: value}: how a model was trained to make vectors; {} for others.

    Args:
        model: what --pretrained names.
    """
    values = pretrained.vector_settings(model)
    if layers := values.pop("layers", None):
        values["pooling_layer"] = ",".join(map(str, layers))
    return values


# ---------------------------------------------------------------------------
# 2. An earlier run.


def from_earlier_run(task_names: Collection[str], trains: bool) -> None:
    """Fills in the flags of the run that the command continues or uses.

    It is the run in --output_dir; with --num_seeds, that of the first seed in
    it. A command that does not train may also name a run's checkpoint with
    --init_checkpoint. A training that starts from such a checkpoint takes over
    its vocabulary and its network, because the weights need them.

    Args:
        task_names: the tasks of the running program.
        trains: whether the command trains.

    Raises:
        UserError: a train.json is damaged, or the folder holds a run of
            another task.
    """
    use_pretrained()
    _from_run(task_names, trains)
    use_pretrained()  # What is given by it wins over what the run had.
    _check_is_of_run()


def _check_is_of_run() -> None:
    """Raises UserError if --pretrained is another model than the run's.

    A run resumes from its checkpoints, which need its own network, vocabulary
    and casing.
    """
    folder = run_in_output_dir()
    if "pretrained" not in FLAGS or FLAGS.pretrained is None:
        return
    if not folder or not files.is_folder(folder) or not prefixes_in(folder):
        return
    before = run_record.flags_of(run_record.read(folder))
    same = {
        name: before.get(name, FLAGS[name].value) == FLAGS[name].value
        for name in MODEL_FLAGS
        if name in FLAGS and name not in COPIES
    }
    for name, read in (
        ("vocab_file", load_vocab),
        ("bert_config_file", pretrained.read_config),
    ):
        copy = os.path.join(folder, COPIES[name])
        path = FLAGS[name].value if name in FLAGS else None
        if path and files.exists(copy):
            same[name] = read(path) == read(copy)
    for name, is_same in same.items():
        if not is_same and not is_given(name):
            raise UserError(
                f"the run in {folder} is of another model, with another "
                f"`{name}`; name another folder, or leave this out to resume",
                setting="pretrained",
                value=FLAGS.pretrained,
            )


def _from_run(task_names: Collection[str], trains: bool) -> None:
    folder = run_in_output_dir()
    if not folder:
        return
    wanted = task_names
    if "task_name" in FLAGS and FLAGS["task_name"].value is not None:
        wanted = [FLAGS["task_name"].value.lower()]
    record = run_record.read(folder)
    run_record.check_task(record, wanted, folder)
    names = None
    if not run_record.flags_of(record) and FLAGS.init_checkpoint:
        folder = run_of_checkpoint(FLAGS.init_checkpoint)
        record = run_record.read(folder)
        if trains or record.get("task_name") not in wanted:
            names = MODEL_FLAGS
    values = run_record.flags_of(record)
    if not values:
        return
    if names is None and "task_name" in FLAGS and "task_name" in record:
        values = {**values, "task_name": record["task_name"]}
    taken = _take_over(folder, values, names, trains)
    if taken:
        logging.debug("From the run in %s: %s", folder, " ".join(taken))
        console.show("Run", f"{folder}, whose flags are used")


def run_in_output_dir() -> str | None:
    """The folder of the run in --output_dir; of several seeds the first."""
    folder = FLAGS.output_dir
    if not folder or "num_seeds" not in FLAGS or FLAGS.grid is not None:
        return folder
    if FLAGS.num_seeds > 1:
        return os.path.join(folder, f"seed-{FLAGS.seed}")
    return folder


def run_of_checkpoint(prefix: str) -> str:
    """The folder of the run that wrote a checkpoint."""
    folder = os.path.dirname(prefix)
    # A run's own folder may have that name, too.
    is_best = os.path.basename(folder) == "best" and not files.exists(
        os.path.join(folder, run_record.NAME)
    )
    return os.path.dirname(folder) if is_best else folder


def _take_over(
    folder: str,
    values: Mapping[str, Any],
    names: Collection[str] | None,
    trains: bool,
) -> list[str]:
    """Fills in flags; returns those that changed, as they would be typed."""
    taken = []
    has_pretrained = "pretrained" in FLAGS and FLAGS.pretrained is not None
    for name, value in values.items():
        is_wanted = name in names if names else _is_wanted(name, trains)
        if name not in FLAGS or not is_wanted or is_given(name):
            continue
        if has_pretrained and name in (*MODEL_FLAGS, "init_checkpoint"):
            continue  # `use_pretrained` has filled it in.
        other = ALTERNATIVES.get(name)
        if other and other in FLAGS and is_given(other):
            continue
        if name in COPIES:
            value = model_file(folder, name, value)
        if value != FLAGS[name].value:
            fill(name, value)
            if name != "metric_for_best":  # Each run settles it, if not given.
                taken.append(f"--{name}={value}")
    return taken


def _is_wanted(name: str, trains: bool) -> bool:
    if name in OF_A_COMMAND:
        return False
    return trains or name not in OF_TRAINING


def model_file(folder: str, name: str, path: str | None) -> str | None:
    """The path of a model's file, or the run's copy if the file is gone.

    Args:
        folder: the run's.
        name: one of `COPIES`.
        path: where the file was.
    """
    if path is None or files.exists(path):
        return path
    copy = os.path.join(folder, COPIES[name])
    return copy if files.exists(copy) else path


# ---------------------------------------------------------------------------
# 4. What fits the model and the data.


def fit_length() -> None:
    """Makes what the model can read the most that --max_seq_length is.

    A length that is given stays as it is.
    """
    if not is_given("max_seq_length"):
        config = pretrained.read_config(FLAGS.bert_config_file)
        longest = config.max_position_embeddings
        fill("max_seq_length", min(FLAGS.max_seq_length, longest))


def fit(
    config: BertConfig,
    num_examples: int,
    *,
    longest: int = hyperparameters.DEFAULT_LENGTH,
    lengths: Sequence[int] | None = None,
) -> None:
    """Fills in the learning rate, the epochs and the length of sequences.

    Args:
        config: the model's.
        num_examples: the size of the training set; 0 if the run does not
            train.
        longest: the length that the original has by default.
        lengths: the number of WordPieces of examples, if they decide.
    """
    chosen: dict[str, float] = {
        "max_seq_length": hyperparameters.max_seq_length(
            config.max_position_embeddings, longest, lengths
        )
    }
    if num_examples:
        chosen["learning_rate"] = hyperparameters.learning_rate(
            config.hidden_size
        )
        chosen["num_train_epochs"] = hyperparameters.num_train_epochs(
            num_examples, FLAGS.train_batch_size
        )
    filled = []
    for name, value in chosen.items():
        if name in FLAGS and FLAGS[name].value is None:
            fill(name, value)
            filled.append(f"--{name}={FLAGS[name].value}")
    if filled:
        console.show("Chosen", f"for this model and data: {' '.join(filled)}")
