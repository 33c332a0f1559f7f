"""LiteRT (TensorFlow Lite) files: the model on phones and small machines.

    input_ids, input_mask, segment_ids    int32 [B, S]
      model                               weights float32, or int8
    outputs                               numbers, by their names

Such a file reads no text: there are no strings in it. What its user needs to
make ids of text and labels of numbers is attached to it, as a zip archive at
its end: vocab.txt, labels.txt. That is how TensorFlow Lite's own tools attach
files; `unzip -p model.tflite vocab.txt` reads one.
"""

import contextlib
import io
import warnings
import zipfile

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.text.packing import ID_NAMES

ONE_TEXT = (1, None)  # B and S; None is any.
SIGNATURE = "serving_default"
# How far outputs may be off, as a part of their size. A fine-tuned model of 6
# layers has 2e-5 and, in int8, 0.08 on random tokens; 0.02 on real texts.
TOLERANCE = 1e-4
INT8_TOLERANCE = 0.25
MOST_TOKENS = 64  # Of the longest row that is compared.


def export_tflite(
    function,
    path: str,
    config: BertConfig,
    *,
    quantize: bool = False,
    shape: tuple = ONE_TEXT,
    attached: dict | None = None,
):
    """Writes a LiteRT file, whole or not at all.

    Args:
        function: of int32 [B, S] `input_ids`, `input_mask`, `segment_ids`, by
            these names; returns a dict of tensors. Strings are left out.
        path: of the file.
        config: of the model inside.
        quantize: whether weights, embedding tables too, become int8, and are
            multiplied with activations that are rounded to int8 as they come;
            a quarter of the size.
        shape: (B, S) of the inputs. One of them may be None, any number:
            with two the converter cannot lay out attention masks. Delegates
            for special hardware want two numbers.
        attached: {name: text} of files to attach.

    Raises:
        ValueError: both numbers of the shape are None.
        RuntimeError: what was written does not answer as the function does.
    """
    if shape == (None, None):
        raise ValueError(f"shape must have a number. Received: {shape}")
    with files.replacing(path) as temporary:
        with _quietly():
            model = _convert(function, quantize, shape)
        with files.open_binary(temporary, "wb") as writer:
            writer.write(_attach(model, attached or {}))
        tolerance = INT8_TOLERANCE if quantize else TOLERANCE
        check_same(function, temporary, config, tolerance)


def _convert(function, quantize, shape) -> bytes:
    concrete = numeric(function).get_concrete_function(
        **{name: tf.TensorSpec(shape, tf.int32, name) for name in ID_NAMES}
    )
    # The variables themselves: of a Keras variable the converter finds a
    # second one that nobody has filled, and writes a file without weights.
    holder = tf.Module()
    holder.held = list(concrete.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete], holder
    )
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def numeric(function):
    """The function without the outputs that are strings."""

    @tf.function(autograph=False)
    def outputs(input_ids, input_mask, segment_ids):
        found = function(
            input_ids=input_ids, input_mask=input_mask, segment_ids=segment_ids
        )
        return {
            name: value
            for name, value in found.items()
            if value.dtype != tf.string
        }

    return outputs


def _attach(model, texts) -> bytes:
    """The model, and behind it a zip archive of the texts."""
    if not texts:
        return model
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a") as archive:
        for name, text in texts.items():
            # No time of now: the same model is the same file.
            archive.writestr(zipfile.ZipInfo(name), text)
    return content.getvalue()


def read_attached(path: str) -> dict:
    """{name: text} of the files that are attached to a LiteRT file."""
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
    """Runs a LiteRT file with the interpreter that is part of TensorFlow.

        model = LiteModel("/tmp/sst2/model.tflite")
        model(input_ids=ids, input_mask=mask, segment_ids=segments)
        # {"probabilities": float32 [1, C], …}

    Args:
        path: of the file.
        num_threads: how many it may use; None for one.

    Call arguments:
        input_ids, input_mask, segment_ids: int32 [B, S], of the shape that
            the file was written for.

    Raises:
        UserError: there is no such model in the file.
    """

    def __init__(self, path: str, num_threads: int | None = None):
        with files.naming(path), files.open_binary(path) as reader:
            content = reader.read()
        try:
            with _quietly():
                interpreter = tf.lite.Interpreter(
                    model_content=content, num_threads=num_threads
                )
            self._run = interpreter.get_signature_runner(SIGNATURE)
        except ValueError as error:
            raise UserError(
                f"{path}: no LiteRT model: {files.reason(error)}"
            ) from None

    def __call__(self, **inputs) -> dict:
        return self._run(**inputs)

    @property
    def shape(self) -> tuple:
        """(B, S) of the inputs, None where it is any number."""
        details = self._run.get_input_details()[ID_NAMES[0]]
        sizes = details["shape_signature"].tolist()
        return tuple(None if size < 0 else size for size in sizes)


def check_same(function, path: str, config: BertConfig, tolerance: float):
    """Compares a LiteRT file with the function it was made of.

    They read rows of several lengths, full, padded, and all padding.

    Args:
        function: see `export_tflite`.
        path: of the file.
        config: of the model inside.
        tolerance: how far numbers of a row may be off, as a part of the
            output's size; root mean squares both. Above `TOLERANCE` whole
            numbers are not compared: of two labels that are all but equally
            likely either may win.

    Raises:
        RuntimeError: an output is missing, or off by more.
    """
    model = LiteModel(path)
    function = numeric(function)
    expected, found = [], []
    for inputs in _batches(config, model.shape):
        tensors = {name: tf.constant(ids) for name, ids in inputs.items()}
        expected.append(function(**tensors))
        found.append(model(**inputs))
    names, others = set(expected[0]), set(found[0])
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
                [outputs[name] for outputs in found],
                tolerance,
            )


def _compare(name, expected, found, tolerance):
    """Of lists of arrays [B, …]; see `check_same`."""
    size = _size(np.concatenate([array.ravel() for array in expected]))
    for ours, theirs in zip(expected, found, strict=True):
        for row, other in zip(ours, theirs, strict=True):
            difference = _size(np.subtract(other, row, dtype=float))
            if not difference <= tolerance * size:  # Nor where it is NaN.
                raise RuntimeError(
                    f"the LiteRT file answers otherwise: {name} is off by "
                    f"{difference:.3g}, more than {tolerance:g} of its size, "
                    f"{size:.3g}"
                )


def _size(values):
    """The root of the mean of squares."""
    return np.sqrt(np.mean(np.square(values, dtype=float)))


def _batches(config, shape):
    """Yields inputs of each shape that is compared: dicts of int32 [B, S]."""
    size, length = shape
    longest = min(config.max_position_embeddings, MOST_TOKENS)
    for places in [length] if length else sorted({1, longest // 2, longest}):
        inputs = _rows(config, places)
        num_rows = len(inputs["input_mask"])
        size = size or num_rows
        for first in range(0, num_rows, size):
            yield {
                # Repeated where there are not so many.
                name: np.resize(ids[first : first + size], (size, places))
                for name, ids in inputs.items()
            }


def _rows(config, places) -> dict:
    """A full row, a half full one, one token, and none."""
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


@contextlib.contextmanager
def _quietly():
    """The converter tells much, and the interpreter that it will move."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*tf.lite.Interpreter is")
            yield
    finally:
        logging.set_verbosity(verbosity)
