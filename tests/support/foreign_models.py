"""The models of other libraries in tests/golden/foreign."""

import tarfile

import numpy as np

from support.common import GOLDEN

FOREIGN = GOLDEN / "foreign"
ARCHIVES = ("transformers4", "keras_hub", "model_garden")


def unpack(folder):
    """Unpacks all archives to folders in `folder`, and returns it."""
    for name in ARCHIVES:
        with tarfile.open(FOREIGN / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    return folder


def inputs() -> dict:
    """The three sequences that the models read."""
    return dict(np.load(FOREIGN / "inputs.npz"))
