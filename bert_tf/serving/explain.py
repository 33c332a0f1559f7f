"""POST …/NAME:explain: which words speak for an answer, and which against it.

The gradient needs the Keras model, which answers do not. It is loaded for the
first request, from the files of the same version, and works in a thread of its
own, one request at a time: answers wait for nothing but the processor.
"""

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from bert_tf import choices, files
from bert_tf.errors import UserError
from bert_tf.export.predictor import Predictor
from bert_tf.export.saved_models import CONFIG, VOCABULARY
from bert_tf.serving import rest
from bert_tf.serving.errors import Refusal
from bert_tf.serving.limits import Limits
from bert_tf.serving.models import Version, stamp_of

if TYPE_CHECKING:
    from bert_tf.explanations import Explainer

MAX_TEXTS = 8  # In a request: each takes as long as some hundred answers.
MAX_WAITING = 8  # Requests, in a process.


def why_not(predictor: Predictor) -> str:
    """Why a model's answers cannot be explained; "" if they can.

    Args:
        predictor: the model.
    """
    if predictor.kind not in choices.FINE_TUNED_KINDS:
        return f"a model of {predictor.kind} gives no answer to explain"
    for file, what in (
        (CONFIG, "a description of its network"),
        (VOCABULARY, "its vocabulary"),
    ):
        if not files.exists(os.path.join(predictor.folder, file)):
            return (
                f"an earlier version exported this model, without {what}; "
                "export it again"
            )
    return ""


@dataclasses.dataclass
class ExplainCall:
    """A request that was read.

    Attributes:
        items: what is explained.
        label: what is explained in place of the answer; None for the answer.
        word: the word whose tag is explained; None for the surest.
    """

    items: list[Any]
    label: str | None
    word: str | int | None


def explain_call(
    predictor: Predictor, body: dict[str, object], limits: Limits
) -> ExplainCall:
    """Reads {"instances": [item, …], "label": …, "word": …}.

    Raises:
        Refusal: the request is wrong, or the model cannot be explained.
    """
    if reason := why_not(predictor):
        raise Refusal(400, reason)
    rest.check_keys(body, {"instances", "label", "word"})
    items = rest.list_of(body, "instances", limits)
    if len(items) > MAX_TEXTS:
        raise Refusal(
            413,
            f"{len(items)} texts: at most {MAX_TEXTS} are explained in a "
            "request",
        )
    label, word = body.get("label"), body.get("word")
    if not isinstance(label, str | None):
        raise Refusal(400, "label must be a string")
    is_number = isinstance(word, int) and not isinstance(word, bool)
    if not (isinstance(word, str | None) or is_number):
        raise Refusal(400, "word must be a string or a number")
    try:
        items = [
            rest.checked_item(predictor, place, item, limits)
            for place, item in enumerate(items)
        ]
        for place, item in enumerate(items):
            _check(predictor, place, item)
    except ValueError as error:
        raise Refusal(400, str(error)) from None
    return ExplainCall(items, label, word)  # type: ignore[arg-type]


def _check(predictor, place, item):
    try:
        predictor.check(item)
    except ValueError as error:
        raise ValueError(f"item {place}: {error}") from None


class _Deadline:
    """Ends the work of a thread between two passes of the network."""

    def __init__(self) -> None:
        self.job: Future[Any] | None = None
        self.end = float("inf")
        self.is_cancelled = threading.Event()

    def check(self) -> None:
        if self.is_cancelled.is_set() or time.monotonic() > self.end:
            raise CancelledError


class Explanations:
    """The thread that explains, and what waits for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "explanations")
        self._deadline = _Deadline()
        self._lock = threading.Lock()
        self._num_waiting = 0

    def submit(
        self, version: Version, call: ExplainCall, seconds: float
    ) -> tuple[Future[dict[str, Any]], Callable[[], None]]:
        """Lets the thread explain the items of a request.

        Args:
            version: the model.
            call: the request.
            seconds: the longest time from now on.

        Returns:
            (the answer's JSON value, function() that ends the work).

        Raises:
            Refusal: too many requests wait.
        """
        with self._lock:
            if self._num_waiting >= MAX_WAITING:
                raise Refusal(
                    429,
                    f"{MAX_WAITING} requests wait for explanations",
                    **{"Retry-After": "5"},
                )
            self._num_waiting += 1
        end = time.monotonic() + seconds
        is_cancelled = threading.Event()

        def work() -> dict[str, Any]:
            self._deadline.end = end
            self._deadline.is_cancelled = is_cancelled
            self._deadline.check()
            return {"explanations": self._explained(version, call)}

        job = self._thread.submit(work)
        job.add_done_callback(self._count_down)
        return job, is_cancelled.set

    def _count_down(self, _: object) -> None:
        with self._lock:
            self._num_waiting -= 1

    def close(self) -> None:
        """Ends the thread after its present pass."""
        self._deadline.is_cancelled.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _explained(self, version, call):
        explainer = self._explainer(version)
        found = []
        for place, item in enumerate(call.items):
            try:
                explanation = explainer.explain(
                    item, call.label, word=call.word
                )
            except ValueError as error:
                raise Refusal(400, f"item {place}: {error}") from None
            found.append(explanation.to_json())
        return found

    def _explainer(self, version: Version) -> "Explainer":
        """The Keras model of a version, which is loaded once.

        Raises:
            Refusal: it cannot be loaded.
        """
        if version.explainer is not None:
            return version.explainer
        if stamp_of(version.folder) != version.stamp:
            # It must not explain the answers of another model.
            raise Refusal(503, "the model was replaced; try again in a moment")
        # Most servers need no Keras.
        from bert_tf.explanations import Explainer

        try:
            explainer = Explainer.open(version.folder, self._deadline.check)
        except UserError as error:
            why = str(error).replace(version.folder, "its folder")
            raise Refusal(400, f"cannot be explained: {why}") from None
        version.explainer = explainer
        return explainer
