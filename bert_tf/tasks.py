"""Task: what run_classifier needs to know about each --task_name.

    Task             a published data set, in its own files
    OwnTexts         your own CSV, TSV or JSONL file
    Tagging          words with tags, in CoNLL's files
    MultipleChoice   texts with several endings, in SWAG's columns

A task reads its files, and says what is asked: a `problems.Problem`.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from absl import logging

from bert_tf import metrics, problems
from bert_tf.data import glue, multiple_choice, tables, tagging
from bert_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class TaskSettings(tables.TableSettings):
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
    processor: glue.DataProcessor
    metrics: dict[str, Callable] = dataclasses.field(default_factory=dict)

    @property
    def flags(self) -> tuple:
        """The settings that it reads."""
        is_xnli = isinstance(self.processor, glue.XnliProcessor)
        return ("data_dir", "xnli_language") if is_xnli else ("data_dir",)

    @property
    def problem(self) -> problems.Problem:
        labels = self.processor.get_labels()
        if labels is None:
            return problems.Regression()
        return problems.SingleLabel(labels, self.metrics)

    def read(self, sets, settings: TaskSettings, learned: dict):
        """Reads sets of examples.

        Args:
            sets: of "train", "dev" and "test".
            settings: of the flags.
            learned: what `Problem.learned` told in an earlier run, or {}.

        Returns:
            ({set: examples}, problem).

        Raises:
            UserError: a flag or a file is wrong.
        """
        processor = self.processor.configured(**dataclasses.asdict(settings))
        examples = {
            name: glue.Examples(processor, settings.data_dir, name)
            for name in sets
        }
        return examples, self.problem


@dataclasses.dataclass(frozen=True)
class OwnTexts:
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

    def read(self, sets, settings, learned):
        """As `Task.read`; labels are those of the training set."""
        sets = with_training_set(sets, learned)
        found = tables.read_sets(settings, self.name, sets)
        problem = self.problem(found.get("train"), settings, learned)
        if problem.labels is not None:
            found = {
                name: tables.check_labels(
                    table, problem.labels, name, settings.strict
                )
                for name, table in found.items()
            }
        return found, problem

    def problem(self, train, settings, learned) -> problems.Problem:
        """What the training set asks, or what an earlier one did."""
        if settings.problem_type == "regression":
            if "mean" not in learned:
                learned = mean_and_deviation(train)
            return problems.Regression(learned["mean"], learned["deviation"])
        labels = learned.get("labels")
        if train is not None:
            labels = chosen_labels(
                tables.infer_labels(train, settings.problem_type), labels
            )
        if settings.problem_type == "single_label":
            return problems.SingleLabel(labels, {"macro_f1": metrics.macro_f1})
        return problems.MultiLabel(
            labels, learned.get("thresholds", {}), settings.label_delimiter
        )


@dataclasses.dataclass(frozen=True)
class Tagging:
    """Named entities and other tags of words."""

    name: str

    flags = FILE_FLAGS

    def read(self, sets, settings, learned):
        """As `Task.read`; tags are those of the training set."""
        found, labels = tagging.read_sets(
            settings, with_training_set(sets, learned), learned.get("labels")
        )
        return found, problems.Tagging(labels)


@dataclasses.dataclass(frozen=True)
class MultipleChoice:
    """Which of several endings is right."""

    name: str

    flags = (*FILE_FLAGS, "id_column", "encoding", "delimiter")

    def read(self, sets, settings, learned):
        """As `Task.read`; the most endings of an example are what counts."""
        found = multiple_choice.read_sets(settings, sets)
        most = max(
            len(example.endings)
            for examples in found.values()
            for example in examples
        )
        return found, problems.MultipleChoice(most)


def with_training_set(sets, learned: dict) -> list:
    """The sets to read: the labels must come from somewhere."""
    return list(sets) if learned or "train" in sets else ["train", *sets]


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


def mean_and_deviation(train) -> dict:
    numbers = np.array([example.label for example in train], np.float64)
    return {"mean": numbers.mean(), "deviation": numbers.std()}


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
        OwnTexts("csv"),
        OwnTexts("tsv"),
        OwnTexts("jsonl"),
        Tagging("ner"),
        MultipleChoice("swag"),
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
