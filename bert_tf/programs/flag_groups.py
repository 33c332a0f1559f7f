"""The headings under which --help lists a program's flags.

What defines flags says under which heading they belong:

    @flag_groups.heading(flag_groups.CALIBRATION)
    def define() -> None:
        flags.DEFINE_bool(…)

    with flag_groups.heading(flag_groups.DATA):
        flags.DEFINE_string(…)

Of nested headings the inner one counts. A heading that is not in `ORDER` comes
after those, in the order in which flags are defined.
"""

import functools
from collections.abc import Callable, Collection, Iterable
from typing import ParamSpec

from absl import flags

P = ParamSpec("P")
FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # See flags.py.

REQUIRED = "Required"
WHAT = "What to do"
DATA = "Data"
MODEL = "Model and output folder"
TEXTS = "How texts are read"
TRAINING = "Training"
DISTILLATION = "Learning from a teacher"
CHECKPOINTS = "Checkpoints"
EVALUATION = "Evaluation and prediction"
CALIBRATION = "Calibration"
SEVERAL_RUNS = "Several runs"
ANSWERS = "Answers to questions"
EXPORT = "Export"
SPEED = "Speed and memory"
DEVICES = "Devices"
FILES = "Flags from files"
OWN = "Flags"  # Those of a tool that has no headings.

ORDER = (
    REQUIRED,
    WHAT,
    DATA,
    MODEL,
    OWN,
    TEXTS,
    TRAINING,
    DISTILLATION,
    CHECKPOINTS,
    EVALUATION,
    CALIBRATION,
    SEVERAL_RUNS,
    ANSWERS,
    EXPORT,
    SPEED,
    DEVICES,
)

_HEADINGS: dict[str, str] = {}  # {flag: heading}


class heading:  # noqa: N801  It is used as a function.
    """Puts the flags that a block, or a decorated function, defines under it.

    Args:
        title: the heading: one of this module's, or a new one.
    """

    def __init__(self, title: str):
        self.title = title
        self._before: list[set[str]] = []

    def __enter__(self) -> None:
        self._before.append({*FLAGS})

    def __exit__(self, *_: object) -> None:
        before = self._before.pop()
        for name in FLAGS:
            if name not in before:
                _HEADINGS.setdefault(name, self.title)

    # contextlib's decorator would be taken for the module that defines flags.
    def __call__(self, define: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(define)
        def with_heading(*args: P.args, **kwargs: P.kwargs) -> None:
            with self:
                define(*args, **kwargs)

        return with_heading


def heading_of(name: str) -> str | None:
    """The heading of a flag; None where nothing says it.

    Args:
        name: the flag's.
    """
    return _HEADINGS.get(name)


def grouped(
    its_flags: Iterable[flags.Flag], required: Collection[str] = ()
) -> dict[str, list[flags.Flag]]:
    """Flags by their headings, in the order in which they are defined.

    Args:
        its_flags: the flags.
        required: names of those that come first, under a heading of their own.
    """
    places = {name: place for place, name in enumerate(FLAGS)}
    by_heading: dict[str, list[flags.Flag]] = {title: [] for title in ORDER}
    for flag in sorted(its_flags, key=lambda f: places[f.name]):
        title = heading_of(flag.name) or OWN
        if flag.name in required:
            title = REQUIRED
        by_heading.setdefault(title, []).append(flag)
    return {title: found for title, found in by_heading.items() if found}
