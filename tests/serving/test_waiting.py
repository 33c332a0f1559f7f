"""What answers while the models load."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time

import pytest
from support.certificates import certificate

from bert_tf.errors import UserError
from bert_tf.serving.listening import bind
from bert_tf.serving.waiting import WaitingRoom
from bert_tf.serving.web_settings import WebSettings


@contextlib.contextmanager
def waiting(context=None):
    """Gives (listener, port, room)."""
    listener = bind("127.0.0.1", 0)
    with WaitingRoom(listener, ["sms", "names"], context) as room:
        yield listener, listener.getsockname()[1], room
    listener.close()


def ask(port, path, method="GET", body=None):
    """(status, headers, JSON of the answer)."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(client):
        client.request(method, path, body)
        reply = client.getresponse()
        content = reply.read()
        return reply.status, reply.headers, json.loads(content or b"null")


def wait_for(status, statuses):
    deadline = time.monotonic() + 10
    while status not in statuses:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_lives_and_is_not_ready():
    with waiting() as (_, port, _):
        assert ask(port, "/livez")[::2] == (200, {"status": "ok"})
        assert ask(port, "/v2/health/live?a=b")[::2] == (200, {"live": True})
        assert ask(port, "/livez", "HEAD")[::2] == (200, None)
        for path in ("/readyz", "/healthz", "/v2/health/ready", "/", "/none"):
            status, headers, answer = ask(port, path)
            assert status == 503 and headers["Retry-After"] == "2"
            assert answer == {"error": "not ready: loading sms, names"}
        body = "a" * 3_000_000  # More than the system keeps for us.
        path = "/v1/models/sms:predict"
        assert ask(port, path, "POST", body)[0] == 503


@pytest.mark.parametrize(
    "data", [b"\0\r\n\r\n", b"GET\r\n\r\n", b"\xff" * 50_000, b"\r\n\r\n"]
)
def test_what_is_no_request_does_no_harm(data):
    with waiting() as (_, port, _):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(data)
            assert client.recv(12) == b"HTTP/1.1 503"
        assert ask(port, "/livez")[0] == 200


def test_idle_connections_do_not_delay_its_end():
    with waiting() as (_, port, room):
        with socket.create_connection(("127.0.0.1", port)):
            time.sleep(0.05)
            start = time.monotonic()
            room.close()
            assert time.monotonic() - start < 2


def test_no_connection_is_lost_when_the_server_takes_over():
    statuses, over = [], threading.Event()

    def work(port):
        while not over.is_set():
            statuses.append(ask(port, "/readyz")[0])

    def serve(listener):
        listener.settimeout(0.05)
        while any(thread.is_alive() for thread in threads):
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client:
                    client.settimeout(5)
                    client.recv(1000)
                    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    with waiting() as (listener, port, room):
        threads = [
            threading.Thread(target=work, args=(port,)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        wait_for(503, statuses)
        room.close()
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        wait_for(200, statuses)
        over.set()
        for thread in [*threads, server]:
            thread.join()
    assert {*statuses} == {200, 503}


def test_it_speaks_https(tmp_path):
    cert, key = certificate(tmp_path)
    context = WebSettings(tls_cert=cert, tls_key=key).tls_context()
    with waiting(context) as (_, port, _):
        client = ssl.create_default_context(cafile=cert)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            with client.wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                assert tls.recv(15) == b"HTTP/1.1 200 OK"
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            plain.settimeout(5)
            with contextlib.suppress(ConnectionError):
                assert b"HTTP" not in plain.recv(100)


def test_an_address_in_use_is_a_mistake():
    first = bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    second = bind("127.0.0.1", port)  # As long as nobody listens.
    first.listen()
    with pytest.raises(UserError, match=f"port={port}: Address already in use"):
        WaitingRoom(second, ["sms"])
    first.close()
