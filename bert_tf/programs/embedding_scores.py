"""Evaluates vectors on scored pairs and on searches."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
from absl import flags

from bert_tf import training
from bert_tf.data import pipeline, retrieval_set
from bert_tf.data.group_targets import check_scores_differ
from bert_tf.data.retrieval_set import RetrievalSet
from bert_tf.data.text_groups import TextGroups, read_groups
from bert_tf.data.text_reader import TextReader
from bert_tf.metrics import retrieval, similarity
from bert_tf.programs import console, embedding_data, embedding_flags
from bert_tf.progress import with_progress

FLAGS = flags.FLAGS
PAIRS = tuple(f"eval_{name}" for name in similarity.SIMILARITY_NAMES)
SEARCHES = tuple(f"eval_{name}" for name in retrieval.RETRIEVAL_NAMES)
MAIN = {"pairs": "eval_spearman", "searches": f"eval_ndcg@{retrieval.NDCG}"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSets:
    """What vectors are evaluated on.

    Attributes:
        pairs: scored pairs; None without --dev_file.
        searches: None without --retrieval_dir.
        texts: all texts of both, each once.
        places: {text: its place in `texts`}.
    """

    pairs: TextGroups | None = None
    searches: RetrievalSet | None = None
    texts: list[str] = dataclasses.field(default_factory=list)
    places: dict[str, int] = dataclasses.field(default_factory=dict)

    def metric_names(self, sizes: Sequence[int]) -> set[str]:
        """The names of all scores.

        Args:
            sizes: of `compared_sizes`.
        """
        names = PAIRS if self.pairs else ()
        names += SEARCHES if self.searches else ()
        # Without an evaluation, a metric may be named for a later one.
        return of_sizes(names or (*PAIRS, *SEARCHES), sizes)

    @property
    def main_metric(self) -> str:
        """The metric that makes a checkpoint the best by default."""
        return MAIN["pairs" if self.pairs or not self.searches else "searches"]

    @property
    def num_examples(self) -> int:
        """Pairs and queries."""
        queries = len(self.searches.queries) if self.searches else 0
        return queries + (len(self.pairs) if self.pairs else 0)

    def scores(
        self, vectors: np.ndarray, dimension: int | None, sizes: Sequence[int]
    ) -> dict[str, float]:
        """The scores of vectors.

        Args:
            vectors: float [N, E], those of `texts`.
            dimension: the components that count; None for all.
            sizes: more numbers of components.
        """
        found: dict[str, float] = {}
        for size, end in [(dimension, ""), *((s, f"_dim{s}") for s in sizes)]:
            of_size = self._scores_of(similarity.normalized(vectors, size))
            found |= {f"eval_{n}{end}": value for n, value in of_size.items()}
        return found

    def _scores_of(self, vectors: np.ndarray) -> dict[str, float]:
        found: dict[str, float] = {}
        if self.pairs:
            first, second = (
                vectors[self._places_of(texts)] for texts in self.pairs.texts
            )
            found |= similarity.similarity_scores(
                first, second, self.pairs.scores
            )
        if self.searches:
            places, _ = retrieval.top_k(
                vectors[self._places_of(self.searches.queries)],
                vectors[self._places_of(self.searches.corpus)],
                max(retrieval.RECALLS),
            )
            found |= retrieval.retrieval_scores(places, self.searches.relevant)
        return found

    def _places_of(self, texts: Sequence[str]) -> list[int]:
        return [self.places[text] for text in texts]


def of_sizes(names: Iterable[str], sizes: Iterable[int]) -> set[str]:
    """The names of scores of the run's own dimension, and of other sizes."""
    ends = ["", *(f"_dim{size}" for size in sizes)]
    return {f"{name}{end}" for name in names for end in ends}


def read_sets(kind: str | None) -> EvaluationSets:
    """Reads --dev_file and --retrieval_dir.

    Args:
        kind: what the training file holds, if it is read.

    Raises:
        UserError: a file cannot be used.
    """
    pairs = searches = None
    texts: dict[str, None] = {}
    if FLAGS.dev_file:
        settings = embedding_flags.group_settings("eval", kind)
        pairs = read_groups(FLAGS.dev_file, settings)
        check_scores_differ(pairs, "no order to compare with")
        console.show(
            "Dev set", f"{len(pairs):,} scored pairs of {FLAGS.dev_file}"
        )
        for column in pairs.texts:
            texts |= dict.fromkeys(column)
    if FLAGS.retrieval_dir:
        searches = retrieval_set.read(
            FLAGS.retrieval_dir, FLAGS.retrieval_split
        )
        console.show("Searches", f"{searches.path}: {searches.describe()}")
        texts |= dict.fromkeys([*searches.queries, *searches.corpus])
    return EvaluationSets(
        pairs=pairs,
        searches=searches,
        texts=[*texts],
        places={text: place for place, text in enumerate(texts)},
    )


def compared_sizes(dimension: int | None, full_size: int) -> list[int]:
    """The sizes of --matryoshka_sizes whose scores are reported apart.

    Args:
        dimension: the components of the run's vectors; None for all.
        full_size: all of them.
    """
    sizes = embedding_flags.matryoshka_sizes()
    return [size for size in sizes if size != (dimension or full_size)]


class Evaluation:
    """Evaluates a model, again and again while it is trained.

    Args:
        sets: what it is evaluated on.
        runner: computes the vectors.
        reader: how texts are read.
        dimension, sizes: see `EvaluationSets.scores`.
    """

    def __init__(
        self,
        sets: EvaluationSets,
        runner: training.BatchRunner,
        reader: TextReader,
        dimension: int | None,
        sizes: Sequence[int],
    ):
        self.sets, self.runner, self.reader = sets, runner, reader
        self.dimension, self.sizes = dimension, sizes
        self._batches: tf.data.Dataset | None = None

    def __call__(self) -> dict[str, float]:
        """The scores of the model as it is now."""
        if self._batches is None:
            self._batches = embedding_data.text_batches(
                self.runner.strategy, self.sets.texts, self.reader
            )
        rows = pipeline.in_file_order(self.runner(self._batches))
        vectors = [
            vector
            for vector, _ in with_progress(
                rows, len(self.sets.texts), "texts", "Evaluating"
            )
        ]
        return self.sets.scores(np.stack(vectors), self.dimension, self.sizes)
