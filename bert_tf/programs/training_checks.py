"""Checks the flags of training against each other, without TensorFlow."""

from collections.abc import Collection

from absl import flags

from bert_tf import suggestions
from bert_tf.errors import UserError
from bert_tf.programs import tracking

FLAGS = flags.FLAGS


def check_flags(trains: bool, metric_names: Collection[str] = ()) -> None:
    """Raises UserError for flags that contradict each other.

    Args:
        trains: whether the program is to train.
        metric_names: the metrics that evaluations report; empty if that
            depends on the data.
    """
    if metric_names:
        check_metric(FLAGS.metric_for_best, metric_names)
    if FLAGS.early_stopping_patience and not FLAGS.eval_steps:
        raise UserError(
            f"--early_stopping_patience={FLAGS.early_stopping_patience} "
            "needs --eval_steps: how often to evaluate"
        )
    strategy = FLAGS.distribution_strategy
    if FLAGS.use_tpu and strategy not in ("auto", "tpu"):
        raise UserError(
            f"--use_tpu: not with --distribution_strategy={strategy}"
        )
    if FLAGS.cpu_replicas and strategy not in ("auto", "mirrored"):
        raise UserError(
            "these are for one process and --distribution_strategy=mirrored, "
            f"not {strategy}",
            setting="cpu_replicas",
            value=FLAGS.cpu_replicas,
        )
    if trains:
        tracking.check(FLAGS.report_to)
    parts = FLAGS.gradient_accumulation_steps
    if trains and FLAGS.train_batch_size % parts:
        lower = FLAGS.train_batch_size // parts * parts
        near = " or ".join(str(n) for n in (lower, lower + parts) if n)
        raise UserError(
            f"--train_batch_size={FLAGS.train_batch_size} does not divide by "
            f"--gradient_accumulation_steps={parts}: use {near}"
        )
    if trains and FLAGS.pack_sequences:
        check_packing()
    check_frozen(FLAGS.freeze_layers)
    if "reinit_layers" in FLAGS:
        check_reinit(FLAGS.reinit_layers, FLAGS.freeze_layers)


def check_packing() -> None:
    """Raises UserError if a flag asks for what packed sequences exclude."""
    values = FLAGS.flag_values_dict()
    if values.get("group_by_length"):
        raise UserError("--pack_sequences: not with --group_by_length")
    if values.get("long_documents") == "windows":
        raise UserError("--pack_sequences: not with --long_documents=windows")


def check_metric(name: str, metric_names: Collection[str]) -> None:
    """Raises UserError unless evaluations report the metric."""
    if name not in metric_names:
        names = sorted(metric_names)
        raise UserError(
            f"the evaluation reports {', '.join(names)}"
            + suggestions.hint(name, names, form="{}"),
            setting="metric_for_best",
            value=name,
        )


def num_frozen(frozen: str | None, num_layers: int) -> int:
    """How many of a model's layers keep their weights.

    Args:
        frozen: value of --freeze_layers, which is checked.
        num_layers: of the model.
    """
    if frozen in (None, "embeddings"):
        return 0
    return num_layers if frozen == "encoder" else int(frozen or 0)


def check_reinit(
    number: int, frozen: str | None, num_layers: int | None = None
) -> None:
    """Raises UserError unless so many layers can start from new weights.

    Args:
        number: value of --reinit_layers.
        frozen: value of --freeze_layers, which is checked.
        num_layers: of the model; None if that is not known yet.
    """
    why = None
    if number and frozen == "encoder":
        why = "not with --freeze_layers=encoder: new layers must be trained"
    elif num_layers is not None and number > num_layers:
        why = f"the model has {num_layers} layers"
    elif (
        num_layers is not None
        and number
        and number + num_frozen(frozen, num_layers) > num_layers
    ):
        why = (
            f"with --freeze_layers={frozen} some of the {num_layers} layers "
            "would be new and never trained"
        )
    if why:
        raise UserError(why, setting="reinit_layers", value=number)


def check_frozen(frozen: str | None, num_layers: int | None = None) -> None:
    """Raises UserError unless the flag says which weights are not trained.

    Args:
        frozen: value of --freeze_layers.
        num_layers: of the model; None if that is not known yet.
    """
    if frozen in (None, "encoder", "embeddings"):
        return
    is_number = frozen.isascii() and frozen.isdigit()
    if is_number and (num_layers is None or int(frozen) <= num_layers):
        return
    of_the = "" if num_layers is None else f"of the {num_layers} "
    raise UserError(
        f"give 'encoder', 'embeddings', or how many {of_the}layers"
        + suggestions.hint(frozen, ["encoder", "embeddings"]),
        setting="freeze_layers",
        value=frozen,
    )
