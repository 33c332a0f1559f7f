"""Keys, pages of other sites, HTTPS, the log of requests, and traces."""

import json
import logging
import os
import re
import ssl
import time
import urllib.request

import pytest
from absl import logging as absl_logging
from support.certificates import certificate
from support.common import needs
from support.server_requests import predict, send_request
from support.serving_fakes import make_serving, running, start

from bert_tf import extras
from bert_tf.errors import UserError
from bert_tf.serving import api_keys, log_formats
from bert_tf.serving.api_keys import ApiKeys
from bert_tf.serving.client import EncodeClient, EncodeError
from bert_tf.serving.request_log import RequestLog
from bert_tf.serving.web_settings import WebSettings

ROW = {"instances": ["abc"]}
KEY = "s3cret-of-a-client"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The models that all servers of this file share."""
    serving = start(make_serving(), tmp_path_factory.mktemp("model"))
    return serving.models


@pytest.fixture
def served(models):
    """function(**web settings) that gives a server's port while it lasts."""

    def with_settings(tracing=None, **settings):
        serving = make_serving()
        serving.models = models
        serving.web = WebSettings(**settings)
        serving.web.check()
        serving.tracing = tracing
        return running(serving)

    return with_settings


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text(f"# Of our clients\n\n{KEY}\nanother\n")
    return path


def get(port, path, method="GET", **headers):
    """(status, headers, text) of an answer."""
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", headers=names, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


# ---------------------------------------------------------------------------
# Keys.


def test_requests_need_a_key(served, key_file):
    with served(api_key_file=str(key_file)) as (_, port):
        path = predict("regression")
        for headers in (
            {"Authorization": f"Bearer {KEY}"},
            {"Authorization": f"bearer {KEY}"},
            {"X-API-Key": "another"},
        ):
            answer = send_request(port, path, ROW, **headers)
            assert answer == (200, {"predictions": [3.0]})
        for headers in (
            {},
            {"Authorization": f"Basic {KEY}"},
            {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {KEY}2"},
            {"X-API-Key": KEY[:-1]},
            {"X-API-Key": "# Of our clients"},
            {"X-API-Key": ""},
        ):
            status, answer = send_request(port, path, ROW, **headers)
            assert status == 401 and "API key" in answer["error"]
        for path in ("/status", "/metrics", "/v2", "/openapi.json", "/none"):
            status, headers, _ = get(port, path)
            assert status == 401
            assert headers["WWW-Authenticate"] == "Bearer"
            assert get(port, path, X_API_Key=KEY)[0] in (200, 404)
        text = get(port, "/metrics", X_API_Key=KEY)[2]
        assert re.search(r'bert_requests_total\{.*status="401"\} \d\d', text)


def test_probes_and_pages_need_no_key(served, key_file):
    with served(api_key_file=str(key_file)) as (_, port):
        for path in (
            "/healthz",
            "/livez",
            "/readyz",
            "/v2/health/live",
            "/v2/health/ready",
            "/",
            "/docs",
            "/docs-files/swagger-ui.css",
        ):
            assert get(port, path)[0] == 200, path
        for path in ("/docs-files/../status", "//", "/docs-files%2f/status"):
            assert get(port, path)[0] in (401, 404), path
        for path in ("/", "/docs"):
            assert "sessionStorage" in get(port, path)[2]


def test_clients_send_a_key(served, key_file):
    with served(api_key_file=str(key_file)) as (_, port):
        client = EncodeClient("localhost", port, api_key=KEY)
        assert client.encode(["abc"]).tolist()[0][0] == 3
        with pytest.raises(EncodeError, match="401: a valid API key"):
            EncodeClient("localhost", port).encode(["abc"])


def test_keys_are_read_again_when_their_file_changes(key_file, monkeypatch):
    monkeypatch.setattr(api_keys, "SECONDS_BETWEEN_LOOKS", 0.0)
    keys = ApiKeys(str(key_file))
    assert keys.allows(KEY) and not keys.allows("new")
    key_file.write_text("new\n")
    assert keys.allows("new") and not keys.allows(KEY)
    for broken in ("", "two words\n"):
        key_file.write_text(broken)
        assert keys.allows("new") and not keys.allows("")
    os.remove(key_file)
    assert keys.allows("new") and not keys.allows(None)


@pytest.mark.parametrize(
    "content, error",
    [
        (b"", "holds no key"),
        (b"# only a comment\n", "holds no key"),
        (b"good\nnot one key\n", ":2: a key has letters"),
        ("schlüssel\n".encode(), ":1: a key has letters"),
        (b"\xff\xfe\n", "not a text in UTF-8"),
        (b"a" * 1000, ":1: a key has at most 512"),
    ],
)
def test_wrong_files_of_keys_are_mistakes(tmp_path, content, error):
    file = tmp_path / "keys.txt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=error):
        WebSettings(api_key_file=str(file)).check()
    with pytest.raises(UserError, match="No such file"):
        WebSettings(api_key_file=str(tmp_path / "none")).check()


# ---------------------------------------------------------------------------
# Pages of other sites.


def test_only_named_sites_may_ask(served, key_file):
    site = "https://example.org"
    settings = {"cors_origins": (site,), "api_key_file": str(key_file)}
    with served(**settings) as (_, port):
        asked = {
            "Access_Control_Request_Method": "POST",
            "Access_Control_Request_Headers": "authorization,content-type",
        }
        path = predict("regression")
        status, headers, _ = get(port, path, "OPTIONS", Origin=site, **asked)
        assert status == 200
        assert headers["Access-Control-Allow-Origin"] == site
        other = "https://example.com"
        status, headers, _ = get(port, path, "OPTIONS", Origin=other, **asked)
        assert status == 400
        assert "Access-Control-Allow-Origin" not in headers
        for path in ("/readyz", "/status"):  # Refused, but it may read why.
            headers = get(port, path, Origin=site)[1]
            assert headers["Access-Control-Allow-Origin"] == site
    with served(cors_origins=("*",)) as (_, port):
        headers = get(port, "/status", Origin=other)[1]
        assert headers["Access-Control-Allow-Origin"] == "*"
    with served() as (_, port):
        headers = get(port, "/status", Origin=site)[1]
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "origin", ["example.org", "https://a.org/", "", "ftp://a.org", "https://*"]
)
def test_wrong_sites_are_mistakes(origin):
    with pytest.raises(UserError, match="cors_origins=.*https://example.org"):
        WebSettings(cors_origins=[origin]).check()


# ---------------------------------------------------------------------------
# HTTPS.


def test_it_speaks_https(served, tmp_path, monkeypatch):
    cert, key = certificate(tmp_path)
    with served(tls_cert=cert, tls_key=key) as (_, port):
        address = f"https://localhost:{port}{predict('regression')}"
        context = ssl.create_default_context(cafile=cert)
        body = json.dumps(ROW).encode()
        for _ in range(2):
            with urllib.request.urlopen(
                address, body, context=context
            ) as reply:
                assert json.load(reply) == {"predictions": [3.0]}
        monkeypatch.setenv("SSL_CERT_FILE", cert)
        client = EncodeClient("https://localhost", port)
        assert client.encode(["abc"]).shape == (1, 3)


def test_wrong_certificates_are_mistakes(tmp_path):
    cert, key = certificate(tmp_path)
    other = tmp_path / "other.pem"
    other.write_text("nothing\n")
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    for cert_file, key_file, error in (
        (cert, None, "tls_cert needs tls_key: give both"),
        (None, key, "tls_key needs tls_cert: give both"),
        (str(tmp_path / "none"), key, "tls_cert=.*: No such file"),
        (cert, str(tmp_path), "tls_key=.*: Is a directory"),
        (key, cert, "tls_cert=.*: must be .*BEGIN CERTIFICATE"),
        (str(other), key, "tls_cert=.*: must be a file in PEM"),
        (cert, str(other), "tls_key=.*: must be a file in PEM"),
        (cert, str(encrypted), "PEM|is encrypted"),
    ):
        settings = WebSettings(tls_cert=cert_file, tls_key=key_file)
        with pytest.raises(UserError, match=error) as caught:
            settings.check()
        assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------
# The log.


@pytest.fixture
def log(monkeypatch):
    """What the server's log gets: its lines."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(handler.format(record))
    logger = absl_logging.get_absl_logger()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    monkeypatch.setattr(absl_logging, "get_absl_handler", lambda: handler)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def last(log, number):
    """The last of so many lines; one is written after its answer is sent."""
    deadline = time.monotonic() + 5
    while len(log) < number:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return log[number - 1]


def test_each_request_is_a_line_of_json(served, log):
    log_formats.use("json")
    with served(log_format="json") as (_, port):
        path = predict("regression")
        body = json.dumps(ROW).encode()
        ids = ("my-id.7", 'bad"id', "a" * 200, "")
        for number, sent in enumerate(ids, 1):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}?a=%0A",
                body,
                {"X-Request-Id": sent} if sent else {},
            )
            with urllib.request.urlopen(request) as reply:
                found = reply.headers["X-Request-Id"]
            if sent == "my-id.7":
                assert found == sent
            else:
                assert re.fullmatch("[0-9a-f]{32}", found)
            line = json.loads(last(log, number))
            assert line["request_id"] == found
        assert {n: line[n] for n in ("method", "path", "status", "model")} == {
            "method": "POST",
            "path": path,
            "status": 200,
            "model": "regression",
        }
        assert line["seconds"] > 0 and line["client"] == "127.0.0.1"
        assert re.fullmatch(r"[-\d]+T[:\d]+\.\d{3}Z", line["time"])
        get(port, "/readyz")  # Probes would fill the log.
        assert get(port, "/none%0a" + "b" * 500)[0] == 404
        assert json.loads(last(log, number + 1))["status"] == 404
        assert len(log[-1]) < 700


def test_errors_are_in_the_log_with_their_request(served, models, log):
    log_formats.use("json")
    with served(log_format="json") as (_, port):
        body = {"instances": ["breaks the model"]}
        status, _ = send_request(
            port, predict("regression"), body, **{"X-Request-Id": "it-broke"}
        )
    assert status == 500
    found = [json.loads(line) for line in log]
    assert found[-1]["status"] == 500
    assert found[-1]["request_id"] == "it-broke"
    record = logging.LogRecord("a", logging.ERROR, "f.py", 3, "b\nc", (), None)
    line = log_formats._Json().format(record)
    assert json.loads(line)["message"] == "b\nc" and "\n" not in line


def test_lines_of_text_have_the_id_too(served, log):
    log_formats.use("text")
    with served(log_format="text") as (_, port):
        get(port, "/status", X_Request_Id="abc")
    assert re.search(r"GET /status 200 in [\d.]+ ms request_id=abc$", log[-1])


def test_nothing_is_around_requests_that_nobody_asked_for(served):
    with served() as (server, port):
        assert "X-Request-Id" not in get(port, "/status")[1]
        app = server.config.app
    assert not isinstance(app, RequestLog)
    names = [each.cls.__name__ for each in app.user_middleware]
    assert names == ["_Observer"]


# ---------------------------------------------------------------------------
# Traces.

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_requests_and_batches_are_traced(served):
    needs("opentelemetry.sdk", "opentelemetry-sdk>=1.30,<2")
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    from bert_tf.serving.tracing import Tracing

    exporter = InMemorySpanExporter()
    tracing = Tracing("http://localhost:4318", exporter)
    with served(tracing) as (_, port):
        parent = f"00-{TRACE}-00f067aa0ba902b7-01"
        for headers in ({"traceparent": parent}, {"traceparent": "x"}):
            status, _ = send_request(
                port, predict("regression"), ROW, **headers
            )
            assert status == 200
        run = tracing.of_batches("regression", lambda key, rows: len(rows))
        assert run("key", [1, 2]) == 2
    tracing.close()
    spans = exporter.get_finished_spans()
    (batch,) = [span for span in spans if span.name[:5] == "batch"]
    first, second = sorted(
        [span for span in spans if span is not batch],
        key=lambda span: span.start_time,
    )
    assert first.name == "POST /v1/models/{model}:predict"
    assert f"{first.context.trace_id:032x}" == TRACE
    assert f"{first.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert first.attributes["http.response.status_code"] == 200
    assert first.attributes["bert.model"] == "regression"
    assert second.parent is None
    assert second.name == first.name and batch.name == "batch regression"
    assert batch.attributes["bert.batch_size"] == 2
    assert first.resource.attributes["service.name"] == "bert-serve"


@pytest.mark.parametrize("endpoint", ["localhost:4318", "http://", "grpc://a"])
def test_wrong_collectors_are_mistakes(endpoint):
    with pytest.raises(UserError, match="such as http://localhost:4318"):
        WebSettings(otel_endpoint=endpoint).check()


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(extras.MODULES, "otel", ("none.such", "json"))
    with pytest.raises(UserError, match=r"pip install 'bert-tf\[otel\]'"):
        WebSettings(otel_endpoint="http://localhost:4318").check()
