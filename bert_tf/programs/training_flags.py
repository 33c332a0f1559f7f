"""Defines the flags of training and evaluation, and of devices, once.

Names, defaults and meanings are the original's. Flags that the original does
not have are under "Not in the original".
"""

from absl import flags

from bert_tf import choices
from bert_tf.programs import flag_groups, small_data, tracking
from bert_tf.programs.flags import define_count, define_float

flags.disclaim_key_flags()  # See flags.py.


@flag_groups.heading(flag_groups.TRAINING)
def define_training_flags(learning_rate: float | None = None) -> None:
    """Defines how a model is trained.

    Args:
        learning_rate: default of --learning_rate; None if the program chooses
            it by the width of the model.
    """
    define_count(
        "train_batch_size", 32, "Number of examples in a training step."
    )
    define_optimizer_flags(learning_rate)
    define_checkpoint_flags()
    tracking.define_flags()
    define_computation_flags()


@flag_groups.heading(flag_groups.TRAINING)
def define_optimizer_flags(learning_rate: float | None) -> None:
    """Defines what a training step does to the weights.

    Args:
        learning_rate: see `define_training_flags`.
    """
    chosen = (
        " By default it is 5e-5 for models of BERT-Base's width, and higher "
        "for narrower ones."
    )
    define_float(
        "learning_rate",
        learning_rate,
        "Highest learning rate: it is reached at the end of the warm-up, and "
        f"then falls to 0.{'' if learning_rate else chosen}",
        lower_bound=0.0,
    )
    # Not in the original.
    define_count(
        "seed",
        12345,
        "Random seed for new weights, the order of examples, and dropout.",
        lower_bound=0,
    )
    flags.DEFINE_enum(
        "optimizer",
        "adamw",
        choices.OPTIMIZERS,
        "Method by which training changes the weights: adamw is the "
        "original's; lamb is for large batches.",
    )
    define_float(
        "layerwise_lr_decay",
        1.0,
        "Learning rate of a layer, divided by that of the layer above it; with "
        "1 all layers learn as fast.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_string(
        "freeze_layers",
        None,
        "Weights that are not trained: `encoder`, all but the head; "
        "`embeddings`; or a number N, the embeddings and the lowest N layers.",
    )


@flag_groups.heading(flag_groups.CHECKPOINTS)
def define_checkpoint_flags() -> None:
    """Defines when checkpoints are saved, and how a run resumes."""
    define_count(
        "save_checkpoints_steps",
        1000,
        "Number of training steps from one checkpoint to the next.",
    )
    # Not in the original.
    define_count(
        "keep_checkpoints",
        5,
        "How many checkpoints to keep in --output_dir; the newest ones stay.",
    )
    flags.DEFINE_enum(
        "resume",
        "auto",
        ["auto", "never", "must"],
        "Whether to resume from the checkpoints in --output_dir: auto resumes "
        "if there are any; never refuses to resume; must refuses to start "
        "from the beginning.",
    )


@flag_groups.heading(flag_groups.SPEED)
def define_computation_flags() -> None:
    """Defines how a training step is computed: its speed and memory."""
    define_count(
        "iterations_per_loop",
        1000,
        "Largest number of training steps that run on the device without a "
        "return to Python.",
    )
    # Not in the original.
    define_count(
        "gradient_accumulation_steps",
        1,
        "Split each training batch into N parts and compute them one after "
        "the other: the same result with the memory of one part.",
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        choices.PRECISIONS,
        "Type of number that the model's layers compute with. Variables stay "
        "float32.",
    )
    flags.DEFINE_bool(
        "xla",
        False,
        "Compile the forward and backward pass of training with XLA. Padding "
        "is then computed as tokens are.",
    )
    flags.DEFINE_bool(
        "pack_sequences",
        False,
        "Train on sequences of --max_seq_length that several short examples "
        "share; each of them attends to itself alone. It saves padding where "
        "shapes may not vary, as with --use_tpu and --xla. The places after "
        "the end of a question's context then get no probability.",
    )
    flags.DEFINE_bool(
        "remat",
        False,
        "Compute each layer again in the backward pass instead of keeping its "
        "intermediate results: a third more time, far less memory.",
    )
    flags.DEFINE_bool(
        "deterministic",
        False,
        "Use only operations that give the same bits every time; slower on "
        "GPUs. CPUs always give the same bits.",
    )


@flag_groups.heading(flag_groups.TRAINING)
def define_fine_tuning_flags() -> None:
    """Defines how long a model is fine-tuned."""
    define_float(
        "num_train_epochs",
        None,
        "How often training sees each example; may be a fraction. By default "
        "it is 3 for large data sets, and more for small ones.",
        lower_bound=0.0,
    )
    define_float(
        "warmup_proportion",
        0.1,
        "Fraction of the training steps in which the learning rate rises to "
        "--learning_rate.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    small_data.define_flags()  # Not in the original.


@flag_groups.heading(flag_groups.EVALUATION)
def define_evaluation_flags(metric_for_best: str | None) -> None:
    """Defines evaluations while training. Not in the original.

    Args:
        metric_for_best: default of --metric_for_best; None if it depends on
            the task.
    """
    define_count(
        "eval_steps",
        0,
        "While training, evaluate every N steps and keep the best checkpoint "
        "in --output_dir/best. 0 does not evaluate while training.",
        lower_bound=0,
    )
    flags.DEFINE_string(
        "metric_for_best",
        metric_for_best,
        "Metric by which a checkpoint is the best. Lower is better if its "
        "name ends in `loss` or `error`, higher if not."
        + ("" if metric_for_best else " By default the task's main metric."),
    )
    define_count(
        "early_stopping_patience",
        0,
        "End training after N evaluations without a better result. 0 does not "
        "end training early.",
        lower_bound=0,
    )


@flag_groups.heading(flag_groups.EVALUATION)
def define_batch_size_flag(mode: str) -> None:
    """Defines the batch size of "eval" or "predict"."""
    what = {"eval": "an evaluation", "predict": "predictions"}[mode]
    define_count(
        f"{mode}_batch_size",
        8,
        f"Number of examples in a batch of {what}. It affects speed and "
        "memory.",
    )


# ---------------------------------------------------------------------------
# Devices.


@flag_groups.heading(flag_groups.DEVICES)
def define_distribution_flags() -> None:
    """Defines on which devices a model is trained. Not in the original."""
    flags.DEFINE_enum(
        "distribution_strategy",
        "auto",
        choices.STRATEGIES,
        "How the devices share the work. auto uses all GPUs, of all machines "
        "that TF_CONFIG names.",
    )
    define_count(
        "cpu_replicas",
        0,
        "Split the CPU into N devices, to try what runs on several devices. "
        "0 does not split it.",
        lower_bound=0,
        upper_bound=64,
    )


@flag_groups.heading(flag_groups.DEVICES)
def define_tpu_flags() -> None:
    """Defines which TPU is used, if any."""
    flags.DEFINE_bool("use_tpu", False, "Run on a TPU instead of CPU or GPU.")
    flags.DEFINE_string(
        "tpu_name", None, "Name or grpc:// address of the TPU to run on."
    )
    flags.DEFINE_string("tpu_zone", None, "Zone of the TPU in Google Cloud.")
    flags.DEFINE_string(
        "gcp_project", None, "Project of the TPU in Google Cloud."
    )
    flags.DEFINE_string(
        "master", None, "Address of the TPU, if --tpu_name is not given."
    )
    define_count("num_tpu_cores", 8, "How many cores the TPU has.")
