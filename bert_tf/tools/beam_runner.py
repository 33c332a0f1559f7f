"""Runs Apache Beam pipelines, and makes pretraining data in one.

    files → (shard, document) → all documents of a shard → its records

Each shard gets the same documents as on one machine, and the same code turns
them into records. So the files are the same. `beam_rows` has the pipeline of
the tools that answer files row by row.
"""

import contextlib
import io
import logging
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from absl import flags

from bert_tf import extras, files
from bert_tf.data.pretraining import shards as pretraining_shards
from bert_tf.data.pretraining.shards import RecordMaker
from bert_tf.errors import UserError
from bert_tf.programs.signals import Stopped

FLAGS = flags.FLAGS

# A document with its place: (number of the file, number in the file, text).
Document = tuple[int, int, str]


# ---------------------------------------------------------------------------
# Any pipeline.


def check_flags() -> None:
    """Raises UserError if the flags of a pipeline contradict each other."""
    if FLAGS.runner == "beam" and not FLAGS.num_shards:
        raise UserError("--runner=beam needs --num_shards, the number of files")
    if FLAGS.beam_options and FLAGS.runner != "beam":
        raise UserError(
            f"--beam_options={FLAGS.beam_options}: only with --runner=beam"
        )


def check_installed() -> None:
    """Raises UserError unless Apache Beam is installed, if it is asked for."""
    if FLAGS.runner == "beam":
        extras.require("beam", "--runner=beam")


def new_pipeline(options: str) -> Any:
    """A `beam.Pipeline` without steps.

    Args:
        options: its options, as on a command line.

    Raises:
        UserError: Beam is not installed, or an option is wrong.
    """
    check_installed()
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    complaint = io.StringIO()
    try:
        # Beam parses options with argparse, which prints an error and exits.
        with contextlib.redirect_stderr(complaint):
            parsed = PipelineOptions(shlex.split(options))
            parsed.get_all_options()
            return beam.Pipeline(options=parsed)
    except (ValueError, SystemExit) as error:
        why = (complaint.getvalue().strip() or str(error)).split("\n")[-1]
        raise UserError(f"--beam_options={options}: {why}") from None


class MarkedError(Exception):
    """A mistake on its way from a worker, of which Beam keeps only the text.

    Args:
        error: the mistake. Its settings keep their marks, so that the program
            can print them as flags.
    """

    def __init__(self, error: UserError):
        message = error.message_for("`{}`".format).replace("\n", "\\n")
        super().__init__(f"UserError: {message}")


@contextlib.contextmanager
def marked_errors() -> Iterator[None]:
    """Raises a MarkedError for what a user can fix; the block runs in a worker.

    Files that cannot be used are such mistakes, too.
    """
    try:
        yield
    except UserError as error:
        raise MarkedError(error) from None
    except OSError as error:
        if error.filename is None:
            raise
        why = f"{error.filename}: {error.strerror}"
        raise MarkedError(UserError(why)) from None


def is_news(record: logging.LogRecord) -> bool:
    """Whether a message of the log says what the program does not say itself.

    Args:
        record: the message. For a mistake, and for a signal that ends the
            program, Beam has a traceback of several screens, and the program
            one line.
    """
    if record.levelno < logging.ERROR:
        return True
    error = (record.exc_info or (None, None))[1]
    ends = (MarkedError, Stopped)
    text = record.getMessage()
    return not (
        isinstance(error, ends) or any(end.__name__ in text for end in ends)
    )


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Raises a UserError of the pipeline as it was, without Beam's additions to
    its message."""
    handlers = [*logging.getLogger().handlers]
    for handler in handlers:
        handler.addFilter(is_news)
    try:
        yield
    except Exception as error:
        message = re.search(r"UserError: (.*)", str(error))
        if isinstance(error, UserError):
            message = re.match(r"(.*)", str(error))
        if not message:
            raise
        raise UserError(message[1].split(" [while running")[0]) from None
    finally:
        for handler in handlers:
            handler.removeFilter(is_news)


# ---------------------------------------------------------------------------
# Pretraining data.


def write_shards(
    maker: RecordMaker,
    paths: list[str],
    targets: dict[int, str],
    options: str,
) -> None:
    """Writes the shards that do not exist yet.

    Args:
        maker: turns text into records.
        paths: the text files.
        targets: {shard: path} of all shards.
        options: the pipeline's options, as on a command line.

    Raises:
        UserError: Beam is not installed, an option is wrong, or there are
            fewer documents than shards.
    """
    missing = {s: path for s, path in targets.items() if not files.exists(path)}
    pipeline = new_pipeline(options)
    import apache_beam as beam

    with user_errors(), pipeline:
        (
            pipeline
            | beam.Create(list(enumerate(paths)))
            | beam.Reshuffle()
            | beam.FlatMap(documents_by_shard, len(targets), frozenset(missing))
            | beam.GroupByKey()
            | beam.Map(write_shard, maker, targets)
        )
    empty = [path for path in missing.values() if not files.exists(path)]
    if empty:
        for path in set(missing.values()) - set(empty):
            files.remove(path)  # They are wrong for another --num_shards.
        raise UserError(
            f"--num_shards={len(targets)}: {len(empty)} shards have no "
            f"document, {empty[0]} first"
        )


def documents_by_shard(
    numbered_path: tuple[int, str], num_shards: int, wanted: frozenset[int]
) -> Iterator[tuple[int, Document]]:
    """Yields (shard, document) for a file's documents.

    Args:
        numbered_path: the file's number and path.
        num_shards: number of all shards.
        wanted: the shards to make; documents of others are left out.
    """
    file_number, path = numbered_path
    for number, document in enumerate(
        pretraining_shards.documents_of_file(path)
    ):
        shard = pretraining_shards.shard_of(file_number, number, num_shards)
        if shard in wanted:
            yield shard, (file_number, number, "\n".join(document))


def write_shard(
    shard_and_documents: tuple[int, Iterable[Document]],
    maker: RecordMaker,
    targets: dict[int, str],
) -> int:
    """Writes a shard's file.

    Args:
        shard_and_documents: the shard, and its documents in any order.
        maker: turns text into records.
        targets: {shard: path} of all shards.

    Returns:
        The number of records.
    """
    shard, documents = shard_and_documents
    lines: list[str] = []
    for _, _, text in sorted(documents):
        lines += [*text.split("\n"), ""]
    return maker.write_shard(targets[shard], shard, lines)
