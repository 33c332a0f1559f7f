"""Task: what run_classifier needs to know about each --task_name.

    Task             a published data set, in its own files
    OwnTextsTask     your own CSV, TSV or JSONL file
    TaggingTask      words with tags, in CoNLL's files
    ChoiceTask       texts with several endings, in SWAG's columns

A task reads its files, and says what is asked: a `problems.Problem`.
"""

import dataclasses
from collections.abc import Callable

from absl import logging

from bert_tf import metrics
from bert_tf.data import glue, labelled_table, multiple_choice, tabular, tagging
from bert_tf.data.processor import DataProcessor, Examples
from bert_tf.errors import UserError
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.problem import Problem
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import MultiLabel, Regression, SingleLabel


@dataclasses.dataclass(frozen=True)
class TaskSettings(labelled_table.TableSettings):
    """The flags that tell where a task's examples are, by their names."""

    data_dir: str | None = None
    xnli_language: str = "zh"


FILE_FLAGS = (
    *("train_file", "dev_file", "test_file"),
    *("dev_fraction", "test_fraction", "split_seed", "strict"),
)


@dataclasses.dataclass(frozen=True)
class Task:
    """A published data set: one label for each text, or a number.

    Attributes:
        name: the value of --task_name.
        processor: reads the task's files.
        metrics: {name: function(label_ids, predictions)}, reported beside
            the accuracy.
    """

    name: str
    processor: DataProcessor
    metrics: dict[str, Callable] = dataclasses.field(default_factory=dict)

    @property
    def flags(self) -> tuple:
        """The settings that it reads."""
        is_xnli = isinstance(self.processor, glue.XnliProcessor)
        return ("data_dir", "strict", *(["xnli_language"] * is_xnli))

    @property
    def problem(self) -> Problem:
        labels = self.processor.get_labels()
        if labels is None:
            return Regression()
        return SingleLabel(labels, self.metrics)

    def kind(self, settings) -> str:
        return self.problem.kind

    def takes_pairs(self, settings) -> bool:
        """Whether an example has two texts."""
        return "text_b" in self.processor.columns

    def read(self, sets, settings: TaskSettings, learned: dict):
        """Reads sets of examples.

        Args:
            sets: of "train", "dev" and "test".
            settings: of the flags.
            learned: what `Problem.learned` told in an earlier run of the same
                kind, or {}. In a training that starts anew there may be
                labels, whose places the new ones take over.

        Returns:
            ({set: examples}, problem).

        Raises:
            UserError: a flag or a file is wrong.
        """
        processor = self.processor.configured(**dataclasses.asdict(settings))
        examples = {
            name: Examples(processor, settings.data_dir, name, settings.strict)
            for name in sets
        }
        return examples, self.problem


@dataclasses.dataclass(frozen=True)
class OwnTextsTask:
    """Your own files: labels, sets of labels, or numbers.

    Attributes:
        name: the value of --task_name, and the format.
    """

    name: str

    flags = (
        *FILE_FLAGS,
        *("text_column", "text_pair_column", "label_column", "id_column"),
        *("header", "delimiter", "encoding"),
        *("problem_type", "label_delimiter"),
    )

    def kind(self, settings) -> str:
        return settings.problem_type

    def takes_pairs(self, settings) -> bool:
        return settings.text_pair_column is not None

    def read(self, sets, settings, learned):
        """As `Task.read`; labels are those of the training set."""
        sets = with_training_set(sets, settings, learned)
        found = labelled_table.read_sets(settings, self.name, sets)
        problem = self.problem(found.get("train"), settings, learned)
        if problem.labels is not None:
            found = {
                name: labelled_table.check_labels(
                    table, problem.labels, name, settings.strict
                )
                for name, table in found.items()
            }
        return found, problem

    def problem(self, train, settings, learned) -> Problem:
        """What the training set asks, or what an earlier one did."""
        if settings.problem_type == "regression":
            if "mean" not in learned:
                learned = labelled_table.mean_and_deviation(train, settings)
            return Regression(learned["mean"], learned["deviation"])
        labels = learned.get("labels")
        if train is not None:
            labels = chosen_labels(
                labelled_table.infer_labels(train, settings.problem_type),
                labels,
            )
        if settings.problem_type == "single_label":
            return SingleLabel(labels, {"macro_f1": metrics.macro_f1})
        return MultiLabel(
            labels,
            learned.get("thresholds", {}),
            tabular.unescaped(settings.label_delimiter),
        )


@dataclasses.dataclass(frozen=True)
class TaggingTask:
    """Named entities and other tags of words."""

    name: str

    flags = FILE_FLAGS

    def kind(self, settings) -> str:
        return Tagging.kind

    def takes_pairs(self, settings) -> bool:
        return False

    def read(self, sets, settings, learned):
        """As `Task.read`; tags are those of the training set."""
        sets = with_training_set(sets, settings, learned)
        found, labels = tagging.read_sets(settings, sets, learned.get("labels"))
        return found, Tagging(labels)


@dataclasses.dataclass(frozen=True)
class ChoiceTask:
    """Which of several endings is right."""

    name: str

    flags = (*FILE_FLAGS, "id_column", "encoding", "delimiter")

    def kind(self, settings) -> str:
        return MultipleChoice.kind

    def takes_pairs(self, settings) -> bool:
        return True

    def read(self, sets, settings, learned):
        """As `Task.read`; examples have up to as many endings as any has."""
        found = multiple_choice.read_sets(settings, sets)
        numbers = [
            len(example.endings)
            for examples in found.values()
            for example in examples
        ]
        most = max(numbers, default=0)  # Nothing is read for an export.
        return found, MultipleChoice(most)


def with_training_set(sets, settings, learned: dict) -> list:
    """The sets to read: the labels must come from somewhere."""
    if learned or "train" in sets:
        return list(sets)
    if not settings.train_file:
        raise UserError(
            "--train_file must be given, for its labels: there is no task.json "
            "beside the checkpoint that would tell them"
        )
    return ["train", *sets]


def chosen_labels(inferred: list, learned: list | None) -> list:
    """Those of an earlier run where they do, so that its head keeps its sense.

    Args:
        inferred: the labels of the training set.
        learned: those of the run that weights come from, or None.
    """
    if learned and {*inferred} <= {*learned}:
        return learned
    if learned:
        logging.warning(
            "The checkpoint was trained for the labels %s; these are %s",
            ", ".join(learned),
            ", ".join(inferred),
        )
    return inferred


TASKS = {
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
    )
}


def get_task(name: str):
    """The task of a --task_name, upper or lower case.

    Raises:
        UserError: there is none; the message lists those that exist.
    """
    try:
        return TASKS[name.lower()]
    except KeyError:
        raise UserError(
            f"--task_name={name}: unknown task; known are {', '.join(TASKS)}"
        ) from None
