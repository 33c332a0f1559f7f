"""The errors that clients read."""

import tensorflow as tf
from support.server_requests import predict

from bert_tf.serving.errors import model_reason


def test_errors_quote_little_of_the_request(send):
    row = {f"{place} {'x' * 50}": "a" for place in range(1000)}
    for body in ({"instances": [row]}, {"inputs": row}):
        status, answer = send(predict("single_label"), body)
        assert status == 400 and len(answer["error"]) < 240
        assert "997 more" in answer["error"]


def test_tensorflows_frame_around_an_error_is_left_out():
    node = "Detected at node bert_1/add defined at (most recent call last):"
    for message in (
        f"Graph execution error:\n\n{node}\n<stack traces unavailable>\n"
        "slice 2 is out of bounds.\n\t [[{{node a}}]] [Op:__inference_7]",
        "{{function_node __wrapped__Add}} slice 2 is out of bounds. [Op:Add]",
        "slice 2 is out of bounds.\nmore",
    ):
        error = tf.errors.InvalidArgumentError(None, None, message)
        assert model_reason(error) == "slice 2 is out of bounds."
    assert model_reason(ValueError("")) == "the model cannot read this"


def test_a_defect_shows_no_traceback(send):
    body = {"instances": ["breaks the model"]}
    status, answer = send(predict("regression"), body)
    assert status == 500
    assert answer == {"error": "internal error; see the server's log"}
