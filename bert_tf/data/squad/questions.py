"""Questions on contexts, read from the items of a file.

An item is one of

    {"title": "…", "paragraphs": [PARAGRAPH, …]}          SQuAD's article
    {"context": "…", "qas": [QUESTION, …]}                a paragraph
    {"id": "…", "question": "…", "context": "…", …}       a single question

with other names for the keys, if they are known (`keys.py`), and with ids,
numbers and answers as other tools write them (`variants.py`).
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from bert_tf.data.squad import variants
from bert_tf.data.squad.contexts import Context
from bert_tf.data.squad.keys import canonical, keys_with_answers
from bert_tf.data.squad.question_files import (
    Item,
    read_items,
    rows_of_columns,
)
from bert_tf.data.squad.variants import Answer
from bert_tf.data.tabular.text_rows import Row
from bert_tf.errors import UserError

_SQUAD_KEYS = {
    *("id", "question", "answers", "is_impossible", "plausible_answers")
}


@dataclasses.dataclass(slots=True)
class Question:
    """A question as a file has it.

    Attributes:
        qas_id: its id; made from its place where the file has none.
        text: the question.
        answers: its answers; [] for null, None where the key is missing.
        is_impossible: whether it has no answer; None where the file does not
            say so.
        place: where it is, such as "train.json: data[0].paragraphs[2].qas[1]".
        has_id: whether the file has its id.
        is_row: whether it is a single question with its context. Such rows
            have no "is_impossible": without an answer they say that there is
            none.
    """

    qas_id: str
    text: str
    answers: list[Answer] | None
    is_impossible: bool | None
    place: str
    has_id: bool = True
    is_row: bool = False

    @property
    def has_answer(self) -> bool:
        """Whether there is an answer that is not blank."""
        return any(answer.text.strip() for answer in self.answers or ())

    @property
    def says_no_answer(self) -> bool:
        """Whether it has no answer, by its flag or by its blank answers."""
        if self.is_impossible is not None:
            return self.is_impossible
        if self.has_answer or self.answers is None:
            return False
        return bool(self.answers) or self.is_row


def read_questions(path: str) -> Iterator[tuple[Context, Question]]:
    """Yields the questions of a file; those of a paragraph share the context.

    So do rows that follow one another.

    Raises:
        UserError: the file has something else.
    """
    last = None
    for place, item in read_items(path):
        if "paragraphs" in item:
            yield from _of_item(item, place, path)
            continue
        for context, question in _of_item(item, place, path):
            if question.is_row:
                if last is not None and last.text == context.text:
                    context = last
                last = context
            yield context, question


def question_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Yields a row for each question in the rows of a file.

    A row that is an article or a paragraph becomes a row for each of its
    questions, with "id", "question" and "context". Another row stays, but for
    the names of its columns: other tools' become "question" and "context".

    Raises:
        UserError: an article or a paragraph cannot be read.
    """
    for row in rows:
        names = canonical(tuple(row.values))
        if "paragraphs" in names or {"context", "qas"} <= {*names}:
            path = row.place.rpartition(":")[0]
            for context, question in _of_item(row.values, row.place, path):
                values = {
                    "id": question.qas_id,
                    "question": question.text,
                    "context": context.text,
                }
                yield Row(place=question.place, values=values)
        elif {"context", "question"} <= {*names}:
            renamed = {names[key]: key for key in ("context", "question")}
            values = {renamed.get(k, k): v for k, v in row.values.items()}
            yield Row(place=row.place, values=values)
        else:
            yield row


def _of_item(
    item: dict[str, Any], place: str, path: str
) -> Iterator[tuple[Context, Question]]:
    names = {"paragraphs": "paragraphs"}
    if "paragraphs" not in item:
        names = canonical(tuple(item))
    paragraphs = item.get(names.get("paragraphs", "paragraphs"))
    if isinstance(paragraphs, list):
        for where, paragraph in _objects(item, names["paragraphs"], place):
            yield from _of_paragraph(paragraph, where, path)
    elif {"context", "qas"} <= {*names}:
        yield from _of_paragraph(item, place, path)
    elif {"context", "question"} <= {*names}:
        if isinstance(item[names["question"]], list | dict):
            for where, row in rows_of_columns(item, _start(place)):
                yield _of_row(row, canonical(tuple(row)), where, path)
        else:
            yield _of_row(item, names, place, path)
    elif isinstance(paragraphs, dict):
        yield from _of_paragraph(paragraphs, f"{place}.paragraphs", path)
    elif "header" in item and len(item) == 1:
        return  # MRQA's first line.
    else:
        inner = [*_inner_items(item, place)]
        if not inner:
            raise UserError(_why_not(item, place, path))
        for where, entry in inner:
            yield from _of_item(entry, where, path)


def _inner_items(item: dict[str, Any], place: str) -> Iterator[Item]:
    """Yields the items within another one.

    They are the list "data", "row" of a data set's server, or "data" of Label
    Studio, whose annotations are the answers.
    """
    data = item.get("data", item.get("row"))
    if isinstance(data, list):
        yield from _objects(item, "data", place)
    elif isinstance(data, dict):
        answers = {}
        if isinstance(item.get("annotations"), list):
            answers = {"answers": _marked_spans(item["annotations"])}
        key = "data" if "data" in item else "row"
        yield f"{_start(place)}{key}", {"id": item.get("id"), **data, **answers}


def _marked_spans(annotations: list[Any]) -> list[Any]:
    """The spans of Label Studio's first annotation that somebody finished."""
    for annotation in annotations:
        if annotation.get("was_cancelled"):
            continue
        values = [r.get("value", {}) for r in annotation.get("result", ())]
        return [value for value in values if "start" in value]
    return []


def _why_not(item: dict[str, Any], place: str, path: str) -> str:
    if "paragraphs" in item:
        return f'{place}: "paragraphs" must be a list; not a SQuAD file?'
    keys = ", ".join([*map(str, item)][:10])
    if not place.startswith(f"{path}: data["):
        where = path if place == f"{path}:1" else place
        return (
            f"{where}: not a SQuAD file: it must be an object with the list "
            '"data", or have questions, each with "question" and "context"; '
            f"the keys here are {keys or 'none'}"
        )
    names = canonical(tuple(item))
    wrong = "context" if "question" in names or "qas" in names else "paragraphs"
    return f'{place}: "{wrong}" is missing; not a SQuAD file?'


def _start(place: str) -> str:
    """The place up to a key in it; a place may end in a line's number."""
    return f"{place}." if place.endswith("]") else f"{place}: "


def _of_paragraph(
    paragraph: dict[str, Any], place: str, path: str
) -> Iterator[tuple[Context, Question]]:
    names = {"context": "context", "qas": "qas"}
    if "context" not in paragraph or "qas" not in paragraph:
        names |= canonical(tuple(paragraph))
    context = Context(_text(paragraph, names["context"], place))
    for where, question in _objects(paragraph, names["qas"], place):
        yield context, _question(question, context, where, path)


def _question(
    question: dict[str, Any], context: Context, place: str, path: str
) -> Question:
    """Reads a question of a paragraph, SQuAD's own by a short way."""
    qas_id, text = question.get("id"), question.get("question")
    answers = question.get("answers")
    is_impossible = question.get("is_impossible")
    if (
        question.keys() <= _SQUAD_KEYS
        and type(qas_id) is str
        and qas_id
        and type(text) is str
        and type(answers) is list
        and (is_impossible is None or type(is_impossible) is bool)
    ):
        found = _plain_answers(answers)
        if found is not None:
            return Question(qas_id, text, found, is_impossible, place)
    names = canonical(tuple(question), has_context=True)
    return _any_question(question, names, context, place, path)


def _plain_answers(answers: list[Any]) -> list[Answer] | None:
    """The answers where they are as SQuAD has them, otherwise None."""
    found = []
    try:
        for answer in answers:
            text, start = answer["text"], answer["answer_start"]
            if type(text) is not str or type(start) is not int or start < 0:
                return None
            found.append(Answer(text, start))
    except (KeyError, TypeError):
        return None
    return found


def _of_row(
    row: dict[str, Any], names: dict[str, str], place: str, path: str
) -> tuple[Context, Question]:
    context = Context(_text(row, names["context"], place))
    question = _any_question(row, names, context, place, path)
    question.is_row = True
    return context, question


def _any_question(
    question: dict[str, Any],
    names: dict[str, str],
    context: Context,
    place: str,
    path: str,
) -> Question:
    """Reads a question whose keys have the given names."""

    def value(name):
        return question.get(names[name]) if name in names else None

    qas_id = variants.id_of(value("id"), place)
    is_impossible = variants.flag_of(
        value("is_impossible"), names.get("is_impossible", ""), place
    )
    if is_impossible is None and "is_answerable" in names:
        is_answerable = variants.flag_of(
            value("is_answerable"), names["is_answerable"], place
        )
        if is_answerable is not None:
            is_impossible = not is_answerable
    return Question(
        qas_id or _made_id(place, path),
        _text(question, names.get("question", "question"), place),
        _answers(question, names, context, place),
        is_impossible,
        place,
        has_id=bool(qas_id),
    )


def _answers(
    question: dict[str, Any],
    names: dict[str, str],
    context: Context,
    place: str,
) -> list[Answer] | None:
    starts, ends = (
        question[names[edge]] if edge in names else None
        for edge in ("answer_start", "answer_end")
    )
    keys = [names[n] for n in ("consensus", "answers") if n in names][:1]
    if "answers" in names and keys == [names["answers"]]:
        keys = [*dict.fromkeys([*keys, *keys_with_answers(tuple(question))])]
    if "detected_answers" in names:
        keys = [names["detected_answers"], *keys]
    found: list[Answer] | None = None
    for key in keys:
        if found and key != names.get("answers"):
            break  # Other names, of which the first has answers.
        answers = variants.answers_of(
            question[key],
            context.text,
            f"{_start(place)}{key}",
            starts,
            ends,
        )
        texts = {answer.text for answer in found or ()}
        found = (found or []) + [a for a in answers if a.text not in texts]
    if found is None and starts is not None and ends is not None:
        return variants.answers_of(None, context.text, place, starts, ends)
    return found


def _made_id(place: str, path: str) -> str:
    """The id of a question without one: its place in the file."""
    inside = place.removeprefix(path).lstrip(": ")
    return f"line {inside}" if inside[:1].isdigit() else inside


# ---------------------------------------------------------------------------
# Values that must be there.


def _text(parent: dict[str, Any], key: str, place: str) -> str:
    if key not in parent:
        raise UserError(f'{place}: "{key}" is missing; not a SQuAD file?')
    value = parent[key]
    if not isinstance(value, str):
        raise UserError(f'{place}: "{key}" must be text; not a SQuAD file?')
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError(
                f'{place}: "{key}" has half a surrogate pair, such as \\ud800 '
                "alone: no text in UTF-8"
            ) from None
    return value


def _objects(
    parent: dict[str, Any], key: str, place: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (place, object) of a list of objects."""
    if key not in parent:
        raise UserError(f'{place}: "{key}" is missing; not a SQuAD file?')
    items = parent[key]
    if not isinstance(items, list):
        raise UserError(f'{place}: "{key}" must be a list; not a SQuAD file?')
    start = f"{_start(place)}{key}"
    for index, item in enumerate(items):
        inner = f"{start}[{index}]"
        if not isinstance(item, dict):
            raise UserError(f"{inner}: must be an object; not a SQuAD file?")
        yield inner, item
