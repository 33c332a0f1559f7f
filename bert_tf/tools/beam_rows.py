"""The Apache Beam pipeline of tools that answer files row by row.

    files      each read by one worker from its start to its end
      blocks   rows that follow one another, answered by any worker
        pieces what the output has for them
    shards     the pieces in the order of the rows, cut into K files

A block has as many rows as the tool takes together on one machine, counted
from the start of its file. So a row is in the same batch in both, and has the
same answer to the bit. Beam's own batching, BatchElements, depends on how a
runner cuts the input into bundles.

All rows are read and checked before one is answered, and all are answered
before a shard is written: an error in a row leaves no output.
"""

import itertools
import operator
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.utils.shared import Shared

from bert_tf import files
from bert_tf.tools.beam_runner import marked_errors, new_pipeline, user_errors
from bert_tf.tools.row_work import Plan, RowWork, RowWorker, Written, make_plan

# (number of the file, number of the first row in it, pickled rows).
Block = tuple[int, int, bytes]
# (number of the first row of all files, bytes).
Piece = tuple[int, bytes]

SIZES = "sizes"  # The output of (number of the file, number of its rows).
PIECE_BYTES = 1 << 20
NAMESPACE = "bert_tf"  # The counters of a pipeline have it.


class _Working(beam.DoFn):
    """A step that uses the model, of which a process loads one.

    Args:
        work: what is done.
        shared: finds the model that another thread or bundle has loaded.
    """

    def __init__(self, work: RowWork, shared: Shared):
        self._work, self._shared = work, shared
        self._worker: RowWorker

    def setup(self) -> None:
        with marked_errors():
            self._worker = self._shared.acquire(self._work.load)


class ReadBlocks(_Working):
    """Reads a file in blocks, and counts its rows."""

    def process(self, numbered_path: tuple[int, str]) -> Iterator[Any]:
        """Yields the blocks of a file, and then its number of rows.

        Args:
            numbered_path: the file's number and path.
        """
        number, path = numbered_path
        size = 0
        with marked_errors():
            rows = self._worker.rows(path)
            while block := [*itertools.islice(rows, self._worker.block_size)]:
                # Rows may hold whatever JSON does, for which Beam's coders
                # are not made, such as half a surrogate pair.
                yield number, size, pickle.dumps(block)
                size += len(block)
        yield beam.pvalue.TaggedOutput(SIZES, (number, size))


class AnswerBlocks(_Working):
    """Answers blocks.

    Args:
        work, shared: see `_Working`.
        wanted: the shards to make; rows of others are left out.
    """

    def __init__(self, work: RowWork, shared: Shared, wanted: frozenset[int]):
        super().__init__(work, shared)
        self._wanted = wanted
        self._rows = Metrics.counter(NAMESPACE, "rows")
        self._truncated = Metrics.counter(NAMESPACE, "truncated")

    def process(self, block: Block, plan: Plan) -> Iterator[tuple[int, Piece]]:
        """Yields (shard, piece) for the rows of a block, in their order.

        Args:
            block: see above.
            plan: says which rows are in which shard.
        """
        number, before, pickled = block
        first = plan.starts[number] + before
        rows = pickle.loads(pickled)
        last = first + len(rows) - 1
        shards = range(plan.shard_of(first), plan.shard_of(last) + 1)
        if self._wanted.isdisjoint(shards):
            return
        head = b"" if first else self._worker.head(plan.num_rows)
        start, parts, size = first, [head], len(head)
        with marked_errors():
            answers = self._worker.answers(rows, first)
            for row, written in enumerate(answers, first):
                shard = plan.shard_of(row)
                is_wanted = shard in self._wanted
                parts.append(written.content)
                size += len(written.content)
                if is_wanted:
                    self._count(written)
                ends = row == last or plan.shard_of(row + 1) != shard
                if ends or size > PIECE_BYTES:
                    if is_wanted:
                        yield shard, (start, b"".join(parts))
                    start, parts, size = row + 1, [], 0

    def _count(self, written: Written) -> None:
        self._rows.inc()
        if written.is_truncated is not None:
            self._truncated.inc(int(written.is_truncated))


def write_shard(
    shard_and_pieces: tuple[int, Iterable[Piece]], targets: Mapping[int, str]
) -> None:
    """Writes a shard's file, whole or not at all.

    Args:
        shard_and_pieces: the shard, and its pieces in any order.
        targets: {shard: path}.
    """
    shard, pieces = shard_and_pieces
    with (
        marked_errors(),
        files.replacing(targets[shard]) as temporary,
        files.open_binary(temporary, "wb") as writer,
    ):
        for _, content in sorted(pieces, key=operator.itemgetter(0)):
            writer.write(content)


def plan_of(sizes: Sequence[tuple[int, int]], num_shards: int) -> Plan:
    """Makes the plan in a worker; see `make_plan`."""
    with marked_errors():
        return make_plan(sizes, num_shards)


def write(
    work: RowWork,
    worker: RowWorker,
    paths: Sequence[str],
    targets: Mapping[int, str],
    num_shards: int,
    options: str,
) -> dict[str, int]:
    """Writes shards.

    Args:
        work, worker, paths, num_shards, options: see `row_shards.write_shards`.
        targets: {shard: path} of the shards to write.

    Returns:
        {"rows": the number of rows written, "truncated": see `Written`}, as
        far as the runner has counted them.

    Raises:
        UserError: see `row_shards.write_shards`.
    """
    pipeline = new_pipeline(options)
    shared = Shared()
    shared.acquire(lambda: worker)  # For steps that run in this process.
    read = (
        pipeline
        | beam.Create(list(enumerate(paths)))
        | "Distribute files" >> beam.Reshuffle()
        | beam.ParDo(ReadBlocks(work, shared)).with_outputs(
            SIZES, main="blocks"
        )
    )
    plan = read[SIZES] | beam.combiners.ToList() | beam.Map(plan_of, num_shards)
    (
        read["blocks"]
        | "Distribute blocks" >> beam.Reshuffle()
        | beam.ParDo(
            AnswerBlocks(work, shared, frozenset(targets)),
            beam.pvalue.AsSingleton(plan),
        )
        | beam.GroupByKey()
        | beam.Map(write_shard, dict(targets))
    )
    with user_errors():
        result = pipeline.run()
        result.wait_until_finish()
    counters = result.metrics().query(
        MetricsFilter().with_namespace(NAMESPACE)
    )["counters"]
    return {found.key.metric.name: found.result or 0 for found in counters}
