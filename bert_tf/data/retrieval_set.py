"""A corpus, queries, and which texts of the corpus are right for each query.

A folder in the layout of BEIR (Thakur et al. 2021,
https://arxiv.org/abs/2104.08663):

    corpus.jsonl      {"_id": "d1", "title": "…", "text": "…"}
    queries.jsonl     {"_id": "q1", "text": "…"}
    qrels/test.tsv    query-id  corpus-id  score

A score of 0 or less says that a text is wrong. Queries without a right text
are not asked.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from bert_tf import files
from bert_tf.counts import counted
from bert_tf.data.tabular import csv_files
from bert_tf.data.tabular.table import Table, is_empty, listed, number
from bert_tf.errors import UserError

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
SPLITS = ("dev", "test", "train")  # The first that is there is read.
ID = "_id"
COLUMNS = ("query-id", "corpus-id", "score")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrievalSet:
    """What is searched, and what is right.

    Attributes:
        path: the file of qrels.
        corpus: the texts; a title comes before the text.
        queries: the texts of the queries that are asked.
        relevant: of each query {place in the corpus: how relevant, above 0}.
        num_left_out: queries of the file that have no right text.
    """

    path: str
    corpus: Sequence[str]
    queries: Sequence[str]
    relevant: Sequence[Mapping[int, float]]
    num_left_out: int

    def describe(self) -> str:
        """Its sizes, for people."""
        asked = counted(
            len(self.queries), len(self.queries) + self.num_left_out, "query"
        )
        return f"{len(self.corpus):,} texts; {asked} a right text"


def read(folder: str, split: str | None = None) -> RetrievalSet:
    """Reads a folder.

    Args:
        folder: in the layout above.
        split: the name of the file in `qrels`; None for the first of `SPLITS`
            that is there.

    Raises:
        UserError: a file is missing or damaged, an id is missing or occurs
            twice, a query has no text, or qrels name an id that is not there.
    """
    corpus_ids, corpus = _read_texts(os.path.join(folder, CORPUS))
    query_ids, queries = _read_texts(os.path.join(folder, QUERIES), True)
    path = _qrels_in(folder, split)
    relevant = _read_qrels(path, query_ids, corpus_ids, folder)
    asked = [row for row in range(len(queries)) if relevant.get(row)]
    if not asked:
        raise UserError(f"{path}: no query has a text with a score above 0")
    return RetrievalSet(
        path=path,
        corpus=corpus,
        queries=[queries[row] for row in asked],
        relevant=[relevant[row] for row in asked],
        num_left_out=len(queries) - len(asked),
    )


def _qrels_in(folder: str, split: str | None) -> str:
    paths = {
        name: os.path.join(folder, QRELS, f"{name}.tsv")
        for name in ((split,) if split else SPLITS)
    }
    for path in paths.values():
        if files.exists(path):
            return path
    if split:
        raise UserError(
            f"{paths[split]}: no such file",
            setting="retrieval_split",
            value=split,
        )
    raise UserError(
        f"{os.path.join(folder, QRELS)}: neither "
        f"{', '.join(f'{name}.tsv' for name in SPLITS[:-1])} nor "
        f"{SPLITS[-1]}.tsv is there"
    )


def _read_texts(
    path: str, needs_text: bool = False
) -> tuple[dict[str, int], list[str]]:
    """({id: place}, texts) of a file of JSON objects."""
    if not files.exists(path):
        raise UserError(f"{path}: no such file")
    table = csv_files.read_table(path, "jsonl", setting="retrieval_dir")
    if not len(table):
        raise UserError(f"{path}: there are no rows")
    if ID not in table.names:
        raise UserError(
            f"{path}: its objects have no {ID}; they have "
            f"{', '.join(table.names)}"
        )
    places: dict[str, int] = {}
    for row, one in enumerate(table.texts(ID, optional=True)):
        if is_empty(one):
            raise UserError(f"{table.place(row)}: no {ID}")
        assert one is not None
        if places.setdefault(one, row) != row:
            raise UserError(
                f"{table.place(row)}: the {ID} {one!r} is that of line "
                f"{table.line(places[one])}, too"
            )
    titles = table.texts("title", optional=True)
    texts = [
        " ".join(part for part in (title, text) if part)
        for title, text in zip(titles, table.texts("text"), strict=True)
    ]
    for row, text in enumerate(texts if needs_text else ()):
        if is_empty(text):
            raise UserError(f"{table.place(row)}: no text")
    return places, texts


def _read_qrels(
    path: str,
    queries: Mapping[str, int],
    corpus: Mapping[str, int],
    folder: str,
) -> dict[int, dict[int, float]]:
    """{place of a query: {place of a text: score}}, of scores above 0."""
    table = csv_files.read_table(path, "tsv", setting="retrieval_dir")
    if not {*COLUMNS} <= {*table.names}:
        raise UserError(
            f"{path}: the columns {', '.join(COLUMNS)} are needed; the first "
            f"line has {listed(table.names)}"
        )
    columns = [table.texts(name) for name in COLUMNS]
    found: dict[int, dict[int, float]] = {}
    for row, (query, text, cell) in enumerate(zip(*columns, strict=True)):
        query_place = _place(table, row, query, queries, folder, QUERIES)
        text_place = _place(table, row, text, corpus, folder, CORPUS)
        score = number(cell or "")
        if score is None:
            raise UserError(
                f"{table.place(row)}: the score {cell!r} is not a number"
            )
        of_query = found.setdefault(query_place, {})
        if of_query.setdefault(text_place, score) != score:
            raise UserError(
                f"{table.place(row)}: another score of the query {query!r} "
                f"and the text {text!r}"
            )
    return {
        query: right
        for query, scores in found.items()
        if (right := {text: s for text, s in scores.items() if s > 0})
    }


def _place(
    table: Table,
    row: int,
    one: str | None,
    places: Mapping[str, int],
    folder: str,
    name: str,
) -> int:
    if one is None or one not in places:
        raise UserError(
            f"{table.place(row)}: the id {one!r} is not in "
            f"{os.path.join(folder, name)}"
        )
    return places[one]
