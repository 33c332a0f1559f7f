"""Entities in JSON, as annotation tools write them.

    {"start": 0, "end": 4, "label": "PER"}      and other names of the three
    {"offset": 0, "length": 4, "category": "PER"}
    [0, 4, "PER"]
    {"label": ["PER"], "points": [{"start": 0, "end": 3, "text": "Anna"}]}

Errors here are ValueErrors; the reader of the file adds the place.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_tf.data.tagged.character_spans import Span

SPAN_KEYS = (
    "entities",
    "spans",
    "ents",
    "label",
    "labels",
    "annotations",
    "annotation",
    "entity",
    "ner",
    "result",
    "textSegmentAnnotations",
    "tokens",
)
START_KEYS = (
    "start",
    "start_offset",
    "startOffset",
    "begin",
    "BeginOffset",
    "offset",
)
END_KEYS = ("end", "end_offset", "endOffset", "EndOffset", "stop")
LENGTH_KEYS = ("length", "len")  # In place of the end.
LABEL_KEYS = (
    "label",
    "labels",
    "type",
    "entity",
    "entity_group",
    "entity_type",
    "tag",
    "class",
    "category",
    "Type",
    "entityLabel",
    "displayName",
    "display_name",
)
SPAN_TEXT_KEYS = ("text", "word", "surface", "Text", "mention", "value")


def span_list(
    value: Mapping[str, Any], keys: Sequence[str]
) -> tuple[str, list[Any]] | None:
    """(key, entities) of an object; None where it says nothing of them.

    Args:
        value: the object.
        keys: where entities may be, the likeliest first.
    """
    empty: tuple[str, list[Any]] | None = None
    for key in keys:
        spans = value.get(key)
        if isinstance(spans, Mapping) and isinstance(
            spans.get("entities"), list
        ):
            spans = spans["entities"]
        elif isinstance(spans, Mapping):
            spans = _by_label(spans)
        if not isinstance(spans, list):
            continue
        if not spans:
            empty = empty or (key, [])
            continue
        if key == "tokens":
            spans = [
                s
                for s in spans
                if isinstance(s, Mapping) and s.get("entityLabel")
            ]
            if not spans:
                continue
        if key in ("labels", "label") and all(
            isinstance(s, str) for s in spans
        ):
            continue  # Labels of the whole text.
        return key, spans
    return empty


def _by_label(value):
    """CLUENER's {"PER": {"Ann": [[0, 2]]}} as entities; None for others."""
    try:
        return [
            [start, end, label, text]
            for label, texts in value.items()
            for text, places in texts.items()
            for start, end in places
        ]
    except (AttributeError, TypeError, ValueError):
        return None


def spans_of(spans: Sequence[Any]) -> Iterator[Span]:
    """Yields the entities of a text.

    Raises:
        ValueError: one is not an entity.
    """
    for span in spans:
        if isinstance(span, Mapping) and isinstance(span.get("points"), list):
            label = label_of(span)
            if label is None:
                continue
            for point in span["points"]:
                start, end, _, said = span_parts({**point, "label": label})
                yield _checked(start, end + 1, label, said)
            continue
        yield _checked(*span_parts(span))


def span_parts(span: Any) -> tuple[int, int, str, str | None]:
    """(start, end, label, text or None) of an entity.

    Raises:
        ValueError: it lacks one of the first three.
    """
    if isinstance(span, Mapping):
        inner = span.get("text_extraction")
        if isinstance(inner, Mapping):  # AutoML's.
            span = {**inner.get("text_segment", {}), **span}
        start, end = first_of(span, START_KEYS), first_of(span, END_KEYS)
        length = _whole(first_of(span, LENGTH_KEYS))
        if end is None and length is not None and _whole(start) is not None:
            end = _whole(start) + length
        label, said = label_of(span), first_of(span, SPAN_TEXT_KEYS)
    elif isinstance(span, list) and len(span) in (3, 4):
        start, end, label = span[:3]
        said = span[3] if len(span) == 4 else None
        if isinstance(start, str) and not isinstance(label, str):
            label, start, end = span[:3]
    else:
        start = end = label = said = None
    numbers = [_whole(start), _whole(end)]
    if None in numbers or not isinstance(label, str) or not label:
        raise ValueError(
            f"the entity {span!r} must have a start, an end and a label"
        )
    return *numbers, label, said if isinstance(said, str) else None


def _whole(value):
    """A whole number, which may be written as a string; or None."""
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == int(value) else None


def label_of(span: Mapping[str, Any]) -> str | None:
    """The type of an entity, or None."""
    label = first_of(span, LABEL_KEYS)
    if isinstance(label, list):
        label = label[0] if label else None
    if isinstance(label, Mapping):
        label = first_of(label, ("name", "text", "label"))
    return str(label) if isinstance(label, str | int) else None


def _checked(start, end, label, said):
    """A span whose place can be in the text."""
    if start < 0 or end < start:
        raise ValueError(
            f"the entity {label} from {start} to {end} ends before it starts"
        )
    return Span(start, end, label, said)


def first_of(value: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """The value of the first key that is there and not null."""
    return next((value[k] for k in keys if value.get(k) is not None), None)
