"""Looks at a command of run_classifier, run_squad or run_pretraining."""

from bert_tf.doctor.findings import Finding
from bert_tf.errors import UserError
from bert_tf.programs import program
from bert_tf.programs.hearing import hearing
from bert_tf.progress import working
from bert_tf.tools.doctor_data import LOOKS
from bert_tf.tools.doctor_examination import Examination


def name_flags(text: str) -> str:
    """Writes the settings of a message as flags."""
    return program.message_of(UserError(text))


def examine(name: str, measure_steps: int = 0) -> list[Finding]:
    """Looks at the command of a program; the worst findings come first.

    Args:
        name: of the program, such as "run_classifier".
        measure_steps: training steps whose time is taken.
    """
    examination = Examination(name, measure_steps)
    with working("Examining"), hearing(examination.heard, is_quiet=True):
        LOOKS[name](examination)
        examination.look_at_devices()
    return examination.all_findings()
