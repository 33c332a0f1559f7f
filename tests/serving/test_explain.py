"""POST …:explain, with a fake in the place of the model that explains."""

import dataclasses
import threading

import pytest
from support.server_requests import predictor_of

from bert_tf.errors import UserError
from bert_tf.explanations import Explanation, ScoredWord
from bert_tf.serving import explain

PATH = "/v1/models/single_label:explain"


class FakeExplainer:
    """Explains a text by its words' lengths."""

    def __init__(self, deadline):
        self.deadline = deadline
        self.may_run = threading.Event()
        self.may_run.set()

    def explain(self, item, label=None, *, word=None):
        while not self.may_run.wait(0.01):
            self.deadline.check()
        if label == "hma":
            raise UserError("did you mean 'ham'?", setting="label", value=label)
        text = item if isinstance(item, str) else item["text"]
        words = (ScoredWord("text", 0, len(text), text, float(len(text))),)
        return Explanation(
            "single_label", label or "ham", "ham", 2.0, 1.0, {"text": text},
            words, None, 13, 0.001, True, False,
        )  # fmt: skip


@pytest.fixture
def fake(serving, tmp_path):
    """The explainer of a model with a description of its network."""
    (tmp_path / "assets.extra").mkdir(exist_ok=True)
    for name in ("bert_config.json", "vocab.txt"):
        (tmp_path / "assets.extra" / name).write_text("{}")
    predictor_of(serving, "single_label").folder = str(tmp_path)
    with serving.models["single_label"].use() as version:
        version.explainer = FakeExplainer(serving.explanations._deadline)
        return version.explainer


def test_each_item_is_explained(send, fake):
    status, answer = send(PATH, {"instances": ["ab", {"text": "c"}]})
    assert status == 200
    first, second = answer["explanations"]
    assert first["words"] == [
        {"field": "text", "start": 0, "end": 2, "text": "ab", "score": 2.0}
    ]
    assert {*first} == {f.name for f in dataclasses.fields(Explanation)}
    assert second["texts"] == {"text": "c"}
    numbered = "/v1/models/single_label/versions/1:explain"
    body = {"instances": ["ab"], "label": "spam"}
    assert send(numbered, body)[1]["explanations"][0]["target"] == "spam"


@pytest.mark.parametrize(
    "path, body, status, message",
    [
        (PATH, {"instances": ["a"] * 9}, 413, "at most 8 are explained"),
        (PATH, {"instances": ["a"], "label": "hma"}, 400, "item 0: label=hma"),
        (PATH, {"instances": ["a"], "label": 1}, 400, "label must be a string"),
        (PATH, {"instances": ["a"], "word": True}, 400, "word must be a str"),
        (PATH, {"instances": [{"txt": "a"}]}, 400, "item 0:"),
        (PATH, {"instances": ["a" * 100_001]}, 413, "item 0: a text has"),
        (PATH, {"instance": ["a"]}, 400, "instance"),
        ("/v1/models/tags:explain", {"instances": ["a"]}, 400, "an earlier"),
        ("/v1/models/embedding:explain", {}, 400, "no answer to explain"),
        ("/v1/models/none:explain", {}, 404, "no model"),
    ],
)
def test_refusals(send, fake, path, body, status, message):
    found, answer = send(path, body)
    assert found == status and message in answer["error"]


def test_a_late_explanation_ends_and_others_are_not_kept_waiting(send, fake):
    fake.may_run.clear()
    results = []
    thread = threading.Thread(
        target=lambda: results.append(send(PATH, {"instances": ["a"]}))
    )
    thread.start()
    predict = "/v1/models/single_label:predict"
    assert send(predict, {"instances": ["ab"]})[0] == 200
    thread.join()
    assert results[0][0] == 504
    fake.may_run.set()
    assert send(PATH, {"instances": ["a"]})[0] == 200


def test_an_export_without_a_vocabulary(send, fake, tmp_path):
    (tmp_path / "assets.extra" / "vocab.txt").unlink()
    status, answer = send(PATH, {"instances": ["a"]})
    assert status == 400 and "without its vocabulary" in answer["error"]


def test_too_many_wait(send, fake, monkeypatch):
    monkeypatch.setattr(explain, "MAX_WAITING", 0)
    status, answer = send(PATH, {"instances": ["a"]})
    assert status == 429 and "wait for explanations" in answer["error"]


def test_the_page_is_told(send, fake):
    models = send("/status")[1]["models"]
    shown = {name: model["page"]["explains"] for name, model in models.items()}
    assert [name for name, is_shown in shown.items() if is_shown] == [
        "single_label"
    ]
