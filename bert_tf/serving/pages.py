"""The pages for people: one to try the models on, and /docs.

Both work without a network, and their Content-Security-Policy lets a browser
load nothing from other hosts. The first page brings its script and style with
it. /docs is Swagger UI, whose files come with the package fastapi-offline.
"""

import base64
import dataclasses
import hashlib
import pathlib
import re
from typing import Any

from starlette.responses import HTMLResponse

from bert_tf.export.kinds import KINDS, windows
from bert_tf.export.predictor import Predictor
from bert_tf.serving.explain import why_not

FOLDER = pathlib.Path(__file__).parent
ASSETS = "/docs-files"  # The address of Swagger UI's files; see docs.html.
WORDS_PER_TOKEN = 0.75  # In English text.
FEW_WORDS = 50  # Up to here a number of words is rounded to fives.
SEARCHES = "Finds the texts whose meaning is nearest to yours."

_POLICY = {
    "default-src": "'none'",
    "connect-src": "'self'",
    "img-src": "data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


def page_of(
    predictor: Predictor, *, is_searched: bool = False
) -> dict[str, Any]:
    """Describes a model to those who see the page, for /status.

    Args:
        predictor: the model.
        is_searched: whether it has an index. The page then shows the texts
            that are found, and not the vector.

    Returns:
        {"does": what it does, "length": how long its texts may be, "example":
        {input: value}, "inputs": {input: its field}, "shown_as": name of the
        function that shows an answer, "explains": whether answers can be
        explained}.
    """
    kind = KINDS[predictor.kind]
    names = predictor.input_names
    page = kind.for_page(names, predictor.labels or ())
    example = predictor.info.get("example")
    if isinstance(example, dict) and {*example} == {*names}:
        page["example"] = example  # The model's own.
    if is_searched:
        page |= {"does": SEARCHES, "shown_as": "found"}
    explains = not why_not(predictor)
    return {**page, "length": _length(predictor), "explains": explains}


def _length(predictor):
    """One sentence on how long a text may be, in words."""
    number = predictor.info.get("max_seq_length")
    kind = KINDS[predictor.kind]
    if kind.sequences_of is windows:
        return "A text may have any length."
    if not number:
        return ""
    shape = _ids_shape(predictor)
    if kind.reads_ids and len(shape) == 3:  # Long documents, in windows.
        number *= shape[1] or 1
    words = int(WORDS_PER_TOKEN * number)
    words -= words % (5 if words <= FEW_WORDS else 10)
    what = "A text"
    if any(entry.is_list for entry in kind.inputs):
        what = "A text with one of the endings"
    elif len(predictor.input_names) > 1:
        what = "The texts together"
    end = "refused" if predictor.on_long == "error" else "cut"
    return f"{what} may have about {words:,} words; what is longer is {end}."


def _ids_shape(predictor):
    _, specs = predictor.signatures["ids"].structured_input_signature
    return specs["input_ids"].shape.as_list()


@dataclasses.dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        html: its content.
        policy: its Content-Security-Policy.
    """

    html: str
    policy: str

    def answer(self) -> HTMLResponse:
        """Returns the answer to one request for the page."""
        return HTMLResponse(
            self.html, headers={"Content-Security-Policy": self.policy}
        )


def try_page() -> Page:
    """Returns the page to try the models on."""
    style, script = (
        (FOLDER / f"page.{ending}").read_text(encoding="utf-8")
        for ending in ("css", "js")
    )
    page = (FOLDER / "page.html").read_text(encoding="utf-8")
    page = page.replace("/*style*/", style).replace("/*script*/", script)
    return _with_policy(page)


def docs_page() -> Page:
    """Returns /docs, which reads /openapi.json and Swagger UI's files."""
    return _with_policy(
        (FOLDER / "docs.html").read_text(encoding="utf-8"),
        scripts="'self'",
        # Swagger UI writes attributes named style.
        styles="'self' 'unsafe-inline'",
    )


def _with_policy(page, scripts="", styles=""):
    """A page with a policy that allows its own script and style."""
    policy = {
        **_POLICY,
        "script-src": f"{scripts} {_hashes(page, 'script')}".strip(),
        "style-src": styles or _hashes(page, "style"),
    }
    text = "; ".join(f"{name} {value}" for name, value in policy.items())
    return Page(page, text)


def _hashes(page, tag):
    """Names the content of all elements of a page, for a policy."""
    return " ".join(
        f"'sha256-{_digest(content)}'"
        for content in re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    )


def _digest(content):
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
