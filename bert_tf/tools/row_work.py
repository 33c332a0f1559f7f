"""What a pipeline does with the rows of files: the parts that need no Beam.

A tool describes its work by a `RowWork`, which travels to the workers, and the
workers do it by the `RowWorker` that it loads, with a model in it. `beam_rows`
is the pipeline.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from absl import flags, logging

from bert_tf import files
from bert_tf.counts import number_of
from bert_tf.data.pretraining.shards import shard_path
from bert_tf.errors import UserError
from bert_tf.programs import program
from bert_tf.tools import beam_runner
from bert_tf.tools.shard_run import ShardRun

FLAGS = flags.FLAGS


class Written(NamedTuple):
    """What the output has for a row.

    Attributes:
        content: its bytes.
        is_truncated: whether the model has read only a part of the row's text;
            None if that is not known.
    """

    content: bytes
    is_truncated: bool | None = None


class RowWorker(Protocol):
    """Does the work on a worker; its model may be used by several threads."""

    @property
    def block_size(self) -> int:
        """The number of rows of a file that are answered together."""

    def rows(self, path: str) -> Iterator[Any]:
        """Yields the rows of a file, which can be pickled.

        Raises:
            UserError: a row cannot be answered.
        """

    def head(self, num_rows: int) -> bytes:
        """What the output has before the first of so many rows."""

    def answers(self, rows: Sequence[Any], first: int) -> Iterator[Written]:
        """Yields what the output has for rows that follow one another.

        Args:
            rows: at most `block_size`.
            first: the number of the first row, of those of all files.
        """


class RowWork(Protocol):
    """Describes the work. It is pickled, and so has no model."""

    def load(self) -> RowWorker:
        """Loads the model."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which rows are in which shard.

    Attributes:
        starts: {number of a file: number of its first row}.
        num_rows: of all files.
        num_shards: K, at most `num_rows`.
    """

    starts: dict[int, int]
    num_rows: int
    num_shards: int

    def shard_of(self, row: int) -> int:
        """The shard of a row: shards differ by one row at most."""
        return row * self.num_shards // self.num_rows


def make_plan(sizes: Sequence[tuple[int, int]], num_shards: int) -> Plan:
    """Makes the plan of all files.

    Args:
        sizes: (number of a file, number of its rows) in any order.
        num_shards: K.

    Raises:
        UserError: there are more shards than rows.
    """
    starts, num_rows = {}, 0
    for file_number, size in sorted(sizes):
        starts[file_number] = num_rows
        num_rows += size
    if not num_rows:
        raise UserError("the input has no text")
    if num_rows < num_shards:
        raise UserError(
            f"is more than {number_of(num_rows, 'row')} of the input",
            setting="num_shards",
            value=num_shards,
        )
    return Plan(starts, num_rows, num_shards)


def check_flags() -> None:
    """Raises UserError if the flags of a pipeline contradict each other."""
    beam_runner.check_flags()
    if FLAGS.num_shards and FLAGS.runner != "beam":
        why = "only with --runner=beam"
        raise UserError(why, setting="num_shards", value=FLAGS.num_shards)


def flags_of_shards(*files_in_flags: str) -> dict[str, object]:
    """The flags on which shards depend: {flag: value} for JSON.

    Args:
        *files_in_flags: the flags that name files, which are left out.
    """
    others = {"runner", "beam_options", *files_in_flags}
    flags = program.values()
    return {name: value for name, value in flags.items() if name not in others}


def write_shards(
    work: RowWork,
    worker: RowWorker,
    paths: Sequence[str],
    run: ShardRun,
    state: dict[str, object],
    num_shards: int,
    options: str,
) -> None:
    """Writes the shards that do not exist yet, in an Apache Beam pipeline.

    Args:
        work: what is done.
        worker: what `work.load` would load; it is used in this process.
        paths: the files, in order.
        run: the shards' common name.
        state: all that the shards depend on, {flag: value} for JSON.
        num_shards: K.
        options: the pipeline's options, as on a command line.

    Raises:
        UserError: shards exist that were made with other settings; an option
            or a row is wrong; there are fewer rows than shards.
    """
    from bert_tf.tools import beam_rows

    targets = {
        shard: shard_path(run.output_file, shard, num_shards)
        for shard in range(num_shards)
    }
    files.make_folder_of(run.output_file)
    with run.alone():
        run.check(state)
        run.remove_leftovers()
        missing = {s: p for s, p in targets.items() if not files.exists(p)}
        if len(missing) < num_shards:
            logging.info(
                "%d of %d shards exist already",
                num_shards - len(missing),
                num_shards,
            )
        if not missing:
            return
        run.write(state)
        try:
            counts = beam_rows.write(
                work, worker, paths, missing, num_shards, options
            )
            _check_written(run, missing)
        except BaseException:
            run.forget()
            raise
        _log_written(run, missing, counts)


def _check_written(run: ShardRun, missing: dict[int, str]) -> None:
    absent = [path for path in missing.values() if not files.exists(path)]
    if absent:
        raise UserError(
            f"{number_of(len(absent), 'shard')} cannot be seen here, "
            f"{absent[0]} first; name a place that all machines share",
            setting=run.flag,
            value=run.output_file,
        )


def _log_written(
    run: ShardRun, missing: dict[int, str], counts: dict[str, int]
) -> None:
    for path in missing.values():
        logging.info("  %s", path)
    if "rows" not in counts:
        return  # Not all runners count.
    rows = number_of(counts["rows"], "row")
    cut = ""
    if "truncated" in counts:
        cut = f", {counts['truncated']} of them truncated"
    logging.info("%s: %s%s", run.output_file, rows, cut)
