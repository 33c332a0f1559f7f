"""Defines and checks the flags of a teacher, without TensorFlow.

Not in the original. The defaults follow Hinton et al. 2015
(https://arxiv.org/abs/1503.02531): the labels' term works best with a
"considerably lower weight" than the teacher's, and where the student is much
smaller than the teacher, temperatures of a few units beat higher ones.
"""

import os

from absl import flags

from bert_tf import files, pretrained
from bert_tf.choices import FINE_TUNED_KINDS
from bert_tf.downloads import releases
from bert_tf.errors import UserError
from bert_tf.formats.model import StoredModel
from bert_tf.programs import flag_groups, program
from bert_tf.programs.flags import define_float
from bert_tf.programs.teacher_checks import (
    check_vocabulary,
    naming_teacher,
    refused,
)
from bert_tf.tokenizer_settings import TokenizerSettings

FLAGS = flags.FLAGS
TEMPERATURE = 2.0
WEIGHT = 0.9
# What has no meaning without --teacher.
OTHERS = (
    "distill_temperature",
    "distill_weight",
    "distill_layers",
    "unlabelled_file",
)
_PAIRS = "pairs of layers, the teacher's and the student's, such as 1:0,3:1"

flags.disclaim_key_flags()  # See flags.py.


@flag_groups.heading(flag_groups.DISTILLATION)
def define(takes_unlabelled: bool) -> None:
    """Defines the flags.

    Args:
        takes_unlabelled: whether the program takes texts without labels.
    """
    flags.DEFINE_string(
        "teacher",
        None,
        "A fine-tuned model of the same task, whose answers this model learns "
        "besides the labels: a run's folder, an export, or another folder that "
        "--pretrained takes. It must have the same vocabulary and labels.",
    )
    define_float(
        "distill_temperature",
        TEMPERATURE,
        "By what the logits of both models are divided before they are "
        "compared: more than 1 shows more of what the teacher takes for "
        "possible. Numbers have no temperature.",
        lower_bound=0.1,
    )
    define_float(
        "distill_weight",
        WEIGHT,
        "Share of the teacher's answers in the loss, 0 to 1; the rest is that "
        "of the labels.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_string(
        "distill_layers",
        None,
        "Layers whose hidden states are learned as well, which needs models of "
        f"the same width: {_PAIRS}. Layers count from 0, and -1 is the last.",
    )
    if takes_unlabelled:
        flags.DEFINE_string(
            "unlabelled_file",
            None,
            "File of texts without labels, which are trained on with the "
            "answers of --teacher: a table with the columns of --train_file, "
            "JSON lines, or a text on each line.",
        )


def check(trains: bool) -> None:
    """Checks the flags, and the files that the teacher must share.

    Args:
        trains: whether the program is to train.

    Raises:
        UserError: flags contradict each other, there is no such teacher, or it
            reads texts otherwise than the student.
    """
    others = [name for name in OTHERS if name in FLAGS]
    if not trains:
        program.refuse("only with --do_train", "teacher", *others)
        return
    if FLAGS.teacher is None:
        program.refuse("only with --teacher", *others)
        return
    if not layer_pairs() and not FLAGS.distill_weight:
        raise UserError(
            "nothing would be learned of the teacher; give more, or "
            "`distill_layers`",
            setting="distill_weight",
            value=FLAGS.distill_weight,
        )
    if "unlabelled_file" in others and FLAGS.unlabelled_file is not None:
        program.require_existing("unlabelled_file")
        program.refuse("not with --unlabelled_file", "write_tf_records")
    _check_is_another_run()
    _check_reads_alike(open_teacher())


def layer_pairs() -> tuple[tuple[int, int], ...]:
    """The layers of --distill_layers, (the teacher's, the student's) each.

    Raises:
        UserError: the value has another form.
    """
    text = FLAGS.distill_layers
    if text is None:
        return ()
    try:
        pairs = [tuple(map(int, p.split(":"))) for p in text.split(",")]
        return tuple((teacher, student) for teacher, student in pairs)
    except ValueError:
        raise UserError(
            f"give {_PAIRS}", setting="distill_layers", value=text
        ) from None


def open_teacher() -> StoredModel:
    """Opens the model that --teacher names; its weights are not read yet.

    Raises:
        UserError: there is no such model, or it is known to answer no task.
    """
    name = FLAGS.teacher
    is_here = files.exists(name) or files.exists(f"{name}.index")
    if not is_here and releases.find(name):  # It is not downloaded in vain.
        raise refused(
            "a pretrained model, which answers nothing yet; fine-tune it, and "
            "name the folder of that run"
        )
    with naming_teacher():
        stored = pretrained.open(name)
    if stored.kind is not None and stored.kind not in FINE_TUNED_KINDS:
        raise refused(
            f"its head is of the kind {stored.kind}, which answers no task"
        )
    return stored


def _check_is_another_run() -> None:
    """Raises UserError if the teacher is the model that is trained."""
    folder = FLAGS.output_dir
    if folder and os.path.realpath(folder) == os.path.realpath(FLAGS.teacher):
        raise refused("this is the folder of the run itself, `output_dir`")


def _check_reads_alike(stored: StoredModel) -> None:
    """Raises UserError unless the teacher reads the student's ids."""
    if stored.vocab_file is None:
        raise refused("it has no vocabulary to compare with that of this run")
    if FLAGS.vocab_file and files.exists(FLAGS.vocab_file):
        check_vocabulary(stored.vocab_file, FLAGS.vocab_file)
    here = TokenizerSettings.of(FLAGS.flag_values_dict())
    there = stored.tokenizer
    assert there is not None  # `pretrained.open` settles it.
    for name, own_value, value in (
        ("do_lower_case", here.do_lower_case, there.do_lower_case),
        ("strip_accents", here.strips_accents, there.strips_accents),
        (
            "tokenize_chinese_chars",
            here.tokenize_chinese_chars,
            there.tokenize_chinese_chars,
        ),
    ):
        if own_value != value:
            raise refused(
                f"it reads texts with `{name}`={value}, and this run with "
                f"{own_value}"
            )
