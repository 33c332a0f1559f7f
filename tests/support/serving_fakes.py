"""A predictor without a model, and servers for it, for tests.

It has the interface of `predictor.Predictor`. Its answers show which text they
belong to: the score of a text is its number of characters.

    python tests/support/serving_fakes.py FOLDER SECONDS [rpc]

is a server for it in a process of its own; a batch takes SECONDS. With `rpc`
it answers over gRPC, too.
"""

import contextlib
import dataclasses
import functools
import pathlib
import socket
import sys
import threading
import time
import types

import numpy as np
import tensorflow as tf
import uvicorn

from bert_tf.serving import signatures, texts
from bert_tf.serving.batching import Batcher
from bert_tf.serving.limits import Limits
from bert_tf.serving.models import ServedModel
from bert_tf.serving.server import Server, address_of, bind, end_process
from bert_tf.serving.state import Serving

INPUTS = {
    "single_label": ("text",),
    "multi_label": ("text",),
    "regression": ("text",),
    "tags": ("text",),
    "multiple_choice": ("text", "endings"),
    "question_answering": ("question", "context"),
    "relation": ("text",),
    "embedding": ("text",),
}
LABELS = ["ham", "<b>spam</b>"]
TYPES = ("PER", "LOC", "ORG", "MISC", "DATE", "WORK_OF_ART", "a-b")
LABELS_OF = {
    "single_label": LABELS,
    "multi_label": LABELS,
    "relation": LABELS,
    "tags": ["O", *(f"{p}-{type}" for type in TYPES for p in "BI")],
}


@dataclasses.dataclass
class FakeRequest:
    """A text that was read, as `predictor.Request`."""

    values: dict
    length: int
    lengths: dict = dataclasses.field(default_factory=dict)

    @property
    def inputs(self):
        return tuple(self.values.values())


class FakeSignature:
    """The specs of a concrete function; calls `function(**columns)`."""

    def __init__(self, inputs, outputs, function):
        self.structured_input_signature = ((), inputs)
        self.structured_outputs = outputs
        self._function = function
        sizes = {
            "word_embeddings": 100,
            "token_type_embeddings": 2,
            "position_embeddings": 64,
        }
        self.variables = [
            types.SimpleNamespace(
                name=f"bert/embeddings/{name}:0", shape=[size, 8]
            )
            for name, size in sizes.items()
        ]

    def __call__(self, **columns):
        return self._function(**columns)


class FakePredictor:
    """A predictor without a model; see the module.

    Args:
        kind: the model's kind.
        seconds: how long a batch takes.
        name: put before each label, to know which version answered.

    Attributes:
        prepared: number of items in each call of `prepare`.
        batches: number of requests in each call of `run`.
        may_run: while it is cleared, `run` waits.
    """

    def __init__(self, kind="single_label", seconds=0.0, name=""):
        self.folder = "/nowhere"
        self.kind = kind
        self.engine = "float32"
        self.mixes_lengths = self.with_lengths = False
        self.has_lengths = True
        self.on_long = "truncate"
        self.num_measured = 0
        self.nan_for = None  # A text.
        self.labels = LABELS_OF.get(kind)
        self.info = {"kind": kind, "max_seq_length": 32}
        self.input_names = INPUTS[kind]
        self.seconds = seconds
        self.name = name
        self.prepared = []
        self.batches = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.signatures = make_signatures(self)

    def check(self, item):
        return item

    def prepare(self, items, first=0):
        self.prepared.append(len(items))
        return [
            self._request(place, item)
            for place, item in enumerate(items, first)
        ]

    def _request(self, place, item):
        names = self.input_names
        if not isinstance(item, dict):
            values = [item] if isinstance(item, str) else item
            if not isinstance(values, (list, tuple)):
                raise ValueError(f"item {place}: must be a text")
            if len(values) != len(names):
                raise ValueError(f"item {place}: needs {', '.join(names)}")
            item = dict(zip(names, values, strict=True))
        if set(item) != set(names):
            raise ValueError(f"item {place}: needs {', '.join(names)}")
        for name, value in item.items():
            texts = value if name == "endings" else [value]
            if not isinstance(texts, list) or not all(
                isinstance(text, str) for text in texts
            ):
                raise ValueError(f"item {place}: {name} must be text")
        size = max(map(len, item.values()))
        if self.kind in ("question_answering", "tags"):
            return FakeRequest(item, size // 4 + 1)
        return FakeRequest(item, 16 if size < 16 else 32)

    def measured(self, requests):
        self.num_measured += len(requests)
        longest = self.info["max_seq_length"]
        numbers = [sum(map(len, request.inputs)) for request in requests]
        return [
            dataclasses.replace(
                request,
                lengths={"num_tokens": number, "truncated": number > longest},
            )
            for request, number in zip(requests, numbers, strict=True)
        ]

    def run(self, requests):
        self.may_run.wait()
        time.sleep(self.seconds)
        self.batches.append(len(requests))
        texts = [request.values[self.input_names[0]] for request in requests]
        if any(text == "breaks the model" for text in texts):
            raise RuntimeError("broken")
        return getattr(self, "_" + self.kind)(requests, texts)

    def warm_up(self):
        pass

    def _single_label(self, requests, texts):
        scores = np.array([len(text) for text in texts], np.float32)
        return {
            "label": strings([f"{self.name}{text[:9]}" for text in texts]),
            "score": scores,
            "probabilities": np.stack([scores / 1000, 1 - scores / 1000], 1),
            "labels": strings([LABELS] * len(texts)),
        }

    _relation = _single_label

    def _multi_label(self, requests, texts):
        return {
            **self._single_label(requests, texts),
            "is_given": np.array([[True, False]] * len(texts)),
        }

    def _regression(self, requests, texts):
        values = [np.nan if t == self.nan_for else len(t) for t in texts]
        return {"prediction": np.array(values, np.float32)}

    def _embedding(self, requests, texts):
        return {
            "embedding": np.array(
                [[len(t), 0.1, ord((t or " ")[0])] for t in texts], np.float32
            )
        }

    def _multiple_choice(self, requests, texts):
        width = max(len(r.values["endings"]) for r in requests)
        rows = np.zeros((len(texts), width), np.float32)
        rows[:, -1] = 1
        label = np.full(len(texts), width - 1, np.int32)
        return {"label": label, "score": rows[:, -1], "probabilities": rows}

    def _tags(self, requests, texts):
        split = [text.split() for text in texts]
        width = max(map(len, split))

        def padded(rows, fill, dtype):
            rows = [r + [fill] * (width - len(r)) for r in rows]
            return np.array(rows, dtype).reshape(len(rows), width)

        starts = [
            [text.index(word) for word in words]
            for text, words in zip(texts, split, strict=True)
        ]
        ends = [
            [start + len(word) for start, word in zip(*row, strict=True)]
            for row in zip(starts, split, strict=True)
        ]
        tags = [
            ["B-PER" if word[0].isupper() else "O" for word in words]
            for words in split
        ]
        as_bytes = functools.partial(padded, fill=b"", dtype=object)
        return {
            "words": as_bytes([[w.encode() for w in row] for row in split]),
            "tags": as_bytes([[t.encode() for t in row] for row in tags]),
            "scores": padded([[1.0] * len(row) for row in split], 0.0, "f4"),
            "starts": padded(starts, -1, "i4"),
            "ends": padded(ends, -1, "i4"),
        }

    def _question_answering(self, requests, texts):
        answers = [request.values["context"][3:9] for request in requests]
        ones = np.ones(len(texts), np.int32)
        return {
            "answer": strings(answers),
            "score": ones / np.float32(2),
            "start": ones * 3,
            "end": ones * 9,
            "start_byte": ones * 3,
            "end_byte": ones * 9,
        }


def strings(values):
    """An array of bytes, as TensorFlow returns strings."""
    encoded = np.vectorize(lambda t: t.encode("utf-8", "replace"), otypes="O")
    return encoded(np.array(values, dtype=object))


def make_signatures(predictor):
    """{name: FakeSignature} for texts, ids and tf.Examples."""
    text = {
        name: tf.TensorSpec([None, None][: 1 + (name == "endings")], tf.string)
        for name in predictor.input_names
    }
    ids = {
        name: tf.TensorSpec([None, None], tf.int32)
        for name in signatures.ID_NAMES
    }
    score = {"score": tf.TensorSpec([None], tf.float32)}

    def sums(input_ids, input_mask, segment_ids):
        return {"score": tf.cast(tf.reduce_sum(input_ids, 1), tf.float32)}

    def sizes(examples):
        return {"score": tf.cast(tf.strings.length(examples), tf.float32)}

    return {
        "serving_default": FakeSignature(text, outputs_of(predictor), None),
        "ids": FakeSignature(ids, score, sums),
        "examples": FakeSignature(
            {"examples": tf.TensorSpec([None], tf.string)}, score, sizes
        ),
    }


def outputs_of(predictor):
    """The specs of what a fake answers."""
    values = {name: "a text" for name in predictor.input_names}
    if "endings" in values:
        values["endings"] = ["a", "b"]
    run = getattr(predictor, "_" + predictor.kind)
    columns = run([FakeRequest(values, 1)], [values[predictor.input_names[0]]])
    is_fixed = predictor.labels is not None and predictor.kind != "tags"
    is_fixed = is_fixed or predictor.kind == "embedding"
    return {
        name: tf.TensorSpec(
            [None, *(n if is_fixed else None for n in column.shape[1:])],
            tf.string if column.dtype == object else column.dtype,
        )
        for name, column in columns.items()
    }


def make_serving(limits=None, load=None, folder=None, **settings):
    """A Serving with one fake model of each kind, named like the kind.

    With `folder`, it has only a model named "model", which `load` returns.
    Other settings are the batchers'.
    """
    serving = Serving(models={}, limits=limits or Limits())

    def make_batcher(name, predictor):
        return Batcher(
            functools.partial(signatures.run, predictor),
            prepare=functools.partial(texts.prepare, predictor, serving.limits),
            max_queue=serving.limits.max_queue,
            weigh=texts.num_sequences,
            more_of=texts.lengths_of,
            observe=serving.metrics.batch_sizes.labels(name).observe,
            **settings,
        )

    for name in [folder and "model"] if folder else INPUTS:
        loader = load or (lambda _, kind=name: FakePredictor(kind))
        model = ServedModel(
            name, str(folder), load=loader, make_batcher=make_batcher
        )
        serving.models[name] = model
    return serving


def write_version(folder, number):
    """Makes a folder that looks like a version's."""
    path = folder / str(number)
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"")
    return path


def start(serving, folder):
    """Loads a fake version of each model; makes a folder for it."""
    if not (folder / "1").exists():
        write_version(folder, 1)
    for model in serving.models.values():
        model.folder = str(folder)
        model.start()
    return serving


class ThreadServer(Server):
    """A server in one of the test's threads, which gets no signals."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


@contextlib.contextmanager
def running(serving, **settings):
    """Runs a real server in a thread; gives (server, port)."""
    listener: socket.socket = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server: uvicorn.Server = ThreadServer(serving, **settings)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield server, port
    finally:
        server.should_exit = True
        thread.join()


def main(folder, seconds, rpc=""):
    """Serves until a signal; prints the address first, and gRPC's port."""
    serving = make_serving()
    start(serving, pathlib.Path(folder))
    for model in serving.models.values():
        with model.use() as version:
            version.predictor.seconds = float(seconds)
    listener = bind("127.0.0.1", 0)
    address = address_of(listener)
    endpoint = None
    if rpc:
        from bert_tf.serving.rpc.endpoint import Endpoint

        endpoint = Endpoint(serving, "127.0.0.1:0")

    def announce():
        print(address, endpoint.port if endpoint else 0, flush=True)

    server = Server(serving, on_start=announce, companion=endpoint)
    server.run(sockets=[listener])
    end_process(1 if server.num_unanswered else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
