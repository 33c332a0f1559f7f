"""Probes: whether the process lives, and whether its models answer.

A server that loads models lives, and is not ready. If it were ended because it
does not answer yet, it would never get ready. So the two have addresses of
their own.
"""

from bert_tf.serving.errors import Refusal
from bert_tf.serving.state import Serving


def check_ready(serving: Serving) -> None:
    """Raises Refusal, which says why, unless all models answer."""
    missing = [n for n, m in serving.models.items() if not m.is_ready]
    if missing:
        raise Refusal(503, f"not ready: {', '.join(missing)}")
    if serving.is_ending:
        raise Refusal(503, "the server is shutting down")
