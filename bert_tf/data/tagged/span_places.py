"""Finds what the places of entities count: characters, bytes or UTF-16 units.

😀 Anna     characters 2 to 6, UTF-16 units 3 to 7, bytes 5 to 9
"""

from collections.abc import Callable, Sequence

from absl import logging

from bert_tf.counts import number_of
from bert_tf.data.tagged.character_spans import Span
from bert_tf.data.tagged.tagged_objects import Item
from bert_tf.errors import UserError


def _in_utf16(text: str, span: Span) -> Span:
    """A span whose places count UTF-16 units, as JavaScript does."""
    raw = text.encode("utf-16-le", "surrogatepass")
    start, end = (
        len(raw[: 2 * n].decode("utf-16-le", "ignore"))
        for n in (span.start, span.end)
    )
    return Span(start, end, span.label, span.text)


def _in_bytes(text: str, span: Span) -> Span:
    """A span whose places count bytes of UTF-8."""
    raw = text.encode("utf-8", "surrogatepass")
    start, end = (
        len(raw[:n].decode("utf-8", "ignore")) for n in (span.start, span.end)
    )
    return Span(start, end, span.label, span.text)


def _end_included(text: str, span: Span) -> Span:
    return Span(span.start, span.end + 1, span.label, span.text)


UNITS: dict[str, Callable[[str, Span], Span]] = {
    "UTF-16 units": _in_utf16,
    "bytes": _in_bytes,
    "characters, the last one included": _end_included,
}


def settle_places(path: str, items: Sequence[Item]) -> None:
    """Finds what places count, and makes all of them count characters.

    The texts that spans say they hold decide.

    Args:
        path: of the file.
        items: whose spans are changed.

    Raises:
        UserError: most of these texts are elsewhere; or a span is not inside
            its text.
    """
    pairs = [
        (item, span)
        for item in items
        if item.text is not None
        for span in item.spans or ()
    ]
    said = [(i, s) for i, s in pairs if s.text is not None]
    wrong = [(i, s) for i, s in said if not _holds(i.text, s)]
    if wrong:
        for name, change in UNITS.items():
            if all(_holds(i.text, change(i.text or "", s)) for i, s in said):
                logging.info("%s: places count %s", path, name)
                for item in items:
                    if item.text is not None and item.spans is not None:
                        text = item.text
                        item.spans = [change(text, s) for s in item.spans]
                wrong = []
                break
    if 2 * len(wrong) > len(said):
        item, span = wrong[0]
        raise UserError(
            f"{path}:{item.line}: {span.start} to {span.end} is "
            f"{(item.text or '')[span.start : span.end]!r} in the text, but "
            f"the entity says {span.text!r}; places must count characters"
        )
    for item in items:
        for span in item.spans or () if item.text is not None else ():
            if span.end > len(item.text or ""):
                raise UserError(
                    f"{path}:{item.line}: the entity {span.label} from "
                    f"{span.start} to {span.end} is outside the text of "
                    f"{number_of(len(item.text or ''), 'character')}"
                )


def _holds(text, span):
    found = (text or "")[span.start : span.end]
    return "".join(found.split()) == "".join(span.text.split())
