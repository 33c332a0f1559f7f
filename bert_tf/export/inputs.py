"""The strings that models read: their names, checks and examples.

A kind of answers has some of these inputs; see `export.kinds`. The server's
page has a field for each. It needs no part of the model's code.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from bert_tf.data import relations

Value = bytes | tuple[bytes, ...]  # One input of an item.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """A string that a model reads, or a list of strings.

    Attributes:
        name: its name in an item, and in the signature `serving_default`.
        title: its name on the server's page.
        is_list: whether it is a list of strings, such as several endings.
        may_be_blank: whether the page sends it without text, as the second
            text of a pair.
        num_lines: the height of its field on the page.
        sample: a value to warm a model up with.
        example: a value that shows people what the model does.
        hint: one sentence on the page that says how to write a value.
        marks: names of marks, such as "E1", that the page can put around a
            selected part of the value.
    """

    name: str
    title: str
    is_list: bool = False
    may_be_blank: bool = False
    num_lines: int = 3
    sample: str | tuple[str, ...] = "a"
    example: str | tuple[str, ...] = ""
    hint: str = ""
    marks: tuple[str, ...] = ()

    def encode(self, value: object) -> Value:
        """Checks a value, and returns it as the SavedModel reads it.

        Raises:
            ValueError: it is not a string, or not a list of strings.
        """
        if not self.is_list:
            return _encoded(value, self.name)
        if not isinstance(value, tuple | list) or not value:
            raise ValueError(
                f"{self.name} must be a list of str, and not empty"
            )
        encoded = [_encoded(text, f"each of {self.name}") for text in value]
        # Items with fewer strings than others are filled up with "".
        while encoded and not encoded[-1]:
            encoded.pop()
        if not encoded:
            raise ValueError(f"one of the {self.name} must not be empty")
        return tuple(encoded)


def _encoded(value: object, name: str) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be str, not {type(value).__name__}")
    return value.encode("utf-8", "replace")


TEXT = Input(
    name="text",
    title="Text",
    example="The train was late again, but the staff were friendly and the "
    "coffee was good.",
)
# A kind has the second text where the model was trained on pairs.
TEXT_OR_PAIR = (
    TEXT,
    Input(
        name="text_pair",
        title="Second text",
        may_be_blank=True,
        example="The journey also had its good sides.",
    ),
)
TAGGED_TEXT = dataclasses.replace(
    TEXT,
    example="Marie Curie was born in Warsaw and worked at the University of "
    "Paris. She won the Nobel Prize twice.",
)
CHOICE_TEXT = dataclasses.replace(
    TEXT,
    title="Beginning of a text",
    example="She filled the kettle with water and",
)
ENDINGS = Input(
    name="endings",
    title="Endings",
    hint="One ending on each line.",
    is_list=True,
    num_lines=5,
    sample=("a", "b"),
    example=(
        "switched it on to make tea.",
        "read it to the children.",
        "parked it in the garage.",
        "flew away over the roofs.",
    ),
)
QUESTION = Input(
    name="question",
    title="Question",
    num_lines=2,
    example="Where did Marie Curie work?",
)
CONTEXT = Input(
    name="context",
    title="Text that holds the answer",
    num_lines=5,
    example="Marie Curie was born in Warsaw in 1867. She moved to France in "
    "1891, and worked at the University of Paris.",
)
MARKED_TEXT = Input(
    name="text",
    title="Text with two marked names",
    hint="Select a name in the text, then press a button; or type the "
    "marks, as in [E1]Ann[/E1] lives in [E2]Rome[/E2].",
    marks=("E1", "E2"),
    sample="[E1]a[/E1] [E2]b[/E2]",
    example="[E1]Marie Curie[/E1] worked at the [E2]University of Paris[/E2].",
)

# Examples for models whose labels say what their texts are about.
EXAMPLES_BY_LABELS = (
    ({"ham", "spam"}, {"text": "Call now to claim your prize!"}),
    (
        {"negative", "positive"},
        {"text": "A warm and funny film with wonderful actors."},
    ),
    (
        {"entailment"},
        {
            "text": "A man is playing a guitar on the stage.",
            "text_pair": "Somebody makes music.",
        },
    ),
)


def example_item(
    inputs: Iterable[Input], labels: Iterable[str]
) -> dict[str, str | tuple[str, ...]]:
    """Returns an item that shows people what a model does.

    Args:
        inputs: those of the model.
        labels: the model's labels, if it has some.
    """
    names = {label.lower() for label in labels}
    fitting: Mapping[str, str] = next(
        (item for some, item in EXAMPLES_BY_LABELS if some <= names), {}
    )
    return {
        entry.name: fitting.get(entry.name, entry.example) for entry in inputs
    }


def marked_entities(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Checks the marks in an item's text, or writes them from two places.

    {"text": "Ann likes tea", "e1": [0, 3], "e2": [10, 13]} becomes
    {"text": "[E1]Ann[/E1] likes [E2]tea[/E2]"}.
    """
    item = dict(item)
    text = item.get("text")
    if not isinstance(text, str):
        return item  # `Input.encode` says what is wrong.
    if "e1" in item or "e2" in item:
        e1 = relations.to_span(item.pop("e1", None), "e1")
        e2 = relations.to_span(item.pop("e2", None), "e2")
        relations.check_spans(text, e1, e2)
        item["text"] = relations.RelationExample("", text, e1, e2).marked()
    relations.parse_marked(item["text"])
    return item
