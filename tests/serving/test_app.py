"""The application: its page, description, status and wrong addresses."""

import urllib.request

import pytest
from support.server_requests import predict
from support.serving_fakes import LABELS


def test_the_server_describes_itself(send, port):
    assert send("/healthz") == (200, {"status": "ok"})
    status, answer = send("/status/server")
    assert answer["models"]["single_label"]["labels"] == LABELS
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
    ):
        assert any(line.startswith(start_of_line) for line in lines), (
            start_of_line
        )


def test_the_page_loads_nothing_else(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as reply:
        policy = reply.headers["Content-Security-Policy"]
        page = reply.read().decode()
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http://" not in page and "https://" not in page
    assert "innerHTML" not in page


def test_the_description_names_all_addresses(send):
    status, answer = send("/openapi.json")
    assert status == 200
    paths = answer["paths"]
    for path in (
        "/v1/models/{model}",
        "/v1/models/{model}/versions/{version}:predict",
        "/v1/models/{model}/metadata",
        "/encode",
        "/status/server",
        "/healthz",
        "/metrics",
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
        ("/nothing", 404),
    ],
)
def test_wrong_addresses_are_refused_in_one_line(send, path, status):
    found, answer = send(path)
    assert found == status and "\n" not in answer["error"]
