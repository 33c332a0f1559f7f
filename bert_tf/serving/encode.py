"""bert-as-service's API: texts in, vectors out.

A text `a ||| b` is a pair, and so is a list of tokens with `|||` among them.
"""

import dataclasses
import re
from typing import Any

from bert_tf.export.kinds import KINDS, Request
from bert_tf.export.predictor import Predictor
from bert_tf.export.reading import too_long
from bert_tf.export.token_requests import NoVocabulary, reader_of
from bert_tf.serving.batching import KeyedPayload
from bert_tf.serving.errors import Refusal
from bert_tf.serving.limits import Limits, check_text
from bert_tf.serving.rest import (
    WITH_LENGTHS,
    Call,
    check_keys,
    lengths_in,
    list_of,
    switch,
    to_rows,
    wants_lengths,
)
from bert_tf.serving.results import to_json
from bert_tf.serving.schemas import LONGEST_ID
from bert_tf.serving.texts import TEXTS, Row, prepare_rows

KEYS = {"id", "texts", "is_tokenized", "show_tokens", "model", WITH_LENGTHS}
BAR = "|||"
# A text with line ends is single: the dot does not match them.
_PAIR = re.compile(r"(.*) \|\|\| (.*)")


def split_pair(text: str) -> tuple[str, str] | None:
    """Splits a text at its last ` ||| `, as bert-as-service does.

    Blanks around the text do not count, so that both sides hold something.

    Returns:
        (text, second text); None for a single text.
    """
    found = _PAIR.fullmatch(text.strip())
    return (found[1], found[2]) if found else None


def split_tokens(tokens: list[str]) -> tuple[list[str], list[str]]:
    """Splits a list of tokens at the first `|||`; the second may be empty."""
    if BAR not in tokens:
        return tokens, []
    place = tokens.index(BAR)
    return tokens[:place], tokens[place + 1 :]


def encode_call(
    predictor: Predictor, body: dict[str, object], limits: Limits
) -> Call:
    """Reads {"id": …, "texts": […]}, and the other `KEYS`.

    Tokenized texts are lists of tokens, which are looked up as they are. With
    `show_tokens` the answer has the tokens that the model read.

    Raises:
        Refusal: the request is wrong, or the model does not give vectors.
    """
    check_keys(body, KEYS)
    if not KINDS[predictor.kind].answers("embedding"):
        raise Refusal(400, f"a model of {predictor.kind} does not encode")
    number = _id_of(body)
    texts = list_of(body, "texts", limits)
    is_tokenized = switch(body, "is_tokenized")
    show_tokens = switch(body, "show_tokens")
    with_lengths = wants_lengths(predictor, body)
    _check_texts(texts, is_tokenized, limits)
    try:
        rows = _rows_of(predictor, texts, is_tokenized, with_lengths, limits)
        more: dict[str, object] = {}
        if show_tokens:
            rows = prepare_rows(predictor, limits, rows)
            reader = reader_of(predictor)
            more = {"tokens": [reader.tokens_of(row) for _, row in rows]}
    except NoVocabulary as error:
        setting = "is_tokenized" if is_tokenized else "show_tokens"
        raise Refusal(400, f"{setting}: {error}") from None
    return Call(
        rows,
        lambda columns: {
            "id": number,
            "results": to_json(columns["embedding"]),
            "status": 200,
            **more,
            **(lengths_in(columns) if with_lengths else {}),
        },
    )


def _id_of(body):
    number = body.get("id")
    # Not isinstance: true in JSON is True in Python, which is an int.
    if number is not None and type(number) not in (int, str):
        raise Refusal(400, "id must be a whole number or a string")
    if len(str(number)) > LONGEST_ID:
        raise Refusal(400, f"id must not exceed {LONGEST_ID} characters")
    return number


def _check_texts(texts, is_tokenized, limits):
    """Raises Refusal unless these are strings, or lists of tokens."""
    for place, text in enumerate(texts):
        if is_tokenized:
            if not isinstance(text, list) or not all(
                isinstance(token, str) for token in text
            ):
                raise Refusal(400, f"texts[{place}] must be a list of tokens")
        elif not isinstance(text, str):
            end = ""
            if isinstance(text, list):
                end = "; lists of tokens need is_tokenized=true"
            raise Refusal(400, f"texts[{place}] must be a string{end}")
        check_text(place, " ".join(text) if is_tokenized else text, limits)


def _rows_of(
    predictor: Predictor,
    texts: list[Any],
    is_tokenized: bool,
    with_lengths: bool,
    limits: Limits,
) -> list[KeyedPayload]:
    """Returns the row of each text, for a Batcher."""
    reader = reader_of(predictor)
    read: dict[int, Request] = {}
    for place, text in enumerate(texts):
        if is_tokenized:
            read[place] = reader.of_tokens(*split_tokens(text))
        elif pair := split_pair(text):
            read[place] = reader.of_pair(predictor, *pair)
    for place, request in read.items():
        if predictor.on_long == "error" and request.lengths.get("truncated"):
            raise Refusal(400, too_long(place, request))
        if not with_lengths:
            read[place] = dataclasses.replace(request, lengths={})
    if is_tokenized:
        return [_row(request) for request in read.values()]
    rows = to_rows(predictor, TEXTS, texts, limits, with_lengths)
    for place, request in read.items():
        rows[place] = _row(request)
    return rows


def _row(request: Request) -> Row:
    return (TEXTS, (request.length,)), request
