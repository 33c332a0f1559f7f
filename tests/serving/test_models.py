"""Versions of a model: new ones, damaged ones, and those in use."""

import threading
import time

import pytest
from support.server_requests import send_request
from support.serving_fakes import (
    FakePredictor,
    make_serving,
    running,
    write_version,
)

from bert_tf.serving.models import Watch


@pytest.fixture
def versions(tmp_path):
    """(Serving with one model, function(number, text of saved_model.pb))."""

    def load(folder):
        if (tmp_path / folder[-1] / "saved_model.pb").read_text() == "wrong":
            raise ValueError(f"{folder}/saved_model.pb: is damaged")
        return FakePredictor(name=f"version {folder[-1]}: ")

    def write(number, text=""):
        if not (tmp_path / str(number)).exists():
            write_version(tmp_path, number)
        (tmp_path / str(number) / "saved_model.pb").write_text(text)

    write(1)
    serving = make_serving(load=load, folder=tmp_path)
    serving.models["model"].start()
    return serving, write


def label_of(port, path="/v1/models/model:predict"):
    status, answer = send_request(port, path, {"instances": ["a"]})
    return answer["predictions"][0]["label"] if status == 200 else status


def test_a_new_version_is_found_while_the_old_one_answers(versions):
    serving, write = versions
    labels, is_over = [], threading.Event()
    with running(serving) as (_, port):

        def ask():
            while not is_over.is_set():
                labels.append(label_of(port))

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        watch = Watch([*serving.models.values()], 0.05)
        for number in (2, 3):
            write(number)
            deadline = time.monotonic() + 5
            while not labels or labels[-1] != f"version {number}: a":
                assert time.monotonic() < deadline
                time.sleep(0.01)
        is_over.set()
        for asker in askers:
            asker.join()
        numbered = "/v1/models/model/versions/{}:predict"
        assert label_of(port, numbered.format(2)) == "version 2: a"
        assert label_of(port, numbered.format(1)) == 404
        watch.close()
    assert {label[:7] for label in labels} == {"version"}
    assert serving.models["model"].available() == [3, 2]


def test_a_damaged_version_leaves_the_old_one(versions):
    serving, write = versions
    model = serving.models["model"]
    write(2, "wrong")
    for _ in range(3):
        model.refresh()
    assert model.available() == [1]
    newest = model.status()[0]
    assert newest["version"] == "2" and newest["state"] == "END"
    assert newest["status"]["error_message"] == (
        "its folder/saved_model.pb: is damaged"
    )
    write(2, "repaired")  # The size changes, too.
    for _ in range(2):
        model.refresh()
    assert model.available() == [2, 1]


def test_a_version_that_is_still_written_is_waited_for(versions):
    serving, write = versions
    model = serving.models["model"]
    for text in ("", "a", "ab"):
        write(2, text)
        model.refresh()
        assert model.available() == [1]
    model.refresh()
    assert model.available() == [2, 1]


def test_requests_keep_the_version_that_they_have(versions):
    serving, write = versions
    model = serving.models["model"]
    with model.use() as held:
        for number in (2, 3):
            write(number)
            model.refresh()
            model.refresh()
        assert model.available() == [3, 2]
        assert held.predictor is not None
    model.refresh()
    assert held.predictor is None
