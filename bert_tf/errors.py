"""The one exception that a user can mend."""


class UserError(ValueError):
    """A file, a flag or a setting cannot be used as it was given.

    The message is one line: the flag or `file:line`, the value, and what is
    allowed. Programs print that line and end with status 1; every other
    exception is a defect of this package and keeps its traceback.
    """
