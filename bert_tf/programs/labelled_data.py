"""The files of run_classifier's task: read, checked, made ready.

Wrong ones are refused before anything is written.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags, logging

from bert_tf import pretrained
from bert_tf.config import BertConfig
from bert_tf.data.input_example import InputExample
from bert_tf.data.labelled_set import TableSet
from bert_tf.data.text_reader import TextReader
from bert_tf.errors import UserError
from bert_tf.programs import (
    data_lines,
    defaults,
    few_shot,
    hearing,
    labelled_confidence,
    labelled_run,
    program,
    quick_check,
    unlabelled_texts,
)
from bert_tf.programs.labelled_flags import MODES, sets_needed
from bert_tf.programs.session import Session
from bert_tf.progress import working
from bert_tf.tasks import record as task_record
from bert_tf.tasks.problem import Problem, Record
from bert_tf.tasks.registry import AnyTask, TaskSettings
from bert_tf.tokenization import FullTokenizer

FLAGS = flags.FLAGS
NUM_EXAMPLES_MEASURED = 1000  # To choose the length of sequences.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """What a run reads.

    Attributes:
        problem: what is asked about a text.
        reader: how texts are read.
        sets: {mode: examples} as the files have them.
        examples: {mode: examples} as the model reads them.
        unlabelled: texts without labels, which are trained on as well.
        takes_pairs: whether an example has two texts.
    """

    problem: Problem
    reader: TextReader
    sets: Mapping[str, Any]
    examples: dict[str, Any]
    unlabelled: Sequence[Any]
    takes_pairs: bool

    @property
    def num_train(self) -> int:
        """How many examples an epoch has."""
        return len(self.examples.get("train", ())) + len(self.unlabelled)


def read(
    task: AnyTask,
    session: Session,
    config: BertConfig,
    tokenizer: FullTokenizer,
) -> Data:
    """Reads and checks what the flags name, and fits flags to it.

    Raises:
        UserError: see `read_sets` and `unlabelled_texts.read`.
    """
    settings = labelled_run.task_settings(FLAGS.flag_values_dict())
    unlabelled = unlabelled_texts.read(task, settings, session.trains)
    sets, problem = read_and_check(
        task, settings, session, config, tokenizer, unlabelled
    )
    reader = labelled_run.make_reader(tokenizer, FLAGS.flag_values_dict())
    examples = {mode: problem.prepare(sets[mode], reader) for mode in sets}
    if unlabelled:
        unlabelled = problem.prepare(unlabelled, reader)
    labelled_confidence.check_examples(examples)
    return Data(
        problem=problem,
        reader=reader,
        sets=sets,
        examples=examples,
        unlabelled=unlabelled,
        takes_pairs=task.takes_pairs(settings),
    )


def read_and_check(
    task: AnyTask,
    settings: TaskSettings,
    session: Session,
    config: BertConfig,
    tokenizer: FullTokenizer,
    unlabelled: Sequence[InputExample] = (),
) -> tuple[dict[str, Any], Problem]:
    """Reads the task's files, fits flags to them, and warns of what is odd.

    Returns:
        ({mode: examples}, problem).

    Raises:
        UserError: see `read_sets`.
    """
    with hearing.hearing(hearing.Heard()) as heard:
        sets, problem = read_sets(task, settings, session)
    fit_flags(session, config, tokenizer, sets, unlabelled)
    quick_check.warn(
        {MODES[mode]: examples for mode, examples in sets.items()},
        task.kind(settings),
        tokenizer,
        heard.checks,
    )
    quick_check.warn_of_machine(config)
    return sets, problem


def read_sets(
    task: AnyTask, settings: TaskSettings, session: Session
) -> tuple[dict[str, Any], Problem]:
    """Reads the task's files.

    Returns:
        ({mode: examples}, problem).

    Raises:
        UserError: a file is wrong, or a flag does not apply to the problem.
    """
    modes = sets_needed(session.modes)
    learned = learned_before(task.kind(settings), session)
    with working("Reading"):
        by_set, problem = task.read(
            [MODES[mode] for mode in modes], settings, learned
        )
    if not session.trains:
        check_answers(problem, learned, task.name)
    program.refuse(f"not for {problem.description}", *problem.refused_flags)
    problem = labelled_confidence.settled(problem, learned, session)
    if session.trains:
        few_shot.check(problem, by_set[MODES["train"]], session)
    if problem.labels is not None:
        logging.debug("Labels: %s", ", ".join(problem.labels))
    for mode in modes:
        data_lines.show_set(MODES[mode], by_set[MODES[mode]])
    return {mode: by_set[MODES[mode]] for mode in modes}, problem


def check_answers(problem: Problem, learned: Record, task_name: str) -> None:
    """Checks that a head that is not trained gives the answers of the task.

    A published data set has its own labels, in its own order. With those of
    another model its outputs would stand for other labels.

    Raises:
        UserError: its labels, or the scale of its numbers, are others.
    """
    own = problem.record()
    for name in ("labels", "mean", "deviation"):
        if name not in learned or learned[name] == own.get(name):
            continue
        is_unnamed = name == "labels" and learned[name] == [
            f"LABEL_{i}" for i in range(len(own.get(name) or ()))
        ]
        if not is_unnamed:
            raise UserError(
                f"the model's {name}, {learned[name]}, are not those of this "
                f"task, {own.get(name)}; read the texts as csv, tsv or jsonl, "
                "or give --do_train",
                setting="task_name",
                value=task_name,
            )
        logging.warning(
            "The model's labels have no names; they are taken for %s",
            ", ".join(own[name]),
        )


def fit_flags(
    session: Session,
    config: BertConfig,
    tokenizer: FullTokenizer,
    sets: Mapping[str, Any],
    unlabelled: Sequence[InputExample] = (),
) -> None:
    """Fills in the rates and lengths that flags leave out.

    Args:
        session: the run.
        config: the model's.
        tokenizer: counts the WordPieces of people's own texts.
        sets: {mode: examples}.
        unlabelled: texts without labels, which are trained on as well.
    """
    train = sets.get("train", [])
    lengths = None
    if isinstance(train, TableSet) and FLAGS.max_seq_length is None:
        lengths = [
            num_tokens(tokenizer, example)
            for some in (train, unlabelled)
            for example in itertools.islice(some, NUM_EXAMPLES_MEASURED)
        ]
    session.fit(config, len(train) + len(unlabelled), lengths)


def num_tokens(tokenizer: FullTokenizer, example: InputExample) -> int:
    """The WordPieces of an example, [CLS] and [SEP] included.

    They are counted in Python: the tokenizer in the graph takes a second to
    make, and is made for the length that is chosen here.
    """
    number = len(tokenizer.tokenize(example.text_a)) + 2
    if example.text_b:
        number += len(tokenizer.tokenize(example.text_b)) + 1
    return number


def learned_before(kind: str, session: Session) -> dict[str, Any]:
    """Reads the task.json that belongs to the weights of this run.

    A training that starts from another run's weights takes over only its
    labels.

    Args:
        kind: the kind of problem that is asked now.
        session: the run.

    Returns:
        What it holds, see `tasks.record`; {} if there is no such file, or if
        nothing is taken over.

    Raises:
        UserError: the weights are for another kind of problem, and are not to
            be trained for this one.
    """
    starts = session.trains and not session.existing
    record = record_before(session)
    if record is None:
        return {}
    if record.kind != kind:
        if starts:
            return {}
        raise UserError(
            f"{folder_before(session)}: holds a run of the kind "
            f"{record.kind}, not {kind}"
        )
    if starts:
        labels = record.values.get("labels")
        return {"labels": labels} if labels else {}
    return record.values


def record_before(session: Session) -> task_record.TaskRecord | None:
    """What task.json says of the run that the weights come from, if any."""
    if not session.existing and not FLAGS.init_checkpoint:
        return None
    record = task_record.read(folder_before(session))
    if record is None and FLAGS.pretrained and not session.existing:
        return task_record.of_stored(pretrained.open(FLAGS.pretrained))
    return record


def folder_before(session: Session) -> str:
    """The folder of the run that the weights come from."""
    if session.existing:
        return session.folder.path
    return defaults.run_of_checkpoint(FLAGS.init_checkpoint or "")
