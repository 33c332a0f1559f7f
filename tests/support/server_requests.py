"""Requests to a server that runs in this process, and what they hold."""

import base64
import json
import socket
import time
import urllib.error
import urllib.request

import tensorflow as tf

from bert_tf.serving.limits import Limits

LIMITS = Limits(
    max_body_bytes=200_000,
    max_text_bytes=100_000,
    max_texts=50,
    max_queue=60,
    body_seconds=0.5,
    request_seconds=1.0,
)


POST = b"POST /encode HTTP/1.1\r\nHost: a\r\n"


IDS = {"input_ids": [2, 5, 3], "input_mask": [1, 1, 1], "segment_ids": [0] * 3}


def send_request(port, path, body=None, **headers):
    """Sends a request; returns (status, JSON of the answer)."""
    if isinstance(body, str):
        body = body.encode()
    elif body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def predict(model):
    return f"/v1/models/{model}:predict"


def predictor_of(serving, name):
    with serving.models[name].use() as version:
        return version.predictor


def examples_body(*rows):
    """A request of tf.Examples; a row is {feature: list of numbers}."""
    instances = []
    for row in rows:
        features = {
            name: tf.train.Feature(int64_list=tf.train.Int64List(value=values))
            for name, values in row.items()
        }
        example = tf.train.Example(features=tf.train.Features(feature=features))
        serialized = example.SerializeToString(deterministic=True)
        instances.append({"b64": base64.b64encode(serialized).decode()})
    return {"signature_name": "examples", "instances": instances}


def raw(port, data, *more):
    """Sends bytes, with pauses between them; returns the answer's start."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(data)
        for part in more:
            time.sleep(0.1)
            client.sendall(part)
        return client.recv(10_000)
