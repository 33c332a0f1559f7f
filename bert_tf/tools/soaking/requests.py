"""The requests of a soak: those of clients, and hostile ones.

A request is `Friendly`, whose answer is known, or `Hostile`, which the server
must refuse. The kinds of both are chosen by weights, with a seed.
"""

import dataclasses
import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

MANY = 16  # Texts of a request that has several.
LONG = 2000  # Characters of a long text.
LONGEST = 1 << 20  # Characters of a text that no server takes.
TOO_LARGE = 1 << 30  # Bytes that a client says it will send.


@dataclasses.dataclass(frozen=True)
class Friendly:
    """A request that must be answered.

    Attributes:
        kind: the name of its row in tables.
        method, path, body: what is sent.
        places: the places, among all instances, of those that it asks for;
            empty where the answer is not a prediction.
    """

    kind: str
    method: str
    path: str
    body: bytes = b""
    places: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Hostile:
    """A request that no server should answer with 200 or 500.

    Attributes:
        kind: the name of its row in tables.
        data: the bytes that are sent over a connection of its own.
        leaves: whether the client closes the connection at once, and does
            not read an answer.
    """

    kind: str
    data: bytes
    leaves: bool = False


Request = Friendly | Hostile


class Traffic:
    """Makes requests in a fixed mix.

    Args:
        model: the name under which the model is served.
        input_names: names of the model's inputs.
        texts: the texts that are sent.
        hostile_share: the part of the requests that is hostile, 0 to 1.
        seed: the same seed gives the same requests.
        is_searched: whether the server has an index of the model's vectors.

    Attributes:
        model: the name of the model.
        instances: all rows that are asked for.
    """

    def __init__(
        self,
        model: str,
        input_names: Sequence[str],
        texts: Sequence[str],
        hostile_share: float,
        seed: int,
        is_searched: bool = False,
    ):
        self.model = model
        self._rng = random.Random(seed)
        self._hostile_share = hostile_share
        long = " ".join(texts)
        shown = [*texts, *(long[i : i + LONG] for i in range(0, 8000, LONG))]
        self._num_short = len(texts)
        self.instances = [
            _instance(input_names, text, shown[place - 1])
            for place, text in enumerate(shown)
        ]
        self._friendly: list[tuple[int, Callable[[], Friendly]]] = [
            (70, self._one_text),
            (10, self._several_texts),
            (5, self._long_text),
            (10, self._open_inference),
            (5, self._question_about_the_server),
        ]
        if is_searched:
            self._friendly.append((10, self._search))
        self._texts = texts
        self._hostile: list[Callable[[], Hostile]] = [
            self._broken_json,
            self._wrong_rows,
            self._deep_nesting,
            self._unknown_address,
            self._too_large,
            self._not_http,
            self._half_a_request,
            self._leaves_before_the_answer,
            self._wrong_tensors,
            self._wrong_search,
        ]

    def next(self) -> Request:
        """Returns one more request."""
        if self._rng.random() < self._hostile_share:
            return self._rng.choice(self._hostile)()
        weights, makers = zip(*self._friendly, strict=True)
        return self._rng.choices(makers, weights)[0]()

    # The friendly ones.

    def _predict(self, kind: str, places: Sequence[int]) -> Friendly:
        rows = [self.instances[place] for place in places]
        body = json.dumps({"instances": rows}).encode()
        path = f"/v1/models/{self.model}:predict"
        return Friendly(kind, "POST", path, body, tuple(places))

    def _one_text(self) -> Friendly:
        return self._predict("one text", [self._short()])

    def _several_texts(self) -> Friendly:
        number = self._rng.randint(2, MANY)
        return self._predict(
            "several texts", [self._short() for _ in range(number)]
        )

    def _long_text(self) -> Friendly:
        places = range(self._num_short, len(self.instances))
        return self._predict("a long text", [self._rng.choice(places)])

    def _open_inference(self) -> Friendly:
        row = self.instances[self._short()]
        body = json.dumps({"inputs": tensors_of(row)}).encode()
        path = f"/v2/models/{self.model}/infer"
        return Friendly("open inference", "POST", path, body)

    def _question_about_the_server(self) -> Friendly:
        path = self._rng.choice(
            ["/livez", "/readyz", "/metrics", "/status", "/v2", "/"]
        )
        return Friendly("server's state", "GET", path)

    def _search(self) -> Friendly:
        queries = self._rng.choices(self._texts, k=self._rng.randint(1, MANY))
        body = json.dumps({"queries": queries, "k": 5}).encode()
        return Friendly("search", "POST", "/search", body)

    def _short(self) -> int:
        return self._rng.randrange(self._num_short)

    # The hostile ones.

    def _post(self, kind: str, body: bytes, path: str = "") -> Hostile:
        path = path or f"/v1/models/{self.model}:predict"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return Hostile(kind, head.encode() + body)

    def _broken_json(self) -> Hostile:
        body = bytearray(
            json.dumps({"instances": [self.instances[0]]}).encode()
        )
        # A control character is allowed nowhere in JSON.
        body[self._rng.randrange(len(body))] = self._rng.randrange(1, 9)
        return self._post("broken JSON", bytes(body))

    def _wrong_rows(self) -> Hostile:
        row: Any = self._rng.choice(
            [None, True, 1e300, [], {}, [[]], {"b64": "%"}, {"\ud800": "a"}]
        )
        body = json.dumps({"instances": [row]}).encode()
        return self._post("wrong rows", body)

    def _wrong_tensors(self) -> Hostile:
        shape = self._rng.choice([[-1], [10**12], [2**63], ["a"], [1, 1, 1], 0])
        datatype = self._rng.choice(["FP16", "BYTES", "TEXT", None])
        tensor = {"name": "x", "shape": shape, "datatype": datatype}
        body = json.dumps({"inputs": [tensor | {"data": [[]]}]}).encode()
        return self._post(
            "wrong tensors", body, f"/v2/models/{self.model}/infer"
        )

    def _wrong_search(self) -> Hostile:
        query: Any = self._rng.choice(
            [None, "", " ", 1, ["a"], {"text": "a"}, "a" * LONGEST]
        )
        k: Any = self._rng.choice(
            [0, -1, 1.5, True, None, "3", [3], 2**63, 10**30, math.nan, 1e300]
        )
        body = self._rng.choice(
            [
                {"query": query},
                {"queries": [query]},
                {"queries": {self._texts[0]: query}},
                {"query": self._texts[0], "k": k},
                {"query": self._texts[0], "top_k": 3},
                {"query": self._texts[0], "queries": [self._texts[0]]},
                {},
                [],
            ]
        )
        return self._post("wrong search", json.dumps(body).encode(), "/search")

    def _deep_nesting(self) -> Hostile:
        return self._post("deep nesting", b'{"instances": ' + b"[" * 100_000)

    def _unknown_address(self) -> Hostile:
        name = "".join(self._rng.choices("abc/.%:0", k=12))
        return self._post("unknown address", b"{}", f"/v1/models/{name}")

    def _too_large(self) -> Hostile:
        head = (
            f"POST /v1/models/{self.model}:predict HTTP/1.1\r\nHost: soak\r\n"
            f"Content-Length: {TOO_LARGE}\r\n\r\n"
        )
        return Hostile("too large", head.encode() + b" " * 1000)

    def _not_http(self) -> Hostile:
        return Hostile("not HTTP", self._rng.randbytes(200) + b"\r\n\r\n")

    def _half_a_request(self) -> Hostile:
        data = b"POST /v1/models HTTP/1.1\r\nContent-Le"
        return Hostile("half a request", data, leaves=True)

    def _leaves_before_the_answer(self) -> Hostile:
        row = self.instances[self._short()]
        body = json.dumps({"instances": [row] * MANY}).encode()
        data = self._post("leaves early", body).data
        return Hostile("leaves early", data, leaves=True)


def _instance(input_names: Sequence[str], text: str, other: str) -> Any:
    """A row of `instances` for a model with these inputs."""
    if len(input_names) == 1:
        return {input_names[0]: text}
    if "endings" in input_names:
        return {"text": text, "endings": [other, text]}
    if "question" in input_names:
        return {"question": other[:100], "context": text}
    return dict(zip(input_names, (text, other), strict=False))


def tensors_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a row as the input tensors of the Open Inference Protocol."""
    return [
        {
            "name": name,
            "shape": [1, len(value)] if isinstance(value, list) else [1],
            "datatype": "BYTES",
            "data": value if isinstance(value, list) else [value],
        }
        for name, value in row.items()
    ]
