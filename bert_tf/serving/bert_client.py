"""BertClient: bert-as-service's client for `python -m bert_tf.tools.serve`.

    from bert_tf.serving.bert_client import BertClient

    with BertClient(port=8501) as client:
        client.encode(["First do it", "then do it right ||| or not"])

Names, order, defaults and errors are those of bert-as-service 1.10; docs/
serving.md lists the differences. `EncodeClient` takes more kinds of texts.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from bert_tf.serving.client import EncodeClient
from bert_tf.serving.pending import Response

__all__ = ["BertClient", "ConcurrentBertClient"]


class BertClient:
    """A client with bert-as-service's interface.

    Several threads may use one client.

    Args:
        ip: name or address of the server's machine.
        port: the server's port, 8501 by default.
        port_out: unused; an answer comes through the connection that asked.
        output_fmt: "ndarray", or "list" for lists of numbers.
        show_server_config: whether to print the server's configuration.
        identity: a name for this client, in `status`.
        check_version: whether the server must be of the client's version.
        check_length: whether to warn of texts with more words than the model
            reads tokens.
        check_token_info: whether to ask if the server returns tokens.
        ignore_all_checks: whether to leave out the checks, which need a server
            that answers already.
        timeout: milliseconds to wait for an answer; -1 for any time.
        model: name of the embedding model; needed if the server has several.
        api_key: the key, for a server that wants one.

    Raises:
        AttributeError: `output_fmt` is another, or the versions differ.
        EncodeError: the server cannot be reached.
        TimeoutError: the server did not answer in time.
    """

    def __init__(
        self,
        ip: str = "localhost",
        port: int = 8501,
        port_out: int | None = None,
        output_fmt: str = "ndarray",
        show_server_config: bool = False,
        identity: str | None = None,
        check_version: bool = True,
        check_length: bool = True,
        check_token_info: bool = True,
        ignore_all_checks: bool = False,
        timeout: int = -1,
        *,
        model: str | None = None,
        api_key: str | None = None,
    ):
        self.timeout = timeout
        self._client = EncodeClient(
            ip,
            port,
            model,
            None if timeout < 0 else max(timeout, 1) / 1000,
            port_out=port_out,
            output_fmt=output_fmt,
            show_server_config=show_server_config,
            identity=identity,
            check_version=check_version,
            check_length=check_length,
            check_token_info=check_token_info,
            ignore_all_checks=ignore_all_checks,
            api_key=api_key,
        )

    def __enter__(self) -> "BertClient":
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        """Frees what the client holds."""
        self._client.close()

    def encode(
        self,
        texts: list[str] | list[list[str]],
        blocking: bool = True,
        is_tokenized: bool = False,
        show_tokens: bool = False,
    ) -> Any:
        """Returns the vectors of texts: `EncodeClient.encode`.

        Args:
            texts: list of str; of lists of tokens if `is_tokenized`.
            blocking: whether to wait; if not, `fetch` returns the answer.
            is_tokenized: whether each text is a list of tokens.
            show_tokens: whether to return the tokens that the model read, too.

        Raises:
            TypeError: `texts` is not a list, or holds something else.
            ValueError: `texts`, or one of them, is empty.
            TimeoutError: the server did not answer in time.
            EncodeError: the server cannot be reached, or refuses.
        """
        if is_tokenized:
            _check_list("texts", texts, list)
            for place, tokens in enumerate(texts):
                _check_list(f"texts[{place}]", tokens, str)
        else:
            _check_list("texts", texts, str)
        return self._client.encode(
            texts, is_tokenized, blocking=blocking, show_tokens=show_tokens
        )

    def fetch(self, delay: float = 0.0) -> Iterator[Response]:
        """Yields the answers as they come: `EncodeClient.fetch`."""
        return self._client.fetch(delay)

    def fetch_all(self, sort: bool = True, concat: bool = False) -> Any:
        """Returns all answers: `EncodeClient.fetch_all`."""
        return self._client.fetch_all(sort, concat)

    def encode_async(
        self,
        batch_generator: Iterable[Any],
        max_num_batch: int | None = None,
        delay: float = 0.1,
        **settings: Any,
    ) -> Iterator[Response]:
        """Yields the answers to batches: `EncodeClient.encode_async`."""
        return self._client.encode_async(
            batch_generator, max_num_batch, delay, **settings
        )

    @property
    def status(self) -> dict[str, Any]:
        """The state of this client."""
        return {**self._client.status, "timeout": self.timeout}

    @property
    def server_status(self) -> dict[str, Any]:
        """The server's description of itself and its models."""
        return self._client.server_status()

    @property
    def server_config(self) -> dict[str, Any]:
        """The same, with bert-as-service's names for this model."""
        return self._client.server_config


class ConcurrentBertClient(BertClient):
    """A `BertClient` by the name of the one that threads may share.

    Args:
        max_concurrency: unused; any number of threads may use a client.
        **settings: those of `BertClient`.
    """

    def __init__(self, max_concurrency: int = 10, **settings: Any):
        super().__init__(**settings)
        self.max_concurrency = max_concurrency


def _check_list(name: str, values: object, kind: type) -> None:
    """Raises what bert-as-service's client raises for its texts."""
    if not isinstance(values, list):
        raise TypeError(f"{name} must be a list, not {type(values).__name__}")
    if not values:
        raise ValueError(f"{name} must be a non-empty list")
    for place, value in enumerate(values):
        if not isinstance(value, kind):
            raise TypeError(
                f"all elements of {name} must be {kind.__name__}, but element "
                f"{place} is {type(value).__name__}"
            )
        if isinstance(value, str) and not value.strip():
            raise ValueError(
                f"all elements of {name} must be non-empty strings, but "
                f"element {place} is {value!r}"
            )
