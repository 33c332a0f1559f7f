"""The index of a served model: which version searches it, and when it changes.

The vectors of two models cannot be compared. So an index is searched with the
version of its model that made it, and with no other one:

    a new version answers       the index is searched with the old one, as long
                                as that is kept; then /search answers 503
    a new index in the folder   is taken once the version that made it answers
"""

import contextlib
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from bert_tf import files
from bert_tf.counts import plural
from bert_tf.errors import UserError
from bert_tf.export.predictor import Predictor
from bert_tf.export.search_index import SearchIndex, description_of
from bert_tf.serving.batching import Batcher, Columns
from bert_tf.serving.errors import Refusal
from bert_tf.serving.models import ServedModel, Stamp, stamp_of
from bert_tf.serving.search import Query, nearest

# function(run) that returns the Batcher that runs it.
MakeBatcher = Callable[[Callable[[Any, list[Any]], Columns]], Batcher]


class ServedIndex:
    """The index of a model, and the thread that searches it.

    Args:
        name: the model's name.
        folder: the index.
        make_batcher: makes the batcher whose thread searches.

    Attributes:
        index: the index that is searched.

    Raises:
        UserError: the folder has no index, or a damaged one.
    """

    def __init__(self, name: str, folder: str, make_batcher: MakeBatcher):
        self.name = name
        self._folder = folder
        # Before it is opened: what comes in between is then taken later.
        self._stamp: Stamp = stamp_of(folder)
        self.index = SearchIndex(folder)
        self._last_look = self._stamp
        self._batcher = make_batcher(nearest)
        self._model: ServedModel | None = None
        # What made the vectors of each loaded version. It is read when that is
        # loaded: later its files may be those of another one.
        self._descriptions: weakref.WeakKeyDictionary[
            Predictor, dict[str, Any]
        ] = weakref.WeakKeyDictionary()
        self._refused = ""  # Why a new index in the folder is not taken.
        self._said = ""  # The last line of the log.

    def loading(
        self, load: Callable[[str], Predictor]
    ) -> Callable[[str], Predictor]:
        """Lets a function that loads a version note what makes its vectors.

        Args:
            load: function(folder).
        """

        def noting(folder: str) -> Predictor:
            predictor = load(folder)
            self._descriptions[predictor] = description_of(predictor)
            return predictor

        return noting

    def start(self, model: ServedModel) -> None:
        """Checks that a version of the model made the index.

        Args:
            model: the model, whose versions are loaded.

        Raises:
            UserError: none did.
        """
        self._model = model
        if self.version_of(self.index) is None:
            with model.use() as version:
                self.index.check_model(version.predictor)
        self._log_changes()

    def version_of(self, index: SearchIndex) -> int | None:
        """The newest version that answers and made an index; None if none."""
        assert self._model is not None  # It has started.
        for number in self._model.available():
            # Another thread may unload it at the same time.
            with (
                contextlib.suppress(KeyError),
                self._model.use(number) as version,
            ):
                predictor = version.predictor
                if index.was_made_by(predictor, self._descriptions[predictor]):
                    return number
        return None

    def choose(self) -> tuple[SearchIndex, int]:
        """The index, and the version that makes the vectors of queries.

        Raises:
            Refusal: the version that made the index does not answer any more.
        """
        index = self.index
        number = self.version_of(index)
        if number is None:
            raise Refusal(
                503,
                f"the index of {self.name} was made with another version of "
                "the model, and must be written again",
            )
        return index, number

    def submit(
        self, index: SearchIndex, vectors: NDArray[np.floating], k: int
    ) -> Future[list[Columns]]:
        """Lets the thread search.

        Args:
            index: that of `choose`.
            vectors: float [Q, E], of the queries.
            k: how many texts are wanted for each.

        Returns:
            The future of what `search.answer` takes.

        Raises:
            QueueFull: too many queries wait.
        """
        # Queries of a batch have one index, so that it is the batch's key.
        return self._batcher.submit(
            [(index, Query(vector, k)) for vector in vectors]
        )

    def refresh(self) -> None:
        """Takes a new index in the folder, once nothing in it changes."""
        if files.exists(self._folder):  # Else it is about to be replaced.
            stamp, before = stamp_of(self._folder), self._last_look
            self._last_look = stamp
            if stamp == self._stamp:
                self._refused = ""
            elif stamp == before:
                self._take(stamp)
        self._log_changes()

    def _take(self, stamp: Stamp) -> None:
        """Takes the new index, or notes why not."""
        try:
            index = SearchIndex(self._folder)
        except UserError as error:
            self._refused = f"the new one cannot be used: {error}"
            return
        if stamp_of(self._folder) != stamp:
            return  # It changed while it was opened.
        if self.version_of(index) is None:
            self._refused = "the new one waits for the model that made it"
        else:
            self.index, self._stamp, self._refused = index, stamp, ""

    def _log_changes(self) -> None:
        """Logs which version searches what, unless that was the last line."""
        number, size = self.version_of(self.index), len(self.index)
        text = f"version {number} searches the index of {size:,} "
        text += plural("text", size)
        if number is None:
            text = "no version that answers made the index: write it again"
        if self._refused:
            text = f"{text}; {self._refused}"
        if text != self._said:
            is_right = number is not None and not self._refused
            level = logging.INFO if is_right else logging.WARNING
            logging.log(level, "%s: %s", self.name, text)
        self._said = text

    def status(self) -> dict[str, object]:
        """Describes the index, for /status."""
        number = self.version_of(self.index)
        return {
            "num_texts": len(self.index),
            "version": None if number is None else str(number),
        }
