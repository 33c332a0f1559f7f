"""SQuAD files: questions on paragraphs, and their answers.

    {"data": [{"paragraphs": [{"context": "…", "qas": [
        {"id": "…", "question": "…",
         "answers": [{"text": "…", "answer_start": 17}]}]}]}]}

`windows.py` makes the model's inputs of them, and `answers.py` goes back from
its outputs to text.
"""

import array
import bisect
import codecs
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import ijson

from bert_tf import files
from bert_tf.data.plausible.sample import NUM_ROWS
from bert_tf.errors import UserError

# The original's white space, between words. The tokenizer knows more kinds.
_WORD = re.compile("[^ \t\r\n\u202f]+")


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
        self._number = 0
        self.first: list[SquadExample] = []
        self.places: list[str] = []
        self.keys = array.array("q")
        ids = set()
        for context, question in _questions(path):
            if not is_training:
                if question.qas_id in ids:
                    raise UserError(
                        f"{question.place}: the id {question.qas_id!r} comes "
                        "twice; predictions have one place for each id"
                    )
                ids.add(question.qas_id)
            self.num_marked_impossible += question.is_impossible
            example = self._example(context, question)
            if example is not None and len(self.first) < NUM_ROWS:
                self.first.append(example)
                self.places.append(question.place)
            if example is not None:
                self.keys.append(hash((question.text, context.length)))
            if example is None:
                self.num_skipped += 1
                answer = question.answers[0]
                on_skip(question.qas_id, question.place, answer["text"])
                continue
            self._number += 1
            if is_training and not question.is_impossible:
                self.num_with_several_answers += len(question.answers) > 1
        if not self._number:
            raise UserError(
                f"{path}: no question"
                + (" with an answer in its context" if self.num_skipped else "")
            )

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[SquadExample]:
        for context, question in _questions(self.path):
            example = self._example(context, question)
            if example is not None:
                yield example

    def _example(self, context: "_Context", question: "_Question"):
        """The example of a question, or None where its answer is not found."""
        example = SquadExample(
            question.qas_id, question.text, context.doc_tokens
        )
        if not self.is_training:
            return example
        if question.is_impossible and self.version_2_with_negative:
            example.orig_answer_text, example.is_impossible = "", True
            example.start_position = example.end_position = -1
            return example
        if question.is_impossible or not question.answers:
            wrong = (
                "is_impossible is true"
                if question.is_impossible
                else "no answer to learn from"
            )
            raise UserError(
                f"{question.place}: {wrong}: for questions without an answer "
                "give `version_2_with_negative`, and mark them in the file "
                'with "is_impossible": true'
            )
        answer = question.answers[0]
        span = context.words_of(answer["answer_start"], answer["text"])
        if span is None:
            return None
        example.orig_answer_text = answer["text"]
        example.start_position, example.end_position = span
        return example


def read_squad_examples(
    path: str, is_training: bool, version_2_with_negative: bool = False
) -> list[SquadExample]:
    """All `SquadExamples` of a file."""
    return list(SquadExamples(path, is_training, version_2_with_negative))


def read_answers(path: str) -> dict[str, list[str]]:
    """The texts of the answers in a file to evaluate on, by question id.

    Raises:
        UserError: it is not a SQuAD file, or a question has no list "answers".
    """
    texts = {}
    for _, question in _questions(path):
        if question.answers is None:
            raise UserError(
                f'{question.place}: "answers" is missing: without them there '
                "is nothing to evaluate with"
            )
        texts[question.qas_id] = [answer["text"] for answer in question.answers]
    return texts


def check_answered(path: str, answers: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError where a question of SQuAD 1.1 has no answer."""
    without = [qas_id for qas_id, texts in answers.items() if not texts]
    if without:
        raise UserError(
            f"{path}: {len(without)} of {len(answers)} questions have no "
            f"answer, {without[0]} first: to evaluate on SQuAD 2.0 give "
            "`version_2_with_negative`"
        )


class _Context:
    """The words of a paragraph's context, and where they start."""

    def __init__(self, text: str):
        matches = list(_WORD.finditer(text))
        self.doc_tokens = [match[0] for match in matches]
        self.starts = [match.start() for match in matches]
        self.length = len(text)

    def words_of(self, answer_start: int, text: str) -> tuple[int, int] | None:
        """(first, last) word of an answer, or None where it is not there."""
        last = answer_start + len(text) - 1
        answer = " ".join(text.split())
        if not answer or answer_start < 0 or last >= self.length:
            return None
        first, last = (
            bisect.bisect_right(self.starts, place) - 1
            for place in (answer_start, last)
        )
        if first < 0 or answer not in " ".join(
            self.doc_tokens[first : last + 1]
        ):
            return None
        return first, last


@dataclasses.dataclass
class _Question:
    """A question as the file has it; `answers` is None where it is missing."""

    qas_id: str
    text: str
    answers: list | None
    is_impossible: bool
    place: str


def _questions(path):
    """Yields (_Context, _Question) of a file, checked."""
    for index, article in enumerate(_articles(path)):
        paragraphs = _items(article, "paragraphs", f"{path}: data[{index}]")
        for paragraph_place, paragraph in paragraphs:
            context = _value(paragraph, "context", str, paragraph_place)
            context = _Context(context)
            for place, question in _items(paragraph, "qas", paragraph_place):
                yield context, _question(question, place)


def _question(question, place):
    answers = None
    if question.get("answers") is not None:
        answers = []
        for where, answer in _items(question, "answers", place):
            _value(answer, "text", str, where)
            _value(answer, "answer_start", int, where)
            answers.append(answer)
    is_impossible = question.get("is_impossible", False)
    if not isinstance(is_impossible, bool):
        raise UserError(f'{place}: "is_impossible" must be true or false')
    return _Question(
        _value(question, "id", str, place),
        _value(question, "question", str, place),
        answers,
        is_impossible,
        place,
    )


_KINDS = {str: "text", int: "a whole number", list: "a list", dict: "an object"}


def _value(parent, key, kind, place):
    if key not in parent:
        raise UserError(f'{place}: "{key}" is missing; not a SQuAD file?')
    value = parent[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(
            f'{place}: "{key}" must be {_KINDS[kind]}; not a SQuAD file?'
        )
    return value


def _items(parent, key, place):
    """Yields (place, object) of a list of objects."""
    for index, item in enumerate(_value(parent, key, list, place)):
        inner = f"{place}.{key}[{index}]"
        if not isinstance(item, dict):
            raise UserError(f"{inner}: must be an object; not a SQuAD file?")
        yield inner, item


def _articles(path):
    """Yields the items of the list "data", one in memory at a time."""
    index = -1
    with files.naming(path), files.open_binary(path) as reader:
        if reader.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            reader.seek(0)
        try:
            items = ijson.items(reader, "data.item", use_float=True)
            for index, article in enumerate(items):
                if not isinstance(article, dict):
                    raise UserError(
                        f"{path}: data[{index}]: must be an object; not a "
                        "SQuAD file?"
                    )
                yield article
        except ijson.JSONError as error:
            raise UserError(f"{path}: not JSON: {_reason(error)}") from None
        except UnicodeDecodeError:
            raise UserError(
                f"{path}: data[{index + 1}] has half a surrogate pair, such "
                "as \\ud800 alone: no text in UTF-8"
            ) from None
    if index < 0:
        raise UserError(
            f"{path}: not a SQuAD file: it must be an object with the list "
            '"data", which must not be empty'
        )


def _reason(error):
    """One line: what is wrong, and the text around it."""
    message = str(error).removeprefix("b'").replace("\\n", "\n")
    what, *excerpt = message.split("\n")
    excerpt = excerpt[0].split("(right here)")[0].strip() if excerpt else ""
    return f"{what} near {excerpt!r}" if excerpt else what
