"""What the programs' flags make of the training engine.

The programs differ in examples, heads and losses. Devices, precision, the
optimizer, checkpoints and what a person sees are the same, and here.
"""

import functools
import math
import os
import shlex
import sys
import time

import keras
import tensorflow as tf
from absl import flags, logging

from bert_tf import checkpoints, distribution, training
from bert_tf import flags as shared_flags
from bert_tf.errors import UserError
from bert_tf.optimization import OPTIMIZERS, WarmupLinearDecay, layer_rates
from bert_tf.progress import Progress, TensorBoard

FLAGS = flags.FLAGS

# What a resumed run should not change, if it is to end as it would have.
TRAINING_FLAGS = (
    "bert_config_file",
    "class_weights",
    "classifier_dropout",
    "data_dir",
    "do_lower_case",
    "freeze_layers",
    "gradient_accumulation_steps",
    "label_smoothing",
    "layerwise_lr_decay",
    "learning_rate",
    "max_seq_length",
    "num_train_epochs",
    "optimizer",
    "pad_to_max_length",
    "precision",
    "seed",
    "train_batch_size",
    "use_tpu",
    "vocab_file",
    "warmup_proportion",
    "xla",
)


def set_up() -> tf.distribute.Strategy:
    """Devices, precision and seed; before TensorFlow does anything else.

    Raises:
        UserError: a device is not there, or a batch size does not divide.
    """
    strategy = distribution.make_strategy(
        "tpu" if FLAGS.use_tpu else FLAGS.distribution_strategy,
        cpu_replicas=FLAGS.cpu_replicas,
        tpu_name=FLAGS.tpu_name or FLAGS.master,
        tpu_zone=FLAGS.tpu_zone,
        gcp_project=FLAGS.gcp_project,
        num_tpu_cores=FLAGS.num_tpu_cores,
    )
    distribution.check_divisible(
        strategy,
        "train_batch_size",
        FLAGS.train_batch_size,
        FLAGS.gradient_accumulation_steps,
    )
    for flag in ("eval_batch_size", "predict_batch_size"):
        if flag in FLAGS:
            distribution.check_divisible(strategy, flag, FLAGS[flag].value)
    keras.config.set_dtype_policy(training.POLICIES[FLAGS.precision])
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    training.set_seed(FLAGS.seed)
    if strategy.num_replicas_in_sync > 1:
        logging.info("%d replicas", strategy.num_replicas_in_sync)
    return strategy


def existing_checkpoint() -> str | None:
    """The newest checkpoint of --output_dir, as far as --resume allows it.

    Raises:
        UserError: there is one and --resume=never, or none and --resume=must.
    """
    newest = checkpoints.CheckpointFolder(FLAGS.output_dir).latest()
    if newest and FLAGS.resume == "never":
        raise UserError(
            f"--resume=never, but --output_dir={FLAGS.output_dir} has "
            f"{os.path.basename(newest)}: name another folder"
        )
    if not newest and FLAGS.resume == "must":
        raise UserError(
            f"--resume=must, but --output_dir={FLAGS.output_dir} has no "
            "checkpoint"
        )
    return newest


def load_weights(model, newest, training_follows):
    """Initial weights: --init_checkpoint, or the run's newest checkpoint.

    A training that resumes reads the latter again, with the optimizer's state;
    here it is read so that errors come before anything is written.
    """
    if newest and FLAGS.init_checkpoint:
        logging.warning(
            "--output_dir has %s: --init_checkpoint=%s is not used",
            newest,
            FLAGS.init_checkpoint,
        )
    source = (
        f"--output_dir={FLAGS.output_dir}"
        if newest
        else f"--init_checkpoint={FLAGS.init_checkpoint}"
    )
    prefix = newest or FLAGS.init_checkpoint
    if not prefix and not training_follows:
        raise UserError(
            f"--output_dir={FLAGS.output_dir}: no checkpoint here to evaluate "
            "or predict with; give --init_checkpoint or --do_train"
        )
    if not prefix:
        log_variables(model, checkpoints.LoadReport([], [], []))
        logging.warning(
            "No --init_checkpoint: training starts from random weights"
        )
        return
    try:
        report = checkpoints.load_weights(model, prefix)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    log_variables(model, report)
    if report.missing and not training_follows:
        raise UserError(
            f"{source}: {prefix} has no {', '.join(report.missing)}: it was "
            "not fine-tuned for a task; give --do_train, or a checkpoint of "
            "such a run"
        )


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
    elif what.isdigit() and int(what) <= len(encoder.transformer_layers):
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


def load_best(model, run) -> int | None:
    """Loads the weights of --output_dir/best, if any; returns their step."""
    prefix = checkpoints.CheckpointFolder(run.file("best")).latest()
    if prefix is None:
        return None
    checkpoints.load_weights(model, prefix)
    logging.info("Using the best checkpoint, %s", prefix)
    return checkpoints.Checkpoint(prefix).global_step()


def make_trainer(model, strategy, loss_terms, num_train_steps, config):
    """The trainer of the flags, inside the strategy's scope."""
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


class BestCheckpoint:
    """Keeps the weights of the best evaluation in --output_dir/best."""

    def __init__(self, model, metric: str, folder: str, best=None):
        self.model = model
        self.metric = metric
        self.sign = -1 if metric.endswith("loss") else 1
        self.saver = checkpoints.CheckpointFolder(folder, max_to_keep=1)
        self.best = -math.inf if best is None else self.sign * best

    def update(self, step: int, metrics: dict) -> bool:
        """Saves the weights if they are the best so far."""
        if self.metric not in metrics:
            raise UserError(
                f"--metric_for_best={self.metric}: the evaluation reports "
                f"{', '.join(sorted(metrics))}"
            )
        value = self.sign * metrics[self.metric]
        if not value > self.best:
            return False
        self.best = value
        weights = {v.path: v.value for v in checkpoints.weights_of(self.model)}
        weights["global_step"] = tf.constant(step, tf.int64)
        self.saver.save(weights, step)
        return True


def train(run, trainer, batches, num_train_steps, evaluate=None, **record):
    """Trains as the flags say; returns the step it ends at.

    Args:
        run: the `RunFolder`.
        trainer: of `make_trainer`.
        batches: function(first step) -> dataset.
        num_train_steps: see `training.train`.
        evaluate: function() -> {name: number}, of --eval_steps.
        **record: what train.json shall tell beside.
    """
    is_chief = distribution.is_chief(trainer.strategy)
    saver = checkpoints.CheckpointFolder(run.path, FLAGS.keep_checkpoints)
    if is_chief:
        saver.clean()
    step = resume(run, trainer, saver)
    if step >= num_train_steps:
        logging.info(
            "Skipping training since max_steps has already saved: %s is at "
            "step %d of %d",
            saver.latest(),
            step,
            num_train_steps,
        )
        return step
    record_train = functools.partial(
        run.record_mode,
        "train",
        shared_flags.values(),
        num_train_steps=num_train_steps,
        **record,
    )
    best_before = run.earlier("train").get("best") if step else None
    record_train(seconds=None, best=best_before)  # Not done yet.
    best = BestCheckpoint(
        trainer.model,
        FLAGS.metric_for_best,
        run.file("best"),
        best_before and best_before["value"],
    )

    def evaluate_and_keep(step):
        nonlocal best_before
        metrics = evaluate()
        shown = ", ".join(f"{k} = {v:.4g}" for k, v in sorted(metrics.items()))
        logging.info("step %d: %s", step, shown)
        if is_chief and best.update(step, metrics):
            value = float(metrics[FLAGS.metric_for_best])
            best_before = {"step": step, "value": value}
            record_train(seconds=None, best=best_before)
        return metrics

    callbacks = [Progress(FLAGS.train_batch_size)]
    if is_chief:
        callbacks.append(TensorBoard(run.path, FLAGS.train_batch_size))
    if FLAGS.early_stopping_patience:
        callbacks.append(early_stopping())
    start = time.perf_counter()
    try:
        end = training.train(
            trainer,
            batches,
            num_train_steps,
            save=saver.save if is_chief else None,
            save_checkpoints_steps=FLAGS.save_checkpoints_steps,
            evaluate=evaluate_and_keep if FLAGS.eval_steps else None,
            eval_steps=FLAGS.eval_steps,
            max_steps_per_loop=FLAGS.iterations_per_loop,
            callbacks=callbacks,
        )
    except training.Interrupted as error:
        command = shlex.join([os.path.basename(sys.executable), *sys.argv])
        raise training.Interrupted(f"{error}; go on with: {command}") from None
    if end < num_train_steps:
        logging.info(
            "Stopped at step %d: %s was no better for %d evaluations",
            end,
            FLAGS.metric_for_best,
            FLAGS.early_stopping_patience,
        )
    record_train(
        seconds=time.perf_counter() - start,
        resumed_at_step=step,
        best=best_before,
    )
    return end


def early_stopping():
    return keras.callbacks.EarlyStopping(
        FLAGS.metric_for_best,
        patience=FLAGS.early_stopping_patience,
        mode="min" if FLAGS.metric_for_best.endswith("loss") else "max",
    )


def resume(run, trainer, saver) -> int:
    """Restores the newest checkpoint that can be read; returns its step."""
    step, damaged = 0, []
    for prefix in saver.newest_first():
        try:
            step = trainer.restore(prefix)
        except checkpoints.DamagedCheckpoint as error:
            logging.warning("%s; trying the one before", error)
            damaged.append(error)
            continue
        except UserError as error:
            raise UserError(
                f"--output_dir={FLAGS.output_dir}: cannot resume: {error}"
            ) from None
        logging.info("Resuming from %s", prefix)
        name_changed_flags(run)
        return step
    if damaged:
        raise UserError(f"--output_dir={FLAGS.output_dir}: {damaged[0]}")
    return step


def name_changed_flags(run):
    before, now = run.earlier("train").get("flags", {}), shared_flags.values()
    for name in TRAINING_FLAGS:
        if name in before and before[name] != now.get(name):
            logging.warning(
                "--%s was %s before, and is %s now",
                name,
                before[name],
                now.get(name),
            )
