"""Reads what a command reads, for the doctor: a function for each program."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from absl import flags

from bert_tf import choices
from bert_tf.data.pretraining import dataset as pretraining_dataset
from bert_tf.data.squad.examples import SquadExamples
from bert_tf.doctor import model_files, questions, texts
from bert_tf.doctor import rows as row_sets
from bert_tf.doctor.findings import Finding
from bert_tf.errors import UserError
from bert_tf.programs import (
    bundled,
    defaults,
    distill_flags,
    export_flags,
    few_shot_flags,
    labelled_flags,
    labelled_run,
    pretraining_flags,
    program,
    squad_data,
    squad_flags,
    squad_program,
    teaching,
    training_checks,
    training_run,
    unlabelled_texts,
)
from bert_tf.programs.class_weights import class_weights
from bert_tf.tasks.problem import Problem
from bert_tf.tasks.registry import AnyTask, TaskSettings, get_task
from bert_tf.tools.doctor_examination import Examination

FLAGS = flags.FLAGS
NUM_LENGTHS = 1000  # Rows by which the length of sequences is chosen.
# Arrays of the vocabulary's size that the masked LM keeps for each prediction.
LOGITS_KEPT = 3


def modes_of(names: Sequence[str]) -> list[str]:
    """The modes that the command asks for."""
    return [mode for mode in names if FLAGS[f"do_{mode}"].value]


def _take_over_flags(
    found: Examination, task_names: Collection[str], modes: Collection[str]
) -> None:
    """Takes over the flags of the run in the output folder, as programs do."""
    if FLAGS.output_dir:
        found.guard(
            "output folder",
            defaults.from_earlier_run,
            task_names,
            trains="train" in modes,
        )


# ---------------------------------------------------------------------------
# run_classifier.


def look_at_classifier(found: Examination) -> None:
    """Looks at a command of run_classifier."""
    modes = modes_of((*labelled_flags.MODES, "export"))
    found.guard("command", labelled_flags.check_command, modes)
    few_shot_flags.fill()
    _take_over_flags(found, choices.TASKS, modes)
    if FLAGS.task_name is None:
        return
    task = found.guard("command", get_task, FLAGS.task_name)
    if task is None:
        return
    bundled.use_data()
    found.guard("model", bundled.use_model)
    for check in (
        export_flags.check,
        lambda: labelled_flags.check_task_flags(modes),
        lambda: training_checks.check_flags("train" in modes),
        lambda: labelled_flags.check_class_weights(FLAGS.class_weights),
        lambda: few_shot_flags.check("train" in modes),
        lambda: distill_flags.check("train" in modes),
        *([_check_output] if FLAGS.output_dir else []),
    ):
        found.guard("command", check)
    found.look_at_model()
    needed = labelled_flags.sets_needed(modes)
    names = [labelled_flags.MODES[mode] for mode in needed]
    settings = labelled_run.task_settings(FLAGS.flag_values_dict())
    sets, problem = _read(found, task, names, settings)
    rows = _rows_of(found, sets, task.kind(settings))
    unlabelled = found.guard(
        "reading", unlabelled_texts.read, task, settings, FLAGS.do_train
    )
    _look_at_examples(found, task, rows, problem, len(unlabelled or ()))


def _check_output():
    program.check_folder("output_dir")


def _read(
    found: Examination,
    task: AnyTask,
    names: list[str],
    settings: TaskSettings,
) -> tuple[Mapping[str, Any], Problem | None]:
    """Reads all sets; where one is wrong, each by itself.

    Returns:
        ({set: examples}, problem or None).
    """
    try:
        learned = _learned()
        return task.read(names, settings, learned)
    except UserError as error:
        first = error
    sets: dict[str, Any] = {}
    problem, messages = None, set()
    for name in names:
        learned = {} if problem is None else problem.record()
        try:
            one, own = task.read([name], settings, learned)
        except UserError as error:
            messages.add(str(error))
            found.add([model_files.of_error(error, "reading", name)])
        else:
            sets |= one
            problem = problem or own
    if not messages:
        found.add([model_files.of_error(first, "reading")])
    return sets, problem


def _learned() -> dict[str, Any]:
    """What the run in the output folder has learned, if it is not trained."""
    from bert_tf.tasks import record as task_record

    folder = FLAGS.output_dir
    if FLAGS.do_train or not folder:
        return {}
    record = task_record.read(folder)
    return record.values if record else {}


def _rows_of(
    found: Examination, sets: Mapping[str, Any], kind: str
) -> list[row_sets.RowSet]:
    """The rows of all sets; a row that cannot be read is a finding."""
    several = []
    for name, examples in sets.items():
        path = getattr(examples, "path", "") or getattr(
            getattr(examples, "sample", None), "path", ""
        )
        path = path or program_path(name)
        rows = found.guard(
            "rows that fail",
            row_sets.of_examples,
            examples,
            name,
            kind,
            path,
        )
        if rows is not None:
            several.append(rows)
            found.paths.setdefault(rows.path, set()).add(name)
    return several


def program_path(name: str) -> str:
    """The file of a set, as the flags name it."""
    values = FLAGS.flag_values_dict()
    return str(values.get(f"{name}_file") or values.get("train_file") or name)


def _look_at_examples(found, task, rows, problem, num_unlabelled):
    """Checks the rows, and what training on them needs."""
    train = next((one for one in rows if one.set_type == "train"), None)
    num_train = 0
    if train is not None and FLAGS.do_train:
        num_train = len(train) + num_unlabelled
    labels = problem.labels if problem else None
    lengths: list[int] = []
    if found.config and found.tokenizer and train is not None:
        some, pieces = texts.tokenize(train, found.tokenizer, NUM_LENGTHS)
        lengths = texts.sequence_lengths(some, pieces).tolist()
    if found.config:
        # Published data sets have the original's length.
        own = lengths if "text_column" in task.flags else None
        defaults.fit(found.config, num_train, lengths=own)
        if problem is not None:
            check = teaching.find_for_problem
            found.guard("teacher", check, problem, found.config)
    found.look_at_rows(rows, labels, _capacity())
    steps = None
    if num_train and FLAGS.num_train_epochs is not None:
        number = few_shot_flags.num_trained(num_train)
        steps = found.guard("steps", training_run.count_train_steps, number)
        if train is not None and isinstance(labels, list):
            found.guard(
                "class weights",
                class_weights,
                FLAGS.class_weights,
                labels,
                _Labels(train.labels),
            )
    found.look_at_folder(task.name, steps, labels)
    if FLAGS.max_seq_length:
        longest = min([FLAGS.max_seq_length, max(lengths, default=10**9)])
        copies = FLAGS.max_windows if FLAGS.long_documents == "windows" else 1
        if train is not None and train.kind == "choice":
            breaks = (pair.count("\n") for pair in train.pairs or ())
            copies = 1 + max(breaks, default=0)
        found.look_at_memory(FLAGS.train_batch_size * copies, longest, 0.0)
    if found.measure_steps and steps and found.can_build():
        from bert_tf.tools import doctor_steps

        found.measure(
            doctor_steps.of_classifier,
            problem,
            found.config,
            found.tokenizer,
            lengths,
            steps,
            number,
        )


class _Labels(Sequence):
    """Labels as examples, for functions that look at labels alone."""

    def __init__(self, labels: Sequence[Any]):
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: Any) -> Any:
        return _Labelled(self._labels[index])


class _Labelled:
    def __init__(self, label: Any):
        self.label = label


def _capacity() -> int | None:
    """Tokens of the longest sequence of which nothing is cut off."""
    length = FLAGS.max_seq_length
    if length is None or FLAGS.long_documents == "head_tail":
        return None
    if FLAGS.long_documents == "windows":
        stride = FLAGS.doc_stride or length - 2
        return (FLAGS.max_windows - 1) * stride + length
    return length


# ---------------------------------------------------------------------------
# run_squad.


def look_at_squad(found: Examination) -> None:
    """Looks at a command of run_squad."""
    modes = modes_of(squad_flags.MODES)
    found.guard("command", squad_flags.check_command, modes)
    _take_over_flags(found, ("squad",), modes)
    found.guard("model", bundled.use_model)
    needed = squad_flags.files_needed(modes)
    checks: list[Callable[[], None]] = [
        export_flags.check,
        *(functools.partial(_check_file, f"{mode}_file") for mode in needed),
        squad_flags.check_lengths,
        lambda: training_checks.check_flags(
            "train" in modes, squad_flags.metric_names()
        ),
        lambda: distill_flags.check("train" in modes),
        *([_check_output] if FLAGS.output_dir else []),
    ]
    for check in checks:
        found.guard("command", check)
    found.look_at_model()
    if found.config:
        found.guard("lengths", squad_program.fit_lengths, found.config)
        found.guard("teacher", teaching.find_for_questions, found.config)
    examples = {}
    for mode in needed:
        path = program.value_of(f"{mode}_file")
        if not path:
            continue
        found.paths.setdefault(path, set()).add(_SETS[mode])
        several = found.guard("reading", squad_data.read_examples, mode)
        if several is not None:
            examples[mode] = several
    _look_at_questions(found, modes, examples)


_SETS = {"train": "train", "predict": "dev"}


def _check_file(flag: str) -> None:
    program.require(flag)
    program.require_existing(flag)


def _look_at_questions(
    found: Examination, modes: list[str], examples: dict[str, SquadExamples]
) -> None:
    squad_data.compare(examples)
    if "predict" in examples and squad_flags.is_scored(modes):
        found.guard("reading", squad_data.read_answers)
    contents = {}
    for mode, several in examples.items():
        content = found.guard(
            "reading", questions.QuestionFile, several.path, _SETS[mode]
        )
        if content is not None:
            contents[mode] = content
            found.add(content.check_answers())
        rows = row_sets.of_examples(_First(several), _SETS[mode], "answers")
        if found.tokenizer:
            some, pieces = texts.tokenize(rows, found.tokenizer, 200)
            found.add(texts.check_unknown(some, pieces))
            lengths = [len(found.tokenizer.tokenize(t)) for t in rows.texts]
            found.add(
                questions.check_question_lengths(
                    rows, lengths, FLAGS.max_query_length
                )
            )
    if {"train", "predict"} <= {*contents}:
        found.add(contents["predict"].check_contexts(contents["train"]))
    steps = None
    if "train" in examples and "train" in modes:
        number = len(examples["train"])
        if found.config:
            defaults.fit(found.config, number)
        steps = found.guard("steps", training_run.count_train_steps, number)
    found.look_at_folder("squad", steps)
    length = FLAGS.max_seq_length or squad_flags.DEFAULT_LENGTH
    found.look_at_memory(FLAGS.train_batch_size, length, 0.0)
    if found.measure_steps and steps and found.can_build():
        from bert_tf.tools import doctor_steps

        number = len(examples["train"])
        found.measure(doctor_steps.of_squad, found.config, steps, number)


class _First:
    """The first questions of a file, as a sequence with their places."""

    def __init__(self, examples: SquadExamples):
        self.path, self.places = examples.path, examples.places
        self._first = examples.first

    def __iter__(self) -> Any:
        return iter(self._first)


# ---------------------------------------------------------------------------
# run_pretraining.


def look_at_pretraining(found: Examination) -> None:
    """Looks at a command of run_pretraining."""
    modes = modes_of(pretraining_flags.MODES)
    found.guard("command", pretraining_flags.check_command, modes)
    _take_over_flags(found, ("pretraining",), modes)
    found.guard("model", bundled.use_model)
    if FLAGS.output_dir:
        found.guard("command", pretraining_flags.check_flags, modes)
    found.look_at_model(pretraining=True)
    specs = pretraining_dataset.pretraining_specs(
        FLAGS.max_seq_length, FLAGS.max_predictions_per_seq
    )
    paths = {}
    for mode in pretraining_flags.modes_with_batches(modes):
        name = pretraining_flags.file_flag(mode)
        files = found.guard("reading", program.matching_files, name)
        if files:
            paths[mode] = files
            found.guard(
                "reading", pretraining_dataset.check_files, files, specs
            )
    if common := {*paths.get("train", ())} & {*paths.get("eval", ())}:
        found.add([_same_files(sorted(common))])
    found.look_at_folder(
        "pretraining", FLAGS.num_train_steps if FLAGS.do_train else None
    )
    if found.config:
        logits = FLAGS.max_predictions_per_seq * found.config.vocab_size
        found.look_at_memory(
            FLAGS.train_batch_size,
            FLAGS.max_seq_length,
            4.0 * LOGITS_KEPT * logits,
        )
    if found.measure_steps and FLAGS.do_train and found.can_build():
        from bert_tf.tools import doctor_steps

        found.measure(doctor_steps.of_pretraining, found.config)


def _same_files(paths: Sequence[str]) -> Finding:
    return Finding(
        severity="note",
        name="overlap",
        subject="eval",
        what=f"{paths[0]} is trained and evaluated on",
        advice="the scores say nothing about new text; `eval_input_file` "
        "names other files",
    )


LOOKS: dict[str, Callable[[Examination], None]] = {
    "run_classifier": look_at_classifier,
    "run_squad": look_at_squad,
    "run_pretraining": look_at_pretraining,
}
