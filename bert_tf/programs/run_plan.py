"""Which runs a command makes: one, one for each seed, or a grid of values.

    --grid="learning_rate:5e-5,3e-5;train_batch_size:16,32" --num_seeds=3

makes every combination of the values with every seed: twelve runs. Nothing here
needs TensorFlow, so mistakes are found before anything is read.
"""

import contextlib
import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

from absl import flags
from absl.testing import flagsaver

from bert_tf import choices, suggestions
from bert_tf.errors import UserError
from bert_tf.programs import defaults, flag_groups, program, run_record
from bert_tf.programs.flag_names import SYNONYMS
from bert_tf.programs.flags import define_count

FLAGS = flags.FLAGS

# {name: grid}. Devlin et al. 2019, https://arxiv.org/abs/1810.04805, A.3.
NAMED_GRIDS = {
    "paper": (
        "learning_rate:5e-5,3e-5,2e-5;train_batch_size:16,32;"
        "num_train_epochs:2,3,4"
    )
}
# The flags that a grid may vary: how a model is trained, and how much of a
# text it reads. What it is trained on, and with which weights it starts, is
# the same in all runs.
VARIABLE = (
    "adam_bias_correction",
    "class_weights",
    "classifier_dropout",
    "classifier_hidden",
    "distill_temperature",
    "distill_weight",
    "doc_stride",
    "early_stopping_patience",
    "eval_steps",
    "freeze_layers",
    "group_by_length",
    "label_smoothing",
    "layerwise_lr_decay",
    "learning_rate",
    "long_documents",
    "max_answer_length",
    "max_query_length",
    "max_seq_length",
    "max_windows",
    "num_train_epochs",
    "optimizer",
    "pack_sequences",
    "reinit_layers",
    "similarity_scale",
    "small_data",
    "train_batch_size",
    "warmup_proportion",
    "window_pooling",
)
KEEP_RUNS = ("auto", "best", "all")
# What the flags of a run that is one of several are.
OF_ONE_RUN = {"grid": None, "num_seeds": 1}

flags.disclaim_key_flags()  # See flags.py.


@flag_groups.heading(flag_groups.SEVERAL_RUNS)
def define_flags() -> None:
    """Defines how many runs a command makes. Not in the original."""
    define_count(
        "num_seeds",
        1,
        "Run N times, with --seed, --seed + 1, …, each time in another folder "
        "in --output_dir, and report mean and standard deviation.",
    )
    flags.DEFINE_string(
        "grid",
        None,
        "Train with every combination of values of some flags, each time in "
        "another folder in --output_dir: NAME:VALUE,VALUE;NAME:VALUE,VALUE, "
        "such as learning_rate:5e-5,3e-5;train_batch_size:16,32, or paper, the "
        "values of BERT's authors. With --num_seeds, each of them with several "
        "seeds. The command that is given again resumes.",
    )
    flags.DEFINE_enum(
        "keep_runs",
        "auto",
        KEEP_RUNS,
        "Of which of several runs the checkpoints are kept: of the best one "
        "or of all. auto keeps all seeds of one setting, and of a grid the "
        "best. Scores and predictions are always kept.",
    )


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One of the runs of a command.

    Attributes:
        values: {flag: value} of the flags that the grid varies.
        seed: its --seed.
        folder: its folder's name in --output_dir.
    """

    values: dict[str, Any]
    seed: int
    folder: str

    @property
    def name(self) -> str:
        """What the run is, for people."""
        return ", ".join([*_written(self.values), f"seed {self.seed}"])


def is_several() -> bool:
    """Whether the command makes several runs."""
    return FLAGS.grid is not None or FLAGS.num_seeds > 1


def keeps_all() -> bool:
    """Whether the checkpoints of all runs are kept.

    A checkpoint of BERT-Base with the optimizer's state has 1.3 GB. Those of
    several seeds have always been kept; those of a grid, which has more runs,
    would fill a disk.
    """
    if FLAGS.keep_runs == "auto":
        return FLAGS.grid is None
    return FLAGS.keep_runs == "all"


def planned_runs() -> list[PlannedRun]:
    """The runs that the flags ask for; runs that differ in seeds are together.

    Raises:
        UserError: --grid is wrong.
    """
    grid = parse(FLAGS.grid) if FLAGS.grid is not None else {}
    seeds = range(FLAGS.seed, FLAGS.seed + FLAGS.num_seeds)
    runs = []
    for chosen in itertools.product(*grid.values()):
        values = dict(zip(grid, chosen, strict=True))
        runs += [PlannedRun(values, s, _folder(values, s)) for s in seeds]
    return runs


def _folder(values, seed):
    """The name of a run's folder: the same, in whatever order flags are."""
    if not values:
        return f"seed-{seed}"
    return ",".join([*_written(dict(sorted(values.items()))), f"seed={seed}"])


def _written(values):
    return [f"{name}={written(value)}" for name, value in values.items()]


def written(value: Any) -> str:
    """A value as one types it, in a form that a folder's name can have."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)


@contextlib.contextmanager
def flags_of(run: PlannedRun) -> Iterator[str]:
    """Gives the flags the values of one run; yields its folder's path.

    What the run fills in, because it fits its values, is gone after it.
    """
    saved = flagsaver.save_flag_values()
    folder = os.path.join(FLAGS.output_dir, run.folder)
    values = {
        **OF_ONE_RUN,
        **run.values,
        "seed": run.seed,
        "output_dir": folder,
    }
    try:
        for name, value in values.items():
            setattr(FLAGS, name, value)
            FLAGS[name].present = 1
        yield folder
    finally:
        flagsaver.restore_flag_values(saved)


# ---------------------------------------------------------------------------
# Checks.


def check(modes: Collection[str], check_flags: Callable[[], object]) -> None:
    """Raises UserError unless the command's runs can be made.

    Args:
        modes: what each of them does.
        check_flags: function(), which raises UserError if the flags of a run
            contradict each other.
    """
    if not is_several():
        program.refuse("only with --grid or --num_seeds", "keep_runs")
        check_flags()
        return
    check_seeds(FLAGS.seed, FLAGS.num_seeds)
    if FLAGS.grid is not None:
        _check_grid(modes)
    elif "eval" not in modes:
        raise UserError(f"--num_seeds={FLAGS.num_seeds} needs --do_eval")
    program.check_folder("output_dir")
    for run in planned_runs():
        with flags_of(run):
            check_flags()


def check_seeds(first_seed: int, num_seeds: int) -> None:
    """Raises UserError if the last seed is too large."""
    if first_seed + num_seeds - 1 > choices.MAX_COUNT:
        raise UserError(
            f"--num_seeds={num_seeds} from --seed={first_seed} on: "
            f"{choices.MAX_COUNT} is the last"
        )


def _check_grid(modes):
    missing = [f"--do_{m}" for m in ("train", "eval") if m not in modes]
    if missing:
        raise UserError(
            f"needs {' and '.join(missing)}: runs are compared by their "
            "scores on the dev set",
            setting="grid",
            value=FLAGS.grid,
        )
    for name in parse(FLAGS.grid):
        if defaults.is_given(name):
            raise UserError(
                f"--{name}={FLAGS[name].value} is given, too: leave one of "
                "them out",
                setting="grid",
                value=FLAGS.grid,
            )
    if FLAGS.output_dir and run_record.read(FLAGS.output_dir):
        raise UserError(
            "holds one run; name another folder for a grid",
            setting="output_dir",
            value=FLAGS.output_dir,
        )


# ---------------------------------------------------------------------------
# The text of a grid.


def parse(text: str) -> dict[str, list[Any]]:
    """Reads a grid.

    Args:
        text: NAME:VALUE,VALUE;NAME:VALUE,VALUE, or a name of `NAMED_GRIDS`.

    Returns:
        {flag: its values}, in the order of the text.

    Raises:
        UserError: a name or a value is wrong.
    """
    grid: dict[str, list[Any]] = {}
    for part in NAMED_GRIDS.get(text.strip(), text).split(";"):
        name, colon, values = part.partition(":")
        name = name.strip().lstrip("-")
        if not name and not values:
            continue  # After the last semicolon.
        if not colon:
            _refuse(text, _hint_of_form(part.strip()))
        _check_name(text, name)
        if name in grid:
            _refuse(text, f"{name} is there twice")
        grid[name] = _values(text, name, values)
    if not grid:
        _refuse(text, "it is empty; write NAME:VALUE,VALUE")
    return grid


def _refuse(text, why):
    raise UserError(why, setting="grid", value=text)


def _hint_of_form(part):
    why = f"{part}: write NAME:VALUE,VALUE"
    name, equals, values = part.partition("=")
    if equals:
        return f"{why}, such as {name.strip()}:{values.strip()}"
    return why + suggestions.hint(part, NAMED_GRIDS, form="{}")


def _check_name(text, name):
    known = [n for n in VARIABLE if n in FLAGS]
    if name in known:
        return
    if name == "seed":
        _refuse(text, "seeds vary by --num_seeds")
    if name in FLAGS:
        _refuse(
            text,
            f"{name} is the same in all runs; these can vary: "
            f"{', '.join(known)}",
        )
    hint = suggestions.hint(name, known, SYNONYMS, form="{}")
    end = hint or f"; these can vary: {', '.join(known)}"
    _refuse(text, f"{name}: no such flag{end}")


def _values(text, name, values) -> list[Any]:
    """The values of a flag, each of which it may have."""
    found: list[Any] = []
    for word in values.split(","):
        word = word.strip()
        if not word:
            _refuse(text, f"{name} has no value{' here' if found else ''}")
        value = _value(text, name, word)
        if value in found:
            _refuse(text, f"{name} has the value {word} twice")
        found.append(value)
    return found


def _value(text, name, word):
    flag = FLAGS[name]
    if word == "none" and flag.flag_type() == "string":
        return None
    try:
        value = flag.parser.parse(word)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
    except (ValueError, TypeError):
        wanted = flag.parser.syntactic_help or "another value"
        hint = ""
        if isinstance(flag, flags.EnumFlag):
            names = flag.parser.enum_values
            wanted = f"one of {', '.join(names)}"
            hint = suggestions.hint(word, names, form="{}")
        elif flag.boolean:
            wanted = "true or false"
        wanted = wanted.replace("an integer", "a whole number")
        _refuse(text, f"{name}:{word}: must be {wanted}{hint}")
    if "/" in word:
        _refuse(text, f"{name}:{word}: cannot be in a folder's name")
    return value
