"""Names of local files that TensorFlow does not take for patterns.

TensorFlow looks for a checkpoint, and for the variables of a SavedModel, by a
pattern: it finds nothing in a folder `runs [old]`. Such files are read under
the name of a symbolic link in a private folder.
"""

import contextlib
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping

from bert_tf import files
from bert_tf.errors import UserError

_SPECIAL = re.compile(r"[*?\[\\]")  # What TensorFlow's patterns hold.
PREFIX = "bert_tf-links-"


def check_is_unicode(path: str) -> None:
    """Checks that TensorFlow, which names files in UTF-8, can name a file.

    Raises:
        UserError: the name holds bytes that are not UTF-8, or Python read it
            by another encoding.
    """
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(
            f"{path!a}: TensorFlow cannot read a name that is not UTF-8; "
            "rename it, or choose UTF-8 with PYTHONUTF8=1"
        ) from None


def is_pattern(path: str) -> bool:
    """Whether TensorFlow takes the name of a local file for a pattern."""
    return not files.is_remote(path) and bool(_SPECIAL.search(path))


@contextlib.contextmanager
def literal_folder(folder: str) -> Iterator[str]:
    """Yields a name of a folder that is not a pattern, while the block lasts.

    Raises:
        UserError: TensorFlow cannot name the folder, or no link can be made.
    """
    check_is_unicode(folder)
    if not is_pattern(folder):
        yield folder
        return
    links = _links_to({"folder": folder}, folder)
    try:
        yield os.path.join(links, "folder")
    finally:
        shutil.rmtree(links, ignore_errors=True)


def literal_checkpoint(prefix: str, owner: object) -> str:
    """A prefix of the same checkpoint that is not a pattern.

    Args:
        prefix: path of a checkpoint without `.index`.
        owner: what reads it. The name lasts as long as this object.

    Raises:
        UserError: TensorFlow cannot name the files, or no link can be made.
    """
    check_is_unicode(prefix)
    if not is_pattern(prefix):
        return prefix
    folder, base = os.path.split(prefix)
    parts = [
        name[len(base) :]
        for name in files.entries(folder)
        if name.startswith((f"{base}.index", f"{base}.data-"))
    ]
    links = _links_to(
        {f"checkpoint{part}": prefix + part for part in parts}, prefix
    )
    weakref.finalize(owner, shutil.rmtree, links, ignore_errors=True)
    return os.path.join(links, "checkpoint")


def _links_to(targets: Mapping[str, str], path: str) -> str:
    """Makes a private folder of links.

    Args:
        targets: {name of a link: path of its target}.
        path: the path that an error names.
    """
    folder = tempfile.mkdtemp(prefix=PREFIX)
    why = ""
    if is_pattern(folder):
        why = f"nor in {folder}, the folder for temporary files (TMPDIR)"
    try:
        for name, target in targets.items():
            os.symlink(os.path.abspath(target), os.path.join(folder, name))
    except (OSError, NotImplementedError) as error:
        why = f"and no link to it can be made: {error}"
    if why:
        shutil.rmtree(folder, ignore_errors=True)
        raise UserError(
            f"{path}: TensorFlow takes * ? [ \\ in the name for a pattern, "
            f"{why}; rename it"
        )
    return folder
