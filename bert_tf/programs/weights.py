"""Chooses and loads the weights of a run: where from, which are trained."""

import keras
from absl import flags, logging

from bert_tf import checkpoints
from bert_tf.errors import UserError
from bert_tf.modeling import needs_padding
from bert_tf.programs import initial_heads
from bert_tf.programs.program import message_of
from bert_tf.programs.run_folder import RunFolder
from bert_tf.programs.training_checks import check_frozen
from bert_tf.training.best import best_of

FLAGS = flags.FLAGS


def load_weights(
    model: keras.Model,
    folder: str,
    existing: list[str],
    trains: bool,
    another_head: str = "",
) -> list[str]:
    """Loads initial weights: the run's newest checkpoint, or --init_checkpoint.

    A training that resumes reads the checkpoint again later, with the
    optimizer's state. It is read here so that errors come before anything is
    written. A training that starts from --init_checkpoint gets a new head
    where that of the checkpoint does not fit.

    Args:
        model: the model whose variables are read.
        folder: --output_dir.
        existing: the run's checkpoints, see `resuming.existing_checkpoints`.
        trains: whether a training follows, so that random weights will do.
        another_head: why the head of --init_checkpoint is another one, if it
            is known to be; see `initial_heads.why_another`.

    Returns:
        `existing` without the newest ones that cannot be read.

    Raises:
        UserError: no checkpoint can be read, or it does not fit the model.
    """
    is_given = not FLAGS["init_checkpoint"].using_default_value
    if existing and FLAGS.init_checkpoint and is_given:
        logging.warning(
            "--output_dir has %s: --init_checkpoint=%s is not used",
            existing[0],
            FLAGS.init_checkpoint,
        )
    source = f"--init_checkpoint={FLAGS.init_checkpoint}"
    if existing:
        source = f"--output_dir={folder}"
    prefixes = existing or [p for p in (FLAGS.init_checkpoint,) if p]
    if not prefixes:
        _start_from_random(model, folder, trains)
        return []
    heads = None
    try:
        if trains and not existing:
            heads = initial_heads.new_heads(model, prefixes[0], another_head)
        readable, report = _read(model, prefixes, trains, heads)
    except UserError as error:
        raise UserError(f"{source}: {message_of(error)}") from None
    if heads:
        _report_heads(heads, source)
    log_variables(model, report)
    if report.missing and not trains:
        raise UserError(
            f"{source}: {readable[0]} has no {', '.join(report.missing)}: it "
            "was not fine-tuned for a task; give --do_train, or a checkpoint "
            "of such a run"
        )
    return readable if existing else []


def _read(model, prefixes, trains, heads):
    """Reads the newest checkpoint; returns it and older ones, and a report."""
    reports: list[checkpoints.LoadReport] = []
    not_read = heads.not_read if heads else []
    readable = checkpoints.read_newest(
        # An older one is a place to train from, not a result.
        prefixes if trains else prefixes[:1],
        lambda prefix: reports.append(
            checkpoints.load_weights(model, prefix, not_read)
        ),
    )
    (report,) = reports
    return readable, report


def _report_heads(heads, source):
    """Logs which heads are new, or raises an error under --strict."""
    what = f"{source}: the encoder is loaded, and the head is new"
    if heads.misfits and "strict" in FLAGS and FLAGS.strict:
        raise UserError(f"{source}: {heads.misfits}, under --strict")
    if heads.misfits:
        logging.warning("%s: %s", what, heads.misfits)
    if heads.absent:
        logging.info("%s: %s", what, heads.absent)


def _start_from_random(model, folder, trains):
    if not trains:
        raise UserError(
            f"--output_dir={folder}: no checkpoint here to work with; give "
            "--init_checkpoint or --do_train"
        )
    log_variables(model, checkpoints.LoadReport([], [], []))
    logging.warning("No --init_checkpoint: training starts from random weights")


def log_variables(model: keras.Model, report: checkpoints.LoadReport) -> None:
    """Logs each variable, and which ones a checkpoint gave their values.

    Args:
        model: the model.
        report: what was loaded; the other variables are random.
    """
    logging.info("**** Trainable Variables ****")
    loaded = set(report.loaded)
    for variable in checkpoints.weights_of(model):
        mark = ", *INIT_FROM_CKPT*" if variable.path in loaded else ""
        logging.info(
            "  name = %s:0, shape = %s%s",
            variable.path,
            tuple(variable.shape),
            mark,
        )
    extra_layers = [n for n in report.unexpected if n.startswith("bert/")]
    if extra_layers:
        logging.warning(
            "The checkpoint holds %d encoder variables that this model does "
            "not have, %s first: does --bert_config_file belong to it?",
            len(extra_layers),
            extra_layers[0],
        )
    elif report.unexpected:
        logging.info(
            "Not used from the checkpoint: %s", ", ".join(report.unexpected)
        )


def prepare(model: keras.Model, has_static_shapes: bool = False) -> None:
    """Sets up recomputation, padding and frozen layers, as the flags say.

    Args:
        model: the model.
        has_static_shapes: whether all batches must have one shape, so that
            padding is computed as tokens are.

    Raises:
        UserError: --freeze_layers has an unknown value.
    """
    encoder = model.bert.encoder
    encoder.recompute = FLAGS.remat
    model.bert.compute_padding = has_static_shapes or needs_padding(model)
    frozen = FLAGS.freeze_layers
    if frozen is None:
        return
    check_frozen(frozen, len(encoder.transformer_layers))
    if frozen == "encoder":
        model.bert.trainable = False
    elif frozen == "embeddings":
        model.bert.embeddings.trainable = False
    else:
        model.bert.embeddings.trainable = False
        for layer in encoder.transformer_layers[: int(frozen)]:
            layer.trainable = False
    logging.info(
        "%d of %d variables are trained",
        len(model.trainable_variables),
        len(model.variables),
    )


def load_best(model: keras.Model, run: RunFolder, metric: str) -> int | None:
    """Loads the best weights of the run's last training.

    Args:
        model: the model that gets them.
        run: the run's folder.
        metric: the metric by which they are the best.

    Returns:
        Their step. None if that training did not look for the best, or if the
        files are lost or damaged, which is logged.
    """
    training_record = run.earlier("train")
    best = best_of(training_record.get("evaluations", []), metric)
    if not best or not training_record.get("flags", {}).get("eval_steps"):
        return None
    prefix = run.file(f"best/model.ckpt-{best['step']}")
    try:
        checkpoints.load_weights(model, prefix)
    except UserError as error:
        logging.warning(
            "%s; using the newest checkpoint instead", message_of(error)
        )
        return None
    logging.info("Using the best checkpoint, %s", prefix)
    return int(best["step"])
