"""What is used where a command names no model and no data.

The bundled model comes with the package, and so do the messages of
--task_name=sms. What is filled in becomes the flags' defaults, see `defaults`.
"""

import os

from absl import flags

from bert_tf import files, pretrained
from bert_tf.errors import UserError
from bert_tf.programs import console, defaults

FLAGS = flags.FLAGS


def use_data() -> None:
    """Makes the bundled messages the data of the demo task.

    With the bundled model it also fills in what the demo is measured with.
    """
    is_demo = (FLAGS.task_name or "").lower() == pretrained.DEMO_TASK
    if not is_demo or FLAGS.data_dir is not None:
        return
    names = {"data_dir"}
    if FLAGS.vocab_file is None and FLAGS.bert_config_file is None:
        names = {*pretrained.DEMO_FLAGS}.difference(pretrained.BUNDLED_MODEL)
    filled = [name for name in sorted(names) if FLAGS[name].value is None]
    for name in filled:
        defaults.fill(name, pretrained.DEMO_FLAGS[name])
    shown = " ".join(f"--{name}={FLAGS[name].value}" for name in filled)
    console.show("Data", f"bundled with this package: {shown}")


def use_model(needs_checkpoint: bool = False) -> None:
    """Makes the bundled model the default of the model's flags.

    --init_checkpoint= without a value, for random weights, may be given alone.

    Args:
        needs_checkpoint: whether --init_checkpoint must be given where a
            model is named. A training may start from random weights.

    Raises:
        UserError: some of the flags are given, and others are not, or
            --init_checkpoint names a folder.
    """
    defaults.use_pretrained()
    # A tool that makes data has no checkpoint.
    checkpoint = "init_checkpoint" in FLAGS and FLAGS.init_checkpoint
    if checkpoint and defaults.is_given("init_checkpoint"):
        _check_is_checkpoint(checkpoint)
    names = [name for name in defaults.COPIES if name in FLAGS]
    if needs_checkpoint:
        names.append("init_checkpoint")
    missing = [f"--{name}" for name in names if FLAGS[name].value is None]
    if not missing:
        return
    if len(missing) < len(names) or checkpoint:
        raise UserError(
            f"{' and '.join(missing)} must be given too, or --pretrained in "
            "place of them all: the bundled model is used where no file of a "
            "model is named"
        )
    names = [name for name in pretrained.BUNDLED_MODEL if name in FLAGS]
    for name in names:
        defaults.fill(name, pretrained.BUNDLED_MODEL[name])
    console.show(
        "Model",
        "bundled, and small; --pretrained names another, such as "
        "--pretrained=bert-base-uncased",
    )


def _check_is_checkpoint(prefix: str | None) -> None:
    """Raises UserError if a folder is given instead of a checkpoint in it."""
    if not prefix or not files.is_folder(prefix):
        return
    if files.exists(f"{prefix}.index"):
        return
    names = [
        name.removesuffix(".index")
        for name in files.entries(prefix)
        if name.endswith(".index")
    ]
    # The newest one: model.ckpt-9 comes before model.ckpt-10.
    names.sort(key=lambda name: (len(name), name))
    example = f", such as {os.path.join(prefix, names[-1])}" if names else ""
    raise UserError(
        f"a folder; give the start of a checkpoint's files{example}",
        setting="init_checkpoint",
        value=prefix,
    )
