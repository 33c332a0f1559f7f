"""SavedModels: raw text in, answers out, with nothing but TensorFlow between.

What a SavedModel computes is in `answering`, `tag_answering` and
`question_answering`. Here it is written, and what was written must answer as
the model does that was trained. Who asks it needs `Predictor` alone.
"""

import os

import numpy as np

from bert_tf import files
from bert_tf.config import BertConfig
from bert_tf.export import lite, saved_models, warmup
from bert_tf.export.answering import Answering
from bert_tf.export.predictor import Predictor, QuestionAnswerer

__all__ = ["Predictor", "QuestionAnswerer", "export_model"]

# How far answers may be from those of the trained model, whose numbers the
# precision of the export cannot keep better.
TOLERANCES = {"float32": 1e-5, "bfloat16": 5e-2}


def export_model(
    folder: str,
    answering: Answering,
    trained: Answering | None = None,
    *,
    precision: str = "float32",
    description: dict | None = None,
):
    """Writes a SavedModel, whole or not at all.

    Args:
        folder: which it becomes, instead of what is there.
        answering: what it computes.
        trained: the same in the precision of the training, if that is another.
        precision: of `answering`.
        description: more of what model.json is to tell, such as labels.

    Raises:
        RuntimeError: what was written does not answer as `trained` does.
    """
    described = {
        "kind": answering.kind,
        **(description or {}),
        **answering.description(),
        "precision": precision,
    }
    with saved_models.replacing_folder(folder) as scratch:
        saved_models.save(scratch, answering, described)
        model = check_same(scratch, trained or answering, TOLERANCES[precision])
        # The shortest, the longest, and some at once.
        requests = {"serving_default": answering.samples()}
        warmup.write_warmup(scratch, requests, model)


def export_lite(
    folder: str, answering: Answering, config: BertConfig, vocab_file: str
):
    """Writes LiteRT files beside a SavedModel, with what is needed to use them.

    Args:
        folder: /tmp/sst2/export has /tmp/sst2/export.tflite beside it, and
            /tmp/sst2/export_int8.tflite.
        answering: whose ids the files read; of single sequences.
        config: of the model inside.
        vocab_file: of its tokens.
    """
    batch_size, length = answering.id_shape
    attached = {
        "vocab.txt": files.read_text(vocab_file),
        saved_models.DESCRIPTION: files.read_text(
            os.path.join(folder, saved_models.DESCRIPTION)
        ),
    }
    for path, quantize in zip(lite_files(folder), (False, True), strict=True):
        lite.export_tflite(
            answering.ids,
            path,
            config,
            quantize=quantize,
            shape=(batch_size or 1, length),
            attached=attached,
        )


def lite_files(folder: str) -> tuple:
    """Paths of the LiteRT files beside a SavedModel: float32 and int8."""
    folder = folder.rstrip("/")
    return f"{folder}.tflite", f"{folder}_int8.tflite"


def remove_lite(folder: str):
    """Removes the LiteRT files beside a SavedModel, if there are any."""
    for path in lite_files(folder):
        files.remove_if_there(path)


def check_same(folder: str, trained: Answering, tolerance: float):
    """Raises RuntimeError unless a SavedModel answers as `trained` does.

    Strings are compared, and where the model can tell their ids, these, too.

    Returns:
        The loaded model.
    """
    model, _ = saved_models.load(folder)
    for inputs in trained.samples():
        expected = trained.expected(**inputs)
        answers = [model.signatures["serving_default"](**inputs)]
        if hasattr(model, "encode"):
            ids = model.encode(*inputs.values())
            answers.append(model.signatures["ids"](**ids))
        for found in answers:
            for name, value in expected.items():
                _check_close(
                    name, value.numpy(), found[name].numpy(), tolerance
                )
    return model


def _check_close(name, expected, found, tolerance):
    if expected.dtype.kind == "f":
        size = max(1.0, np.max(np.abs(expected), initial=0.0))
        is_same = expected.shape == found.shape and np.allclose(
            expected, found, rtol=0.0, atol=tolerance * size
        )
    else:
        # Where numbers are rounded, of two that are all but equally likely
        # either may win: then their probabilities are compared, not these.
        is_rounded = tolerance > TOLERANCES["float32"]
        is_same = is_rounded or np.array_equal(expected, found)
    if not is_same:
        raise RuntimeError(
            f"the exported model answers otherwise: {name} is {found}, not "
            f"{expected}"
        )
