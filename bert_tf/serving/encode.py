"""bert-as-service's API: texts in, vectors out.

A text `a ||| b` is a pair, and so is a list of tokens with `|||` among them.
"""

import re
from collections.abc import Iterator
from typing import Any

from bert_tf.export.kinds import KINDS, Request
from bert_tf.export.predictor import Predictor
from bert_tf.export.token_requests import NoVocabulary, reader_of
from bert_tf.serving import signatures
from bert_tf.serving.errors import Refusal
from bert_tf.serving.limits import Limits, check_text
from bert_tf.serving.rest import Call, check_keys, list_of, to_json, to_rows
from bert_tf.serving.schemas import LONGEST_ID

KEYS = {"id", "texts", "is_tokenized", "show_tokens", "model"}
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
    """Reads {"id": …, "texts": […], "is_tokenized": …, "show_tokens": …}.

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
    is_tokenized = _switch(body, "is_tokenized")
    show_tokens = _switch(body, "show_tokens")
    _check_texts(texts, is_tokenized, limits)
    try:
        rows = _rows_of(predictor, texts, is_tokenized, limits)
        more: dict[str, object] = {}
        if show_tokens:
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


def _switch(body, name):
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Refusal(400, f"{name} must be true or false")
    return value


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
    predictor: Predictor, texts: list[Any], is_tokenized: bool, limits: Limits
) -> list[Any]:
    """Returns (key, request) of each text, for a Batcher."""
    if is_tokenized:
        reader = reader_of(predictor)
        return [_row(reader.of_tokens(*split_tokens(text))) for text in texts]
    pairs = {
        place: pair
        for place, text in enumerate(texts)
        if (pair := split_pair(text))
    }
    if not pairs:
        return to_rows(predictor, signatures.TEXTS, texts, limits)
    single = [text for place, text in enumerate(texts) if place not in pairs]
    rows: Iterator[Any] = iter(())
    if single:
        rows = iter(to_rows(predictor, signatures.TEXTS, single, limits))
    of_pair = reader_of(predictor).of_pair
    return [
        _row(of_pair(predictor, *pairs[place]))
        if place in pairs
        else next(rows)
        for place in range(len(texts))
    ]


def _row(request: Request) -> signatures.Row:
    return (signatures.TEXTS, (request.length,)), request
