"""Reads sentences from JSON: words with tags, or texts with entities.

`tagged_objects` lists the forms of an object. A file has an object on each
line, or an array of them, or spaCy's lists.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from absl import logging

from bert_tf import files
from bert_tf.counts import counted
from bert_tf.data.tabular.json_objects import read_objects
from bert_tf.data.tagged import character_spans
from bert_tf.data.tagged.character_spans import SpanCounts
from bert_tf.data.tagged.sentences import (
    TEXTS,
    TOKENS,
    Sentence,
    WordColumns,
    WordFile,
)
from bert_tf.data.tagged.span_places import settle_places
from bert_tf.data.tagged.tagged_objects import (
    spacy_sentences,
    to_item,
    token_key,
)
from bert_tf.errors import UserError

HEAD_BYTES = 1 << 14
_JSON = re.compile(r'\s*(\{\s*"|\[\s*(\{\s*"|\[\s*["\[]))')
_LISTS = re.compile(r'\s*\[\s*(\[\s*)*"')
# Files next to a data set's, which name the numbers of its tags.
INFO_FILES = ("dataset_info.json", "dataset_infos.json", "id2label.json")


def is_json(path: str) -> bool:
    """Whether a file's first characters are those of JSON objects."""
    with files.reading(path) as reader:
        head = reader.read(HEAD_BYTES)
    text = head.decode("utf-8-sig", "replace")
    return bool(_JSON.match(text)) or bool(_is_pair(text))


def _is_pair(text):
    """Whether the first line is spaCy's ["text", {"entities": …}]."""
    line = text.lstrip().partition("\n")[0]
    return re.match(r'\["', line) and re.search(r'"\s*,\s*[\[{]', line)


def read(
    path: str, set_type: str, columns: WordColumns, strict: bool
) -> WordFile:
    """The sentences of a file of JSON.

    Objects that an annotator refused, and texts that say nothing of entities,
    are left out of sets for training and evaluation, and counted in a warning.

    Args:
        path: of the file.
        set_type: "train", "dev" or "test".
        columns: may name the keys of words and tags.
        strict: make errors of warnings.

    Raises:
        UserError: the file, or an object in it, cannot be used.
    """
    return read_values(path, _values(path), set_type, columns, strict)


def read_values(
    path: str,
    values: Iterable[tuple[int, Any]],
    set_type: str,
    columns: WordColumns,
    strict: bool,
    class_names: Mapping[str, list[str]] | None = None,
) -> WordFile:
    """The sentences of objects; see `read`.

    Args:
        path: of their file.
        values: (line, object) each.
        set_type, columns, strict: see `read`.
        class_names: {key: names of the numbers in it}, where these are known.

    Raises:
        UserError: an object cannot be used.
    """
    items = []
    for line, value in values:
        try:
            items.append(to_item(value, line, columns))
        except KeyError as error:
            raise UserError(f"{path}:{line}: no {error} in an entity") from None
        except (ValueError, TypeError, LookupError) as error:
            raise UserError(f"{path}:{line}: {error}") from None
    if not items:
        raise UserError(f"{path}: no sentence in this file")
    _name_numbers(path, items, class_names or {})
    settle_places(path, items)
    notes = SpanCounts()
    kept = _kept(path, items, set_type, strict)
    sentences = _sentences(path, kept, set_type, notes)
    for what, number in notes.counts.items():
        place = f"{path}:{notes.lines[what]}"
        verb, _, rest = what.partition(" ")
        text = f"{counted(number, notes.total, 'entity', verb)} {rest}"
        if strict:
            raise UserError(f"{place}: {text}, under `strict`")
        logging.warning("%s: %s (line of the first)", place, text)
    where = next((item.where for item in items if item.where), "")
    return WordFile(
        path,
        sentences,
        where=repr(where) if where else "",
        is_spelled=all(item.tags is None for item in items),
    )


def _values(path: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of each object or list of a file."""
    with files.reading(path) as reader:
        head = reader.read(HEAD_BYTES).decode("utf-8-sig", "replace")
    if _is_pair(head):
        for number, text in files.read_lines(path):
            if text.strip():
                yield number, _loaded(text, f"{path}:{number}")
        return
    if _LISTS.match(head):
        yield from _items_of_list(path)
        return
    if (alone := _only_object(head)) is not None:
        yield 1, alone
        return
    for line, value in read_objects(path):
        if isinstance(value.get("paragraphs"), list | dict):
            yield from ((line, inner) for inner in spacy_sentences(value))
            continue
        # spaCy's annotators write all texts into one object.
        pairs = value.get("annotations")
        if isinstance(value.get("classes"), list) and isinstance(pairs, list):
            yield from ((line, pair) for pair in pairs if pair)
        else:
            yield line, value


def _only_object(head):
    """The object that a file is, if it is one sentence rather than columns."""
    if len(head) >= HEAD_BYTES:
        return None
    try:
        value = json.loads(head)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    return value if token_key(value, None) is not None else None


def _items_of_list(path):
    text = files.read_text(path)
    decoder, place = json.JSONDecoder(), text.index("[") + 1
    while True:
        place = re.compile(r"[\s,]*").match(text, place).end()
        if place >= len(text) or text[place] == "]":
            return
        line = text.count("\n", 0, place) + 1
        try:
            value, place = decoder.raw_decode(text, place)
        except ValueError as error:
            raise UserError(
                f"{path}:{line}: not JSON: {files.reason(error)}"
            ) from None
        yield line, value


def _loaded(line, place):
    try:
        return json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: not JSON: {files.reason(error)}") from None


# ---------------------------------------------------------------------------
# Numbers in place of tags.


def _name_numbers(path, items, class_names):
    """Gives tags that are numbers their names, where these are known."""
    numbered = [item for item in items if item.are_numbers]
    if not numbered:
        return
    where = numbered[0].where
    names = numbered[0].names or class_names.get(where)
    names = names or _names_beside(path, where)
    if names is None:
        return  # `tag_reading` says it.
    for item in numbered:
        tags = item.tags or []
        for tag in tags:
            if tag is not None and (
                not re.fullmatch(r"-?[0-9]+", tag) or int(tag) >= len(names)
            ):
                raise UserError(
                    f"{path}:{item.line}: the tag {tag} has no name; there are "
                    f"{len(names)}: {', '.join(names)}"
                )
        item.tags = [
            tag if tag is None or int(tag) < 0 else names[int(tag)]
            for tag in tags
        ]


def _names_beside(path, key):
    """The names in a data set's description next to the file."""
    for name in INFO_FILES:
        beside = os.path.join(os.path.dirname(path), name)
        if not files.exists(beside):
            continue
        try:
            found = _find_names(json.loads(files.read_text(beside)), key)
        except ValueError:
            continue
        if found:
            logging.info("%s: the names of the tags are in %s", path, beside)
            return found
    return None


def _find_names(value, key):
    if isinstance(value, dict):
        if value and all(isinstance(k, str) and k.isdecimal() for k in value):
            return [str(value[k]) for k in sorted(value, key=int)]
        if key in value and isinstance(value[key], dict):
            found = json.dumps(value[key])
            names = re.search(r'"names":\s*(\[[^\]]*\])', found)
            if names:
                return json.loads(names[1])
        for inner in value.values():
            if found := _find_names(inner, key):
                return found
    return None


# ---------------------------------------------------------------------------
# Items -> sentences.


def _kept(path, items, set_type, strict):
    """The items that a set uses; warns about others."""
    if set_type == "test":
        return items
    reasons: dict[str, list[int]] = {}
    kept = []
    for item in items:
        why = item.left_out
        if not why and item.tags is None and item.spans is None:
            why = "say nothing about tags or entities"
        elif not why and item.text is not None and not item.text.strip():
            why = "have no text"
        if why:
            reasons.setdefault(why, []).append(item.line)
        else:
            kept.append(item)
    for why, lines in reasons.items():
        verb, _, rest = why.partition(" ")
        text = f"{counted(len(lines), len(items), 'object', verb)} {rest}"
        if strict or not kept:
            end = ", under `strict`" if kept else ""
            raise UserError(f"{path}:{lines[0]}: {text}{end}")
        logging.warning(
            "%s: %s (line %d first): left out", path, text, lines[0]
        )
    return kept


def _sentences(path, items, set_type, notes):
    sentences: list[Sentence] = []
    empties: list[str] = []
    has_blanks = any(
        re.search(r"\s", token) for item in items for token in item.tokens or ()
    )
    for index, item in enumerate(items):
        guid = f"{set_type}-{index}"
        if item.tokens is not None:
            sentence = _of_tokens(
                guid, item, "\t" if has_blanks else " ", notes
            )
        else:
            sentence = _of_text(guid, item, notes)
        if not sentence.words:
            empties.append(item.text or "")
            continue
        sentence.before, empties = empties, []
        if item.left_out:
            sentence.labels = None
        sentences.append(sentence)
    if not sentences:
        raise UserError(f"{path}: no text in this file")
    sentences[-1].after = empties
    return sentences


def _of_tokens(guid, item, separator, notes):
    tags: Sequence[str | None] | None = item.tags
    if tags is None and item.spans is not None:
        # Each word counts as a character.
        number = len(item.tokens)
        places = [(place, place + 1) for place in range(number)]
        tags = character_spans.to_tags(
            "x" * number, places, item.spans, notes, item.line
        )
    return Sentence(
        guid=guid,
        words=item.tokens,
        labels=tags,
        rows=[" ".join(token.split()) for token in item.tokens],
        separator=separator,
        origin=TOKENS,
        id=item.id,
        lines=[item.line],
    )


def _of_text(guid, item, notes):
    places = character_spans.words_of(item.text)
    tags = None
    if item.spans is not None:
        tags = character_spans.to_tags(
            item.text, places, item.spans, notes, item.line
        )
    return of_text(guid, item.text, places, tags, TEXTS, item.line, item.id)


def of_text(
    guid: str,
    text: str,
    places: list[tuple[int, int]],
    tags: Sequence[str] | None,
    origin: str,
    line: int,
    id: Any = None,
) -> Sentence:
    """A sentence that is cut from a text.

    Args:
        guid, tags, origin, id: see `Sentence`.
        text: the text.
        places: of its words.
        line: of the text in the file.
    """
    words = [text[start:end] for start, end in places]
    return Sentence(
        guid=guid,
        words=words,
        labels=tags,
        rows=words,
        origin=origin,
        text=text,
        places=places,
        id=id,
        lines=[line],
    )
