"""Shards of pretraining data made by an Apache Beam pipeline.

    files → (shard, document) → all documents of a shard → its records

The same documents come to the same shards as on one machine, and the same code
makes records of them: so the files are the same.
"""

import contextlib
import io
import re
import shlex

from bert_tf import files
from bert_tf.data.pretraining import shards as pretraining_shards
from bert_tf.errors import UserError


def write_shards(maker, paths: list, targets: dict, options: str):
    """Writes the shards that are not there yet.

    Args:
        maker: a `RecordMaker`.
        paths: of the text files.
        targets: {shard: path} of all shards.
        options: of the pipeline, as on a command line.

    Raises:
        UserError: Beam is not installed or not content with the options, or
            there are fewer documents than shards.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise UserError(
            "--runner=beam needs Apache Beam: pip install apache-beam"
        ) from None
    missing = {s: path for s, path in targets.items() if not files.exists(path)}
    complaint = io.StringIO()
    try:
        # Options are parsed by argparse, which prints and exits.
        with contextlib.redirect_stderr(complaint):
            parsed = PipelineOptions(shlex.split(options))
            parsed.get_all_options()
            pipeline = beam.Pipeline(options=parsed)
    except (ValueError, SystemExit) as error:
        why = (complaint.getvalue().strip() or str(error)).split("\n")[-1]
        raise UserError(f"--beam_options={options}: {why}") from None
    with user_errors(), pipeline:
        (
            pipeline
            | beam.Create(list(enumerate(paths)))
            | beam.Reshuffle()
            | beam.FlatMap(deal_file, len(targets), frozenset(missing))
            | beam.GroupByKey()
            | beam.Map(write_shard, maker, targets)
        )
    empty = [path for path in missing.values() if not files.exists(path)]
    if empty:
        for path in set(missing.values()) - set(empty):
            files.remove(path)  # Another number of shards needs others.
        raise UserError(
            f"--num_shards={len(targets)}: {len(empty)} shards have got no "
            f"document, {empty[0]} first"
        )


@contextlib.contextmanager
def user_errors():
    """Takes a user's mistake out of what Beam makes of its message."""
    try:
        yield
    except Exception as error:
        found = re.search(r"UserError: (.*)", str(error))
        if isinstance(error, UserError):
            found = re.match(r"(.*)", str(error))
        if not found:
            raise
        raise UserError(found[1].split(" [while running")[0]) from None


def deal_file(numbered_path, num_shards: int, wanted):
    """Yields (shard, (file, document, text)) of a file's documents."""
    file_number, path = numbered_path
    for number, document in enumerate(
        pretraining_shards.documents_of_file(path)
    ):
        shard = pretraining_shards.shard_of(file_number, number, num_shards)
        if shard in wanted:
            yield shard, (file_number, number, "\n".join(document))


def write_shard(dealt, maker, targets: dict) -> int:
    """Writes a shard's file; its documents come in any order."""
    shard, documents = dealt
    lines = []
    for _, _, text in sorted(documents):
        lines += [*text.split("\n"), ""]
    return maker.write_shard(targets[shard], shard, lines)
