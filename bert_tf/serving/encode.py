"""bert-as-service's API: texts in, vectors out."""

from bert_tf.export.kinds import KINDS
from bert_tf.export.predictor import Predictor
from bert_tf.serving import signatures
from bert_tf.serving.errors import Refusal
from bert_tf.serving.limits import Limits
from bert_tf.serving.rest import Call, check_keys, list_of, to_json, to_rows
from bert_tf.serving.schemas import LONGEST_ID


def encode_call(
    predictor: Predictor, body: dict[str, object], limits: Limits
) -> Call:
    """Reads {"id": …, "texts": […], "is_tokenized": false}.

    Tokenized texts are lists of words. The model reads the words with spaces
    between them.

    Raises:
        Refusal: the request is wrong, or the model does not give vectors.
    """
    check_keys(body, {"id", "texts", "is_tokenized", "model"})
    if not KINDS[predictor.kind].answers("embedding"):
        raise Refusal(400, f"a model of {predictor.kind} does not encode")
    number = body.get("id")
    # Not isinstance: true in JSON is True in Python, which is an int.
    if number is not None and type(number) not in (int, str):
        raise Refusal(400, "id must be a whole number or a string")
    if len(str(number)) > LONGEST_ID:
        raise Refusal(400, f"id must not exceed {LONGEST_ID} characters")
    texts = list_of(body, "texts", limits)
    is_tokenized = body.get("is_tokenized", False)
    if not isinstance(is_tokenized, bool):
        raise Refusal(400, "is_tokenized must be true or false")
    kind = "a list of words" if is_tokenized else "a string"
    for place, text in enumerate(texts):
        if not _fits(text, is_tokenized):
            raise Refusal(400, f"texts[{place}] must be {kind}")
    if is_tokenized:
        texts = [" ".join(words) for words in texts]
    return Call(
        to_rows(predictor, signatures.TEXTS, texts, limits),
        lambda columns: {
            "id": number,
            "results": to_json(columns["embedding"]),
            "status": 200,
        },
    )


def _fits(text, is_tokenized):
    if not is_tokenized:
        return isinstance(text, str)
    return isinstance(text, list) and all(isinstance(w, str) for w in text)
