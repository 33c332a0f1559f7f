"""A client for `python -m bert_tf.tools.serve`: texts in, vectors out.

    with EncodeClient("localhost", port=8501) as client:
        client.encode(["a text", "another"])  # float32 [2, D]
        client.search(["a query"], k=3)  # The texts of the server's index.

It needs only NumPy. `bert_client.BertClient` has the names, defaults and checks
of bert-as-service's client.
"""

import functools
import itertools
import sys
import time
import urllib.parse
import uuid
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import bert_tf
from bert_tf.serving.client_texts import MAX_TEXTS, in_parts, joined, listed
from bert_tf.serving.connection import Connection, EncodeError, EncodeTimeout
from bert_tf.serving.limits import MAX_HITS
from bert_tf.serving.pending import PendingRequests, Response

__all__ = ["EncodeClient", "EncodeError", "EncodeTimeout", "Response"]


class EncodeClient:
    """Asks a server for the vectors of texts, as bert-as-service's BertClient.

        client = EncodeClient("localhost", port=8501)
        client.encode(["a text", "another"])  # float32 [2, D]

    Several threads may use one client.

    Args:
        ip: name or address of the server's machine; "https://NAME" for HTTPS.
        port: the server's port.
        model: name of the embedding model; needed if the server has several.
        timeout: seconds to wait for an answer.
        port_out: unused; an answer comes through the connection that asked.
        output_fmt: "ndarray", or "list" for lists of numbers.
        show_server_config: whether to print the server's configuration.
        identity: a name for this client, in `status`; random by default.
        check_version: whether the server must be of the client's version.
        check_length: whether to warn of texts with more words than the model
            reads tokens.
        check_token_info: whether to ask if the server returns tokens.
        ignore_all_checks: whether to leave out the four checks above, which
            need a server that answers already.
        api_key: the key, for a server that wants one.

    Raises:
        AttributeError: `output_fmt` is another, or the versions differ.
        EncodeError: a check cannot reach the server.
    """

    def __init__(
        self,
        ip: str = "localhost",
        port: int = 8501,
        model: str | None = None,
        timeout: float | None = 60.0,
        *,
        port_out: int | None = None,
        output_fmt: str = "ndarray",
        show_server_config: bool = False,
        identity: str | None = None,
        check_version: bool = False,
        check_length: bool = False,
        check_token_info: bool = False,
        ignore_all_checks: bool = False,
        api_key: str | None = None,
    ):
        if output_fmt not in ("ndarray", "list"):
            raise AttributeError('output_fmt must be "ndarray" or "list"')
        self._connection = Connection(ip, port, timeout, api_key)
        self._model = model
        self._timeout = timeout
        self._limits: dict[str, int] | None = None
        self.ip, self.port, self.port_out = ip, port, port_out
        self.output_fmt = output_fmt
        self.identity = identity or str(uuid.uuid4())
        self.length_limit: int | None = 0  # Of words; 0 and None: no check.
        self.token_info_available = True  # Unless a check finds otherwise.
        self._numbers = itertools.count(1)
        self._num_requests = 0
        self._pending = PendingRequests()
        if ignore_all_checks or not (
            show_server_config
            or check_version
            or check_length
            or check_token_info
        ):
            return
        config = self.server_config
        if check_version:
            _check_version(config)
        if check_length:
            self.length_limit = config["max_seq_len"]
        if check_token_info:
            self.token_info_available = config["show_tokens_to_client"]
        if show_server_config:
            lines = [f"{name:>30}\t=\t{config[name]}" for name in config]
            sys.stdout.write("\n".join(["server config:", *lines, ""]))

    def __enter__(self) -> "EncodeClient":
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        """Frees what the client holds. No connection outlasts its answer."""
        self._pending.close()
        self._connection.close()

    # -----------------------------------------------------------------------
    # Texts to vectors.

    def encode(
        self,
        texts: Iterable[str] | Iterable[Iterable[str]],
        is_tokenized: bool = False,
        *,
        blocking: bool = True,
        show_tokens: bool = False,
    ) -> Any:
        """Returns the vectors of texts, in their order.

        Args:
            texts: a list, an array or a generator of str, where `a ||| b` is
                a pair; or of lists of tokens if `is_tokenized`.
            is_tokenized: whether each text is a list of tokens of the model's
                vocabulary. Others are read as [UNK].
            blocking: whether to wait; if not, `fetch` returns the answer.
            show_tokens: whether to return the tokens that the model read, too.

        Returns:
            float32 [N, D]; [N, S, D] from a model with a vector per token; or
            the same as lists, as `output_fmt` says. With `show_tokens` a tuple
            of that and a list of tokens for each text, [CLS] and [SEP]
            included. None if not `blocking`.

        Raises:
            EncodeError: the server cannot be reached, refuses, or does not
                accept texts as long as one of these. The lengths are checked
                before anything is sent.
            EncodeTimeout: the server did not answer in time; it is an
                EncodeError and a TimeoutError.
            ValueError: `texts` is empty, or is not what it must be.
        """
        texts = listed(texts, is_tokenized)
        self._warn_of_lengths(texts, is_tokenized)
        if show_tokens and not self.token_info_available:
            warnings.warn(
                "show_tokens=True: this server does not return tokens; start "
                "a newer one",
                stacklevel=2,
            )
            show_tokens = False
        number = next(self._numbers)
        self._num_requests = number
        ask = functools.partial(
            self._encode_now, number, texts, is_tokenized, show_tokens
        )
        if not blocking:
            self._pending.submit(number, ask)
            return None
        response = ask()
        if show_tokens:
            return response.embedding, response.tokens
        return response.embedding

    def _encode_now(self, number, texts, is_tokenized, show_tokens) -> Response:
        answers = [
            self._encode_part(part, is_tokenized, show_tokens)
            for part in [*self._parts(texts)]
        ]
        vectors = joined([part for part, _ in answers])
        tokens = [row for _, rows in answers for row in rows]
        return Response(
            number,
            vectors if self.output_fmt == "ndarray" else vectors.tolist(),
            tokens if show_tokens else "",
        )

    def _warn_of_lengths(self, texts, is_tokenized):
        """Warns of texts that are longer than the model reads, as the original.

        It counts words, or tokens that were given.
        """
        if not self.length_limit:
            return
        sizes = [len(t if is_tokenized else t.split()) for t in texts]
        if max(sizes) > self.length_limit:
            warnings.warn(
                f"a text has {max(sizes):,} words or tokens, more than "
                f"max_seq_len={self.length_limit} of the server: its end is "
                "cut off (check_length=False hides this warning)",
                stacklevel=3,
            )

    # -----------------------------------------------------------------------
    # The texts of the server's index.

    def search(
        self, queries: Iterable[str], k: int = 10
    ) -> list[list[dict[str, Any]]]:
        """Finds the texts that are nearest to queries, in the model's index.

        Args:
            queries: a list, an array or a generator of N str, each with a
                word.
            k: how many texts are found for each, 1 to 1,000.

        Returns:
            N lists of k texts, the nearest first; of a smaller index, all.
            Each text is {"id": str, "score": float, "text": str}, whose score
            is the cosine of the two vectors.

        Raises:
            EncodeError: the server cannot be reached, has no index of the
                model, or refuses a query or `k`. The lengths are checked
                before anything is sent.
            EncodeTimeout: see `encode`.
            ValueError: `queries` is empty, or is not what it must be; or `k`
                is not a whole number from 1.
        """
        queries = listed(queries, name="queries")
        for place, query in enumerate(queries):
            if not query.strip():
                raise ValueError(f"queries[{place}] must have a word")
        if not hasattr(k, "__index__") or k < 1:
            raise ValueError(
                f"k must be a whole number from 1. Received: k={k!r}"
            )
        self._num_requests = next(self._numbers)
        most = min(MAX_TEXTS, max(MAX_HITS // k, 1))
        answers = [
            self._ask("/search", {"queries": part, "k": int(k)})
            for part in [*self._parts(queries, most=most, name="queries")]
        ]
        return [hits for answer in answers for hits in answer["results"]]

    # -----------------------------------------------------------------------
    # Requests that nobody waits for.

    def fetch(self, delay: float = 0.0) -> Iterator[Response]:
        """Yields the answers to `encode(..., blocking=False)`, as they come.

        Args:
            delay: seconds to wait before the first.

        Raises:
            EncodeError: see `encode`.
        """
        time.sleep(delay)
        yield from self._pending.answers()

    def fetch_all(self, sort: bool = True, concat: bool = False) -> Any:
        """Returns all answers to `encode(..., blocking=False)`.

        Args:
            sort: whether they have the order of the requests.
            concat: whether to join them to one.

        Returns:
            What `encode` returns for each request, in a list or, with
            `concat`, joined; None if there was no request.
        """
        if not self._pending.numbers:
            return None
        responses = list(self.fetch())
        if sort:
            responses.sort(key=lambda response: response.id)
        parts = [response.embedding for response in responses]
        if not concat:
            return parts
        if self.output_fmt == "list":
            return [row for part in parts for row in part]
        return np.concatenate(parts)

    def encode_async(
        self,
        batch_generator: Iterable[Any],
        max_num_batch: int | None = None,
        delay: float = 0.1,
        **settings: Any,
    ) -> Iterator[Response]:
        """Yields the answers to batches, while a thread sends the next ones.

        Args:
            batch_generator: what `encode` takes, batch by batch.
            max_num_batch: number of batches at most; None or 0 for all.
            delay: seconds to wait before the first answer.
            **settings: those of `encode`, such as `is_tokenized`.
        """
        send = functools.partial(self.encode, blocking=False, **settings)
        return self._pending.send_all(
            batch_generator, max_num_batch, send, delay
        )

    # -----------------------------------------------------------------------
    # Descriptions.

    @property
    def status(self) -> dict[str, Any]:
        """The state of this client, by bert-as-service's names."""
        pending = self._pending.numbers
        return {
            "identity": self.identity,
            "num_request": self._num_requests,
            "num_pending_request": len(pending),
            "pending_request": pending,
            "output_fmt": self.output_fmt,
            "port": self.port,
            "port_out": self.port_out,
            "server_ip": self.ip,
            "client_version": bert_tf.__version__,
            "timeout": self._timeout,
        }

    def server_status(self) -> dict[str, Any]:
        """Returns the server's description of itself and its models."""
        return self._connection.ask("/status/server")

    @property
    def server_config(self) -> dict[str, Any]:
        """`server_status` with bert-as-service's names for this model."""
        status = self.server_status()
        models = status.get("models", {})
        lengths = [
            model.get("max_seq_length")
            for name, model in models.items()
            if model.get("kind") == "embedding" and self._model in (None, name)
        ]
        return {
            **status,
            "server_version": status.get("server_version", "unknown"),
            "max_seq_len": lengths[0] if len(lengths) == 1 else None,
            "show_tokens_to_client": status.get("show_tokens_to_client", False),
        }

    def _parts(self, texts, **settings):
        """Yields the texts in lists that the server accepts."""
        if self._limits is None:
            self._limits = self.server_status()["limits"]
        return in_parts(texts, self._limits, **settings)

    def _ask(self, path, body):
        """The server's answer about this client's model."""
        query = ""
        if self._model is not None:
            query = "?" + urllib.parse.urlencode({"model": self._model})
        return self._connection.ask(path + query, body)

    def _encode_part(self, texts, is_tokenized, show_tokens):
        """Returns (vectors, tokens) of the texts of one request."""
        body = {"texts": texts, "is_tokenized": is_tokenized}
        if show_tokens:  # Earlier servers do not know it.
            body["show_tokens"] = True
        answer = self._ask("/encode", body)
        vectors = np.array(answer["results"], np.float32)
        return vectors, answer.get("tokens", [])


def _check_version(config):
    """Raises AttributeError unless the server has the client's version."""
    server, client = config["server_version"], bert_tf.__version__
    if server != client:
        raise AttributeError(
            f"the server's version is {server}, the client's {client}: install "
            "the same on both, or choose check_version=False"
        )
