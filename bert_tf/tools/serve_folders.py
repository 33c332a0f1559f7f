"""The flags of `serve` that name folders: of models, and of their indexes.

Both are NAME=FOLDER and may be given several times.
"""

import os
import re
from collections.abc import Collection

from absl import flags

from bert_tf import files
from bert_tf.errors import UserError

FLAGS = flags.FLAGS
flags.disclaim_key_flags()
NAME = re.compile(r"[A-Za-z0-9_.-]+")


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_multi_string(
        "model",
        None,
        "NAME=FOLDER: the name under which a model is served, and its exported "
        "model, a run that has one, or a folder of versions 1, 2, …, of which "
        "the newest answers. May be given several times.",
    )
    flags.DEFINE_multi_string(
        "index",
        None,
        "NAME=FOLDER: an index for POST /search, which the tool search has "
        "written with the model of this name. Where one model is served, "
        "FOLDER is enough. May be given once for each model.",
    )


def models() -> dict[str, str]:
    """Returns {name: folder} from --model.

    Raises:
        UserError: a value is not NAME=FOLDER, a name is given twice, or a
            folder does not exist.
    """
    return _named_folders("model", None)


def indexes(names: Collection[str]) -> dict[str, str]:
    """Returns {name of a model: folder of its index} from --index.

    Args:
        names: of the models that are served.

    Raises:
        UserError: a folder does not exist, a name is that of no model, or a
            model gets two indexes.
    """
    return _named_folders("index", names)


def _named_folders(flag: str, known: Collection[str] | None) -> dict[str, str]:
    """The folders of a flag, by their names.

    Args:
        flag: its name.
        known: the names that there are; if there is one, it may be left out.
            None for any names.
    """
    found: dict[str, str] = {}
    for value in FLAGS[flag].value or []:
        name, folder = _split(value)
        if not name and known is not None and len(known) == 1:
            (name,) = known
        if known is not None and name not in known:
            names = ", ".join(known)
            why = f"must be NAME=FOLDER with the name of a model: {names}"
        elif not name or not folder:
            why = "must be NAME=FOLDER; a name has letters, digits, -, _ and ."
            why += _with_name(flag, value)
        elif name in found:
            why = f"{name} is given twice"
        elif not files.is_folder(folder):
            why = "no such folder"
        else:
            found[name] = folder
            continue
        raise UserError(why, setting=flag, value=value)
    return found


def _split(value: str) -> tuple[str, str]:
    """Splits NAME=FOLDER; a folder alone has the name "".

    What comes before the first = may be a part of a path: /tmp/a=b.
    """
    name, equals, folder = value.partition("=")
    return (name, folder) if equals and NAME.fullmatch(name) else ("", value)


def _with_name(flag: str, value: str) -> str:
    """A hint for a folder that was given without a name."""
    name = os.path.basename(os.path.abspath(value))
    if not files.is_folder(value) or not NAME.fullmatch(name):
        return ""
    return f"; did you mean --{flag}={name}={value}?"
