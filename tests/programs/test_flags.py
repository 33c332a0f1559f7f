"""Flags: who owns them, and which may change when a run resumes."""

import subprocess
import sys

import pytest
from support.common import ROOT
from support.programs import (
    RUN_CLASSIFIER,
    RUN_PRETRAINING,
    RUN_SQUAD,
    program_of,
)

from bert_tf.programs import program
from bert_tf.programs.resuming import MAY_CHANGE, warn_of_changed_flags

PROGRAMS = [
    RUN_CLASSIFIER,
    RUN_SQUAD,
    RUN_PRETRAINING,
    program_of("bert_tf.tools.train_embeddings"),
]


def flags_of(a_program):
    """The flags of a program, as train.json records them."""
    with a_program.flags():
        return program.values()


@pytest.mark.parametrize("a_program", PROGRAMS)
def test_a_changed_flag_may_change_or_is_named(a_program, warnings):
    names = flags_of(a_program)
    warn_of_changed_flags(
        dict.fromkeys([*names, "gone"], "this"),
        dict.fromkeys([*names, "new"], "that"),
    )
    assert warnings() == [
        f"--{name} was this before, and is that now"
        for name in sorted(names)
        if name not in MAY_CHANGE
    ]


def test_every_flag_that_may_change_exists():
    assert MAY_CHANGE <= {name for p in PROGRAMS for name in flags_of(p)}


def test_flags_that_decide_about_weights_may_not_change():
    """Some of each kind: examples, sequences, optimizer, devices, model."""
    decisive = set(
        "bert_config_file class_weights classifier_dropout "
        "classifier_hidden cpu_replicas data_dir delimiter dev_fraction "
        "distribution_strategy do_lower_case doc_stride encoding "
        "freeze_layers gradient_accumulation_steps group_by_length "
        "header input_file label_column label_delimiter label_smoothing "
        "layerwise_lr_decay learning_rate long_documents "
        "max_predictions_per_seq max_query_length max_seq_length "
        "max_windows num_train_epochs num_train_steps num_warmup_steps "
        "optimizer pack_sequences pad_to_max_length precision problem_type "
        "masked_lm_weight relation_heads teacher teacher_layer "
        "teacher_relations "
        "seed split_seed strip_accents test_fraction text_column "
        "text_pair_column tokenize_chinese_chars "
        "train_batch_size train_file use_tpu version_2_with_negative "
        "vocab_file warmup_proportion window_pooling xla xnli_language".split()
    )
    assert not MAY_CHANGE & decisive


def test_help_shows_shared_flags_of_a_tool():
    done = subprocess.run(
        [sys.executable, "-m", "bert_tf.tools.evaluate_squad", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "--null_odds_threshold" in done.stdout
    assert "--predict_file" in done.stdout
