"""What is around the requests of a server: who may ask, and what is noted.

    api_key_file    keys, of which a client must send one
    cors_origins    other sites whose pages may ask the server
    tls_cert …      HTTPS
    log_format      a line in the log for each request
    otel_endpoint   traces

Nothing of it costs anything where it is not asked for.
"""

import dataclasses
import functools
import re
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from bert_tf import extras
from bert_tf.errors import UserError
from bert_tf.serving.api_keys import ApiKeys

LOG_FORMATS = ("text", "json")
ALL_ORIGINS = "*"
_ORIGIN = re.compile(
    r"https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?|https?://\[.+\].*"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WebSettings:
    """What is around the requests; see the module.

    Attributes:
        api_key_file: a file with a key on each line; None if everybody may
            ask.
        cors_origins: such as "https://example.org", or "*" for all.
        tls_cert, tls_key: files in PEM with the certificates and their key;
            None for plain HTTP.
        log_format: one of `LOG_FORMATS`; None for no lines about requests.
        otel_endpoint: the URL of an OpenTelemetry collector; None for no
            traces.
    """

    api_key_file: str | None = None
    cors_origins: Sequence[str] = ()
    tls_cert: str | None = None
    tls_key: str | None = None
    log_format: str | None = None
    otel_endpoint: str | None = None

    @functools.cached_property
    def keys(self) -> ApiKeys | None:
        """The keys, for HTTP and gRPC; None if everybody may ask.

        Raises:
            UserError: the file cannot be used.
        """
        return ApiKeys(self.api_key_file) if self.api_key_file else None

    def check(self) -> None:
        """Finds mistakes before a model is loaded.

        Raises:
            UserError: a file cannot be used, an address is wrong, or a package
                is missing.
        """
        self.keys  # noqa: B018  Reads the file.
        for origin in self.cors_origins:
            if origin != ALL_ORIGINS and not _ORIGIN.fullmatch(origin):
                raise UserError(
                    "must be * or addresses such as https://example.org, "
                    "without a path",
                    setting="cors_origins",
                    value=origin,
                )
        self.tls_context()
        if self.otel_endpoint:
            _check_otel(self.otel_endpoint)

    def tls_context(self) -> ssl.SSLContext | None:
        """Reads the certificate; None for plain HTTP.

        Raises:
            UserError: a file cannot be read, or they do not fit together.
        """
        cert, key = self.tls_cert, self.tls_key
        if not cert and not key:
            return None
        if not cert or not key:
            given, missing = ("tls_cert", "tls_key")[:: 1 if cert else -1]
            raise UserError(f"`{given}` needs `{missing}`: give both")
        _check_pem("tls_cert", cert, "CERTIFICATE")
        _check_pem("tls_key", key, "PRIVATE KEY")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(cert, key, password=_no_password)
        except _Encrypted:
            raise UserError(
                "is encrypted: the server cannot ask for its password",
                setting="tls_key",
                value=key,
            ) from None
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).lower().replace("_", " ")
            raise UserError(
                f"`tls_cert`={cert} `tls_key`={key}: must be a certificate "
                f"and its key in PEM: {reason}"
            ) from None
        return context


def _check_pem(setting, path, what):
    """Checks that a file has what it must, which ssl's errors do not name."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(why, setting=setting, value=path) from None
    if f"{what}-----".encode() not in text:
        raise UserError(
            f"must be a file in PEM with a line -----BEGIN {what}-----",
            setting=setting,
            value=path,
        )


class _Encrypted(Exception):
    """A key that is encrypted."""


def _no_password():
    raise _Encrypted  # Otherwise the terminal would ask for it.


def _check_otel(endpoint):
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(
            "must be an address such as http://localhost:4318",
            setting="otel_endpoint",
            value=endpoint,
        )
    if extras.missing("otel"):
        raise UserError(
            f"needs OpenTelemetry's packages: {extras.how_to_install('otel')}",
            setting="otel_endpoint",
            value=endpoint,
        )
