"""The checkpoints in a folder, by their names alone."""

import os
import re

from bert_tf import files


def prefixes_in(folder: str) -> list[str]:
    """The prefixes of the checkpoints in a folder, the newest first.

    TensorFlow 2's own checkpoints in the folder count, too.
    """
    found = [
        os.path.join(folder, name.removesuffix(".index"))
        for name in files.entries(folder)
        if name.endswith(".index")
    ]
    return sorted(found, key=_step_of, reverse=True)


def _step_of(prefix: str) -> tuple[int, str]:
    step = re.search(r"-(\d+)$", prefix)
    return (int(step.group(1)) if step else -1, prefix)
