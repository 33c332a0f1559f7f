"""The tasks of run_classifier, by the names of its flag task_name.

    Task             a published data set, in its own files
    OwnTextsTask     your own CSV, TSV or JSONL file
    TaggingTask      words with tags, or texts with the places of entities
    ChoiceTask       texts with several endings, in SWAG's columns
    RelationTask     sentences with two marked entities

A task reads its files and says what is asked about them: a `Problem`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from bert_tf import choices, metrics
from bert_tf.data import (
    glue,
    labelled_table,
    multiple_choice,
    plausibility,
    relations,
    tagging,
)
from bert_tf.data.processor import DataProcessor, Examples
from bert_tf.data.tabular import csv_files
from bert_tf.errors import UserError
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.problem import Problem, Record
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.relations import Relations
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import MultiLabel, SingleLabel

# {"train", "dev" or "test": a list of examples, or what reads their file}.
Sets = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskSettings(labelled_table.TableSettings):
    """Settings that say where a task's examples are, named as the flags."""

    data_dir: str | None = None
    xnli_language: str = "zh"
    word_column: str | None = None
    tag_column: str | None = None
    prediction_format: str | None = None
    unlabelled_file: str | None = None


class AnyTask(Protocol):
    """The interface that all tasks have."""

    @property
    def name(self) -> str:
        """The value of the flag task_name."""

    @property
    def flags(self) -> Sequence[str]:
        """The names of the settings that the task reads."""

    @property
    def problems(self) -> Sequence[type[Problem]]:
        """The classes of problems that the task may ask."""

    def kind(self, settings: TaskSettings) -> str:
        """Returns the kind of its problem's answers."""

    def takes_pairs(self, settings: TaskSettings) -> bool:
        """Whether an example has two texts."""

    def read(
        self, sets: Iterable[str], settings: TaskSettings, learned: Record
    ) -> tuple[Sets, Problem]:
        """Reads sets of examples.

        Args:
            sets: some of "train", "dev" and "test".
            settings: where the examples are.
            learned: `Problem.record` of an earlier run of the same kind, or
                {}. A new training may get the labels of another model: it
                takes them over if they include its own.

        Returns:
            ({set: examples}, problem).

        Raises:
            UserError: a setting or a file is wrong.
        """


@dataclasses.dataclass(frozen=True)
class Task:
    """A published data set: one label for each text, or a number.

    Attributes:
        name: see `AnyTask`.
        processor: reads the task's files.
        metrics: {name: function(label_ids, predictions)}, reported besides
            the accuracy.
    """

    name: str
    processor: DataProcessor
    metrics: dict[str, Callable[[Any, Any], float]] = dataclasses.field(
        default_factory=dict
    )

    problems = (SingleLabel, Regression)

    @property
    def flags(self) -> tuple[str, ...]:
        return choices.TASKS.get(self.name, choices.FOLDER_SETTINGS)

    @property
    def problem(self) -> Problem:
        labels = self.processor.get_labels()
        if labels is None:
            return Regression()
        return SingleLabel(labels, self.metrics)

    def kind(self, settings: TaskSettings) -> str:
        return self.problem.kind

    def takes_pairs(self, settings: TaskSettings) -> bool:
        return "text_b" in self.processor.columns

    def read(
        self, sets: Iterable[str], settings: TaskSettings, learned: Record
    ) -> tuple[Sets, Problem]:
        """Reads the data set's files, see `AnyTask.read`."""
        processor = self.processor.configured(**dataclasses.asdict(settings))
        examples = {}
        for name in sets:
            if settings.data_dir is None:
                raise UserError("must be given", setting="data_dir")
            examples[name] = Examples(
                processor, settings.data_dir, name, settings.strict
            )
        samples = {name: several.sample for name, several in examples.items()}
        plausibility.compare(samples, settings.strict)
        return examples, self.problem


@dataclasses.dataclass(frozen=True)
class OwnTextsTask:
    """Your own files: labels, sets of labels, or numbers.

    Attributes:
        name: see `AnyTask`; it is the format, too.
    """

    name: str

    flags = choices.TABLE_SETTINGS
    problems = (SingleLabel, MultiLabel, Regression)

    def kind(self, settings: TaskSettings) -> str:
        return settings.problem_type

    def takes_pairs(self, settings: TaskSettings) -> bool:
        return settings.text_pair_column is not None

    def read(
        self, sets: Iterable[str], settings: TaskSettings, learned: Record
    ) -> tuple[Sets, Problem]:
        """Reads your files, see `AnyTask.read`.

        The labels are those of the training set.
        """
        sets = with_training_set(sets, settings, learned)
        tables = labelled_table.read_sets(settings, self.name, sets)
        problem = self.problem(tables.get("train"), settings, learned)
        if problem.labels is not None:
            tables = {
                name: labelled_table.check_labels(
                    table,
                    problem.labels,
                    name,
                    settings.strict,
                    settings.missing_label,
                )
                for name, table in tables.items()
            }
        return tables, problem

    def problem(
        self,
        train: labelled_table.TableSet | None,
        settings: TaskSettings,
        learned: Record,
    ) -> Problem:
        """Returns the problem of the training set, or of an earlier one."""
        if settings.problem_type == Regression.kind:
            if "mean" not in learned and train is not None:
                learned = labelled_table.mean_and_deviation(train, settings)
            return Regression(learned["mean"], learned["deviation"])
        labels: list[str] = learned.get("labels", [])
        if train is not None:
            labels = chosen_labels(
                labelled_table.infer_labels(train, settings.problem_type),
                labels,
            )
        if settings.problem_type == SingleLabel.kind:
            return SingleLabel(
                labels,
                {"macro_f1": metrics.macro_f1},
                delimiter=csv_files.unescaped(settings.label_delimiter),
            )
        return MultiLabel(
            labels,
            learned.get("thresholds", {}),
            csv_files.unescaped(settings.label_delimiter),
        )


@dataclasses.dataclass(frozen=True)
class TaggingTask:
    """Named entities and other tags of words."""

    name: str

    flags = choices.TASKS["ner"]
    problems = (Tagging,)

    def kind(self, settings: TaskSettings) -> str:
        return Tagging.kind

    def takes_pairs(self, settings: TaskSettings) -> bool:
        return False

    def read(
        self, sets: Iterable[str], settings: TaskSettings, learned: Record
    ) -> tuple[Sets, Problem]:
        """Reads files of words or texts, see `AnyTask.read`.

        The tags are those of the training set.
        """
        sets = with_training_set(sets, settings, learned)
        found = tagging.read_sets(
            settings,
            sets,
            tagging.LearnedTags.from_record(learned),
            tagging.WordColumns(
                word_column=settings.word_column,
                tag_column=settings.tag_column,
                encoding=settings.encoding,
                delimiter=settings.delimiter,
            ),
        )
        default = "spans" if found.has_texts else "conll"
        return found.sets, Tagging(
            found.tags.labels,
            found.tags,
            settings.prediction_format or default,
        )


@dataclasses.dataclass(frozen=True)
class ChoiceTask:
    """Which of several endings is right."""

    name: str

    flags = choices.TASKS["swag"]
    problems = (MultipleChoice,)

    def kind(self, settings: TaskSettings) -> str:
        return MultipleChoice.kind

    def takes_pairs(self, settings: TaskSettings) -> bool:
        return True

    def read(
        self, sets: Iterable[str], settings: TaskSettings, learned: Record
    ) -> tuple[Sets, Problem]:
        """Reads files with endings, see `AnyTask.read`.

        The problem has the largest number of endings of any example.
        """
        examples = multiple_choice.read_sets(settings, sets)
        numbers = [
            len(example.endings)
            for several in examples.values()
            for example in several
        ]
        most = max(numbers, default=0)  # An export reads no examples.
        return examples, MultipleChoice(most)


@dataclasses.dataclass(frozen=True)
class RelationTask:
    """The relation between two marked entities."""

    name: str

    flags = choices.TASKS["relations"]
    problems = (Relations,)

    def kind(self, settings: TaskSettings) -> str:
        return Relations.kind

    def takes_pairs(self, settings: TaskSettings) -> bool:
        return False

    def read(
        self, sets: Iterable[str], settings: TaskSettings, learned: Record
    ) -> tuple[Sets, Problem]:
        """Reads sentences with two entities, see `AnyTask.read`.

        The relations are those of the training set.
        """
        sets = with_training_set(sets, settings, learned)
        examples, inferred = relations.read_sets(
            settings, sets, settings.id_column
        )
        labels: list[str] = learned.get("labels", [])
        if "train" in sets:
            labels = chosen_labels(inferred, labels)
        examples = {
            name: relations.check_labels(
                several, labels, name, settings.strict, settings.missing_label
            )
            for name, several in examples.items()
        }
        return examples, Relations(labels)


def with_training_set(
    sets: Iterable[str], settings: TaskSettings, learned: Record
) -> list[str]:
    """Adds the training set to those to read if its labels are needed."""
    sets = list(sets)
    if learned or "train" in sets:
        return sets
    if not settings.train_file:
        raise UserError(
            "must be given for its labels, because there is no task.json next "
            "to the checkpoint",
            setting="train_file",
        )
    return ["train", *sets]


def chosen_labels(inferred: list[str], learned: list[str]) -> list[str]:
    """Returns the labels of an earlier run if they include the new ones.

    Then the outputs of its head keep their meaning. Otherwise the training
    starts with a new head.

    Args:
        inferred: the labels of the training set.
        learned: the labels of the run that weights come from, if any.
    """
    if learned and {*inferred} <= {*learned}:
        return learned
    return inferred


TASKS: dict[str, AnyTask] = {
    task.name: task
    for task in (
        Task(
            "cola",
            glue.ColaProcessor(),
            {"matthews_correlation": metrics.matthews_correlation},
        ),
        Task("sst-2", glue.Sst2Processor()),
        Task("mrpc", glue.MrpcProcessor(), {"f1": metrics.f1}),
        Task("sts-b", glue.StsbProcessor()),
        Task("qqp", glue.QqpProcessor(), {"f1": metrics.f1}),
        Task("mnli", glue.MnliProcessor()),
        Task("mnli-mm", glue.MnliMismatchedProcessor()),
        Task("qnli", glue.QnliProcessor()),
        Task("rte", glue.RteProcessor()),
        Task("wnli", glue.WnliProcessor()),
        Task(
            "ax",
            glue.DiagnosticProcessor(),
            {"matthews_correlation": metrics.matthews_correlation},
        ),
        Task("xnli", glue.XnliProcessor()),
        Task("snli", glue.SnliProcessor()),
        Task("scitail", glue.SciTailProcessor()),
        Task("sms", glue.SmsProcessor(), {"f1": metrics.f1}),
        OwnTextsTask("csv"),
        OwnTextsTask("tsv"),
        OwnTextsTask("jsonl"),
        TaggingTask("ner"),
        ChoiceTask("swag"),
        RelationTask("relations"),
    )
}


# The classes of problems by the kinds of their answers, for task.json.
PROBLEMS: dict[str, type[Problem]] = {
    problem.kind: problem
    for task in TASKS.values()
    for problem in task.problems
}


def get_task(name: str) -> AnyTask:
    """Returns the task with a name, in upper or lower case.

    Raises:
        UserError: there is no such task; see `choices.known_task`.
    """
    return TASKS[choices.known_task(name, TASKS)]
