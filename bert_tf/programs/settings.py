"""Fills settings from flags, by their names.

Flags come as a mapping, {name: value}: those of the running program
(`FLAGS.flag_values_dict()`), or those that train.json keeps of an earlier run.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")


def from_flags(
    kind: type[Settings], flags: Mapping[str, Any], **others: Any
) -> Settings:
    """Makes settings, each field from the flag of the same name.

    Args:
        kind: a keyword-only dataclass.
        flags: see above.
        **others: fields that no flag gives, or another value than the flag's.
    """
    values = {
        field.name: flags[field.name]
        for field in dataclasses.fields(kind)
        if field.name not in others
        # A run of an earlier version has not all flags.
        and (field.name in flags or field.default is dataclasses.MISSING)
    }
    return kind(**values, **others)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a run is trained, evaluated and saved, named as the flags.

    A command makes one run, or with --num_seeds several, which differ in some
    of these settings.
    """

    output_dir: str
    resume: str
    seed: int

    train_batch_size: int
    learning_rate: float | None  # None until it is chosen.
    optimizer: str
    layerwise_lr_decay: float
    gradient_accumulation_steps: int
    precision: str
    xla: bool
    adam_bias_correction: bool = False
    report_to: Sequence[str] = ("tensorboard",)

    iterations_per_loop: int
    save_checkpoints_steps: int
    keep_checkpoints: int

    eval_steps: int
    metric_for_best: str | None
    early_stopping_patience: int

    @property
    def metric(self) -> str:
        """The metric for the best, which `Session.settle_metric` settles."""
        assert self.metric_for_best is not None
        return self.metric_for_best
