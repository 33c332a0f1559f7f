"""The flags of `serve` for what is around the requests: keys, TLS, log, …"""

from absl import flags

from bert_tf.programs import flag_groups
from bert_tf.serving.web_settings import LOG_FORMATS, WebSettings

FLAGS = flags.FLAGS
flags.disclaim_key_flags()


@flag_groups.heading("Access and log")
def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string(
        "api_key_file",
        None,
        "A file with a key on each line; lines that start with # are comments. "
        "Requests must then have a key, as Authorization: Bearer KEY or "
        "X-API-Key: KEY. The file is read again when it changes. Probes need "
        "no key.",
    )
    flags.DEFINE_list(
        "cors_origins",
        [],
        "Other sites whose pages may ask the server, such as "
        "https://example.org, with commas between them; * for all sites.",
    )
    flags.DEFINE_string(
        "tls_cert",
        None,
        "A PEM file with the server's certificate and those that lead to its "
        "root. The server then speaks HTTPS; needs --tls_key.",
    )
    flags.DEFINE_string(
        "tls_key", None, "A PEM file with the certificate's key."
    )
    flags.DEFINE_enum(
        "log_format",
        None,
        LOG_FORMATS,
        "Log each request and its X-Request-Id, in lines of text or of JSON. "
        "By default requests are not logged.",
    )
    flags.DEFINE_string(
        "otel_endpoint",
        None,
        "The URL of an OpenTelemetry collector that takes traces over "
        "OTLP/HTTP, such as http://localhost:4318.",
    )


def read() -> WebSettings:
    """Returns what the flags ask for.

    Raises:
        UserError: a file cannot be used, an address is wrong, or a package is
            missing.
    """
    settings = WebSettings(
        api_key_file=FLAGS.api_key_file,
        cors_origins=tuple(FLAGS.cors_origins),
        tls_cert=FLAGS.tls_cert,
        tls_key=FLAGS.tls_key,
        log_format=FLAGS.log_format,
        otel_endpoint=FLAGS.otel_endpoint,
    )
    settings.check()
    return settings
