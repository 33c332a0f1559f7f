"""Shards of the answers to rows: which are missing, and who writes them."""

from collections.abc import Sequence

from absl import flags, logging

from bert_tf import files
from bert_tf.counts import number_of
from bert_tf.data.pretraining.shards import shard_path
from bert_tf.errors import UserError
from bert_tf.programs import program
from bert_tf.tools import beam_runner
from bert_tf.tools.row_work import RowWork, RowWorker
from bert_tf.tools.shard_run import ShardRun

FLAGS = flags.FLAGS


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
