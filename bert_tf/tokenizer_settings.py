"""How text becomes words: the settings of a tokenizer."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerSettings:
    """How text becomes words: what a tokenizer needs besides its vocabulary.

    The defaults are those of the original's uncased models. It has
    `do_lower_case` alone; the names and meanings of the other two are Hugging
    Face's.

    Attributes:
        do_lower_case: lower-case the text; True for uncased models.
        strip_accents: decompose the text, and drop accents; None does what
            `do_lower_case` says, as the original. With False nothing is
            decomposed.
        tokenize_chinese_chars: make each Chinese character a word of its own.
    """

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True

    @property
    def strips_accents(self) -> bool:
        """`strip_accents`, with None replaced by what it stands for."""
        if self.strip_accents is None:
            return self.do_lower_case
        return self.strip_accents

    @staticmethod
    def of(values: Mapping[str, Any]) -> "TokenizerSettings":
        """The settings among some values; what is absent has its default.

        Args:
            values: {name: value}, such as a run's flags or model.json, which
                earlier versions wrote with `do_lower_case` alone.
        """
        fields = dataclasses.fields(TokenizerSettings)
        names = [field.name for field in fields if field.name in values]
        return TokenizerSettings(**{name: values[name] for name in names})

    @property
    def tokenizer_settings(self) -> "TokenizerSettings":
        """These settings alone, of a class that has more."""
        return TokenizerSettings.of(vars(self))

    def tokenizer_arguments(self) -> dict[str, Any]:
        """{name: value}: keyword arguments of all that tokenizes texts."""
        return {**vars(self.tokenizer_settings)}
