"""The port on which gRPC's clients are answered.

It runs in the event loop of the HTTP server. So both share one thread, as they
share the models, and neither waits for the other's lock. Without a port for
gRPC nothing here is imported.
"""

import asyncio
import time

import grpc
from absl import logging

from bert_tf.errors import UserError
from bert_tf.serving.rpc import inference, prediction
from bert_tf.serving.rpc.access import credentials
from bert_tf.serving.rpc.exchange import Exchange
from bert_tf.serving.rpc.health import HEALTH, Health
from bert_tf.serving.state import Serving

# The time that calls may be on their way when the server shuts down, and the
# time after the last answer in which it then refuses more of them.
LINGER_SECONDS = 0.3
REFUSE_SECONDS = 0.3
FLUSH_SECONDS = 5.0  # For clients to receive the last answers.
POLL_SECONDS = 0.02  # Between two looks whether all calls are answered.
METHODS = {**prediction.METHODS, **inference.METHODS}


class Endpoint:
    """gRPC's services on a port of their own.

    Args:
        serving: the models, limits and counters.
        address: "host:port" on which it listens.
        is_shared: whether other processes listen there, too.
        max_calls: calls at a time; more are refused as RESOURCE_EXHAUSTED.

    Attributes:
        port: the port, once it has started; the address may have said 0.
    """

    port = 0

    def __init__(
        self,
        serving: Serving,
        address: str,
        *,
        is_shared: bool = False,
        max_calls: int = 512,
    ):
        self._serving = serving
        self._address = address
        self._is_shared = is_shared
        self._max_calls = max_calls
        self._exchange = Exchange(serving)
        self._health = Health(serving, METHODS)

    @property
    def num_open(self) -> int:
        """Number of calls that are being answered."""
        return self._exchange.num_open

    async def start(self) -> None:
        """Starts to accept connections.

        Raises:
            UserError: the port is in use.
        """
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", int(self._is_shared)),
                (
                    "grpc.max_receive_message_length",
                    self._serving.limits.max_body_bytes,
                ),
                ("grpc.max_send_message_length", -1),
            ],
            maximum_concurrent_rpcs=self._max_calls,
        )
        methods = {**METHODS, **self._health.methods()}
        self._server.add_generic_rpc_handlers(self._exchange.handlers(methods))
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    HEALTH, {"Watch": self._health.watch_handler()}
                )
            ]
        )
        try:
            self.port = self._open_port()
        except RuntimeError:  # Its message is about many other things.
            host, _, port = self._address.rpartition(":")
            raise UserError(
                f"`host`={host} `grpc_port`={port}: gRPC cannot listen there; "
                "is the port in use?"
            ) from None
        await self._server.start()

    def _open_port(self) -> int:
        if certificate := credentials(self._serving.web):
            return self._server.add_secure_port(self._address, certificate)
        return self._server.add_insecure_port(self._address)

    async def stop(self, grace_seconds: float) -> int:
        """Stops accepting calls, and answers all that were accepted.

        gRPC's own end cancels the calls that arrive before their clients know
        of it, and clients do not repeat what was cancelled. So new calls are
        first refused as UNAVAILABLE, until those before them are answered.

        Args:
            grace_seconds: the longest time for that.

        Returns:
            The number of calls that the time was too short for.
        """
        self._health.ending.set()
        await asyncio.sleep(LINGER_SECONDS)
        exchange = self._exchange
        exchange.is_closed = True
        last = time.monotonic() + grace_seconds
        while (now := time.monotonic()) < last and (
            self.num_open or now < exchange.last_end + REFUSE_SECONDS
        ):
            await asyncio.sleep(POLL_SECONDS)
        if unanswered := self.num_open:
            logging.error("%d calls of gRPC were not answered", unanswered)
        await self._server.stop(None if unanswered else FLUSH_SECONDS)
        return unanswered
