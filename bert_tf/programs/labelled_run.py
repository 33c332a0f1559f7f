"""Builds run_classifier's task, text reader and model from its flags.

The flags are a mapping: those of the running program, or those that train.json
keeps of an earlier run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from bert_tf.choices import COLUMN_SETTINGS
from bert_tf.config import BertConfig
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.programs import export_run
from bert_tf.programs.settings import from_flags
from bert_tf.tasks.problem import HeadSettings, Problem
from bert_tf.tasks.registry import TaskSettings, get_task
from bert_tf.tokenization import FullTokenizer


def task_settings(flags: Mapping[str, Any]) -> TaskSettings:
    """The settings that say where the examples are."""
    return from_flags(TaskSettings, flags)


def make_reader(
    tokenizer: FullTokenizer, flags: Mapping[str, Any]
) -> TextReader:
    """The reader that turns texts into what the model reads."""
    return TextReader(tokenizer, from_flags(TextReaderSettings, flags))


def head_settings(flags: Mapping[str, Any]) -> HeadSettings:
    """The settings of the model's head."""
    return HeadSettings(
        dropout_rate=flags["classifier_dropout"],
        hidden_units=flags["classifier_hidden"],
        pooling=flags["window_pooling"],
    )


def build_model(
    problem: Problem, config: BertConfig, flags: Mapping[str, Any]
) -> keras.Model:
    """The encoder with the problem's head."""
    return problem.build_model(config, head_settings(flags))


def export(
    folder: str,
    model: keras.Model,
    *,
    problem: Problem,
    reader: TextReader,
    takes_pairs: bool,
    flags: Mapping[str, Any],
    examples: Sequence[Any] = (),
) -> None:
    """Writes the SavedModel, in the form that the running program's flags ask.

    Args:
        folder: the folder that it becomes.
        model: the trained model, made by `build_model`.
        problem: the problem that the model answers.
        reader: the reader of the training.
        takes_pairs: whether the task's examples have two texts.
        flags: the flags with which the model was built.
        examples: those of the dev set, if it was read.
    """
    items = [problem.item_of(example) for example in examples]
    if takes_pairs:
        # An example may have one text all the same.
        items = [{"text_pair": "", **item} for item in items]
    export_run.export_trained(
        folder,
        model,
        make_model=lambda: build_model(problem, model.config, flags),
        make_module=lambda copy: problem.serving_module(
            copy, reader, export_run.input_shape(), takes_pairs
        ),
        vocab_file=flags["vocab_file"],
        items=items,
        **columns_of(flags),
        **problem.record(),
    )


def columns_of(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The columns of a run on own files, for model.json.

    The tool predict reads new files by them.
    """
    task = get_task(flags["task_name"])
    if "text_column" not in task.flags:
        return {}
    columns = {
        name: flags[flag]
        for name, flag in COLUMN_SETTINGS.items()
        if flag in flags and flags[flag] is not None
    }
    return {"columns": columns}
