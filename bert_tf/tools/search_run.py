"""A run of the tool search, after its flags are checked."""

import contextlib
import itertools
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import flags

from bert_tf import files
from bert_tf.counts import number_of, plural
from bert_tf.data.tabular import text_rows
from bert_tf.errors import UserError
from bert_tf.export import search_index
from bert_tf.export.input_files import InputFile
from bert_tf.export.predictor import Predictor
from bert_tf.export.search_index import Hit, SearchIndex
from bert_tf.programs import console, engine_flags, program
from bert_tf.progress import with_progress

FLAGS = flags.FLAGS
ID_COLUMNS = ("_id", "id")
TITLE = "title"
QUERIES_AT_ONCE = 256
SHOWN = 100  # Characters of a text in a line.


def run(texts: Sequence[str]) -> None:
    """Writes or opens the index, and answers the queries.

    Args:
        texts: the queries that are arguments.
    """
    predictor = Predictor(FLAGS.model, **engine_flags.settings())
    search_index.check_makes_vectors(predictor)
    with opened_index(predictor) as index:
        index.check_model(predictor)
        queries = itertools.chain(texts, lines_of_queries())
        if FLAGS.output:
            write(index, predictor, queries)
            return
        for query, hits in answers(index, predictor, queries):
            print(shown(query, hits), flush=True)


@contextlib.contextmanager
def opened_index(predictor: Predictor) -> Iterator[SearchIndex]:
    """Gives the index; without --index one for this command alone."""
    with contextlib.ExitStack() as stack:
        folder = FLAGS.index
        if not folder:
            scratch = tempfile.TemporaryDirectory(prefix="bert-search-")
            folder = f"{stack.enter_context(scratch)}/index"
        if FLAGS.corpus:
            rows = with_progress(rows_of_corpus(), verb="Reading")
            start = time.monotonic()
            number = search_index.write(folder, predictor, rows)
            seconds = time.monotonic() - start
            where = f"{FLAGS.index}: " if FLAGS.index else ""
            console.show(
                "Index",
                f"{where}{number:,} {plural('text', number)} "
                f"in {seconds:.1f} s",
            )
        yield SearchIndex(folder)


def rows_of_corpus() -> Iterator[tuple[str, str]]:
    """Yields (id, text) of each row of --corpus.

    Raises:
        UserError: a row has no text, or no id where others have one.
    """
    number = 0
    id_column = FLAGS.id_column
    for path in program.existing_files("corpus"):
        for row in rows_of_file(path):
            number += 1
            if number == 1 and not id_column:
                known = [name for name in ID_COLUMNS if name in row.values]
                id_column = known[0] if known else None
            one = str(number)
            if id_column:
                one = cell(row, id_column)
            yield one, text_of(row)


def rows_of_file(path: str) -> Iterator[text_rows.Row]:
    """Yields the rows of a file of the corpus."""
    file = InputFile(path)
    source = text_rows.Format(name=FLAGS.corpus_format or "text")
    if not FLAGS.corpus_format:
        source = text_rows.detect_format(
            path, file.head, [FLAGS.text_column], kind=file.kind
        )
    yield from text_rows.read_rows(path, source, file.reading)


def text_of(row: text_rows.Row) -> str:
    """The text of a row; a title comes before it, as in BEIR."""
    if "" in row.values:  # A line of text.
        return str(row.values[""])
    text = cell(row, FLAGS.text_column)
    title = row.values.get(TITLE)
    if FLAGS.text_column != TITLE and isinstance(title, str) and title:
        return f"{title} {text}"
    return text


def cell(row: text_rows.Row, column: str) -> str:
    """A cell as text.

    Raises:
        UserError: the row does not have it.
    """
    value: Any = row.values.get(column)
    if value is None:
        columns = ", ".join(map(str, row.values)) or "nothing"
        raise UserError(f"{row.place}: no {column!r}; the row has {columns}")
    return str(value)


def lines_of_queries() -> Iterator[str]:
    """Yields the queries of --queries, without empty lines."""
    if FLAGS.queries:
        for _, line in files.read_lines(FLAGS.queries):
            if line.strip():
                yield line


def answers(
    index: SearchIndex, predictor: Predictor, queries: Iterable[str]
) -> Iterator[tuple[str, list[Hit]]]:
    """Yields each query with its hits."""
    rest = iter(queries)
    while block := [*itertools.islice(rest, QUERIES_AT_ONCE)]:
        vectors = search_index.embed(predictor, block)
        yield from zip(block, index.search(vectors, FLAGS.top_k), strict=True)


def write(
    index: SearchIndex, predictor: Predictor, queries: Iterable[str]
) -> None:
    """Writes the results to --output."""
    number = 0
    with files.writing_text(FLAGS.output) as writer:
        for query, hits in with_progress(
            answers(index, predictor, queries), verb="Searching"
        ):
            writer.write(as_json(query, hits) + "\n")
            number += 1
        if not number:
            raise UserError(
                "contains no query", setting="queries", value=FLAGS.queries
            )
    console.show("Written", f"{FLAGS.output}: {number_of(number, 'query')}")


def as_json(query: str, hits: Sequence[Hit]) -> str:
    """The results of a query as a line of JSON."""
    found = [hit.to_json() for hit in hits]
    return json.dumps({"query": query, "hits": found}, ensure_ascii=False)


def shown(query: str, hits: Sequence[Hit]) -> str:
    """The results of a query for people, or as JSON."""
    if FLAGS.json:
        return as_json(query, hits)
    lines = [query]
    for hit in hits:
        text = " ".join(hit.text.split())
        text = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
        lines.append(f"  {hit.score:.3f}  {hit.id}  {text}")
    return "\n".join(lines)
