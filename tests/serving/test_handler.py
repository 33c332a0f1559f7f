"""Requests that wait: a full queue, a slow model, a client that leaves."""

import socket
import threading
import time

from support.server_requests import POST, predict, predictor_of


def test_a_full_queue_and_a_slow_model(serving, send):
    predictor = predictor_of(serving, "regression")
    predictor.may_run.clear()
    body = {"instances": ["a"] * 50}
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(send(predict("regression"), body))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    predictor.may_run.set()
    # 32 run, 18 wait; there is room for 60.
    assert sorted(status for status, _ in answers) == [429, 429, 504]
    assert send(predict("regression"), {"instances": ["a"]})[0] == 200


def test_a_client_that_disconnected_is_not_answered(serving, port):
    predictor = predictor_of(serving, "embedding")
    predictor.may_run.clear()
    predictor.batches.clear()
    model = serving.models["embedding"]
    body = b'{"texts": ["a"]}'
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", port)) as waits:
        waits.sendall(request)
        time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", port)) as goes:
            goes.sendall(request)
            while not model.num_waiting:
                time.sleep(0.01)
        time.sleep(0.1)
        predictor.may_run.set()
        assert waits.recv(100).startswith(b"HTTP/1.1 200 ")
    while model.num_waiting:
        time.sleep(0.01)
    assert predictor.batches == [1]
