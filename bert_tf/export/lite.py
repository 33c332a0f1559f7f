"""LiteRT (TensorFlow Lite) files: the model on phones and small machines.

    input_ids, input_mask, segment_ids    int32 [B, S]
      model                               weights float32, or int8
    outputs                               numbers, by their names

Such a file reads ids and no text, because LiteRT has no strings. The files
that turn text into ids and numbers into labels are attached to it as a zip
archive at its end, such as vocab.txt and model.json. TensorFlow Lite's own
tools attach files in the same way; `unzip -p model.tflite vocab.txt` reads one.
"""

import io
import logging as standard_logging
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.export import saved_models
from bert_tf.export.engines.lite_network import interpreter_class
from bert_tf.text.packing import ID_NAMES

Shape = tuple[int | None, int | None]  # (B, S); None is any number.
# A tf.function of tensors, which returns {output: tensor}.
Function = Any

ONE_TEXT: Shape = (1, None)
SIGNATURE = "serving_default"
# How far outputs may be off, as a part of their size. A fine-tuned model of 6
# layers is off by 2e-5, and in int8 by 0.08 on random tokens and by 0.02 on
# real texts.
TOLERANCE = 1e-4
INT8_TOLERANCE = 0.25
MOST_TOKENS = 64  # Length of the longest row that is compared.


def export_tflite(
    function: Function,
    path: str,
    config: BertConfig,
    *,
    quantize: bool = False,
    expected: Function | None = None,
    shape: Shape = ONE_TEXT,
    attached: Mapping[str, str] | None = None,
) -> None:
    """Writes a LiteRT file, whole or not at all.

    Args:
        function: function from int32 [B, S] `input_ids`, `input_mask` and
            `segment_ids`, passed by name, to {output: tensor}. Outputs that
            are strings are left out.
        path: the file to write.
        config: the model's configuration.
        quantize: whether weights and embedding tables become int8, a quarter
            of the size. Activations are then rounded to int8 at run time.
        expected: the function that the file must answer as; None for
            `function`.
        shape: (B, S) of the inputs. One of them may be None, for any number;
            if both are, the converter cannot lay out attention masks.
            Delegates for special hardware need two numbers.
        attached: {name: text} of files to attach.

    Raises:
        ValueError: both numbers of the shape are None.
        RuntimeError: what was written does not answer as the function does.
    """
    if shape == (None, None):
        raise ValueError(f"shape must have a number. Received: {shape}")
    with files.replacing(path) as temporary:
        with saved_models.quietly(standard_logging.ERROR):
            model = _convert(function, quantize, shape)
        with files.open_binary(temporary, "wb") as writer:
            writer.write(_attach(model, attached or {}))
        tolerance = INT8_TOLERANCE if quantize else TOLERANCE
        check_same(expected or function, temporary, config, tolerance)


def _convert(function: Function, quantize: bool, shape: Shape) -> bytes:
    concrete = numeric(function).get_concrete_function(
        **{name: tf.TensorSpec(shape, tf.int32, name) for name in ID_NAMES}
    )
    return _converted(concrete, quantize)


def _converted(concrete, quantize: bool) -> bytes:
    # These are TensorFlow's variables. With Keras' own the converter finds a
    # second, empty variable for each, and writes a file without weights.
    holder = tf.Module()
    holder.held = list(concrete.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete], holder
    )
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def write_network(
    function: Function, path: str, *, quantize: bool = False
) -> None:
    """Writes a LiteRT file that an engine computes a network with.

    Args:
        function: a tf.function with its `input_signature`, see
            `ServingModule.lite_network`.
        path: the file.
        quantize: see `export_tflite`.
    """
    with saved_models.quietly(standard_logging.ERROR):
        model = _converted(function.get_concrete_function(), quantize)
    with files.open_binary(path, "wb") as writer:
        writer.write(model)


def numeric(function: Function) -> tf.types.experimental.PolymorphicFunction:
    """Returns the function without those of its outputs that are strings."""

    @tf.function(autograph=False)
    def outputs(input_ids, input_mask, segment_ids):
        every = function(
            input_ids=input_ids, input_mask=input_mask, segment_ids=segment_ids
        )
        return {
            name: value
            for name, value in every.items()
            if value.dtype != tf.string
        }

    return outputs


def _attach(model: bytes, texts: Mapping[str, str]) -> bytes:
    """Appends a zip archive of the texts to the model."""
    if not texts:
        return model
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a") as archive:
        for name, text in texts.items():
            # Without the time, so that the same model gives the same file.
            archive.writestr(zipfile.ZipInfo(name), text)
    return content.getvalue()


def read_attached(path: str) -> dict[str, str]:
    """Reads the files that are attached to a LiteRT file, {name: text}."""
    with files.naming(path), files.open_binary(path) as reader:
        try:
            with zipfile.ZipFile(reader) as archive:
                return {
                    name: archive.read(name).decode()
                    for name in archive.namelist()
                }
        except zipfile.BadZipFile:
            return {}


class LiteModel:
    """Runs a LiteRT file.

        model = LiteModel("/tmp/sst2/model.tflite")
        model(input_ids=ids, input_mask=mask, segment_ids=segments)
        # {"probabilities": float32 [1, C], …}

    Args:
        path: the file.
        num_threads: the number of threads that it may use; None for one.

    Call arguments:
        input_ids, input_mask, segment_ids: int32 [B, S], of the shape that
            the file was written for.

    Raises:
        UserError: the file is not a LiteRT model, or LiteRT is not installed.
    """

    def __init__(self, path: str, num_threads: int | None = None):
        with files.naming(path), files.open_binary(path) as reader:
            content = reader.read()
        make = interpreter_class()
        try:
            interpreter = make(model_content=content, num_threads=num_threads)
            self._run = interpreter.get_signature_runner(SIGNATURE)
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"{path}: not a LiteRT model: {files.reason(error)}"
            ) from None

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return self._run(**inputs)

    @property
    def shape(self) -> Shape:
        """(B, S) of the inputs; None is any number."""
        details = self._run.get_input_details()[ID_NAMES[0]]
        sizes = details["shape_signature"].tolist()
        batch_size, length = (None if size < 0 else size for size in sizes)
        return batch_size, length


def check_same(
    function: Function, path: str, config: BertConfig, tolerance: float
) -> None:
    """Compares a LiteRT file with the function that it was converted from.

    Both read rows of several lengths: full, padded, and padding alone.

    Args:
        function: see `export_tflite`.
        path: the file.
        config: the model's configuration.
        tolerance: how far a row may be off, as a part of the output's size;
            both are root mean squares. Above `TOLERANCE` whole numbers are
            not compared, because either of two almost equally likely labels
            may win.

    Raises:
        RuntimeError: an output is missing, or off by more.
    """
    model = LiteModel(path)
    function = numeric(function)
    expected, actual = [], []
    for inputs in _batches(config, model.shape):
        tensors = {name: tf.constant(ids) for name, ids in inputs.items()}
        expected.append(function(**tensors))
        actual.append(model(**inputs))
    names, others = set(expected[0]), set(actual[0])
    if names != others:
        raise RuntimeError(
            f"the LiteRT file has the outputs {', '.join(sorted(others))}, "
            f"not {', '.join(sorted(names))}"
        )
    for name in sorted(names):
        if expected[0][name].dtype.is_floating or tolerance <= TOLERANCE:
            _compare(
                name,
                [outputs[name].numpy() for outputs in expected],
                [outputs[name] for outputs in actual],
                tolerance,
            )


def _compare(name, expected, actual, tolerance) -> None:
    """Compares lists of arrays [B, …]; see `check_same`."""
    size = _size(np.concatenate([array.ravel() for array in expected]))
    for ours, theirs in zip(expected, actual, strict=True):
        for row, other in zip(ours, theirs, strict=True):
            difference = _size(np.subtract(other, row, dtype=float))
            if not difference <= tolerance * size:  # It may be NaN, too.
                raise RuntimeError(
                    f"the LiteRT file answers differently: {name} is off by "
                    f"{difference:.3g}, more than {tolerance:g} of its size, "
                    f"{size:.3g}"
                )


def _size(values) -> float:
    """Computes the root mean square."""
    return np.sqrt(np.mean(np.square(values, dtype=float)))


def _batches(
    config: BertConfig, shape: Shape
) -> Iterator[dict[str, np.ndarray]]:
    """Yields inputs, int32 [B, S], in each shape that is compared."""
    size, length = shape
    longest = min(config.max_position_embeddings, MOST_TOKENS)
    for places in [length] if length else sorted({1, longest // 2, longest}):
        inputs = _rows(config, places)
        num_rows = len(inputs["input_mask"])
        size = size or num_rows
        for first in range(0, num_rows, size):
            yield {
                # The last batch is filled up by repeating its rows.
                name: np.resize(ids[first : first + size], (size, places))
                for name, ids in inputs.items()
            }


def _rows(config: BertConfig, places: int) -> dict[str, np.ndarray]:
    """Makes a full row, a half full one, one with a token, and an empty one."""
    num_tokens = np.array([places, -(-places // 2), 1, 0])[:, np.newaxis]
    rng = np.random.default_rng(0)
    ids = rng.integers(config.vocab_size, size=(len(num_tokens), places))
    place = np.arange(places)
    is_token = place < num_tokens
    is_second = is_token & (place > num_tokens // 2)
    return {
        "input_ids": ids.astype(np.int32),
        "input_mask": is_token.astype(np.int32),
        "segment_ids": is_second.astype(np.int32),
    }
