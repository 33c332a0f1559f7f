"""Errors about the model that --teacher names, in every program that has it."""

import contextlib
from collections.abc import Iterator

from absl import flags

from bert_tf.errors import UserError
from bert_tf.programs.program import message_of

FLAGS = flags.FLAGS


def refused(why: str) -> UserError:
    """The error that the model cannot be a teacher."""
    return UserError(why, setting="teacher", value=FLAGS.teacher)


@contextlib.contextmanager
def naming_teacher() -> Iterator[None]:
    """Lets errors of the block name the flag that they are about.

    Those that name --distill_layers stay as they are.
    """
    try:
        yield
    except UserError as error:
        if error.setting == "distill_layers":
            raise
        why = message_of(error).removeprefix(f"{FLAGS.teacher}: ")
        raise refused(why) from None
