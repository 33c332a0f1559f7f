"""A server in a process of its own, under load, attacks and signals."""

import base64
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from support.common import needs
from support.server_processes import server
from support.serving_fakes import INPUTS

pytestmark = pytest.mark.slow

MEGABYTE = 1 << 20
REGRESSION = "/v1/models/regression:predict"


def send(connection, path, body):
    """(status, JSON of the answer)."""
    connection.request("POST", path, body)
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read())


def together(works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_each_of_many_clients_gets_its_own_answers(tmp_path):
    """32 clients, 50 requests each, of mixed lengths."""
    right = []

    def client(seed):
        rng = random.Random(seed)
        connection = process.connect()
        for _ in range(50):
            texts = [
                "x" * rng.randrange(1, 40) for _ in range(rng.randrange(1, 6))
            ]
            body = json.dumps({"instances": texts})
            status, answer = send(connection, REGRESSION, body)
            assert status == 200
            right.append(answer["predictions"] == [len(t) for t in texts])

    with server(tmp_path, seconds=0.005) as process:
        together([lambda seed=i: client(seed) for i in range(32)])
    assert len(right) == 1600 and all(right)


def test_a_signal_under_load_loses_no_request(tmp_path):
    sent, answered = [], []

    def client():
        connection = process.connect()
        while True:
            body = json.dumps({"instances": ["abc"]})
            try:
                connection.connect()
            except OSError:
                return  # It no longer accepts connections.
            while True:
                sent.append(1)
                connection.request("POST", REGRESSION, body)
                reply = connection.getresponse()
                assert json.loads(reply.read()) == {"predictions": [3.0]}
                answered.append(1)
                if reply.will_close:
                    break

    with server(tmp_path, seconds=0.02) as process:
        clients = [threading.Thread(target=client) for _ in range(16)]
        for thread in clients:
            thread.start()
        time.sleep(1.5)
        process.process.send_signal(signal.SIGTERM)
        for thread in clients:
            thread.join()
        assert process.process.wait(timeout=20) == 0
    assert len(sent) == len(answered) > 100


def test_a_second_signal_ends_it_at_once(tmp_path):
    with server(tmp_path, seconds=30) as process:
        connection = process.connect()
        body = json.dumps({"instances": ["abc"]})
        connection.request("POST", REGRESSION, body)
        time.sleep(0.5)
        process.process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.process.poll() is None
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(timeout=5) == 1


# ---------------------------------------------------------------------------
# Attacks.


def odd_values(rng):
    """A value that does not belong where it is put."""
    return rng.choice(
        [
            None,
            True,
            -1,
            2**63,
            10**30,
            1.5,
            "",
            "\ud800",
            "a\x00b",
            "🙂" * rng.randrange(50),
            "x" * 10_000,
            [],
            {},
            [[]],
            [[["a"]]],
            {"b64": "%%%"},
            {"b64": base64.b64encode(b"\xff\xfe").decode()},
            {"text": {"text": "a"}},
            {"text": ["a", None]},
            ["a", "b", "c"],
        ]
    )


def random_body(rng):
    """The bytes of a request that is partly right and wrong somewhere."""
    rows = [
        rng.choice(["a text", {"text": "a"}, odd_values(rng)])
        for _ in range(rng.randrange(4))
    ]
    body = {
        rng.choice(
            ["instances", "inputs", "examples", "texts", "x"]
        ): rng.choice(
            [rows, odd_values(rng), {"text": rows}, {"input_ids": rows}]
        )
    }
    if rng.random() < 0.4:
        names = ["ids", "examples", "serving_default", "none", odd_values(rng)]
        body["signature_name"] = rng.choice(names)
    if rng.random() < 0.2:
        body[rng.choice(["id", "model", "context"])] = odd_values(rng)
    data = json.dumps(body).encode()
    damage = rng.random()
    if damage < 0.15:  # Broken JSON, broken UTF-8.
        place = rng.randrange(len(data))
        data = (
            data[:place] + rng.randbytes(rng.randrange(4)) + data[place + 1 :]
        )
    elif damage < 0.2:
        data = data[: rng.randrange(len(data))]
    return data


PATHS = [f"/v1/models/{kind}:predict" for kind in INPUTS]
PATHS += ["/v1/models/single_label:classify", "/v1/models/regression:regress"]
PATHS += ["/encode", "/encode?model=%00", "/v1/models/none:predict"]
PATHS += ["/search"]


def fuzz(process, rng, number):
    """Sends bodies over a few connections; returns the statuses."""
    statuses = set()
    connection = process.connect()
    for _ in range(number):
        status, answer = send(connection, rng.choice(PATHS), random_body(rng))
        statuses.add(status)
        assert status != 500, answer
        if status != 200:
            assert "\n" not in answer["error"]
    connection.close()
    return statuses


def send_large(process):
    """Sends 50 MB, 100,000 texts, deep nesting, and chunks without end."""
    connection = process.connect()
    path = REGRESSION
    assert send(connection, path, b" " * (50 * MEGABYTE))[0] == 413
    texts = json.dumps({"instances": ["a"] * 100_000})
    assert send(process.connect(), path, texts)[0] == 413
    deep = b'{"instances": ' + b"[" * MEGABYTE
    assert send(process.connect(), path, deep)[0] == 400
    with socket.create_connection(("127.0.0.1", process.port)) as raw:
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\n"
        raw.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * MEGABYTE + b"\r\n"
        raw.sendall(chunk * 9)
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def send_rubbish(process, rng):
    """Sends bytes that are not HTTP, and half a request on many connections."""
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", process.port)) as raw:
            raw.sendall(rng.randbytes(rng.randrange(200)) + b"\r\n\r\n")
    held = [
        socket.create_connection(("127.0.0.1", process.port)) for _ in range(50)
    ]
    for connection in held:
        connection.sendall(b"POST /encode HTTP/1.1\r\nContent-Le")
    for connection in held:
        connection.close()


def test_nothing_that_is_sent_breaks_it(tmp_path):
    rng = random.Random(12345)
    with server(tmp_path) as process:
        # Warm up, so that memory that is allocated only once is allocated.
        fuzz(process, rng, 300)
        send_large(process)
        before = process.memory()
        statuses = fuzz(process, rng, 2000)
        assert statuses == {200, 400, 404}
        for _ in range(3):
            send_large(process)
            send_rubbish(process, rng)
        assert process.memory() - before < 50 * MEGABYTE
        body = json.dumps({"instances": ["abc"]})
        status, answer = send(process.connect(), REGRESSION, body)
        assert (status, answer) == (200, {"predictions": [3.0]})


def test_what_the_description_allows_gives_no_defect(tmp_path):
    """schemathesis makes right and wrong requests from it."""
    needs("schemathesis", "schemathesis>=4,<5")
    with server(tmp_path) as process:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "schemathesis.cli",
                "run",
                f"http://127.0.0.1:{process.port}/openapi.json",
                "--checks=not_a_server_error,status_code_conformance,"
                "content_type_conformance,response_schema_conformance",
                "--max-examples=60",
                "--phases=examples,coverage,fuzzing",
                "--seed=12345",
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
