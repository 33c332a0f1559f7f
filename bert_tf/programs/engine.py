"""What the programs' flags make of the training engine.

The programs differ in examples, heads and losses. Devices, precision, the
optimizer, checkpoints and what a person sees are the same, and here.
"""

import os
import shlex
import sys
import time

import keras
import tensorflow as tf
from absl import flags, logging

from bert_tf import checkpoints, training
from bert_tf.data import pipeline
from bert_tf.errors import UserError
from bert_tf.optimization import OPTIMIZERS, WarmupLinearDecay, layer_rates
from bert_tf.programs import program
from bert_tf.training import distribution
from bert_tf.training.best import DevScores, best_of
from bert_tf.training.progress import ProgressBar, TensorBoard

FLAGS = flags.FLAGS

XLA_LENGTH_MULTIPLE = 64

# What a resumed run should not change, if it is to end as it would have.
TRAINING_FLAGS = (
    "bert_config_file",
    "class_weights",
    "classifier_dropout",
    "classifier_hidden",
    "cpu_replicas",
    "data_dir",
    "delimiter",
    "dev_fraction",
    "distribution_strategy",
    "do_lower_case",
    "doc_stride",
    "encoding",
    "freeze_layers",
    "gradient_accumulation_steps",
    "group_by_length",
    "header",
    "input_file",
    "label_column",
    "label_delimiter",
    "label_smoothing",
    "layerwise_lr_decay",
    "learning_rate",
    "long_documents",
    "max_predictions_per_seq",
    "max_query_length",
    "max_seq_length",
    "max_windows",
    "num_train_epochs",
    "num_train_steps",
    "num_warmup_steps",
    "optimizer",
    "pad_to_max_length",
    "precision",
    "problem_type",
    "seed",
    "split_seed",
    "test_fraction",
    "text_column",
    "text_pair_column",
    "train_batch_size",
    "train_file",
    "use_tpu",
    "version_2_with_negative",
    "vocab_file",
    "warmup_proportion",
    "window_pooling",
    "xla",
    "xnli_language",
)


def set_up(modes) -> tf.distribute.Strategy:
    """Devices and precision; before TensorFlow does anything else.

    Args:
        modes: such as "train" and "eval", whose batch sizes must divide.

    Raises:
        UserError: a device is not there, or a batch size does not divide.
    """
    name = FLAGS.distribution_strategy
    if FLAGS.use_tpu and name not in ("auto", "tpu"):
        raise UserError(f"--use_tpu: not with --distribution_strategy={name}")
    strategy = distribution.make_strategy(
        "tpu" if FLAGS.use_tpu else name,
        cpu_replicas=FLAGS.cpu_replicas,
        tpu_name=FLAGS.tpu_name or FLAGS.master,
        tpu_zone=FLAGS.tpu_zone,
        gcp_project=FLAGS.gcp_project,
        num_tpu_cores=FLAGS.num_tpu_cores,
    )
    for mode in modes:
        flag = f"{mode}_batch_size"
        num_parts = FLAGS.gradient_accumulation_steps if mode == "train" else 1
        distribution.check_divisible(
            strategy, flag, FLAGS[flag].value, num_parts
        )
    keras.config.set_dtype_policy(training.POLICIES[FLAGS.precision])
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    if strategy.num_replicas_in_sync > 1:
        logging.info("%d replicas", strategy.num_replicas_in_sync)
    return strategy


def count_train_steps(num_examples: int) -> int:
    """The original's rule: what is left for less than a step is dropped."""
    if not num_examples:
        return 0
    steps = num_examples / FLAGS.train_batch_size * FLAGS.num_train_epochs
    if steps < 1:
        raise UserError(
            f"--num_train_epochs={FLAGS.num_train_epochs} of {num_examples} "
            f"examples in batches of --train_batch_size="
            f"{FLAGS.train_batch_size} is less than one step"
        )
    if steps > program.MAX_COUNT:
        raise UserError(
            f"--num_train_epochs={FLAGS.num_train_epochs} makes {steps:.3g} "
            f"steps; {program.MAX_COUNT} are the most"
        )
    return int(steps)


def log_features(specs, batch_size: int):
    logging.info("*** Features ***")
    for spec in sorted(specs, key=lambda spec: spec.name):
        shape = (batch_size, *spec.shape)
        logging.info("  name = %s, shape = %s", spec.name, shape)


def log_results(results: dict, title: str = "Eval results"):
    """The lines that people look for at the end."""
    logging.info("***** %s *****", title)
    for key, value in sorted(results.items()):
        logging.info("  %s = %s", key, value)


def needs_full_batches(strategy) -> bool:
    """A TPU wants every batch full, and so do several replicas."""
    return distribution.is_tpu(strategy) or strategy.num_replicas_in_sync > 1


def _is_fixed_length(strategy):
    return distribution.is_tpu(strategy) or FLAGS.pad_to_max_length


def training_batches(strategy, rows, num_rows, to_features, first_step):
    """`pipeline.training_batches` as the flags say."""
    return pipeline.training_batches(
        rows,
        num_rows,
        FLAGS.train_batch_size,
        to_features,
        seed=FLAGS.seed,
        first_step=first_step,
        fixed_length=_is_fixed_length(strategy),
        # XLA compiles for each length anew.
        length_multiple=(
            XLA_LENGTH_MULTIPLE if FLAGS.xla else pipeline.LENGTH_MULTIPLE
        ),
        group_by_length=FLAGS.group_by_length,
    )


def evaluation_batches(
    strategy, rows, batch_size: int, to_features, **settings
):
    """`pipeline.evaluation_batches` as the flags say."""
    return pipeline.evaluation_batches(
        rows,
        batch_size,
        to_features,
        fixed_length=_is_fixed_length(strategy),
        fill_last_batch=needs_full_batches(strategy),
        **settings,
    )


def existing_checkpoints() -> list:
    """The checkpoints of --output_dir, the newest first.

    Look for them before the model is made: processes that train together wait
    for each other there, so that none sees what another one writes later.

    Raises:
        UserError: there are some and --resume=never, or none and
            --resume=must.
    """
    found = checkpoints.CheckpointFolder(FLAGS.output_dir).newest_first()
    if found and FLAGS.resume == "never":
        raise UserError(
            f"--resume=never, but --output_dir={FLAGS.output_dir} has "
            f"{os.path.basename(found[0])}: name another folder"
        )
    if not found and FLAGS.resume == "must":
        raise UserError(
            f"--resume=must, but --output_dir={FLAGS.output_dir} has no "
            "checkpoint"
        )
    return found


def load_weights(model, existing, training_follows) -> list:
    """Initial weights: --init_checkpoint, or the run's newest checkpoint.

    A training that resumes reads the latter again, with the optimizer's state;
    here it is read so that errors come before anything is written.

    Args:
        model: whose variables are read.
        existing: of `existing_checkpoints`.
        training_follows: whether random weights will do.

    Returns:
        What is left of `existing`, without those that cannot be read.
    """
    is_given = not FLAGS["init_checkpoint"].using_default_value
    if existing and FLAGS.init_checkpoint and is_given:
        logging.warning(
            "--output_dir has %s: --init_checkpoint=%s is not used",
            existing[0],
            FLAGS.init_checkpoint,
        )
    source = (
        f"--output_dir={FLAGS.output_dir}"
        if existing
        else f"--init_checkpoint={FLAGS.init_checkpoint}"
    )
    prefixes = existing or [p for p in (FLAGS.init_checkpoint,) if p]
    if not prefixes and not training_follows:
        raise UserError(
            f"--output_dir={FLAGS.output_dir}: no checkpoint here to work "
            "with; give --init_checkpoint or --do_train"
        )
    if not prefixes:
        log_variables(model, checkpoints.LoadReport([], [], []))
        logging.warning(
            "No --init_checkpoint: training starts from random weights"
        )
        return []
    reports = []
    try:
        readable = checkpoints.read_newest(
            # An older one is a place to train from, not a result.
            prefixes if training_follows else prefixes[:1],
            lambda prefix: reports.append(
                checkpoints.load_weights(model, prefix)
            ),
        )
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    (report,) = reports
    log_variables(model, report)
    if report.missing and not training_follows:
        raise UserError(
            f"{source}: {readable[0]} has no {', '.join(report.missing)}: it "
            "was not fine-tuned for a task; give --do_train, or a checkpoint "
            "of such a run"
        )
    return readable if existing else []


def log_variables(model, report):
    """Shows what comes from the checkpoint: the rest is random."""
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


def prepare(model):
    """Recomputation and frozen layers, as the flags say.

    Raises:
        UserError: --freeze_layers is not understood.
    """
    encoder = model.bert.encoder
    encoder.recompute = FLAGS.remat
    what = FLAGS.freeze_layers
    if what is None:
        return
    if what == "encoder":
        model.bert.trainable = False
    elif what == "embeddings":
        model.bert.embeddings.trainable = False
    elif (
        what.isascii()
        and what.isdigit()
        and int(what) <= len(encoder.transformer_layers)
    ):
        model.bert.embeddings.trainable = False
        for layer in encoder.transformer_layers[: int(what)]:
            layer.trainable = False
    else:
        raise UserError(
            f"--freeze_layers={what}: give `encoder`, `embeddings`, or how "
            f"many of the {len(encoder.transformer_layers)} layers"
        )
    logging.info(
        "%d of %d variables are trained",
        len(model.trainable_variables),
        len(model.variables),
    )


def load_best(model, run, metric: str | None = None) -> int | None:
    """Loads the best weights of the run's last training; returns their step.

    None where there are none: --eval_steps was not given to that training,
    or the files are lost or damaged, which is logged.

    Args:
        model: whose weights they are.
        run: a `RunFolder`.
        metric: by which they are the best; that of the flag unless told.
    """
    metric = metric or FLAGS.metric_for_best
    training_record = run.earlier("train")
    best = best_of(training_record.get("evaluations", []), metric)
    if not best or not training_record.get("flags", {}).get("eval_steps"):
        return None
    prefix = run.file(f"best/model.ckpt-{best['step']}")
    try:
        checkpoints.load_weights(model, prefix)
    except UserError as error:
        logging.warning("%s; using the newest checkpoint instead", error)
        return None
    logging.info("Using the best checkpoint, %s", prefix)
    return best["step"]


def make_trainer(
    model, strategy, loss_terms, num_train_steps, config, num_warmup_steps=None
):
    """The trainer of the flags, inside the strategy's scope.

    Without `num_warmup_steps`, --warmup_proportion tells them.
    """
    if num_warmup_steps is None:
        num_warmup_steps = int(num_train_steps * FLAGS.warmup_proportion)
    schedule = WarmupLinearDecay(
        FLAGS.learning_rate, num_train_steps, num_warmup_steps
    )
    with strategy.scope():
        is_float16 = FLAGS.precision == "float16"
        return training.Trainer(
            model,
            OPTIMIZERS[FLAGS.optimizer](),
            schedule,
            loss_terms,
            strategy,
            seed=FLAGS.seed,
            num_micro_batches=FLAGS.gradient_accumulation_steps,
            rate_factors=layer_rates(
                model.trainable_variables,
                FLAGS.layerwise_lr_decay,
                config.num_hidden_layers,
            ),
            loss_scale=training.LossScale() if is_float16 else None,
            jit_compile=FLAGS.xla,
        )


def check_evaluation_flags(metric_names):
    """Raises UserError for an unknown --metric_for_best, and the like.

    Args:
        metric_names: what evaluations report.
    """
    if FLAGS.metric_for_best not in metric_names:
        raise UserError(
            f"--metric_for_best={FLAGS.metric_for_best}: the evaluation "
            f"reports {', '.join(sorted(metric_names))}"
        )
    if FLAGS.early_stopping_patience and not FLAGS.eval_steps:
        raise UserError(
            f"--early_stopping_patience={FLAGS.early_stopping_patience} needs "
            "--eval_steps: how often to evaluate"
        )


def train(
    run, trainer, existing, batches, num_train_steps, evaluate=None, **record
):
    """Trains as the flags say; returns the step it ends at.

    Args:
        run: the `RunFolder`.
        trainer: of `make_trainer`.
        existing: the run's checkpoints, of `load_weights`.
        batches: function(first step) -> dataset.
        num_train_steps: see `training.train`.
        evaluate: function() -> {name: number}, of --eval_steps.
        **record: what train.json shall tell beside.
    """
    is_chief = distribution.is_chief(trainer.strategy)
    saver = checkpoints.CheckpointFolder(run.path, FLAGS.keep_checkpoints)
    if is_chief:
        saver.clean()
    if existing:
        name_changed_flags(run)
    step = resume(trainer, existing)
    if step >= num_train_steps:
        logging.info(
            "Skipping training since max_steps has already saved: %s is at "
            "step %d of %d",
            existing[0],
            step,
            num_train_steps,
        )
        return step

    def record_train(evaluations, seconds=None):  # None: not done yet.
        run.record_mode(
            "train",
            program.values(),
            num_train_steps=num_train_steps,
            seconds=seconds,
            resumed_at_step=step,
            evaluations=evaluations,
            **record,
        )

    earlier = run.earlier("train").get("evaluations", [])
    dev_scores = DevScores(
        history=[scores for scores in earlier if scores["step"] <= step],
        metric=FLAGS.metric_for_best,
        patience=FLAGS.early_stopping_patience,
        folder=run.file("best"),
        record=record_train,
        writes=is_chief,
    )
    if dev_scores.is_exhausted():
        logging.info(
            "Skipping training, which was stopped early at step %d of %d: %s",
            step,
            num_train_steps,
            dev_scores.describe(),
        )
        return step
    record_train(dev_scores.history)
    callbacks = [ProgressBar(FLAGS.train_batch_size)]
    if is_chief:
        callbacks.append(TensorBoard(run.path, FLAGS.train_batch_size))
    if FLAGS.eval_steps:
        callbacks.append(dev_scores)
    start = time.perf_counter()
    try:
        end = training.train(
            trainer,
            batches,
            num_train_steps,
            save=saver.save if is_chief else None,
            save_checkpoints_steps=FLAGS.save_checkpoints_steps,
            evaluate=evaluate if FLAGS.eval_steps else None,
            eval_steps=FLAGS.eval_steps,
            max_steps_per_loop=FLAGS.iterations_per_loop,
            callbacks=callbacks,
        )
    except training.Interrupted as error:
        command = [sys.executable, *sys.argv]
        if FLAGS.resume == "never":
            command.append("--resume=auto")
        raise training.Interrupted(
            f"{error}; go on with: {shlex.join(command)}"
        ) from None
    if end < num_train_steps:
        logging.info(
            "Stopped early at step %d of %d: %s",
            end,
            num_train_steps,
            dev_scores.describe(),
        )
    record_train(dev_scores.history, time.perf_counter() - start)
    return end


def resume(trainer, existing) -> int:
    """Restores the newest checkpoint that can be read; returns its step."""
    try:
        readable = checkpoints.read_newest(existing, trainer.restore)
    except UserError as error:
        raise UserError(
            f"--output_dir={FLAGS.output_dir}: cannot resume: {error}"
        ) from None
    if readable:
        logging.info("Resuming from %s", readable[0])
    return trainer.restored_step or 0


def name_changed_flags(run):
    """Warns of flags that a run had otherwise before it was stopped."""
    before, now = run.earlier("train").get("flags", {}), program.values()
    for name in TRAINING_FLAGS:
        if name in before and before[name] != now.get(name):
            logging.warning(
                "--%s was %s before, and is %s now",
                name,
                before[name],
                now.get(name),
            )
