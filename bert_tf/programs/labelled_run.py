"""What the flags of run_classifier.py make of task, texts and model.

The flags are a mapping: those of the running program, or those that train.json
keeps of an earlier run.
"""

import dataclasses
from collections.abc import Mapping

from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.programs import export_run
from bert_tf.tasks.problem import HeadSettings, Problem
from bert_tf.tasks.registry import TaskSettings
from bert_tf.tokenization import FullTokenizer

TASK_FLAGS = tuple(field.name for field in dataclasses.fields(TaskSettings))


def task_settings(flags: Mapping) -> TaskSettings:
    """Where the examples are."""
    return TaskSettings(**{name: flags[name] for name in TASK_FLAGS})


def make_reader(tokenizer: FullTokenizer, flags: Mapping) -> TextReader:
    """How texts are read."""
    settings = TextReaderSettings(
        **{
            field.name: flags[field.name]
            for field in dataclasses.fields(TextReaderSettings)
        }
    )
    return TextReader(tokenizer, settings)


def build_model(problem: Problem, config, flags: Mapping):
    """The encoder with the problem's head."""
    settings = HeadSettings(
        dropout_rate=flags["classifier_dropout"],
        hidden_units=flags["classifier_hidden"],
        pooling=flags["window_pooling"],
    )
    return problem.build_model(config, settings)


def export(folder: str, model, problem, reader, takes_pairs, flags: Mapping):
    """Writes the SavedModel; how, the running program's flags tell.

    Args:
        folder: which it becomes.
        model: of `build_model`, trained.
        problem: a `Problem`.
        reader: as in training.
        takes_pairs: whether the task's examples have two texts.
        flags: as the model was built.
    """
    export_run.export_trained(
        folder,
        model,
        lambda: build_model(problem, model.config, flags),
        lambda copy: problem.serving_module(
            copy, reader, export_run.shape(), takes_pairs
        ),
        flags["vocab_file"],
        **problem.record(),
    )
