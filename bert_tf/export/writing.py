"""Writes SavedModels and LiteRT files, and compares them with the model.

`serving_modules`, `tagging` and `question_answering` have the modules that a
SavedModel is written from. What was written must answer as the trained model
does. A program that only asks a model needs `Predictor` alone.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.export import lite, saved_models, warmup
from bert_tf.export.engines.choice import check_litert
from bert_tf.export.int8 import (
    Int8Settings,
    add_int8,
    check_form,
)
from bert_tf.export.serving_base import ServingModule
from bert_tf.formats import tokenizer_json

# How far answers in the precision of an export may be from those of the
# trained model, as a part of their size.
TOLERANCES = {"float32": 1e-5, "bfloat16": 5e-2}


def export_module(
    folder: str,
    module: ServingModule,
    trained: ServingModule | None = None,
    *,
    precision: str = "float32",
    int8: Int8Settings | None = None,
    description: dict[str, Any] | None = None,
) -> None:
    """Writes a SavedModel, whole or not at all.

    Args:
        folder: the folder of the SavedModel; one that is there is replaced.
        module: the module to write.
        trained: the same module in the precision of the training, if that is
            another one.
        precision: the precision of `module`.
        int8: how an int8 network is measured; None to write none.
        description: more for model.json, such as the labels.

    Raises:
        RuntimeError: what was written does not answer as `trained` does.
        UserError: int8 changes too many answers.
    """
    if int8:
        check_form(module, precision)
        check_litert("export_int8", True)
    described = {
        "kind": module.kind,
        **(description or {}),
        **module.description(),
        "precision": precision,
    }
    with saved_models.replacing_folder(folder) as scratch:
        if module.has_parts:
            module.add_parts()
        saved_models.save(scratch, module, described)
        if module.has_parts and precision == "float32":
            lite.write_network(
                module.lite_network(),
                os.path.join(scratch, saved_models.NETWORK),
            )
        if isinstance(module.config, BertConfig):
            write_config(scratch, module.config)
        if tokens := module.vocabulary():
            path = os.path.join(scratch, saved_models.VOCABULARY)
            files.write_text(path, "".join(f"{token}\n" for token in tokens))
        model = check_same(scratch, trained or module, TOLERANCES[precision])
        # The shortest text, the longest, and several at once.
        requests = {"serving_default": module.samples()}
        warmup.write_warmup(scratch, requests, model)
        if int8:
            described["int8"] = add_int8(scratch, module, int8)
            saved_models.write_description(scratch, described)


def write_config(folder: str, config: BertConfig) -> None:
    """Writes the shape of the network, by which `pretrained.open` opens it."""
    text = json.dumps(config.to_dict(), indent=2) + "\n"
    files.write_text(os.path.join(folder, saved_models.CONFIG), text)


def export_lite(
    folder: str, module: ServingModule, config: BertConfig, vocab_file: str
) -> None:
    """Writes LiteRT files next to a SavedModel.

    The vocabulary and model.json are attached to them.

    Args:
        folder: the folder of the SavedModel. The files for /tmp/sst2/export
            are /tmp/sst2/export.tflite and /tmp/sst2/export_int8.tflite.
        module: a module that reads each item as one sequence.
        config: the model's configuration.
        vocab_file: the model's vocabulary.
    """
    batch_size, length = module.id_shape
    attached = {
        "vocab.txt": tokenizer_json.read_vocab_text(vocab_file),
        saved_models.DESCRIPTION: files.read_text(
            os.path.join(folder, saved_models.DESCRIPTION)
        ),
    }
    for path, quantize in zip(lite_files(folder), (False, True), strict=True):
        lite.export_tflite(
            module.padded_ids(int8=quantize),
            path,
            config,
            quantize=quantize,
            expected=module.padded_ids() if quantize else None,
            shape=(batch_size or 1, length),
            attached=attached,
        )


def lite_files(folder: str) -> tuple[str, str]:
    """Paths of the LiteRT files next to a SavedModel: float32 and int8."""
    folder = folder.rstrip("/")
    return f"{folder}.tflite", f"{folder}_int8.tflite"


def remove_lite(folder: str) -> None:
    """Removes the LiteRT files next to a SavedModel, if there are any."""
    for path in lite_files(folder):
        files.remove_if_there(path)


def check_same(
    folder: str, trained: ServingModule, tolerance: float
) -> saved_models.LoadedModel:
    """Compares a SavedModel's answers with those of the trained model.

    It is asked with strings and, if it can compute their ids, with ids.

    Args:
        folder: the folder of the SavedModel.
        trained: the module in the precision of the training.
        tolerance: how far numbers may be off, as a part of their size.

    Returns:
        The loaded model.

    Raises:
        RuntimeError: an answer differs.
    """
    model, _ = saved_models.load(folder)
    for inputs in trained.samples():
        expected = trained.expected(**inputs)
        answers = [model.signatures["serving_default"](**inputs)]
        if hasattr(model, "encode"):
            ids = model.encode(*inputs.values())
            answers.append(model.signatures["ids"](**ids))
        for answer in answers:
            for name, value in expected.items():
                _check_close(
                    name, value.numpy(), answer[name].numpy(), tolerance
                )
    return model


def _check_close(
    name: str, expected: np.ndarray, actual: np.ndarray, tolerance: float
) -> None:
    if expected.dtype.kind == "f":
        size = max(1.0, np.max(np.abs(expected), initial=0.0))
        is_same = expected.shape == actual.shape and np.allclose(
            expected, actual, rtol=0.0, atol=tolerance * size
        )
    else:
        # In a lower precision either of two almost equally likely labels may
        # win. Then only the probabilities are compared.
        is_rounded = tolerance > TOLERANCES["float32"]
        is_same = is_rounded or np.array_equal(expected, actual)
    if not is_same:
        raise RuntimeError(
            f"the exported model answers differently: {name} is {actual}, not "
            f"{expected}"
        )


def plain_copy(
    model: keras.Model,
    make_model: Callable[[], keras.Model],
    precision: str = "float32",
) -> keras.Model:
    """Copies the model's weights to one device, for a SavedModel.

    Args:
        model: the model, of any precision, under any strategy.
        make_model: function() -> a new model of the same shape.
        precision: type of the copy's variables, and of what it computes.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)  # The variables get it, too.
    try:
        copy = make_model()
    finally:
        keras.config.set_dtype_policy(policy)
    for target, source in zip(copy.weights, model.weights, strict=True):
        target.assign(source.numpy())
    return copy
