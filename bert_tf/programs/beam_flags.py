"""Defines the flags of tools that can run as an Apache Beam pipeline.

The original has no such flags.
"""

from absl import flags

from bert_tf import choices
from bert_tf.programs.flags import define_count

# See flags.py.
flags.disclaim_key_flags()


def define_runner_flags() -> None:
    """Defines where the files are made: on this machine, or by a pipeline."""
    flags.DEFINE_enum(
        "runner",
        "local",
        choices.RUNNERS,
        "Do the work on this machine, or in an Apache Beam pipeline.",
    )
    flags.DEFINE_string(
        "beam_options",
        "",
        "Options of the Beam pipeline, such as "
        "--beam_options='--runner=DataflowRunner …'.",
    )


def define_beam_flags() -> None:
    """Defines `define_runner_flags`, and the shards that a pipeline writes."""
    define_runner_flags()
    define_count(
        "num_shards",
        0,
        "Number of files, NAME-00000-of-…, that --runner=beam writes, which "
        "are the output one after the other. A worker holds one of them in "
        "memory.",
        lower_bound=0,
        upper_bound=99_999,
    )
