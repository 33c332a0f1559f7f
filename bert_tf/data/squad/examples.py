"""SQuAD files: questions on paragraphs, and their answers.

    {"data": [{"paragraphs": [{"context": "…", "qas": [
        {"id": "…", "question": "…",
         "answers": [{"text": "…", "answer_start": 17}]}]}]}]}

`windows.py` makes the model's inputs of them, and `answers.py` goes back from
its outputs to text.
"""

import array
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from absl import logging

from bert_tf.counts import counted
from bert_tf.data.plausible.sample import NUM_ROWS
from bert_tf.data.squad.contexts import Context
from bert_tf.data.squad.questions import Question, read_questions
from bert_tf.errors import UserError

# {what was read in another way than SQuAD has it: what a log says of some
# questions}.
NOTES = {
    "made_id": "have no id: the place in the file is the id in predictions",
    "searched": "have an answer without a start, which the context has once: "
    "it is read there",
    "moved": "have an answer that is not where the file says, but once in "
    "the context: it is read there",
    "case": "have an answer that differs from the context by upper and lower "
    "case: the context counts",
    "utf-16-le": "have an answer whose start counts UTF-16 units, as "
    "JavaScript and Java do: it is read there",
    "utf-8": "have an answer whose start counts bytes of UTF-8: it is read "
    "there",
    "in_doubt": "have an answer that the context has at several places, but "
    "not where the file says: left out",
    "impossible": "are marked as having no answer, and have one: the mark "
    "counts",
    "unmarked": "have no answer, and no mark that says so: read as questions "
    "without an answer",
}


@dataclasses.dataclass
class Note:
    """How often something was read in another way than SQuAD has it.

    Attributes:
        number: of questions.
        place: of the first, such as "train.json: data[0].paragraphs[2].qas[1]".
    """

    number: int
    place: str


@dataclasses.dataclass
class SquadExample:
    """One question on a paragraph.

    Attributes:
        qas_id: the question's id.
        question_text: the question, not tokenized.
        doc_tokens: the words of the context, split at white space; the
            questions of a paragraph share the list.
        orig_answer_text: the answer, where it is read; "" for no answer.
        start_position: place of its first word, -1 for no answer.
        end_position: place of its last word, -1 for no answer.
        is_impossible: whether the context does not hold the answer.
    """

    qas_id: str
    question_text: str
    doc_tokens: list[str]
    orig_answer_text: str | None = None
    start_position: int | None = None
    end_position: int | None = None
    is_impossible: bool = False

    @property
    def answer_words(self) -> tuple[int, int] | None:
        """(first, last) word of the answer; None where it is not known."""
        first, last = self.start_position, self.end_position
        if self.is_impossible or first is None or last is None:
            return None
        return first, last


def _skip_silently(qas_id, place, text):
    pass


class SquadExamples:
    """The examples of a file, read from it whenever they are iterated.

    One article at a time is held in memory. Creating the object reads the file
    once, so that mistakes are found before anything is written.

    Args:
        path: of the file, SQuAD 1.1 or 2.0.
        is_training: also read the answers; of several answers the first one.
            Examples whose answer is not in the context are left out.
        version_2_with_negative: whether questions may have no answer.
        on_skip: function(question id, place in the file, answer's text),
            called for each example that is left out.

    Attributes:
        num_skipped: examples that were left out.
        num_with_several_answers: examples with more answers than the one read.
        num_marked_impossible: questions marked as having no answer.
        notes: {key of `NOTES`: what was read in another way}.
        first, places: the first examples, and where they are in the file.
        keys: a hash of each question on its context.

    Raises:
        UserError: it is not a SQuAD file.
    """

    def __init__(
        self,
        path: str,
        is_training: bool,
        version_2_with_negative: bool = False,
        on_skip: Callable[[str, str, str], None] = _skip_silently,
    ):
        self.path = path
        self.is_training = is_training
        self.version_2_with_negative = version_2_with_negative
        self.num_skipped = self.num_with_several_answers = 0
        self.num_marked_impossible = 0
        self.notes: dict[str, Note] = {}
        self._number = 0
        self.first: list[SquadExample] = []
        self.places: list[str] = []
        self.keys = array.array("q")
        ids = IdSet(path)
        for context, question in read_questions(path):
            if not is_training:
                ids.add(question)
                if not question.has_id:
                    self._note("made_id", question)
            if question.is_impossible:
                self.num_marked_impossible += 1
                if version_2_with_negative and question.has_answer:
                    self._note("impossible", question)
            example = None
            if is_training or self._number < NUM_ROWS:
                example = self._example(context, question, self._note)
            if is_training and example is None:
                self.num_skipped += 1
                answers = question.answers or ()
                text = next((a.text for a in answers), "")
                on_skip(question.qas_id, question.place, text)
                continue
            self._number += 1
            self.keys.append(hash((question.text, context.text)))
            if example is not None and self._number <= NUM_ROWS:
                self.first.append(example)
                self.places.append(question.place)
            if is_training and not question.is_impossible:
                several = len(question.answers or ()) > 1
                self.num_with_several_answers += several
        if not self._number:
            raise UserError(self._why_none())

    def _why_none(self) -> str:
        """The error of a file without a question that can be learned."""
        if doubt := self.notes.get("in_doubt"):
            return (
                f"{doubt.place}: the context has the answer at several places, "
                'and "answer_start" does not say which; no question is left'
            )
        why = " with an answer in its context" if self.num_skipped else ""
        return f"{self.path}: no question{why}"

    def __len__(self) -> int:
        return self._number

    @property
    def num_in_doubt(self) -> int:
        """The skipped questions whose answer may be at several places."""
        note = self.notes.get("in_doubt")
        return note.number if note else 0

    def __iter__(self) -> Iterator[SquadExample]:
        for context, question in read_questions(self.path):
            example = self._example(context, question)
            if example is not None:
                yield example

    def _note(self, key: str, question: Question) -> None:
        if note := self.notes.get(key):
            note.number += 1
        else:
            self.notes[key] = Note(1, question.place)

    def _example(
        self,
        context: Context,
        question: Question,
        note: Callable[[str, Question], None] = lambda key, question: None,
    ) -> SquadExample | None:
        """The example of a question, or None where its answer is not found."""
        example = SquadExample(
            question.qas_id, question.text, context.doc_tokens
        )
        if not self.is_training:
            return example
        if self.version_2_with_negative and question.says_no_answer:
            if question.is_impossible is None:
                note("unmarked", question)
            example.orig_answer_text, example.is_impossible = "", True
            example.start_position = example.end_position = -1
            return example
        if question.is_impossible or not question.answers:
            raise UserError(
                f"{question.place}: {self._why_not_learned(question)}"
            )
        text, start = question.answers[0]
        if len(question.answers) > 1 and not text.strip():
            text, start = next(
                (a for a in question.answers if a.text.strip()), ("", None)
            )
        words = None if start is None else context.words_of(text, start)
        if words is None:
            found = context.find(text, start)
            if not found:
                if text.strip() and context.text.count(text.strip()) > 1:
                    note("in_doubt", question)
                return None
            note(found.how, question)
            words, text = (found.first, found.last), found.text
        example.orig_answer_text = text
        example.start_position, example.end_position = words
        return example

    def _why_not_learned(self, question: Question) -> str:
        """Says why a question cannot be learned from."""
        if question.is_impossible:
            return (
                "is_impossible is true: to train on questions without an "
                "answer, give `version_2_with_negative`"
            )
        if not self.version_2_with_negative:
            mark = "" if question.is_row else ", and mark them in the file with"
            mark += "" if question.is_row else ' "is_impossible": true'
            start = '"answers" is missing, and there is '
            return (start if question.answers is None else "") + (
                "no answer to learn from: to train on questions without an "
                f"answer, give `version_2_with_negative`{mark}"
            )
        has = "is false" if question.is_impossible is False else "is missing"
        answers = "is missing" if question.answers is None else "is empty"
        return (
            f'an answerable question without an answer: "answers" {answers}, '
            f'and "is_impossible" {has}; write "is_impossible": true if the '
            "context does not hold the answer, or else the answer"
        )


class IdSet:
    """The ids of a file's questions, each of which must come once.

    Args:
        path: of the file.
    """

    def __init__(self, path: str):
        self._path = path
        self._ids: set[str] = set()

    def add(self, question: Question) -> None:
        """Adds the id of a question.

        Raises:
            UserError: another question has it.
        """
        qas_id = question.qas_id
        if qas_id in self._ids:
            first = next(
                q for _, q in read_questions(self._path) if q.qas_id == qas_id
            )
            raise UserError(
                f"{question.place}: the id {qas_id!r} comes twice, first at "
                f"{first.place.removeprefix(self._path).lstrip(': ')}; "
                "predictions have one place for each id"
            )
        self._ids.add(qas_id)


def read_squad_examples(
    path: str, is_training: bool, version_2_with_negative: bool = False
) -> list[SquadExample]:
    """All `SquadExamples` of a file."""
    return list(SquadExamples(path, is_training, version_2_with_negative))


def read_answers(
    path: str, version_2_with_negative: bool = False
) -> dict[str, list[str]]:
    """The texts of the answers in a file to evaluate on, by question id.

    Args:
        path: of the file.
        version_2_with_negative: whether questions may have no answer. Then one
            that is marked so has none, whatever else the file says.

    Raises:
        UserError: it is not a SQuAD file, or a question has no list "answers".
    """
    texts: dict[str, list[str]] = {}
    ids, is_marked = IdSet(path), False
    for _, question in read_questions(path):
        ids.add(question)
        is_impossible = version_2_with_negative and question.is_impossible
        if question.answers is None and not is_impossible:
            raise UserError(
                f'{question.place}: "answers" is missing: without them there '
                "is nothing to evaluate with"
            )
        found = []
        if question.has_answer and not is_impossible:
            found = [answer.text for answer in question.answers or ()]
        texts[question.qas_id] = found
        is_marked |= bool(question.is_impossible)
    if version_2_with_negative and not is_marked and not any(texts.values()):
        logging.warning(
            "%s: no question has an answer, and none is marked as having none: "
            "in the scores, no answer is right for all",
            path,
        )
    return texts


def check_answered(path: str, answers: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError where a question of SQuAD 1.1 has no answer."""
    without = [qas_id for qas_id, texts in answers.items() if not texts]
    if len(without) == len(answers):
        raise UserError(
            f"{path}: no question has an answer: there "
            "is nothing to evaluate with"
        )
    if without:
        raise UserError(
            f"{path}: {counted(len(without), len(answers), 'question')} no "
            f"answer, {without[0]} first: to evaluate on SQuAD 2.0 give "
            "`version_2_with_negative`"
        )
