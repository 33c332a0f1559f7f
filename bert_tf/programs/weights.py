"""Chooses and loads the weights of a run: where from, which are trained."""

import dataclasses

import keras
from absl import flags, logging

from bert_tf import checkpoints
from bert_tf.counts import number_of
from bert_tf.errors import UserError
from bert_tf.metrics.comparing import best_of
from bert_tf.modeling import needs_padding
from bert_tf.programs import console, defaults, initial_heads
from bert_tf.programs.program import message_of
from bert_tf.programs.run_folder import RunFolder
from bert_tf.programs.training_checks import check_frozen, check_reinit

FLAGS = flags.FLAGS
PRETRAINING = "cls/"  # The scope of the heads that every release has.
NUM_NAMED = 4


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
    source = f"--init_checkpoint={FLAGS.init_checkpoint}"
    if existing:
        _warn_of_unused_checkpoint(existing[0])
        source = f"--output_dir={folder}"
    prefixes = existing or [p for p in (FLAGS.init_checkpoint,) if p]
    if not prefixes:
        _start_from_random(model, folder, trains)
        return []
    starts = trains and not existing
    heads, new = None, _new_layers(model) if starts else []
    try:
        if starts:
            heads = initial_heads.new_heads(model, prefixes[0], another_head)
        not_read = [*(heads.not_read if heads else []), *new]
        readable, report = _read(model, prefixes, trains, not_read)
    except UserError as error:
        raise UserError(f"{source}: {message_of(error)}") from None
    if heads:
        _report_heads(heads, source)
    if new:
        _report_new_layers(source)
        others = [n for n in report.unexpected if n not in new]
        report = dataclasses.replace(report, unexpected=others)
    log_variables(model, report)
    show_model(model, report, readable[0])
    if report.missing and not trains:
        raise UserError(
            f"{source}: {readable[0]} has no {', '.join(report.missing)}: it "
            "was not fine-tuned for a task; give --do_train, or a checkpoint "
            "of such a run"
        )
    return readable if existing else []


def _warn_of_unused_checkpoint(existing: str) -> None:
    """Says that --init_checkpoint is not read, if somebody has given it."""
    if FLAGS.init_checkpoint and defaults.is_given("init_checkpoint"):
        logging.warning(
            "--output_dir has %s: --init_checkpoint=%s is not used",
            existing,
            FLAGS.init_checkpoint,
        )


def _report_new_layers(source: str) -> None:
    """Says which layers start from new weights, because somebody asks so."""
    console.show(
        "Model",
        "%s: not loaded, because of --reinit_layers=%d: the top %s and the "
        "pooler start from new weights",
        source,
        FLAGS.reinit_layers,
        number_of(FLAGS.reinit_layers, "layer"),
    )


def _new_layers(model):
    """The variables that --reinit_layers leaves at their initial values.

    The model was made with the run's seed: these are new weights.

    Raises:
        UserError: the model has fewer layers, or some of them are frozen.
    """
    number = FLAGS.reinit_layers if "reinit_layers" in FLAGS else 0
    num_layers = model.config.num_hidden_layers
    check_reinit(number, FLAGS.freeze_layers, num_layers)
    if not number:
        return []
    scopes = [checkpoints.POOLER_SCOPE] + [
        f"{checkpoints.ENCODER_SCOPE}encoder/layer_{index}/"
        for index in range(num_layers - number, num_layers)
    ]
    names = [variable.path for variable in checkpoints.weights_of(model)]
    return [name for name in names if name.startswith(tuple(scopes))]


def _read(model, prefixes, trains, not_read):
    """Reads the newest checkpoint; returns it and older ones, and a report."""
    reports: list[checkpoints.LoadReport] = []
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
        console.show("Model", "%s: %s", what, heads.absent)


def _start_from_random(model, folder, trains):
    if not trains:
        raise UserError(
            f"--output_dir={folder}: no checkpoint here to work with; give "
            "--init_checkpoint or --do_train"
        )
    report = checkpoints.LoadReport([], [], [])
    log_variables(model, report)
    show_model(model, report, None)
    logging.warning("No --init_checkpoint: training starts from random weights")


def log_variables(model: keras.Model, report: checkpoints.LoadReport) -> None:
    """Logs each variable, and which ones a checkpoint gave their values.

    Args:
        model: the model.
        report: what was loaded; the other variables are random.
    """
    logging.debug("**** Trainable Variables ****")
    loaded = set(report.loaded)
    for variable in checkpoints.weights_of(model):
        mark = ", *INIT_FROM_CKPT*" if variable.path in loaded else ""
        logging.debug(
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
        logging.debug(
            "Not used from the checkpoint: %s", ", ".join(report.unexpected)
        )


def show_model(
    model: keras.Model, report: checkpoints.LoadReport, prefix: str | None
) -> None:
    """Shows what the model is, where from, and what starts at random.

    Args:
        model: the model.
        report: what was loaded.
        prefix: the checkpoint; None if there is none.
    """
    config = model.config
    layers = number_of(config.num_hidden_layers, "layer")
    weights = console.amount(model.count_params())
    source = f", of {prefix}" if prefix else ""
    console.show(
        "Model",
        f"{layers} of width {config.hidden_size}, {weights} weights{source}",
    )
    if prefix and report.missing:
        names = ", ".join(report.missing[:NUM_NAMED])
        others = len(report.missing) - NUM_NAMED
        more = f" and {others} more" if others > 0 else ""
        console.show("", f"not in it, so random at first: {names}{more}")
    strange = [n for n in report.unexpected if not n.startswith(PRETRAINING)]
    if strange and not any(n.startswith("bert/") for n in strange):
        number = number_of(len(strange), "variable")
        console.show("", f"{number} of it not used, {strange[0]} first")


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
    console.show(
        "Trained",
        "%d of %d variables",
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
    console.show("Model", "the best checkpoint, %s", prefix)
    return int(best["step"])
