"""SQuAD's questions and contexts as batches, as the flags ask."""

import functools
import itertools
import os
from collections.abc import Mapping

from absl import flags, logging

from bert_tf.counts import counted, number_of
from bert_tf.data import features, plausibility
from bert_tf.data.plausible.examples import of_questions
from bert_tf.data.squad import dataset as squad_dataset
from bert_tf.data.squad import examples as squad_examples
from bert_tf.data.squad.windows import ConverterSettings, InputFeatures
from bert_tf.errors import UserError
from bert_tf.programs import batches, console
from bert_tf.programs.program import value_of
from bert_tf.programs.run_folder import RunFolder
from bert_tf.programs.settings import from_flags
from bert_tf.progress import with_progress, working

FLAGS = flags.FLAGS
NUM_WINDOWS_LOGGED = 20
NUM_COMPARED = 1000  # Questions on which an int8 network is compared.
# {question id: its answers' texts}.
Answers = dict[str, list[str]]


def read_examples(mode: str) -> squad_examples.SquadExamples:
    """Reads --train_file for "train", or --predict_file for "predict"."""
    path = value_of(f"{mode}_file")
    with working("Reading"):
        examples = squad_examples.SquadExamples(
            path, mode == "train", FLAGS.version_2_with_negative, _log_skipped
        )
    total = examples.num_skipped + len(examples)
    num_without = examples.num_skipped - examples.num_in_doubt
    if num_without:
        logging.warning(
            "%s: %s left out, as the answer is not in the context%s",
            path,
            counted(num_without, total, "question", "are"),
            "" if FLAGS.verbose_logging else " (--verbose_logging names them)",
        )
    if examples.num_with_several_answers:
        console.show(
            "Note",
            "%s: several answers to %s; training takes the first",
            path,
            number_of(examples.num_with_several_answers, "question"),
        )
    for key, note in examples.notes.items():
        verb, _, what = squad_examples.NOTES[key].partition(" ")
        logging.warning(
            "%s: %s %s (%s first)",
            path,
            counted(note.number, total, "question", verb),
            what,
            note.place.removeprefix(path).lstrip(": "),
        )
    if examples.num_marked_impossible and not FLAGS.version_2_with_negative:
        logging.warning(
            "%s: %s marked as having no answer; without "
            "--version_2_with_negative each gets one",
            path,
            counted(examples.num_marked_impossible, total, "question", "are"),
        )
    plausibility.warn(_sample(mode, examples), strict=False)
    return examples


def compare(examples: Mapping[str, squad_examples.SquadExamples]) -> None:
    """Compares the questions to answer with those of training.

    Args:
        examples: {"train" or "predict": its questions}.
    """
    samples = {m: _sample(m, several) for m, several in examples.items()}
    by_set = {sample.set_type: sample for sample in samples.values()}
    plausibility.compare(by_set, strict=False)


def _sample(mode, examples):
    set_type = "train" if mode == "train" else "dev"
    return of_questions(
        examples.first,
        examples.path,
        set_type,
        places=examples.places,
        number=len(examples),
        keys=examples.keys,
    )


def _log_skipped(qas_id, place, text):
    if FLAGS.verbose_logging:
        logging.warning(
            "%s: question %s is left out: its answer %r is not at its "
            "answer_start in the context",
            place,
            qas_id,
            text,
        )


def read_answers() -> Answers:
    """Reads the answers of --predict_file, to score with.

    Raises:
        UserError: a question has no answer, in SQuAD 1.1.
    """
    answers = squad_examples.read_answers(
        FLAGS.predict_file, FLAGS.version_2_with_negative
    )
    if not FLAGS.version_2_with_negative:
        squad_examples.check_answered(FLAGS.predict_file, answers)
    return answers


def convert_examples(
    mode: str, examples: squad_examples.SquadExamples
) -> squad_dataset.WindowRows:
    """Splits the contexts of a file into windows.

    Raises:
        UserError: there is nothing to train on.
    """
    settings = from_flags(
        ConverterSettings,
        FLAGS.flag_values_dict(),
        is_training=mode == "train",
    )
    windows = squad_dataset.WindowRows(
        examples, settings, FLAGS.num_processes or None
    )
    if windows.num_cut_questions:
        logging.warning(
            "%s: %s longer than --max_query_length=%d: cut",
            value_of(f"{mode}_file"),
            counted(
                windows.num_cut_questions, len(examples), "question", "are"
            ),
            FLAGS.max_query_length,
        )
    _show(mode, examples, windows)
    if mode == "train" and not len(windows):
        raise UserError(
            "no context has a token",
            setting="train_file",
            value=FLAGS.train_file,
        )
    return windows


def _show(mode, examples, windows):
    """Shows how many questions and windows a file has."""
    impossible = ""
    if examples.num_marked_impossible:
        share = 100 * examples.num_marked_impossible / max(len(examples), 1)
        impossible = f" ({share:.1f} % without an answer)"
    name = os.path.basename(value_of(f"{mode}_file"))
    console.show(
        "Train set" if mode == "train" else "Questions",
        f"{len(examples):>7,} questions of {name}{impossible}; "
        f"{len(windows):,} windows of up to {FLAGS.max_seq_length} tokens",
    )


def read_rows(
    mode: str, windows: squad_dataset.WindowRows, folder: RunFolder
) -> batches.Rows:
    """The rows of a file's windows; logs the first windows.

    Args:
        mode: "train" or "predict".
        windows: of `convert_examples`.
        folder: the run's folder, for --write_tf_records.
    """
    is_training = mode == "train"
    specs = squad_dataset.window_specs(FLAGS.max_seq_length, is_training)
    log_windows(windows)
    batches.log_features(specs, batches.batch_size(mode))
    if not FLAGS.write_tf_records:
        return squad_dataset.dataset_of_rows(windows), functools.partial(
            squad_dataset.pad_rows, max_seq_length=FLAGS.max_seq_length
        )
    path = folder.file("train.tf_record" if is_training else "eval.tf_record")
    if folder.writes:
        converter = windows.settings.make()
        features.write_tf_records(
            path,
            map(
                squad_dataset.window_features,
                with_progress(
                    converter.windows(windows.examples),
                    len(windows),
                    "windows",
                    "Writing",
                ),
            ),
            specs,
        )
    return features.record_rows(path), functools.partial(
        squad_dataset.parse_record_rows, specs=specs
    )


def log_windows(windows: squad_dataset.WindowRows) -> None:
    """Logs the first windows as the original does."""
    converted = windows.settings.make().windows(windows.examples)
    for window in itertools.islice(converted, NUM_WINDOWS_LOGGED):
        log_window(window)


def log_window(window: InputFeatures) -> None:
    """Logs a window as the original does."""

    def pairs(values):
        return " ".join(f"{key}:{value}" for key, value in values.items())

    logging.debug("*** Example ***")
    logging.debug("unique_id: %s", window.unique_id)
    logging.debug("example_index: %s", window.example_index)
    logging.debug("doc_span_index: %s", window.doc_span_index)
    logging.debug("tokens: %s", " ".join(window.tokens))
    logging.debug("token_to_orig_map: %s", pairs(window.token_to_orig_map))
    logging.debug(
        "token_is_max_context: %s", pairs(window.token_is_max_context)
    )
    for name in ("input_ids", "input_mask", "segment_ids"):
        values = getattr(window, name)
        logging.debug("%s: %s", name, " ".join(map(str, values)))
    if window.start_position is None or window.end_position is None:
        return
    if window.is_impossible:
        logging.debug("impossible example")
        return
    logging.debug("start_position: %d", window.start_position)
    logging.debug("end_position: %d", window.end_position)
    answer = window.tokens[window.start_position : window.end_position + 1]
    logging.debug("answer: %s", " ".join(answer))


def items_of(
    examples: Mapping[str, squad_examples.SquadExamples],
) -> list[dict[str, str]]:
    """The questions of the dev set as `Predictor` takes them.

    Args:
        examples: {mode: examples} of a run.
    """
    return [
        {
            "question": example.question_text,
            "context": " ".join(example.doc_tokens),
        }
        for mode in ("eval", "predict")
        for example in itertools.islice(examples.get(mode, ()), NUM_COMPARED)
    ]
