"""How rows of a file become a model's inputs."""

import pytest

from bert_tf.data.tabular.text_rows import Row
from bert_tf.errors import UserError
from bert_tf.export.answer_files import model_columns


def test_a_question_needs_its_context():
    inputs = model_columns("question_answering", ["question", "context"], {})
    assert inputs.item_of(Row(place="a.txt:1", values={"": "q ||| c"})) == (
        "q",
        "c",
    )
    assert inputs.item_of(Row(place="a.txt:1", values={"": ""})) == ("", "")
    with pytest.raises(UserError) as caught:
        inputs.item_of(Row(place="a.txt:2", values={"": "q"}))
    assert str(caught.value) == (
        "a.txt:2: no context; a line must be question ||| context"
    )


def test_the_second_text_of_a_pair_may_be_missing():
    inputs = model_columns("single_label", ["text", "text_pair"], {})
    assert inputs.item_of(Row(place="a.txt:1", values={"": "a"})) == ("a", "")
