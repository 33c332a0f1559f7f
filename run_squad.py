"""Fine-tunes BERT to answer questions on a text: SQuAD 1.1 and 2.0.

    python run_squad.py --do_train --do_predict --do_eval --do_export \\
        --train_file=train-v1.1.json --predict_file=dev-v1.1.json \\
        --vocab_file=$BERT/vocab.txt \\
        --bert_config_file=$BERT/bert_config.json \\
        --init_checkpoint=$BERT/bert_model.ckpt \\
        --output_dir=/tmp/squad

For SQuAD 2.0, where a question may have no answer, give
--version_2_with_negative.
"""

import contextlib
import dataclasses
import functools
import itertools
import operator
import time

import keras
import tensorflow as tf
from absl import flags, logging

from bert_tf import checkpoints, losses, metrics, training
from bert_tf.data import features, pipeline
from bert_tf.data.squad import answers as squad_answers
from bert_tf.data.squad import dataset as squad_dataset
from bert_tf.data.squad import examples as squad_examples
from bert_tf.data.squad import windows as squad_windows
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.heads import BertSpanLabeler
from bert_tf.programs import engine, export_run, model_files, program
from bert_tf.programs import flags as shared_flags
from bert_tf.programs.run_folder import RunFolder
from bert_tf.training import distribution

FLAGS = flags.FLAGS
NUM_WINDOWS_LOGGED = 20
QUESTIONS_BETWEEN_LINES = 1000
MODES = ("train", "eval", "predict", "export")

LOGITS = ("start_logits", "end_logits")

# The files with predictions, and what they have of an `Answer`.
FILES = {
    "predictions.json": operator.attrgetter("text"),
    "nbest_predictions.json": operator.attrgetter("nbest"),
    "null_odds.json": operator.attrgetter("null_odds"),
}

flags.DEFINE_string("train_file", None, "SQuAD JSON to train on.")
flags.DEFINE_string(
    "predict_file",
    None,
    "SQuAD JSON with the questions to answer, and with the answers for "
    "--do_eval and --eval_steps.",
)
flags.DEFINE_bool("do_train", False, "Train on --train_file.")
flags.DEFINE_bool(
    "do_predict", False, "Write predictions.json for --predict_file."
)
# Not in the original.
flags.DEFINE_bool(
    "do_eval", False, "Score the predictions for --predict_file as SQuAD does."
)
flags.DEFINE_bool(
    "do_export",
    False,
    "Write a SavedModel that takes raw text to --output_dir/export.",
)
shared_flags.define_export_flags()
shared_flags.define_model_flags()
shared_flags.define_text_flags(max_seq_length=384)
shared_flags.define_count(
    "doc_stride",
    128,
    "WordPieces from the start of a window to that of the next, where a "
    "context is too long for one.",
)
shared_flags.define_count(
    "max_query_length",
    64,
    "WordPieces of a question at most; the others are cut off.",
    lower_bound=0,
)
shared_flags.define_training_flags()
shared_flags.define_fine_tuning_flags()
shared_flags.define_batch_size_flag("predict")
shared_flags.define_count(
    "n_best_size", 20, "Answers in nbest_predictions.json for each question."
)
shared_flags.define_count(
    "max_answer_length", 30, "WordPieces of an answer at most."
)
flags.DEFINE_bool(
    "version_2_with_negative",
    False,
    "Questions may have no answer, as in SQuAD 2.0.",
)
shared_flags.define_float(
    "null_score_diff_threshold",
    0.0,
    "A question has no answer where its null odds exceed this.",
)
flags.DEFINE_bool(
    "verbose_logging",
    False,
    "Name each training example that is left out, and each answer whose "
    "characters are not found in its words.",
)
shared_flags.define_evaluation_flags(metric_for_best="f1")
shared_flags.define_count(
    "num_processes",
    0,
    "That convert questions; 0: one for each core, if there are many.",
    lower_bound=0,
)
shared_flags.define_distribution_flags()
shared_flags.define_tpu_flags()
flags.adopt_module_key_flags(shared_flags)


def main():
    modes = [mode for mode in MODES if FLAGS[f"do_{mode}"].value]
    check_flags(modes)
    strategy = engine.set_up(files_needed(modes))

    # 1. What the model is, and how it reads text.
    config, _ = model_files.read_model_files()
    training.set_seed(FLAGS.seed)
    run = RunFolder(
        FLAGS.output_dir, "squad", writes=distribution.is_chief(strategy)
    )

    # 2. The examples: the files are looked at, and wrong ones refused, before
    #    anything is written.
    examples = {mode: read_examples(mode) for mode in files_needed(modes)}
    answers = read_answers(modes)
    num_train_steps = engine.count_train_steps(len(examples.get("train", ())))
    windows = {
        mode: convert_examples(mode, examples[mode]) for mode in examples
    }

    # 3. The model under the strategy, with its pretrained weights.
    existing = engine.existing_checkpoints()
    with strategy.scope():
        model = BertSpanLabeler(config)
    engine.prepare(model)
    existing = engine.load_weights(
        model, existing, training_follows="train" in modes
    )
    if "export" in modes:
        saved_models.check_replaceable(run.file("export"))
    run.open()

    # 4. Train, answer questions, export.
    job = Job(
        run,
        model,
        strategy,
        training.BatchRunner(model, strategy),
        examples,
        windows,
        answers,
    )
    global_step = 0
    if existing:
        global_step = checkpoints.Checkpoint(existing[0]).global_step()
    if "train" in modes:
        global_step = train(job, config, existing, num_train_steps)
    global_step = engine.load_best(model, run) or global_step
    if "eval" in modes or "predict" in modes:
        answer_questions(job, modes, global_step)
    if "export" in modes and run.writes:
        export_run.export_questions(
            run.file("export"), model, FLAGS.flag_values_dict()
        )


@dataclasses.dataclass
class Job:
    """What the modes of a run share.

    Attributes:
        examples: {"train", "predict": `SquadExamples`}.
        windows: {likewise: `WindowRows`}.
        answers: {question id: texts} of --predict_file, or None where they
            are not needed.
    """

    run: RunFolder
    model: keras.Model
    strategy: tf.distribute.Strategy
    predictor: training.BatchRunner
    examples: dict
    windows: dict
    answers: dict | None
    # Evaluations while training and what follows read the same.
    prediction_batches: tf.data.Dataset | None = None


def check_flags(modes):
    """Raises UserError for flags that are missing or contradict each other."""
    if not modes:
        raise UserError(
            "At least one of --do_train, --do_predict, --do_eval, --do_export "
            "must be given"
        )
    program.require("bert_config_file", "vocab_file", "output_dir")
    if "export" not in modes:
        program.refuse("only with --do_export", *shared_flags.EXPORT_FLAGS)
    program.refuse(
        "not for questions", "export_batch_size", "export_pad_to_max_length"
    )
    for mode in files_needed(modes):
        program.require(f"{mode}_file")
        program.require_existing(f"{mode}_file")
    if FLAGS.max_seq_length <= FLAGS.max_query_length + 3:
        raise UserError(
            f"--max_query_length={FLAGS.max_query_length}: with the 3 special "
            "tokens it leaves no room for the context in --max_seq_length="
            f"{FLAGS.max_seq_length}"
        )
    names = metrics.SQUAD_V1_NAMES
    if FLAGS.version_2_with_negative:
        names = metrics.SQUAD_V2_NAMES
    engine.check_evaluation_flags(names)


def is_scored(modes) -> bool:
    return "eval" in modes or "train" in modes and FLAGS.eval_steps > 0


def files_needed(modes) -> list:
    """Which of the files are read: `train` of --train_file, and `predict`."""
    needed = ["train"] if "train" in modes else []
    if "predict" in modes or is_scored(modes):
        needed.append("predict")
    return needed


# ---------------------------------------------------------------------------
# Examples.


def read_examples(mode):
    """The `SquadExamples` of --train_file or --predict_file."""

    def name_skipped(qas_id, place, text):
        if FLAGS.verbose_logging:
            logging.warning(
                "%s: question %s is left out: its answer %r is not at its "
                "answer_start in the context",
                place,
                qas_id,
                text,
            )

    path = FLAGS[f"{mode}_file"].value
    examples = squad_examples.SquadExamples(
        path, mode == "train", FLAGS.version_2_with_negative, name_skipped
    )
    if examples.num_skipped:
        logging.warning(
            "%s: %d of %d questions are left out, as their answer is not in "
            "their context%s",
            path,
            examples.num_skipped,
            examples.num_skipped + len(examples),
            "" if FLAGS.verbose_logging else " (--verbose_logging names them)",
        )
    if examples.num_with_several_answers:
        logging.info(
            "%s: %d questions have several answers; training takes the first",
            path,
            examples.num_with_several_answers,
        )
    if examples.num_marked_impossible and not FLAGS.version_2_with_negative:
        logging.warning(
            "%s: %d questions are marked as having no answer; without "
            "--version_2_with_negative each gets one",
            path,
            examples.num_marked_impossible,
        )
    return examples


def read_answers(modes):
    """{question id: texts} to score with; None where nothing is scored."""
    if not is_scored(modes):
        return None
    answers = squad_examples.read_answers(FLAGS.predict_file)
    if not FLAGS.version_2_with_negative:
        squad_examples.check_answered(FLAGS.predict_file, answers)
    return answers


def convert_examples(mode, examples):
    """The `WindowRows` of a file."""
    settings = squad_windows.ConverterSettings(
        FLAGS.vocab_file,
        FLAGS.do_lower_case,
        FLAGS.max_seq_length,
        FLAGS.doc_stride,
        FLAGS.max_query_length,
        mode == "train",
    )
    windows = squad_dataset.WindowRows(
        examples, settings, FLAGS.num_processes or None
    )
    if windows.num_cut_questions:
        logging.warning(
            "%s: %d of %d questions are longer than --max_query_length=%d and "
            "are cut",
            FLAGS[f"{mode}_file"].value,
            windows.num_cut_questions,
            len(examples),
            FLAGS.max_query_length,
        )
    if mode == "train" and not len(windows):
        raise UserError(
            f"--train_file={FLAGS.train_file}: no context has a token"
        )
    return windows


def read_rows(job, mode):
    """(rows, function that makes features of them) of a file's windows."""
    is_training = mode == "train"
    specs = squad_dataset.window_specs(FLAGS.max_seq_length, is_training)
    log_windows(job, mode)
    engine.log_features(specs, FLAGS[f"{mode}_batch_size"].value)
    if not FLAGS.write_tf_records:
        return squad_dataset.dataset_of_rows(
            job.windows[mode]
        ), functools.partial(
            squad_dataset.features_of_rows, max_seq_length=FLAGS.max_seq_length
        )
    path = job.run.file("train.tf_record" if is_training else "eval.tf_record")
    if job.run.writes:
        converter = job.windows[mode].settings.make()
        features.write_tf_records(
            path,
            map(
                squad_dataset.window_features,
                converter.windows(job.examples[mode]),
            ),
            specs,
        )
    return features.record_rows(path), functools.partial(
        squad_dataset.features_of_records, specs=specs
    )


def log_windows(job, mode):
    """Shows the first windows."""
    windows = job.windows[mode].settings.make().windows(job.examples[mode])
    for window in itertools.islice(windows, NUM_WINDOWS_LOGGED):
        log_window(window)


def log_window(window):
    def pairs(values):
        return " ".join(f"{key}:{value}" for key, value in values.items())

    logging.info("*** Example ***")
    logging.info("unique_id: %s", window.unique_id)
    logging.info("example_index: %s", window.example_index)
    logging.info("doc_span_index: %s", window.doc_span_index)
    logging.info("tokens: %s", " ".join(window.tokens))
    logging.info("token_to_orig_map: %s", pairs(window.token_to_orig_map))
    logging.info("token_is_max_context: %s", pairs(window.token_is_max_context))
    for name in ("input_ids", "input_mask", "segment_ids"):
        values = getattr(window, name)
        logging.info("%s: %s", name, " ".join(map(str, values)))
    if window.start_position is None:
        return
    if window.is_impossible:
        logging.info("impossible example")
        return
    logging.info("start_position: %d", window.start_position)
    logging.info("end_position: %d", window.end_position)
    answer = window.tokens[window.start_position : window.end_position + 1]
    logging.info("answer: %s", " ".join(answer))


# ---------------------------------------------------------------------------
# Training.


def train(job, config, existing, num_train_steps):
    """Trains up to `num_train_steps`; returns the step it ends at."""
    trainer = engine.make_trainer(
        job.model, job.strategy, losses.span_loss(), num_train_steps, config
    )
    rows, to_features = read_rows(job, "train")
    batches = functools.partial(
        engine.training_batches,
        job.strategy,
        rows,
        len(job.windows["train"]),
        to_features,
    )
    evaluate = None
    if FLAGS.eval_steps:
        dataset = prediction_batches(job)

        def evaluate():
            return score(job, find_all_answers(job, dataset, {}))

    logging.info("***** Running training *****")
    log_numbers(job, "train")
    logging.info("  Num steps = %d", num_train_steps)
    return engine.train(
        job.run,
        trainer,
        existing,
        batches,
        num_train_steps,
        evaluate,
        num_examples=len(job.examples["train"]),
        num_windows=len(job.windows["train"]),
    )


def log_numbers(job, mode):
    logging.info("  Num orig examples = %d", len(job.examples[mode]))
    logging.info("  Num split examples = %d", len(job.windows[mode]))
    logging.info("  Batch size = %d", FLAGS[f"{mode}_batch_size"].value)


# ---------------------------------------------------------------------------
# Answers.


def prediction_batches(job):
    if job.prediction_batches is None:
        rows, to_features = read_rows(job, "predict")
        job.prediction_batches = engine.evaluation_batches(
            job.strategy,
            rows,
            FLAGS.predict_batch_size,
            to_features,
            length_multiple=squad_windows.LENGTH_MULTIPLE,
        )
    return job.prediction_batches


def find_answers(job, dataset):
    """Yields (example, `Answer`) of --predict_file, one after the other.

    The windows are made a second time here, which takes little beside what
    the model takes: so no more than some of them are in memory at a time.
    """
    settings = squad_answers.AnswerSettings(
        FLAGS.n_best_size,
        FLAGS.max_answer_length,
        FLAGS.do_lower_case,
        FLAGS.version_2_with_negative,
        FLAGS.null_score_diff_threshold,
        logging.info if FLAGS.verbose_logging else lambda message: None,
    )
    converter = job.windows["predict"].settings.make()
    outputs = pipeline.in_file_order(job.predictor(dataset))
    num_places = operator.attrgetter(
        "max_seq_length" if FLAGS.pad_to_max_length else "num_places"
    )
    for number, example in enumerate(job.examples["predict"]):
        if number % QUESTIONS_BETWEEN_LINES == 0:
            logging.info("Processing example: %d", number)
        windows = converter.convert(example, number)
        results = [
            squad_answers.RawResult(
                window.unique_id,
                # Answers do not depend on what else is in the batch.
                *(logits[name][: num_places(window)] for name in LOGITS),
            )
            for window, (logits, _) in zip(windows, outputs, strict=False)
        ]
        yield (
            example,
            squad_answers.find_answer(example, windows, results, settings),
        )


def answer_questions(job, modes, global_step):
    """Writes the original's three files, and eval_results.txt."""
    dataset = prediction_batches(job)
    logging.info("***** Running predictions *****")
    log_numbers(job, "predict")
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        writers = open_files(job, stack) if "predict" in modes else {}
        found = find_all_answers(job, dataset, writers)
    results = {}
    if "eval" in modes:
        results = {**score(job, found), "global_step": global_step}
        job.run.write_results(results)
    for mode in ("eval", "predict"):
        if mode in modes:
            job.run.record_mode(
                mode,
                program.values(),
                num_examples=len(job.examples["predict"]),
                num_windows=len(job.windows["predict"]),
                seconds=time.perf_counter() - start,
                results=results,
            )
    if "eval" in modes:
        engine.log_results(results)
    if "predict" in modes:
        logging.info("***** Predict results *****")
        for name in writers:
            logging.info("  %s", job.run.file(name))


def open_files(job, stack) -> dict:
    """{name: writer of a JSON object}; the files appear as `stack` ends."""
    if not job.run.writes:
        return {}
    names = list(FILES)
    if not FLAGS.version_2_with_negative:
        names.remove("null_odds.json")
    return {
        name: stack.enter_context(
            squad_answers.writing_json_object(
                stack.enter_context(job.run.writing(name))
            )
        )
        for name in names
    }


def find_all_answers(job, dataset, writers) -> dict:
    """{question id: `Answer`}; n-best answers go to the files alone."""
    found = {}
    for example, answer in find_answers(job, dataset):
        for name, write in writers.items():
            write(example.qas_id, FILES[name](answer))
        found[example.qas_id] = dataclasses.replace(answer, nbest=[])
    return found


def score(job, found) -> dict:
    """SQuAD's scores of {question id: `Answer`}, in per cent."""
    predictions = {qas_id: answer.text for qas_id, answer in found.items()}
    if not FLAGS.version_2_with_negative:
        return metrics.squad_v1_scores(job.answers, predictions)
    return {
        **metrics.squad_v2_scores(job.answers, predictions),
        # Of what would be answered if there were no threshold: the official
        # script has only the answers that one threshold has left.
        **metrics.squad_best_thresholds(
            job.answers,
            {qas_id: answer.best_text for qas_id, answer in found.items()},
            {qas_id: answer.null_odds for qas_id, answer in found.items()},
        ),
    }


if __name__ == "__main__":
    program.run(main)
