"""What the report of a run on questions is made of.

OUTPUT_DIR/report/
    contexts.jsonl      {"context": number, "text": …} of each paragraph
    eval.jsonl          a line for each question, see `rows`; test.jsonl where
                        the right answers are not known
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_tf import metrics
from bert_tf.data.squad.answers import Answer
from bert_tf.data.squad.contexts import Context
from bert_tf.data.squad.questions import Question, read_questions
from bert_tf.data.squad.windows import InputFeatures
from bert_tf.programs import report_rows
from bert_tf.programs.run_folder import RunFolder

CONTEXTS_FILE = "contexts.jsonl"
DIGITS = 5  # In probabilities and null odds.


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """How long a question and its context are.

    Attributes:
        question_tokens: WordPieces of the question, cut to the longest allowed.
        context_tokens: WordPieces of the context.
        windows: in how many parts the model reads the context.
        probability: of the answer, among the n best ones.
    """

    question_tokens: int
    context_tokens: int
    windows: int
    probability: float

    @classmethod
    def of(cls, windows: Sequence[InputFeatures], answer: Answer) -> "Sizes":
        """Measures the windows of a question."""
        first = windows[0] if windows else None
        probabilities = {b["text"]: b["probability"] for b in answer.nbest}
        return cls(
            len(first.query) if first else 0,
            len(first.document.pieces) if first else 0,
            len(windows),
            probabilities.get(answer.text, 0.0),
        )


def write(
    folder: RunFolder,
    path: str,
    answers: Mapping[str, Answer],
    sizes: Mapping[str, Sizes],
    gold: Mapping[str, Sequence[str]],
    has_unanswerable: bool,
) -> None:
    """Writes the files of the report, if this process writes.

    Args:
        folder: of the results.
        path, answers, sizes, gold, has_unanswerable: see `rows`.
    """
    if not folder.writes:
        return
    contexts: list[dict[str, Any]] = []

    def lines():
        for context, row in rows(path, answers, sizes, gold, has_unanswerable):
            if context:
                contexts.append(context)
            yield row

    name = "eval" if gold else "test"
    report_rows.write_rows(folder, f"{name}.jsonl", lines())
    report_rows.write_rows(folder, CONTEXTS_FILE, contexts)


def rows(
    path: str,
    answers: Mapping[str, Answer],
    sizes: Mapping[str, Sizes],
    gold: Mapping[str, Sequence[str]],
    has_unanswerable: bool,
) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any]]]:
    """Yields what the report needs of each question.

    The file is read a second time: it is not kept in memory.

    Args:
        path: the file of questions.
        answers: {question id: the model's answer}.
        sizes: {question id: how long it is}.
        gold: {question id: the right answers}; {} if they are not known.
        has_unanswerable: whether questions may have no answer.

    Yields:
        (context, row): the context only with its first question, else None.
        A row has id, place (in the file), question, context (its number),
        predicted (text, "" for no answer), predicted_at ([start, end] in the
        context's characters, or None), best_text, probability, null_odds,
        question_tokens, context_tokens and windows; and if right answers are
        known gold (texts), gold_at, exact and f1 (0 to 1).
    """
    texts = {qas_id: answer.text for qas_id, answer in answers.items()}
    exact, f1 = metrics.squad_question_scores(gold, texts, has_unanswerable)
    last, number = None, -1
    for context, question in read_questions(path):
        answer = answers.get(question.qas_id)
        if answer is None:
            continue
        is_new = last is None or context is not last
        number += is_new
        last = context
        row = {
            "id": question.qas_id,
            "place": question.place.removeprefix(path).lstrip(": "),
            "question": question.text,
            "context": number,
            "predicted": answer.text,
            "predicted_at": _place_of_answer(context, answer),
            "best_text": answer.best_text,
            "null_odds": _rounded(answer.null_odds),
            **dataclasses.asdict(sizes[question.qas_id]),
        }
        row["probability"] = _rounded(row["probability"])
        if question.qas_id in gold:
            row["gold"] = list(dict.fromkeys(gold[question.qas_id]))
            if row["gold"]:
                row["gold_at"] = _place_of_gold(context, question)
            row["exact"] = exact[question.qas_id]
            row["f1"] = round(f1[question.qas_id], DIGITS)
        text = {"context": number, "text": " ".join(context.doc_tokens)}
        yield (text if is_new else None), row


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)


def _place_of_answer(context: Context, answer: Answer) -> list[int] | None:
    if answer.words is None or not answer.best_text:
        return None
    return place_in_words(context.doc_tokens, *answer.words, answer.best_text)


def _place_of_gold(context: Context, question: Question) -> list[int] | None:
    """The place of the first right answer that the context has."""
    for text, start in question.answers or ():
        found = context.find(text, start) if text.strip() else None
        if found:
            return place_in_words(
                context.doc_tokens, found.first, found.last, found.text
            )
    return None


def place_in_words(
    words: Sequence[str], first: int, last: int, text: str
) -> list[int]:
    """The place of a text in its words, which are joined by single spaces.

    Args:
        words: all words of a context.
        first, last: those that hold the text.
        text: the text; white space in it may be of any kind.

    Returns:
        [start, end] in characters; where the text is not found in the words,
        their own.
    """
    start = sum(len(word) + 1 for word in itertools.islice(words, first))
    joined = " ".join(words[first : last + 1])
    text = " ".join(text.split())
    within = joined.find(text)
    if within < 0:
        return [start, start + len(joined)]
    return [start + within, start + within + len(text)]
