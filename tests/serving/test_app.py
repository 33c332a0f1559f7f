"""The application: its page, description, status and wrong addresses."""

import re
import urllib.request

import pytest
from support.server_requests import predict, predictor_of
from support.serving_fakes import INPUTS, LABELS

from bert_tf.export.kinds import KINDS


def test_the_server_describes_itself(send, port):
    assert send("/healthz") == (200, {"status": "ok"})
    status, answer = send("/status/server")
    assert answer["models"]["single_label"]["labels"] == LABELS
    assert answer["models"]["single_label"]["engine"] == "float32"
    assert answer["num_workers"] == 1
    assert answer["limits"]["max_texts"] == 50 and answer["num_requests"] > 0
    send(predict("tags"), {"instances": ["a b"]})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    route = "/v1/models/{model}:predict"
    for start_of_line in (
        f'bert_requests_total{{model="tags",route="{route}",status="200"}}',
        f'bert_request_seconds_count{{model="tags",route="{route}"}}',
        'bert_batch_size_count{model="tags"}',
        'bert_queue_length{model="tags"} 0',
        'bert_model_version_available{model="tags",version="1"} 1',
        'bert_model_engine{engine="float32",model="tags",version="1"} 1',
        "process_resident_memory_bytes ",
    ):
        assert any(line.startswith(start_of_line) for line in lines), (
            start_of_line
        )


def test_it_says_what_happens_to_long_texts(serving, send, monkeypatch):
    model = predictor_of(serving, "single_label")
    for on_long, end in (("truncate", "is cut."), ("error", "is refused.")):
        monkeypatch.setattr(model, "on_long", on_long)
        page = send("/status")[1]["models"]["single_label"]["page"]
        assert page["length"].endswith(end)


def get(port, path):
    """Gets an address; returns (headers, text)."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as reply:
        return reply.headers, reply.read().decode()


def test_the_page_loads_nothing_else(port):
    for _ in range(2):
        headers, page = get(port, "/")
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert "http://" not in page and "https://" not in page
    assert "innerHTML" not in page
    assert "/*style*/" not in page and "/*script*/" not in page


def test_the_page_of_addresses_needs_no_other_host(port):
    headers, page = get(port, "/docs")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "//" not in policy
    assert "//" not in re.sub("  // .*", "", page)  # Nor is there an address.
    assert policy.count("unsafe") == policy.count("style-src 'self' 'unsafe-")
    types = {"css": "text/css", "js": "text/javascript"}
    files = re.findall('(?:src|href)="([^":]+[.]([a-z]+))"', page)
    assert sorted(ending for _, ending in files) == [*types]
    for name, ending in files:
        headers, content = get(port, f"/{name}")
        assert headers.get_content_type() == types[ending]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert len(content) > 100_000
    assert 'url: "openapi.json"' in page


def test_each_kind_has_an_example_that_is_answered(send):
    models = send("/status")[1]["models"]
    assert {*models} == {*INPUTS} == {*KINDS}
    for name, model in models.items():
        page = model["page"]
        assert [*page["example"]] == model["input_names"]
        assert all(page["example"].values()) and page["does"]
        assert "words" in page["length"] or "any length" in page["length"]
        body = {"instances": [page["example"]]}
        status, answer = send(predict(name), body)
        assert status == 200 and len(answer["predictions"]) == 1


def test_a_model_may_have_an_example_of_its_own(serving, send):
    info = predictor_of(serving, "regression").info
    info["example"] = {"text": "a film that I will see again"}
    example = send("/status")[1]["models"]["regression"]["page"]["example"]
    assert example == info["example"]
    info["example"] = {"body": "not an input of this model"}
    example = send("/status")[1]["models"]["regression"]["page"]["example"]
    assert [*example] == ["text"] and example["text"]


def test_the_description_has_requests_that_are_answered(send):
    paths = send("/openapi.json")[1]["paths"]
    number = 0
    for path, operations in paths.items():
        body = operations.get("post", {}).get("requestBody")
        if not body:
            continue
        examples = body["content"]["application/json"]["examples"]
        for model, example in examples.items():
            address = path.format(model=model, version=1)
            status, answer = send(address, example["value"])
            assert status == 200, (address, answer)
            number += 1
    # :predict and /infer of all; :classify, :regress; /encode; all but that
    # twice.
    assert number == 2 * (2 * len(KINDS) + 3 + 1) + 1


def test_the_description_names_all_addresses(send):
    status, answer = send("/openapi.json")
    assert status == 200
    paths = answer["paths"]
    for path in (
        "/v1/models/{model}",
        "/v1/models/{model}/versions/{version}:predict",
        "/v1/models/{model}/metadata",
        "/search",
        "/encode",
        "/status/server",
        "/healthz",
        "/livez",
        "/readyz",
        "/metrics",
        "/v2/models/{model}/infer",
    ):
        assert path in paths
    predict_post = paths["/v1/models/{model}:predict"]["post"]
    assert {"200", "400", "413", "429"} <= set(predict_post["responses"])


@pytest.mark.parametrize(
    "path, status",
    [
        ("/v1/models/none", 404),
        ("/v1/models/tags/versions/2", 404),
        ("/v1/models/tags/versions/x", 400),
        ("/v1/models/tags/versions/0_1", 400),
        ("/v1/models/tags/versions/+1", 400),
        ("/v1/models/tags/versions/%d9%a1", 400),  # An Arabic 1.
        ("/v1/models/tags/versions/0_1/metadata", 400),
        ("/v1/models/tags/versions/2/metadata", 404),
        ("/v1/models/tags:predict", 405),
        ("/v1/models/tags:describe", 404),
        ("/v1/models/..%2f..%2fetc%2fpasswd", 404),
        ("/v1/models/%ff%00", 404),
        ("/encode", 405),
        ("/search", 405),
        ("/v2/models/none", 404),
        ("/v2/models/none/ready", 404),
        ("/v2/models/tags/versions/2", 404),
        ("/v2/models/tags/versions/2/ready", 404),
        ("/v2/models/tags/versions/x", 400),
        ("/v2/models/tags/infer", 405),
        ("/v2/health/none", 404),
        ("/docs-files/nothing.js", 404),
        ("/docs-files/..%2fcore.py", 404),
        ("/nothing", 404),
    ],
)
def test_wrong_addresses_are_refused_in_one_line(send, path, status):
    found, answer = send(path)
    assert found == status and "\n" not in answer["error"]
