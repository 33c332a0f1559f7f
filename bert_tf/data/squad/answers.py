"""Finds the answers to questions in the model's outputs for windows.

logits of the windows
  candidates     the best starts with the best ends, where both are possible
  text           WordPieces back to the characters of the context
  n-best         the best candidates of different text
  answer         the first of them; in SQuAD 2.0 perhaps no answer
"""

import collections
import contextlib
import dataclasses
import functools
import json
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np

from bert_tf.data.squad.examples import SquadExample
from bert_tf.data.squad.windows import InputFeatures
from bert_tf.tokenization import BasicTokenizer, TokenizerSettings

# The null odds of a question that has no other answer left: larger than any
# difference of scores.
CERTAINLY_NULL = 1_000_000.0
# The original's answer in SQuAD 1.1 where no candidate is left.
NO_CANDIDATE = "empty"


@dataclasses.dataclass
class RawResult:
    """The model's outputs for a window: float [S] each."""

    unique_id: int
    start_logits: np.ndarray
    end_logits: np.ndarray


@dataclasses.dataclass
class Answer:
    """The answer to one question, and its rivals.

    Attributes:
        text: the prediction; "" for no answer.
        nbest: dicts of text, probability, start_logit, end_logit, best first.
        null_odds: score of "no answer" minus that of the best answer; None in
            SQuAD 1.1.
        best_text: the best answer that is not the null answer; "" without one.
        words: (first, last) word of the context that `best_text` is in; None
            without one.
    """

    text: str
    nbest: list[dict[str, Any]]
    null_odds: float | None
    best_text: str
    words: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerSettings(TokenizerSettings):
    """How answers are chosen.

    Attributes:
        n_best_size: starts, ends and answers to consider.
        max_answer_length: in WordPieces.
        do_lower_case, strip_accents, tokenize_chinese_chars: those of the
            tokenizer, see `TokenizerSettings`.
        version_2_with_negative: whether "no answer" is an answer.
        null_score_diff_threshold: null odds above it mean "no answer".
        on_failed_alignment: function(message), called where the characters of
            an answer are not found, and the whole words are the answer.
    """

    n_best_size: int = 20
    max_answer_length: int = 30
    version_2_with_negative: bool = False
    null_score_diff_threshold: float = 0.0
    on_failed_alignment: Callable[[str], None] = lambda message: None


@dataclasses.dataclass
class _Candidate:
    """A span of pieces, or the null answer, whose window is None."""

    window: InputFeatures | None
    start: int
    end: int
    start_logit: float
    end_logit: float

    @property
    def score(self) -> float:
        return self.start_logit + self.end_logit


def compute_predictions(
    examples: Iterable[SquadExample],
    features: Iterable[InputFeatures],
    results: Iterable[RawResult],
    n_best_size: int,
    max_answer_length: int,
    do_lower_case: bool,
    version_2_with_negative: bool,
    null_score_diff_threshold: float,
    *,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> tuple[
    dict[str, str], dict[str, list[dict[str, Any]]], dict[str, float | None]
]:
    """Answers all questions.

    Args:
        examples: `SquadExample`s.
        features: their `InputFeatures`.
        results: a `RawResult` for each of the features, in any order.
        n_best_size, max_answer_length, do_lower_case,
        version_2_with_negative, null_score_diff_threshold,
        strip_accents, tokenize_chinese_chars: see `AnswerSettings`.

    Returns:
        (predictions, nbest, null_odds), an OrderedDict by question id each:
        the contents of predictions.json, nbest_predictions.json and
        null_odds.json.
    """
    settings = AnswerSettings(
        n_best_size=n_best_size,
        max_answer_length=max_answer_length,
        do_lower_case=do_lower_case,
        strip_accents=strip_accents,
        tokenize_chinese_chars=tokenize_chinese_chars,
        version_2_with_negative=version_2_with_negative,
        null_score_diff_threshold=null_score_diff_threshold,
    )
    windows = collections.defaultdict(list)
    for window in features:
        windows[window.example_index].append(window)
    by_id = {result.unique_id: result for result in results}
    predictions = collections.OrderedDict()
    nbest = collections.OrderedDict()
    null_odds = collections.OrderedDict()
    for index, example in enumerate(examples):
        outputs = [by_id[window.unique_id] for window in windows[index]]
        answer = find_answer(example, windows[index], outputs, settings)
        predictions[example.qas_id] = answer.text
        nbest[example.qas_id] = answer.nbest
        if version_2_with_negative:
            null_odds[example.qas_id] = answer.null_odds
    return predictions, nbest, null_odds


def find_answer(
    example: SquadExample,
    windows: Sequence[InputFeatures],
    results: Sequence[RawResult],
    settings: AnswerSettings,
) -> Answer:
    """Answers one question.

    Args:
        example: the question.
        windows: its windows, in order.
        results: the model's outputs for each, in the same order.
        settings: how the answer is chosen.
    """
    candidates = [
        candidate
        for window, result in zip(windows, results, strict=True)
        for candidate in _candidates(window, result, settings)
    ]
    null = None
    if settings.version_2_with_negative:
        null = _null_candidate(results)
        candidates.append(null)
    # The sort is stable: of equal ones the first stays first.
    candidates.sort(key=operator.attrgetter("score"), reverse=True)
    nbest = _distinct_answers(example, candidates, settings)
    if null and "" not in nbest:
        nbest[""] = null
    if not nbest:
        nbest[NO_CANDIDATE] = _Candidate(None, 0, 0, 0.0, 0.0)
    best_text = next((text for text in nbest if text), "")
    probabilities = _softmax([c.score for c in nbest.values()])
    answer = Answer(
        next(iter(nbest)),
        [
            {
                "text": text,
                "probability": probability,
                "start_logit": candidate.start_logit,
                "end_logit": candidate.end_logit,
            }
            for (text, candidate), probability in zip(
                nbest.items(), probabilities, strict=True
            )
        ],
        None,
        best_text,
        _words_of(nbest.get(best_text)),
    )
    if null:
        answer.null_odds = CERTAINLY_NULL
        if best_text:
            best = nbest[best_text]
            answer.null_odds = null.score - best.start_logit - best.end_logit
        is_null = answer.null_odds > settings.null_score_diff_threshold
        answer.text = "" if is_null else best_text
    return answer


def _words_of(candidate: _Candidate | None) -> tuple[int, int] | None:
    """(first, last) word of the context that a span is in."""
    if candidate is None or candidate.window is None:
        return None
    words = candidate.window.document.words
    first = candidate.window.doc_start + candidate.start
    last = candidate.window.doc_start + candidate.end
    return int(words[first]), int(words[last])


def _candidates(window, result, settings):
    """Yields the spans of a window that can be answers.

    They are its best starts with its best ends, both inside the context. A
    start must be where it has most context.
    """
    starts, ends = (
        best_indexes(logits, settings.n_best_size)
        for logits in (result.start_logits, result.end_logits)
    )
    # Places in the window's part of the document.
    starts, ends = starts - window.doc_offset, ends - window.doc_offset
    starts = starts[(starts >= 0) & (starts < window.doc_length)]
    starts = starts[window.is_max_context[starts]]
    ends = ends[(ends >= 0) & (ends < window.doc_length)]
    length = ends[np.newaxis] - starts[:, np.newaxis] + 1
    rows, columns = np.nonzero(
        (length >= 1) & (length <= settings.max_answer_length)
    )
    for start, end in zip(starts[rows], ends[columns], strict=True):
        start, end = int(start), int(end)
        yield _Candidate(
            window,
            start,
            end,
            float(result.start_logits[start + window.doc_offset]),
            float(result.end_logits[end + window.doc_offset]),
        )


def best_indexes(
    logits: np.ndarray | Sequence[float], number: int
) -> np.ndarray:
    """int [≤ number]: places of the largest; of equal ones the first."""
    return np.argsort(-np.asarray(logits), kind="stable")[:number]


def _null_candidate(results):
    """[CLS] to [CLS], of the window where it has the lowest score."""
    logits = [
        (float(r.start_logits[0]), float(r.end_logits[0])) for r in results
    ]
    start_logit, end_logit = min(logits, key=sum, default=(0.0, 0.0))
    return _Candidate(None, 0, 0, start_logit, end_logit)


def _distinct_answers(example, candidates, settings) -> dict:
    """{text: the best candidate of that text}, best first.

    The null candidate takes part with the text "".
    """
    nbest: dict[str, _Candidate] = {}
    for candidate in candidates:
        if len(nbest) >= settings.n_best_size:
            break
        text = ""
        if candidate.window is not None:
            text = _text_of(example, candidate, settings)
        nbest.setdefault(text, candidate)
    return nbest


def _text_of(example, candidate, settings) -> str:
    """The characters of the context that a span comes from."""
    window = candidate.window
    document = window.document
    first = window.doc_start + candidate.start
    last = window.doc_start + candidate.end
    pieces = " ".join(document.pieces[first : last + 1])
    pieces = " ".join(pieces.replace(" ##", "").replace("##", "").split())
    words = document.words
    original = " ".join(example.doc_tokens[words[first] : words[last] + 1])
    return get_final_text(
        pieces,
        original,
        on_failure=settings.on_failed_alignment,
        **settings.tokenizer_arguments(),
    )


@functools.lru_cache(maxsize=2)
def _basic_tokenizer(*settings):
    """A tokenizer that remembers the words it has seen."""
    return functools.lru_cache(1 << 17)(BasicTokenizer(*settings).tokenize)


def get_final_text(
    pred_text: str,
    orig_text: str,
    do_lower_case: bool,
    on_failure: Callable[[str], None] = lambda message: None,
    *,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> str:
    """Finds the raw characters that a tokenized text comes from.

    The tokenizer changes characters, and puts spaces between words and
    punctuation. Where it leaves their number as it was, the two texts agree
    character for character when spaces are not counted:

        orig_text   Steve Smith's       the words that hold the answer
        tokenized   steve smith ' s
        pred_text   steve smith
        result      Steve Smith

    Where they do not agree, the words as a whole are the answer.

    Args:
        pred_text: a part of the tokenized words.
        orig_text: the words, separated by single spaces.
        do_lower_case: whether the tokenizer lower-cases.
        on_failure: function(message), called where all words are returned.
        strip_accents, tokenize_chinese_chars: see `TokenizerSettings`.
    """
    # Each word is tokenized alone anyway.
    tokenize = _basic_tokenizer(
        do_lower_case, strip_accents, tokenize_chinese_chars
    )
    words = [token for word in orig_text.split(" ") for token in tokenize(word)]
    tokenized = " ".join(words)
    start = tokenized.find(pred_text)
    if start < 0:
        on_failure(f"Unable to find text: {pred_text!r} in {orig_text!r}")
        return orig_text
    places = _places_without_spaces(orig_text)
    if len(places) != len(tokenized.replace(" ", "")):
        on_failure(
            f"Length not equal after stripping spaces: {orig_text!r} vs "
            f"{tokenized!r}"
        )
        return orig_text
    if not pred_text:
        return orig_text
    first = start - tokenized.count(" ", 0, start)
    length = len(pred_text) - pred_text.count(" ")
    return orig_text[places[first] : places[first + length - 1] + 1]


def _places_without_spaces(text):
    return [place for place, char in enumerate(text) if char != " "]


def _softmax(scores: list) -> list:
    # In the original's order of operations, to the last digit.
    highest = max(scores)
    exponentials = [math.exp(score - highest) for score in scores]
    total = functools.reduce(operator.add, exponentials)
    return [exponential / total for exponential in exponentials]


@contextlib.contextmanager
def writing_json_object(
    writer: IO[str],
) -> Iterator[Callable[[str, Any], None]]:
    """Writes {key: value} as `json.dumps(…, indent=4)` does, item by item.

    Args:
        writer: of text.

    Yields:
        function(key, value), which writes an item.
    """
    separator = "{"

    def write(key: str, value):
        nonlocal separator
        item = json.dumps({key: value}, indent=4)
        writer.write(separator + item.removeprefix("{").removesuffix("\n}"))
        separator = ","

    yield write
    writer.write("{}\n" if separator == "{" else "\n}\n")
