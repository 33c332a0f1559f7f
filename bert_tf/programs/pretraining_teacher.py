"""--teacher of run_pretraining: the flags, and what they ask for.

TensorFlow is not needed: mistakes are found before it is loaded.
"""

import dataclasses

from absl import flags

from bert_tf import choices, pretrained
from bert_tf.config import BertConfig
from bert_tf.counts import number_of
from bert_tf.errors import UserError
from bert_tf.formats.model import StoredModel
from bert_tf.programs import console, flag_groups, program, training_checks
from bert_tf.programs.flags import define_count, define_float
from bert_tf.programs.teacher_checks import (
    check_reads,
    check_vocabulary,
    naming_teacher,
    refused,
)

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # See flags.py.

OTHERS = (
    "teacher_layer",
    "teacher_relations",
    "relation_heads",
    "masked_lm_weight",
)


@flag_groups.heading(flag_groups.TRAINING)
def define_flags() -> None:
    """Defines what is learned from a teacher. Not in the original."""
    flags.DEFINE_string(
        "teacher",
        None,
        "A larger model to learn from, as --pretrained names models. In place "
        "of the masked words, this model learns how a layer of the larger one "
        "relates the tokens of a text to each other.",
    )
    flags.DEFINE_integer(
        "teacher_layer",
        -1,
        "Layer of --teacher whose relations are learned: -1 is the last "
        "layer, 0 the first.",
    )
    flags.DEFINE_list(
        "teacher_relations",
        ["qq", "kk", "vv"],
        "Relations of --teacher that are learned: of queries (qq), keys (kk) "
        "and values (vv) among each other, and of queries to keys (qk). "
        "qq,kk,vv is MiniLMv2, and qk,vv MiniLM.",
    )
    define_count(
        "relation_heads",
        None,
        "Number of heads into which queries, keys and values are cut for "
        "their relations; it divides both models' widths. By default the "
        "largest number that does, up to the attention heads of --teacher.",
    )
    define_float(
        "masked_lm_weight",
        0.0,
        "How much the losses of masked LM and next sentence prediction count, "
        "in addition to the relations of --teacher. With 0 the heads are not "
        "trained.",
        lower_bound=0.0,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """What is learned from which teacher.

    Attributes:
        stored: the teacher.
        layer: its layer, from 0.
        relations: some of `choices.TEACHER_RELATIONS`.
        num_heads: relation heads.
        masked_lm_weight: see --masked_lm_weight.
    """

    stored: StoredModel
    layer: int
    relations: tuple[str, ...]
    num_heads: int
    masked_lm_weight: float

    def show(self) -> None:
        """Shows what is learned, and what is not."""
        config = self.stored.config
        console.show(
            "Teacher",
            f"{number_of(config.num_hidden_layers, 'layer')} of width "
            f"{config.hidden_size}, of {self.stored.path}",
        )
        console.show(
            "",
            f"the relations {', '.join(self.relations)} of its layer "
            f"{self.layer} are learned, in {self.num_heads} heads",
        )
        if not self.masked_lm_weight:
            console.show(
                "",
                "not trained: the heads, the pooler, and what follows the "
                "values in the last layer",
            )


def metric_names() -> tuple[str, ...]:
    """The metrics that evaluations report, as the flags say.

    Raises:
        UserError: a relation is unknown.
    """
    if FLAGS.teacher is None:
        return choices.PRETRAINING_NAMES
    names = [choices.TEACHER_RELATIONS[name] for name in _relations()]
    others = choices.PRETRAINING_NAMES if FLAGS.masked_lm_weight else ("loss",)
    return (*others, *names)


def check_flags() -> None:
    """Raises UserError for a wrong teacher, and for flags that need one."""
    if FLAGS.teacher is not None:
        from_flags(pretrained.read_config(FLAGS.bert_config_file))
        return
    program.refuse(
        "it says what is learned from --teacher, which must be given too",
        *OTHERS,
    )


def from_flags(config: BertConfig) -> Distillation | None:
    """Opens the teacher, and checks what is to be learned from it.

    Args:
        config: the student's.

    Returns:
        None without --teacher.

    Raises:
        UserError: there is no such model, it does not fit the student or the
            records, or flags contradict each other.
    """
    if FLAGS.teacher is None:
        return None
    with naming_teacher():
        stored = pretrained.open(FLAGS.teacher)
    _check_fits(stored, config)
    return Distillation(
        stored=stored,
        layer=_layer(stored.config),
        relations=_relations(),
        num_heads=_num_heads(stored.config, config),
        masked_lm_weight=FLAGS.masked_lm_weight,
    )


def _relations() -> tuple[str, ...]:
    names = tuple(FLAGS.teacher_relations)
    known = choices.TEACHER_RELATIONS
    if not names or len({*names}) < len(names) or {*names} - {*known}:
        raise UserError(
            f"some of {', '.join(known)} are needed, separated by commas, "
            "each once",
            setting="teacher_relations",
            value=",".join(names),
        )
    return names


def _check_fits(stored: StoredModel, config: BertConfig) -> None:
    """Raises UserError unless the teacher reads what the student reads."""
    of_teacher = stored.config
    if of_teacher.vocab_size != config.vocab_size:
        raise refused(
            f"its vocabulary has {of_teacher.vocab_size} entries, and that of "
            f"the model to train {config.vocab_size}: both read the same ids"
        )
    check_reads(of_teacher, config)
    own = pretrained.open(FLAGS.pretrained) if FLAGS.pretrained else None
    if own and own.vocab_file and stored.vocab_file:
        check_vocabulary(stored.vocab_file, own.vocab_file)
    frozen, number = FLAGS.freeze_layers, config.num_hidden_layers
    num_frozen = training_checks.num_frozen(frozen, number)
    if not FLAGS.masked_lm_weight and num_frozen >= number:
        raise UserError(
            "--teacher trains nothing but layers then; give "
            "--masked_lm_weight too, or freeze fewer",
            setting="freeze_layers",
            value=frozen,
        )


def _layer(config: BertConfig) -> int:
    number = config.num_hidden_layers
    if FLAGS.teacher_layer not in range(-number, number):
        raise UserError(
            f"{FLAGS.teacher} has {number_of(number, 'layer')}, from "
            f"-{number} to -1, or 0 to {number - 1}",
            setting="teacher_layer",
            value=FLAGS.teacher_layer,
        )
    return range(number)[FLAGS.teacher_layer]


def _num_heads(of_teacher: BertConfig, config: BertConfig) -> int:
    widths = (of_teacher.hidden_size, config.hidden_size)
    given = FLAGS.relation_heads
    if given is None:
        fitting = range(of_teacher.num_attention_heads, 0, -1)
        return next(n for n in fitting if not any(w % n for w in widths))
    if any(width % given for width in widths):
        raise UserError(
            f"must divide the widths of --teacher, {widths[0]}, and of the "
            f"model to train, {widths[1]}",
            setting="relation_heads",
            value=given,
        )
    return given
