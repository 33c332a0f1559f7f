"""Explainer: which words speak for a model's answer, and which against it."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, Self

import keras
import numpy as np
from absl import logging

from bert_tf import loading, model_classes, pretrained
from bert_tf.errors import UserError
from bert_tf.explanations import integration, settings, targets
from bert_tf.explanations.attention import attention_of
from bert_tf.explanations.integration import MAX_STEPS, TOLERANCE
from bert_tf.explanations.network import LOGITS, Network
from bert_tf.explanations.reading import (
    NO_WORD,
    ItemReader,
    ItemWord,
    ReadItem,
    item_values,
)
from bert_tf.explanations.settings import ReadingSettings
from bert_tf.explanations.targets import Target
from bert_tf.export.kinds import KINDS
from bert_tf.formats.model import StoredModel
from bert_tf.tokenization import FullTokenizer

NUMBER = "number"  # What the logit of a model of numbers is called.


@dataclasses.dataclass(frozen=True)
class ScoredWord(ItemWord):
    """A word, and what it adds to the logit; below 0 it speaks against it."""

    score: float


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why a model gives a text a logit.

    The scores of the words sum to `logit - baseline_logit`.

    Attributes:
        kind: the kind of the model.
        target: what the logit speaks for: a label, the number of an ending, a
            tag, the words of an answer ("" for no answer); "number" for models
            of numbers.
        answer: what the model answers, in the same form; a number as text.
        logit: of the text. A number is in its own unit.
        baseline_logit: of the text without its words, see `network`.
        texts: {field: raw text}. Marks of entities are left out.
        words: all words that the model reads, in the order of the texts.
        word: the word whose tag is explained, None for other kinds.
        num_steps: points of the path at which the gradient was computed.
        error: how far the scores' sum is from what it must be, as a part.
        is_complete: whether that is within the tolerance.
        truncated: whether the model does not read all of the texts.
    """

    kind: str
    target: str
    answer: str
    logit: float
    baseline_logit: float
    texts: dict[str, str]
    words: tuple[ScoredWord, ...]
    word: ItemWord | None
    num_steps: int
    error: float
    is_complete: bool
    truncated: bool

    def to_json(self) -> dict[str, Any]:
        """The same as values that JSON has."""
        return dataclasses.asdict(self)


class Explainer:
    """Explains the answers of a model by integrated gradients.

        explainer = Explainer.open("/tmp/sms")
        explanation = explainer.explain("Call now to claim your prize!")
        explanation.words   # each with its score

    What is explained is a logit, the number before softmax or sigmoid. A
    temperature divides all logits alike, and changes no sign or order.

    Args:
        model: a head that answers texts.
        kind: its kind, as `export.kinds` names it.
        tokenizer: the model's.
        reading: how it reads texts.
        labels: of its outputs; None for numbers of classes.
        mean, deviation: of a model of numbers.
        should_stop: see `Network`.

    Attributes:
        kind, tokenizer, reading, labels: as above.
        model: the model.
        input_names: the parts that an item may have.

    Raises:
        UserError: the kind cannot be explained.
    """

    def __init__(
        self,
        model: keras.Model,
        kind: str,
        tokenizer: FullTokenizer,
        reading: ReadingSettings,
        *,
        labels: list[str] | None = None,
        mean: float = 0.0,
        deviation: float = 1.0,
        should_stop: Callable[[], None] = lambda: None,
    ):
        check_kind(kind, "the model")
        self.model = model
        self.kind = kind
        self.tokenizer = tokenizer
        self.reading = reading
        self._scale = (mean, deviation) if kind == "regression" else (0.0, 1.0)
        number = getattr(model, "num_labels", 0)
        self.input_names = tuple(entry.name for entry in KINDS[kind].inputs)
        self.labels = labels or [str(n) for n in range(number)]
        self._reader = ItemReader(tokenizer, reading)
        self._network = Network(model, kind, should_stop)

    def for_single_texts(self) -> Self:
        """The same, whose items have no second text of a pair."""
        other = copy.copy(self)
        names = (name for name in self.input_names if name != "text_pair")
        other.input_names = tuple(names)
        return other

    def check(self, item: object) -> None:
        """Raises ValueError if an item is not what the model reads."""
        item_values(self.kind, item)

    @classmethod
    def open(
        cls, name: str, should_stop: Callable[[], None] = lambda: None
    ) -> Self:
        """Opens a run's folder, an export, or a fine-tuned model.

        Args:
            name: a name or a folder, see `pretrained.open`.
            should_stop: see `Network`.

        Raises:
            UserError: it cannot be opened, or has no head that answers texts.
        """
        return cls.of_stored(pretrained.open(name), should_stop)

    @classmethod
    def of_stored(
        cls,
        stored: StoredModel,
        should_stop: Callable[[], None] = lambda: None,
    ) -> Self:
        """Makes the model that was opened.

        Args:
            stored: the model.
            should_stop: see `Network`.

        Raises:
            UserError: it has no head that answers texts, or no vocabulary.
        """
        kind = stored.kind_with(stored.weights())
        check_kind(kind, stored.path)
        assert kind is not None and stored.tokenizer is not None
        if stored.vocab_file is None:
            raise UserError(
                f"{stored.path} has no vocabulary; a model that an earlier "
                "version exported must be exported again"
            )
        reading = settings.settings_of(stored)
        arguments = {}
        if reading.max_windows is not None:
            arguments["pooling"] = reading.window_pooling
        return cls(
            loading.make_model(
                model_classes.class_of(kind), stored, arguments, is_whole=True
            ),
            kind,
            FullTokenizer(
                pretrained.vocab_file_of(stored),
                **stored.tokenizer.tokenizer_arguments(),
            ),
            reading,
            labels=stored.labels,
            mean=stored.task.get("mean", 0.0),
            deviation=stored.task.get("deviation", 1.0),
            should_stop=should_stop,
        )

    def explain(
        self,
        item: object,
        label: str | None = None,
        *,
        word: str | int | None = None,
        tolerance: float = TOLERANCE,
        max_steps: int = MAX_STEPS,
    ) -> Explanation:
        """Explains the logit of an answer.

        Args:
            item: a str, a tuple of the kind's inputs, or a dict of them, as
                `Predictor` takes it.
            label: what to explain in place of the model's answer: a label, a
                tag, the number of an ending from 0, or words of a context.
            word: for models of tags the word, or its number from 0; by default
                the one that is the surest to belong to an entity.
            tolerance, max_steps: see `integration.integrate`. If the steps do
                not suffice, a warning is logged.

        Raises:
            ValueError: the item is not what the model reads.
            UserError: there is no such label or word.
        """
        return self._explain(
            self.target(item, label, word), tolerance, max_steps
        )

    def _explain(self, target, tolerance, max_steps):
        read = target.read
        evaluate = self._network.evaluator(
            read.inputs, read.owners == NO_WORD, target.index
        )
        result = integration.integrate(
            evaluate, tolerance=tolerance, max_steps=max_steps
        )
        if not result.is_complete:
            logging.warning(
                "The scores of the words miss the difference of the logit by "
                "%.1f %% after %d steps",
                100 * result.error,
                result.num_steps,
            )
        mean, deviation = self._scale
        number = result.value * deviation + mean
        is_number = self.kind == "regression"
        scores = deviation * result.attributions
        return Explanation(
            kind=self.kind,
            target=NUMBER if is_number else target.name,
            answer=f"{number:.4g}" if is_number else target.answer,
            logit=number,
            baseline_logit=result.baseline_value * deviation + mean,
            texts=read.texts,
            words=_scored(read, scores),
            word=None if target.word is None else read.words[target.word],
            num_steps=result.num_steps,
            error=result.error,
            is_complete=result.is_complete,
            truncated=read.truncated,
        )

    def attention(
        self, item: object, layer: int, head: int
    ) -> tuple[list[str], np.ndarray]:
        """The attention of a head between all tokens of an item.

        Of a context in windows it is that of the window with the answer, of
        endings that of the best, of a long text that of the first window.

        Args:
            item: see `explain`.
            layer, head: their numbers, from 0.

        Returns:
            (tokens, float [S, S]): the probabilities with which each token, a
            row, attends to each, a column.

        Raises:
            ValueError: see `explain`.
            UserError: there is no such layer or head.
        """
        read = self.target(item).read
        inputs = {
            name: np.atleast_2d(read.inputs[name])[:1]
            for name in ("input_ids", "input_mask", "segment_ids")
        }
        tokens = [str(token) for token in read.tokens[0]]
        number = len(tokens)
        matrix = attention_of(self.model.bert, inputs, layer)
        config = self.model.bert.config
        if not 0 <= head < config.num_attention_heads:
            raise UserError(
                f"heads are 0 to {config.num_attention_heads - 1}",
                setting="attention",
                value=f"{layer}.{head}",
            )
        return tokens, matrix[0, head, :number, :number]

    def target(
        self,
        item: object,
        label: str | None = None,
        word: str | int | None = None,
    ) -> Target:
        """Chooses the logit that `explain` explains, by the same arguments.

        Args:
            item, label, word: see `explain`.

        Raises:
            ValueError, UserError: see `explain`.
        """
        if word is not None and self.kind != "tags":
            raise UserError(
                "only a model of tags has a word", setting="word", value=word
            )
        if label is not None and self.kind == "regression":
            raise UserError(
                "a model of numbers has no labels",
                setting="label",
                value=label,
            )
        reads = self._reader.read(self.kind, item)
        outputs = [self._outputs(read) for read in reads]
        if self.kind == "question_answering":
            starts, ends = (
                [np.asarray(output[name][0]) for output in outputs]
                for name in ("start_logits", "end_logits")
            )
            return targets.of_answers(reads, starts, ends, self.reading, label)
        if self.kind == "multiple_choice":
            logits = np.array([float(output[0, 0]) for output in outputs])
            return targets.of_choices(reads, logits, label)
        logits = np.asarray(outputs[0])[0]
        if self.kind == "tags":
            return targets.of_tags(reads[0], logits, self.labels, label, word)
        names = [NUMBER] if self.kind == "regression" else self.labels
        return targets.of_labels(reads[0], logits, names, label)

    def _outputs(self, read: ReadItem) -> Any:
        inputs = {
            name: value[np.newaxis] for name, value in read.inputs.items()
        }
        return self._network.outputs(inputs)


def check_kind(kind: str | None, path: str) -> None:
    """Raises UserError unless models of a kind can be explained.

    Args:
        kind: of the model.
        path: the model, for the message.
    """
    if kind not in LOGITS:
        what = "has no head" if kind is None else f"is a model of {kind}"
        raise UserError(
            f"{path} {what}; only answers of fine-tuned models are explained: "
            f"{', '.join(LOGITS)}"
        )


def _scored(read: ReadItem, scores: np.ndarray) -> tuple[ScoredWord, ...]:
    """The words that the model reads, each with the sum of its pieces."""
    owners = read.owners.reshape(-1)
    is_word = owners != NO_WORD
    sums = np.zeros(len(read.words))
    np.add.at(sums, owners[is_word], scores.reshape(-1)[is_word])
    return tuple(
        ScoredWord(
            **dataclasses.asdict(read.words[number]), score=float(sums[number])
        )
        for number in np.unique(owners[is_word])
    )
