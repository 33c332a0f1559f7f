"""Checks the model that --teacher names, in every program that has it.

TensorFlow is not needed.
"""

import contextlib
from collections.abc import Iterator

from absl import flags

from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.programs.program import message_of
from bert_tf.vocab_files import load_vocab, tokens_by_id

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


def check_reads(teacher: BertConfig, student: BertConfig) -> None:
    """Checks that a teacher reads every sequence that the student reads.

    Raises:
        UserError: sequences may be too long for it, or of more segments.
    """
    longest = teacher.max_position_embeddings
    if FLAGS.max_seq_length > longest:
        raise refused(
            f"it reads {longest} tokens at most, and `max_seq_length` is "
            f"{FLAGS.max_seq_length}"
        )
    if student.type_vocab_size > teacher.type_vocab_size:
        raise refused(
            f"its type_vocab_size is {teacher.type_vocab_size}, and that of "
            f"the model to train {student.type_vocab_size}: both read the "
            "same ids"
        )


def check_vocabulary(of_teacher: str, own: str) -> None:
    """Checks that both models have the same entries.

    Args:
        of_teacher, own: their vocab.txt.

    Raises:
        UserError: an entry differs.
    """
    here, there = load_vocab(own), load_vocab(of_teacher)
    if here != there:
        raise refused(
            f"its vocabulary, {of_teacher}, is not that of this run, {own}: "
            f"{_difference(here, there)}"
        )


def _difference(here: dict[str, int], there: dict[str, int]) -> str:
    """Where two vocabularies differ first."""
    if len(here) != len(there):
        return f"it has {len(there):,} entries, and this one {len(here):,}"
    for place, (own, other) in enumerate(
        zip(tokens_by_id(here), tokens_by_id(there), strict=False)
    ):
        if own != other:
            return f"entry {place} is {other!r}, and here {own!r}"
    return "some entries are twice in one of them"
