"""InputExample: a text or a pair of texts, and its label."""

import dataclasses


@dataclasses.dataclass
class InputExample:
    """One labelled text or pair of texts.

    Attributes:
        guid: unique id, such as "dev-7".
        text_a: the text, not tokenized.
        text_b: the second text of a pair, or None.
        label: its label; a tuple of labels where it may have several, a number
            where it has a value; None where it is not known.
        line: where it starts in its file, from 1; 0 if that is not known.
    """

    guid: str
    text_a: str
    text_b: str | None = None
    label: str | tuple[str, ...] | float | None = None
    line: int = dataclasses.field(default=0, compare=False, repr=False)
