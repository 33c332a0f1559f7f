"""A run of the tool search, after its flags are checked."""

import contextlib
import itertools
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence

from absl import flags, logging

from bert_tf import files, suggestions
from bert_tf.counts import counted, number_of, plural
from bert_tf.data.tabular import cell_values, table, text_rows
from bert_tf.data.tabular.table import is_empty
from bert_tf.errors import UserError
from bert_tf.export import search_index
from bert_tf.export.index_files import RepeatedId
from bert_tf.export.input_files import InputFile
from bert_tf.export.predictor import Predictor
from bert_tf.export.search_index import Hit, SearchIndex
from bert_tf.programs import console, defaults, engine_flags, program
from bert_tf.progress import with_progress

FLAGS = flags.FLAGS
ID_COLUMNS = ("_id", "id")
TITLE = "title"
LINE = ""  # The column of a line of text.
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
            write_index(folder, predictor)
        yield SearchIndex(folder)


def write_index(folder: str, predictor: Predictor) -> None:
    """Writes the index of --corpus.

    Raises:
        UserError: the corpus cannot be used.
    """
    corpus = Corpus()
    start = time.monotonic()
    try:
        number = search_index.write(
            folder, predictor, with_progress(corpus, verb="Reading")
        )
    except RepeatedId as error:
        raise UserError(
            f"{corpus.place}: the id {error.one!r} is that of an earlier row, "
            "too: ids must differ"
        ) from None
    seconds = time.monotonic() - start
    where = f"{FLAGS.index}: " if FLAGS.index else ""
    console.show(
        "Index",
        f"{where}{number:,} {plural('text', number)} in {seconds:.1f} s",
    )


class Corpus:
    """Yields (id, text) of each row of --corpus.

    A row of a table without a text is left out, and the log says so. Empty
    lines of a file of lines are left out without a message.

    Attributes:
        place: "path:line" of the row that was read last.

    Raises:
        UserError: a row has no id where others have one, or what is there is
            not a text; or no row has a text.
    """

    def __init__(self) -> None:
        self.place = ""

    def __iter__(self) -> Iterator[tuple[str, str]]:
        number = num_texts = 0
        id_column = FLAGS.id_column
        empty: list[str] = []  # The places of rows of a table.
        for path in program.existing_files("corpus"):
            for row in rows_of_file(path):
                number, self.place = number + 1, row.place
                if number == 1 and not id_column:
                    known = [name for name in ID_COLUMNS if name in row.values]
                    id_column = known[0] if known else None
                text = text_of(row)
                if not is_empty(text):
                    num_texts += 1
                    one = id_of(row, id_column) if id_column else str(number)
                    yield one, text
                elif LINE not in row.values:
                    empty.append(row.place)
        if not num_texts:
            raise UserError(
                "contains no text", setting="corpus", value=FLAGS.corpus
            )
        if empty:
            logging.warning(
                "%s: %s no text (%s first): left out",
                FLAGS.corpus,
                counted(len(empty), number, "row"),
                empty[0],
            )


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
    """The text of a row; a title comes before it, as in BEIR.

    A column that somebody names is read alone.
    """
    if LINE in row.values:
        return str(row.values[LINE])
    texts = [cell(row, FLAGS.text_column, "text_column")]
    if TITLE in row.values and not defaults.is_given("text_column"):
        texts.insert(0, cell(row, TITLE, ""))
    return " ".join(text for text in texts if not is_empty(text))


def id_of(row: text_rows.Row, column: str) -> str:
    """The id of a row."""
    found = cell(row, column, "id_column")
    if is_empty(found):
        raise UserError(f"{row.place}: no id in the column {column}")
    return found


def cell(row: text_rows.Row, column: str, setting: str) -> str:
    """A cell as text, "" where nothing is.

    Args:
        row: the row.
        column: the name of the cell's column.
        setting: the one that names the column.

    Raises:
        UserError: the row does not have it, or it is not a text.
    """
    if column not in row.values:
        columns = table.listed([*row.values]) or "nothing"
        raise UserError(
            f"{row.place}: no {column!r}; the row has {columns}; `{setting}` "
            "names another column"
            + suggestions.hint(column, row.values, table.COLUMN_SYNONYMS)
        )
    value = row.values[column]
    if why := cell_values.wrong_text(value):
        raise UserError(f"{row.place}: {column!r} {why}")
    return str(cell_values.as_text(value) or "")


def lines_of_queries() -> Iterator[str]:
    """Yields the queries of --queries, without empty lines.

    Raises:
        UserError: all are empty.
    """
    if not FLAGS.queries:
        return
    number = 0
    for _, line in files.read_lines(FLAGS.queries):
        if line.strip():
            yield line
            number += 1
    if not number:
        raise UserError(
            "contains no query", setting="queries", value=FLAGS.queries
        )


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
    files.make_folder_of(FLAGS.output)
    with files.writing_text(FLAGS.output) as writer:
        for query, hits in with_progress(
            answers(index, predictor, queries), verb="Searching"
        ):
            writer.write(as_json(query, hits) + "\n")
            number += 1
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
