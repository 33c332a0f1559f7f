"""The flag of `serve` for indexes that /search searches."""

import re
from collections.abc import Collection

from absl import flags

from bert_tf import files
from bert_tf.errors import UserError

FLAGS = flags.FLAGS
flags.disclaim_key_flags()


def define() -> None:
    """Defines the flag."""
    flags.DEFINE_multi_string(
        "index",
        None,
        "NAME=FOLDER: an index for POST /search, which the tool search has "
        "written with the model of this name. Where one model is served, "
        "FOLDER is enough. May be given once for each model.",
    )


def read(names: Collection[str]) -> dict[str, str]:
    """Returns {name of a model: folder of its index}.

    Args:
        names: of the models that are served.

    Raises:
        UserError: a folder does not exist, a name is that of no model, or a
            model gets two indexes.
    """
    found: dict[str, str] = {}
    for value in FLAGS.index or []:
        name, folder = _split(value, names)
        if name in found:
            raise UserError(f"--index={value}: {name} has an index already")
        if not files.is_folder(folder):
            raise UserError(f"--index={value}: no such folder")
        found[name] = folder
    return found


def _split(value: str, names: Collection[str]) -> tuple[str, str]:
    """The name of the model, and the folder."""
    known = "|".join(map(re.escape, names))
    if parts := re.fullmatch(f"({known})=(.+)", value):
        return parts[1], parts[2]
    if len(names) == 1 and (files.is_folder(value) or "=" not in value):
        return next(iter(names)), value
    raise UserError(
        f"--index={value}: must be NAME=FOLDER with the name of a model: "
        f"{', '.join(names)}"
    )
