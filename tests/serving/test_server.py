"""Connections, and a shutdown that loses no request."""

import socket
import threading
import time
import urllib.error

import pytest
from support.server_requests import (
    LIMITS,
    POST,
    predict,
    predictor_of,
    raw,
    send_request,
)
from support.serving_fakes import ThreadServer, make_serving, running, start

from bert_tf.errors import UserError
from bert_tf.serving.server import bind


def test_half_a_head_is_not_waited_for(port, monkeypatch):
    monkeypatch.setattr("bert_tf.serving.server.IDLE_SECONDS", 0.2)
    assert raw(port, POST) == b""


def test_connections_have_a_limit(serving):
    with running(serving, max_connections=3) as (_, port):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 503 ")
        for connection in idle:
            connection.close()
        time.sleep(0.1)
        assert send_request(port, "/healthz")[0] == 200


def test_of_two_that_start_at_once_one_gets_the_port(serving):
    first = bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    second = bind("127.0.0.1", port)  # As long as nobody listens.
    first.listen()
    with pytest.raises(UserError, match=f"port={port}: Address already in use"):
        ThreadServer(serving).run(sockets=[second])
    first.close()


def test_the_end_answers_what_was_accepted(tmp_path):
    serving = start(make_serving(LIMITS), tmp_path)
    predictor = predictor_of(serving, "regression")
    predictor.may_run.clear()
    answers = []
    with running(serving) as (server, port):
        thread = threading.Thread(
            target=lambda: answers.append(
                send_request(port, predict("regression"), {"instances": ["ab"]})
            )
        )
        thread.start()
        time.sleep(0.1)
        server.should_exit = True
        time.sleep(0.6)
        with pytest.raises(urllib.error.URLError):
            send_request(port, "/healthz")
        predictor.may_run.set()
        thread.join()
    assert answers == [(200, {"predictions": [2.0]})]
    assert server.num_unanswered == 0


@pytest.mark.parametrize("path", ["/encode", "/nothing", "/v1/models/a:b"])
def test_rubbish_in_a_body_gets_one_answer(port, caplog, path):
    """Also where the application answers before the body has arrived."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    head = head.encode() + b"\r\n2\r\n{}\r\n"
    answer = raw(port, head + b"rubbish\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    later = raw(port, head, b"rubbish\r\n")
    assert later.count(b"HTTP/1.1 4") == 1
    assert send_request(port, "/livez")[0] == 200
    assert not [r for r in caplog.records if r.exc_info], caplog.text
