"""A client's connection to a server: questions and answers in JSON."""

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any

RETRIES = 5  # If the server is busy, or is not ready.
LONGEST_WAIT = 60.0  # Seconds before it asks again, if nothing is set.


class EncodeError(RuntimeError):
    """The server cannot be reached or refuses; the message is one line."""


class EncodeTimeout(EncodeError, TimeoutError):
    """The server did not answer in time."""


class Connection:
    """Asks a server; each question has a connection of its own.

    Args:
        ip: name or address of the server's machine; "https://NAME" for one
            that speaks HTTPS.
        port: the server's port.
        timeout: seconds to wait for an answer; None for any time.
        api_key: what is sent to a server that wants a key.
    """

    def __init__(
        self,
        ip: str,
        port: int,
        timeout: float | None,
        api_key: str | None = None,
    ):
        scheme, _, host = ip.rpartition("://")
        host = f"[{host}]" if ":" in host else host
        self._address = f"{scheme or 'http'}://{host}:{port}"
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout = timeout
        # No proxy: the server is on a local network.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({})
        )

    def close(self) -> None:
        """Frees what it holds. No connection outlasts its answer."""
        self._opener.close()

    def ask(self, path: str, body: object = None) -> Any:
        """Returns the server's answer; asks again while the server is busy.

        Args:
            path: the address within the server.
            body: what is posted as JSON; None to get the path.

        Raises:
            EncodeError: the server cannot be reached, or refuses.
            EncodeTimeout: it did not answer in time.
        """
        for retry in range(RETRIES + 1):
            try:
                return self._send(path, body)
            except urllib.error.HTTPError as error:
                wait = error.headers.get("Retry-After", "")
                is_busy = error.code in (429, 503)  # Or it loads its models.
                if not is_busy or not wait.isdigit() or retry == RETRIES:
                    raise EncodeError(_reason(error)) from None
                longest = self._timeout or LONGEST_WAIT
                time.sleep(min(int(wait) + retry, longest))
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = getattr(error, "reason", None) or error
                if isinstance(why, TimeoutError) and self._timeout:
                    raise EncodeTimeout(
                        f"{self._address}: no answer in {self._timeout:g} s: "
                        "is the server there, and has it time enough for "
                        "these texts?"
                    ) from None
                why = why or type(error).__name__
                raise EncodeError(f"{self._address}: {why}") from None
        raise AssertionError("the last try returns or raises")

    def _send(self, path, body):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._address + path,
            data=data,
            headers=self._headers,
        )
        with self._opener.open(request, timeout=self._timeout) as reply:
            return json.load(reply)


def _reason(error):
    """The server's own message, if it sent one."""
    try:
        why = json.load(error)["error"]
    except Exception:
        why = error.reason
    return f"{error.code}: {why}"
