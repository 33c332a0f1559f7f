"""gRPC's port: limits, deadlines, health, keys, TLS, and the end."""

import asyncio
import contextlib
import threading
import time

import grpc
import pytest
from absl import logging
from support.certificates import certificate
from support.common import needs
from support.rpc_clients import (
    HEALTH,
    INFERENCE,
    PREDICTION,
    OwnClient,
    answering,
    held,
    predict_request,
    refused,
)
from support.server_requests import LIMITS, predictor_of
from support.serving_fakes import make_serving, running, start

from bert_tf.errors import UserError
from bert_tf.serving.listening import reserve, target_of
from bert_tf.serving.rpc.endpoint import Endpoint
from bert_tf.serving.web_settings import WebSettings

Code = grpc.StatusCode
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
KEY = "s3cret-of-a-client"


@pytest.fixture(scope="module")
def grpc_port(serving):
    with answering(serving) as (_, endpoint, _):
        yield endpoint.port


@pytest.fixture(scope="module")
def own(grpc_port):
    with contextlib.closing(OwnClient(grpc_port)) as client:
        yield client


def test_deadlines_of_client_and_server(serving, own):
    predict = own.stub(PREDICTION).Predict
    request = predict_request(own, "regression", text=["ab"])
    with held(serving, "regression"):
        predict.future(request)  # Its batch is running.
        time.sleep(0.1)
        start = time.monotonic()
        with refused(Code.DEADLINE_EXCEEDED):
            predict(request, timeout=0.2)
        call = predict.future(request)
        time.sleep(0.1)
        call.cancel()
        with refused(Code.DEADLINE_EXCEEDED, "did not answer in 1 s"):
            predict(request)
        assert time.monotonic() - start < 3
        batches = len(predictor_of(serving, "regression").batches)
    assert predict(request).outputs["prediction"].float_val[0] == 2
    # Nobody waits for the others any more, so the model did not read them.
    assert len(predictor_of(serving, "regression").batches) <= batches + 2


def test_a_full_queue_and_large_messages(serving, own):
    predict = own.stub(PREDICTION).Predict
    many = predict_request(own, "embedding", text=["a"] * 40)
    with held(serving, "embedding"):
        first = predict.future(many)
        time.sleep(0.1)
        second = predict.future(many)
        with refused(Code.RESOURCE_EXHAUSTED, "sequences wait already"):
            predict(many)
    assert first.result() and second.result()
    too_many = predict_request(own, "embedding", text=["a"] * 51)
    with refused(Code.INVALID_ARGUMENT, "at most 50"):
        predict(too_many)
    large = predict_request(own, "embedding", text=["a" * 5000] * 30)
    assert len(predict(large).outputs) == 1
    too_large = predict_request(own, "embedding", text=["a" * 50_000] * 5)
    with refused(Code.RESOURCE_EXHAUSTED, "larger than max"):
        predict(too_large)


def test_calls_have_a_limit(serving):
    with answering(serving, max_calls=1) as (_, endpoint, _):
        with contextlib.closing(OwnClient(endpoint.port)) as client:
            predict = client.stub(PREDICTION).Predict
            request = predict_request(client, "embedding", text=["a"])
            with held(serving, "embedding"):
                first = predict.future(request, timeout=20)
                time.sleep(0.2)
                with refused(Code.RESOURCE_EXHAUSTED, "exceeded"):
                    predict(request, timeout=20)
            assert first.result()


def test_a_message_that_does_not_come_is_not_waited_for(own):
    call = own.channel.stream_unary(f"/{PREDICTION}/Predict")
    over = threading.Event()
    with refused(Code.DEADLINE_EXCEEDED, "did not arrive in 0.5 s"):
        call(iter(over.wait, True), timeout=20)
    over.set()
    with refused(Code.INVALID_ARGUMENT, "no message"):
        call(iter([]), timeout=20)


def test_defects_stay_in_the_log(serving, own):
    request = predict_request(own, "embedding", text=["breaks the model"])
    with refused(Code.INTERNAL, "see the server's log"):
        own.stub(PREDICTION).Predict(request)


def test_calls_are_counted(serving, own):
    def count(status):
        route = f"/{PREDICTION}/Predict"
        labels = [f'model="tags",route="{route}",status="{status}"']
        text = serving.metrics_text().decode()
        lines = [line for line in text.splitlines() if labels[0] in line]
        lines = [line for line in lines if "requests_total" in line]
        return float(lines[0].rpartition(" ")[2]) if lines else 0

    right, wrong = count(200), count(400)
    predict = own.stub(PREDICTION).Predict
    predict(predict_request(own, "tags", text=["a"]))
    with refused(Code.INVALID_ARGUMENT):
        predict(predict_request(own, "tags", other=["a"]))
    assert (count(200), count(400)) == (right + 1, wrong + 1)


def test_bytes_that_are_no_message(own):
    for service in (PREDICTION, INFERENCE, HEALTH):
        name = {PREDICTION: "Predict", INFERENCE: "ModelInfer"}
        call = own.channel.unary_unary(
            f"/{service}/{name.get(service, 'Check')}"
        )
        with refused(Code.INVALID_ARGUMENT, "the message is not a "):
            call(b"\xff\xff\xff", timeout=20)
    with refused(Code.UNIMPLEMENTED):
        own.channel.unary_unary(f"/{PREDICTION}/x")(b"", timeout=20)


def test_health_of_services(serving, own):
    stub = own.stub(HEALTH)

    def request(service):
        return own.new("grpc.health.v1.HealthCheckRequest", service=service)

    for service in ("", PREDICTION, INFERENCE):
        assert stub.Check(request(service)).status == 1
    with refused(Code.NOT_FOUND, 'no service "x"'):
        stub.Check(request("x"))
    watch = stub.Watch(request("x"))
    assert next(watch).status == 3
    watch.cancel()


def test_the_end_answers_what_was_accepted(tmp_path):
    serving = start(make_serving(LIMITS), tmp_path)
    with answering(serving) as (_, endpoint, server):
        with contextlib.closing(OwnClient(endpoint.port)) as client:
            service = client.new("grpc.health.v1.HealthCheckRequest")
            watch = client.stub(HEALTH).Watch(service)
            assert next(watch).status == 1
            predict = client.stub(PREDICTION).Predict
            request = predict_request(client, "regression", text=["ab"])
            with held(serving, "regression"):
                call = predict.future(request)
                time.sleep(0.1)
                server.should_exit = True
                assert [each.status for each in watch] == [2]
                time.sleep(0.5)
                with refused(Code.UNAVAILABLE):
                    predict(request)
            answer = call.result()
    assert answer.outputs["prediction"].float_val[0] == 2
    assert server.num_unanswered == 0


def test_what_the_grace_is_too_short_for_is_counted(tmp_path):
    serving = start(make_serving(), tmp_path)
    with held(serving, "regression"):
        with answering(serving) as (_, endpoint, server):
            server._grace_seconds = 0.2
            client = OwnClient(endpoint.port)
            request = predict_request(client, "regression", text=["ab"])
            call = client.stub(PREDICTION).Predict.future(request)
            time.sleep(0.1)
    assert server.num_unanswered == 1
    with refused(Code.UNAVAILABLE):
        call.result()
    client.close()


def test_a_port_that_is_in_use(serving, grpc_port):
    endpoint = Endpoint(serving, f"127.0.0.1:{grpc_port}")
    with pytest.raises(UserError, match=f"grpc_port={grpc_port}"):
        asyncio.run(endpoint.start())
    for is_shared in (False, True):
        with pytest.raises(UserError, match="grpc_port=.*in use"):
            reserve("127.0.0.1", grpc_port, is_shared)


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_port_is_reserved_and_then_used(serving, is_shared):
    with reserve("127.0.0.1", 0, is_shared) as reserved:
        address = target_of(reserved)
        endpoint = Endpoint(serving, address, is_shared=is_shared)
        with running(serving, companion=endpoint):
            assert address == f"127.0.0.1:{endpoint.port}"
            with contextlib.closing(OwnClient(endpoint.port)) as client:
                request = predict_request(client, "tags", text=["a"])
                client.stub(PREDICTION).Predict(request)


# ---------------------------------------------------------------------------
# Keys, TLS, and the log.


@contextlib.contextmanager
def with_settings(serving, monkeypatch, **settings):
    """A server with keys, TLS or a log; gives gRPC's port."""
    monkeypatch.setattr(serving, "web", WebSettings(**settings))
    with answering(serving) as (_, endpoint, _):
        yield endpoint.port


def test_calls_need_a_key(serving, monkeypatch, tmp_path):
    file = tmp_path / "keys.txt"
    file.write_text(f"{KEY}\n")
    settings = {"api_key_file": str(file), "log_format": "json"}
    with with_settings(serving, monkeypatch, **settings) as port:
        with contextlib.closing(OwnClient(port)) as client:
            predict = client.stub(PREDICTION).Predict
            request = predict_request(client, "tags", text=["a"])
            for metadata in (
                None,
                [("x-api-key", "other")],
                [("authorization", f"Basic {KEY}")],
            ):
                with refused(Code.UNAUTHENTICATED, "a valid API key"):
                    predict(request, metadata=metadata)
            for metadata in (
                [("x-api-key", KEY)],
                [("authorization", f"Bearer {KEY}")],
            ):
                assert predict(request, metadata=metadata).outputs
            health = client.new("grpc.health.v1.HealthCheckRequest")
            assert client.stub(HEALTH).Check(health).status == 1


def test_calls_are_logged(serving, monkeypatch, caplog):
    logger = logging.get_absl_logger()
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("INFO", logger.name)
    with with_settings(serving, monkeypatch, log_format="json") as port:
        with contextlib.closing(OwnClient(port)) as client:
            predict = client.stub(PREDICTION).Predict
            request = predict_request(client, "tags", text=["a"])
            metadata = [("x-request-id", "seven")]
            _, call = predict.with_call(request, metadata=metadata)
            assert ("x-request-id", "seven") in call.trailing_metadata()
    (fields,) = [r.fields for r in caplog.records if hasattr(r, "fields")]
    assert (fields["model"], fields["status"]) == ("tags", 200)
    assert fields["path"] == f"/{PREDICTION}/Predict"


def test_it_speaks_tls(serving, monkeypatch, tmp_path):
    cert, key = certificate(tmp_path)
    settings = {"tls_cert": cert, "tls_key": key}
    with with_settings(serving, monkeypatch, **settings) as port:
        credentials = grpc.ssl_channel_credentials(open(cert, "rb").read())
        with contextlib.closing(OwnClient(port, credentials)) as client:
            request = predict_request(client, "tags", text=["a"])
            assert client.stub(PREDICTION).Predict(request, timeout=20).outputs


def test_calls_have_spans(serving):
    needs("opentelemetry.sdk", "opentelemetry-sdk>=1.30,<2")
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    from bert_tf.serving.tracing import Tracing

    exporter = InMemorySpanExporter()
    serving.tracing = Tracing("http://localhost:4318", exporter)
    with answering(serving) as (_, endpoint, _):
        with contextlib.closing(OwnClient(endpoint.port)) as client:
            predict = client.stub(PREDICTION).Predict
            predict(
                predict_request(client, "regression", text=["a"]),
                metadata=[("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")],
            )
            with refused(Code.NOT_FOUND):
                predict(predict_request(client, "none", text=["a"]))
    serving.tracing.close()
    serving.tracing = None
    first, second = exporter.get_finished_spans()
    assert first.name == f"{PREDICTION}/Predict"
    assert f"{first.context.trace_id:032x}" == TRACE
    assert first.attributes["rpc.method"] == "Predict"
    assert first.attributes["bert.model"] == "regression"
    assert first.attributes["bert.status"] == 200
    assert second.parent is None and second.attributes["bert.status"] == 404
