"""The exception for mistakes that a user can fix."""

import re
from collections.abc import Callable

_NO_VALUE = object()


class UserError(ValueError):
    """A file, a flag or a setting cannot be used as it was given.

    The message is one line: the setting or `file:line`, the value, and what is
    allowed. Programs print that line and end with `exit_status`. Every other
    exception is a bug of this package and keeps its traceback.

        UserError("must be below 1", setting="dev_fraction", value=1.5)

    reads `dev_fraction=1.5: must be below 1` in Python. A program prints
    `--dev_fraction=1.5: must be below 1`. Names of other settings are in
    backticks, so that a program can print them as flags, too:

        UserError("train.csv:7: no text in `text_column`=body")

    Backticks around any other word are lost in Python, and stay in a program.

    Args:
        why: what is wrong, and what is allowed.
        setting: name of the setting that must change.
        value: its value; left out where it has none, as in
            UserError("must be given", setting="vocab_file").

    Attributes:
        exit_status: the status with which a program ends.
    """

    exit_status = 1

    def __init__(
        self, why: str, *, setting: str = "", value: object = _NO_VALUE
    ):
        super().__init__(why)
        self.setting = setting
        self.value = value
        if setting and value is _NO_VALUE:
            self._marked = f"`{setting}` {why}"
        elif setting:
            self._marked = f"`{setting}`={value}: {why}"
        else:
            self._marked = str(why)

    def __str__(self) -> str:
        return self.message_for()

    def message_for(self, name_of: Callable[[str], str] = str) -> str:
        """The message for a reader who knows settings by other names.

        Args:
            name_of: function(name of a setting) -> the name that is shown.
        """
        return re.sub(
            r"`([a-z][a-z0-9_]*)`", lambda m: name_of(m[1]), self._marked
        )
