"""Reads a JSON object as a sentence, in the forms of many tools.

    {"tokens": ["EU", …], "ner_tags": ["B-ORG", …]}           Hugging Face
    {"text": …, "entities": [{"start_offset": 0, …}]}         doccano
    {"text": …, "label": [[0, 10, "PER"]]}                    doccano
    {"text": …, "spans": [{"start": 0, …}], "answer": …}      prodigy
    {"data": {"text": …}, "annotations": [{"result": […]}]}   Label Studio
    ["text", {"entities": [[0, 10, "PER"]]}]                  spaCy
    {"text": …, "ents": […]}                                  spaCy
    {"tokens": […], "entities": [{"start": 0, "end": 2, "type": "PER"}]}  SpERT
    {"tokenized_text": […], "ner": [[0, 1, "PER"]]}           GLiNER
    {"content": …, "annotation": [{"points": […]}]}           Dataturks

Errors here are ValueErrors; the reader of the file adds the place.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.counts import number_of
from bert_tf.data.tagged.character_spans import Span
from bert_tf.data.tagged.sentences import WordColumns
from bert_tf.data.tagged.span_objects import (
    SPAN_KEYS,
    START_KEYS,
    first_of,
    label_of,
    span_list,
    span_parts,
    spans_of,
)

TEXT_KEYS = (
    "text",
    "content",
    "sentence",
    "document",
    "raw",
    "source",
    "value",
    "textContent",
)
TOKEN_KEYS = (
    "tokens",
    "words",
    "tokenized_text",
    "token",
    "word",
    "sentence",
    "text",
    "sentences",
)
TAG_KEYS = (
    "ner_tags",
    "ner",
    "ner_labels",
    "tags",
    "labels",
    "bio_tags",
    "iob_tags",
    "tag",
    "label",
    "word_labels",
    "upos",
    "pos_tags",
)
NAME_KEYS = ("id2label", "label_names", "label_list", "names", "tag_names")
REFUSED_ANSWERS = ("reject", "ignore")


@dataclasses.dataclass
class Item:
    """A sentence of a JSON file.

    Attributes:
        line: of the object.
        tokens: its words, or None where it has a text.
        tags: a tag of each word, None for a word without; or None.
        text: its text, or None where it has words.
        spans: its entities; of words they count words. None where it says
            nothing about entities.
        where: the key of the tags or entities.
        id: what the file calls it.
        left_out: why a set for training leaves it out, a verb first; or "".
        are_numbers: whether its tags were numbers.
        names: the names of such numbers, if the object has them.
    """

    line: int
    tokens: list[str] | None = None
    tags: list[str | None] | None = None
    text: str | None = None
    spans: list[Span] | None = None
    where: str = ""
    id: Any = None
    left_out: str = ""
    are_numbers: bool = False
    names: list[str] | None = None


def to_item(value: Any, line: int, columns: WordColumns) -> Item:
    """Reads an object.

    Args:
        value: of JSON.
        line: its line in the file.
        columns: may name the keys of words and tags.

    Raises:
        ValueError: it is not a sentence in any form, or a wrong one.
    """
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = _of_pair(value)
    if not isinstance(value, Mapping):
        raise ValueError(
            'must be an object, such as {"tokens": […], "tags": […]}'
        )
    value = _without_wrapping(value)
    item = Item(line, id=value.get("id"))
    if value.get("answer") in REFUSED_ANSWERS:
        item.left_out = f'have "answer": "{value["answer"]}"'
    key = token_key(value, columns.word_column)
    if key is None:
        _read_text(item, value, columns)
        return item
    _read_tokens(item, value, key, columns)
    return item


def _of_pair(value):
    """spaCy's ["text", {"entities": …}], or ["text", [[0, 4, "PER"]]]."""
    if len(value) not in (2, 3) or not isinstance(value[0], str):
        raise ValueError('a list must be ["text", {"entities": […]}]')
    if isinstance(value[1], Mapping):
        return {**value[1], "text": value[0]}
    return {"text": value[0], "entities": value[1]}


def _without_wrapping(value):
    """Label Studio's task, and others that put the text one level lower."""
    data = value.get("data")
    if isinstance(data, Mapping):
        results = value.get("annotations", value.get("completions"))
        inner: dict[str, Any] = {**data}
        if "id" in value:
            inner.setdefault("id", value["id"])
        texts = [key for key, text in data.items() if isinstance(text, str)]
        if len(texts) == 1:
            inner.setdefault("text", data[texts[0]])
        if isinstance(results, list):
            kept = [
                r
                for r in results
                if not (r.get("was_cancelled") or r.get("skipped"))
            ]
            if kept:
                inner["entities"] = _studio_spans(kept[0].get("result", []))
        elif isinstance(value.get("result"), list):
            inner["entities"] = _studio_spans(value["result"])
        value = inner
    for inner in value.values():  # SageMaker has a key for each job.
        if isinstance(inner, Mapping) and "entities" not in value:
            found = inner.get("annotations")
            if isinstance(found, Mapping) and "entities" in found:
                value = {**value, "entities": found["entities"]}
                break
    if isinstance(value.get("text_snippet"), Mapping):
        value = {**value["text_snippet"], **value}
    if isinstance(value.get("document"), Mapping):
        value = {**value["document"], **value}
    return value


def spacy_sentences(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sentences of a document in the JSON of spaCy 2.

    Raises:
        TypeError, LookupError: it is something else.
    """
    paragraphs = value["paragraphs"]
    return [
        {"tokens": sentence["tokens"]}
        for paragraph in paragraphs
        for sentence in paragraph["sentences"]
    ]


def _studio_spans(results):
    """The entities among a task's results, which may have relations too."""
    return [
        {**r["value"]}
        for r in results
        if isinstance(r, Mapping)
        and isinstance(r.get("value"), Mapping)
        and first_of(r["value"], START_KEYS) is not None
        and label_of(r["value"]) is not None
    ]


# ---------------------------------------------------------------------------
# Words with tags.


def token_key(value: Mapping[str, Any], asked: str | None) -> str | None:
    """The key of an object's words, or None where there is a text instead.

    Args:
        value: the object.
        asked: the key that a setting names, or None.
    """
    if asked and asked in value:
        return asked if _are_tokens(value[asked]) else None
    for key in TOKEN_KEYS:
        if key in value and _are_tokens(value[key]):
            return key
    # Words in one string, with as many tags in another.
    for key in ("tokens", "words", *TEXT_KEYS):
        words = value.get(key)
        if not isinstance(words, str):
            continue
        for tag_key in TAG_KEYS:
            tags = value.get(tag_key)
            if isinstance(tags, str | list) and _are_aligned(words, tags):
                return key
    return None


def _are_tokens(value):
    if not isinstance(value, list) or not value:
        return False
    if all(isinstance(token, str) for token in value):
        return True
    return all(
        isinstance(token, Mapping)
        and isinstance(first_of(token, ("text", "word", "token", "orth")), str)
        and _tag_of_token(token) is not None
        and first_of(token, START_KEYS) is None
        for token in value
    )


def _tag_of_token(token):
    return first_of(token, ("ner", "ner_tag", "label", "tag", "tags"))


def _are_aligned(words, tags):
    tags = tags.split() if isinstance(tags, str) else tags
    return (
        len(tags) == len(words.split())
        and all(isinstance(t, str) for t in tags)
        and any(re.match(r"O$|[BIESLU][-_]", t) for t in tags)
    )


def _read_tokens(item, value, key, columns):
    tokens = value[key]
    if isinstance(tokens, str):
        tokens = tokens.split()
    if isinstance(tokens[0], Mapping):
        given = [_tag_of_token(token) for token in tokens]
        item.tags = [_tag(tag, item) for tag in given]
        tokens = [
            first_of(t, ("text", "word", "token", "orth")) for t in tokens
        ]
        item.where = key
    item.tokens = tokens
    if item.tags is None:
        _read_tags(item, value, key, columns)


def _read_tags(item, value, key, columns):
    keys = [columns.tag_column] if columns.tag_column in value else TAG_KEYS
    for tag_key in keys:
        tags = value.get(tag_key)
        if tag_key == key or tags is None:
            continue
        if isinstance(tags, str):
            tags = tags.split()
        if not isinstance(tags, list) or any(
            isinstance(tag, list | Mapping) for tag in tags
        ):
            continue
        if len(tags) != len(item.tokens):
            raise ValueError(
                f"{number_of(len(item.tokens), 'word')} in {key!r}, but "
                f"{number_of(len(tags), 'tag')} in {tag_key!r}"
            )
        item.where = tag_key
        item.tags = [_tag(tag, item) for tag in tags]
        item.names = _names(value)
        return
    _read_token_spans(item, value, key)


def _tag(tag, item):
    if tag is None:
        return None
    if isinstance(tag, bool) or not isinstance(tag, str | int | float):
        raise ValueError(f"a tag must be a string or a number, not {tag!r}")
    if isinstance(tag, float) and tag.is_integer():
        tag = int(tag)
    if not isinstance(tag, str):
        item.are_numbers = True
    return str(tag)


def _names(value):
    for key in NAME_KEYS:
        names = value.get(key)
        if isinstance(names, Mapping):
            return [str(names[n]) for n in sorted(names, key=int)]
        if isinstance(names, list) and all(isinstance(n, str) for n in names):
            return names
    return None


def _read_token_spans(item, value, key):
    """Entities as places among the words."""
    found = span_list(value, [k for k in SPAN_KEYS if k != key])
    if found is None:
        return
    item.where, spans = found
    one = 1 if key == "tokenized_text" else 0  # GLiNER's ends are included.
    item.spans = []
    for span in spans:
        if isinstance(span, Mapping) and "token_start" in span:
            first, last = span["token_start"], span["token_end"] + 1
            label = label_of(span)
        else:
            first, last, label, _ = span_parts(span)
            last += one
        if not 0 <= first < last <= len(item.tokens):
            raise ValueError(
                f"the entity {span!r} is outside the text of "
                f"{number_of(len(item.tokens), 'word')}"
            )
        item.spans.append(Span(first, last, label))


# ---------------------------------------------------------------------------
# Texts with spans.


def _read_text(item, value, columns):
    asked = columns.word_column
    keys = [asked] if asked in value else TEXT_KEYS
    key = next((k for k in keys if isinstance(value.get(k), str)), None)
    if key is None:
        null = next((k for k in keys if k in value and not value[k]), None)
        if null is None:
            raise ValueError(
                "neither words nor a text: an object must be like "
                '{"tokens": [...], "tags": [...]} or {"text": "...", '
                '"entities": [...]}; it has ' + ", ".join(map(str, value))
            )
        item.text = ""
        return
    item.text = value[key]
    if key == "value" and "entities" not in value:
        raise ValueError("no text")
    keys = [columns.tag_column] if columns.tag_column in value else SPAN_KEYS
    found = span_list(value, [k for k in keys if k != key])
    if found is None:
        return
    item.where, spans = found
    item.spans = [*spans_of(spans)]
