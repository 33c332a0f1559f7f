"""Writes report.html into a run's folder, from what the folder holds."""

import contextlib
import os
from collections.abc import Iterator, Sequence

from bert_tf import extras, files
from bert_tf.errors import UserError
from bert_tf.report import compare, pictures, run_folders, sections, stored

NAME = "report.html"
HOW_TO_INSTALL = f"needs matplotlib: {extras.how_to_install('report')}"


def write_page(folder: str, path: str | None = None) -> str:
    """Writes the page of a run; returns its path.

    Args:
        folder: the run's; or one with several runs, which are compared.
        path: of the page; default: report.html in the folder.

    Raises:
        UserError: the folder is not that of a run, a file in it is damaged, or
            matplotlib is not installed.
    """
    _check_matplotlib()
    if run_folders.is_of_several(folder):
        return write_comparison([folder], path or os.path.join(folder, NAME))
    run = stored.read(folder)
    path = path or os.path.join(folder, NAME)
    with _damage_is_named([folder]):
        page = sections.page_of(run)
    files.write_text(path, page)
    return path


def write_comparison(folders: Sequence[str], path: str) -> str:
    """Writes the page that compares several runs; returns its path.

    Args:
        folders: the runs'; or some that hold several runs each.
        path: of the page.

    Raises:
        UserError: see `write_page`; or the runs are not comparable.
    """
    _check_matplotlib()
    paths, failures = run_folders.expanded(folders)
    runs = [stored.read(folder) for folder in paths]
    with _damage_is_named(paths):
        page = compare.page_of_runs(runs, failures=failures)
    files.write_text(path, page)
    return path


@contextlib.contextmanager
def _damage_is_named(folders: Sequence[str]) -> Iterator[None]:
    """Names the folders whose files cannot be shown.

    Pages take from rows what the programs write. Rows that something else has
    written or changed may lack anything.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        where = ", ".join(os.path.join(f, stored.FOLDER) for f in folders)
        raise UserError(
            f"{where}: a file is damaged, or of another version "
            f"({type(error).__name__}: {' '.join(str(error).split())})"
        ) from error


def _check_matplotlib():
    if not pictures.is_available():
        raise UserError(f"{NAME} {HOW_TO_INSTALL}")
