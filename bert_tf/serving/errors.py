"""Refusals: why a request is not answered, in one line for its client."""

import json

from bert_tf import files

# The line may quote what the client sent, but not all of it.
LONGEST_LINE = 300
LONGEST_QUOTE = 40
# Lines of TensorFlow's errors that say nothing to a client.
_AROUND = ("Graph execution error", "Detected at node", "<stack traces", "[[")


class Refusal(Exception):
    """A request that is not answered; `str` is the line its client reads.

    Args:
        status: the HTTP status, such as 400.
        message: why, and what is allowed.
        **headers: headers of the answer, such as `Connection="close"`.
    """

    def __init__(self, status: int, message: str, **headers: str):
        super().__init__(one_line(message))
        self.status = status
        self.headers = headers


def one_line(message: object) -> str:
    """A message without line ends, and cut off where it is long."""
    text = " ".join(str(message).split())
    if len(text) <= LONGEST_LINE:
        return text
    return text[:LONGEST_LINE] + "…"


def shown(value: object) -> str:
    """A value as an error quotes it: only its start where it is long."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        value = value[: LONGEST_QUOTE + 1]
    text = json.dumps(value)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"


def model_reason(error: Exception) -> str:
    """The line of a model's error that says why, without TensorFlow's frame."""
    for line in files.message_of(error).splitlines():
        line = files.without_additions(line.strip())
        if line and not line.startswith(_AROUND):
            return line
    return "the model cannot read this"
