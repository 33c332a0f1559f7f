"""How sure a model's answers are: values that are fitted on a dev set.

temperature      logits are divided by it before they become probabilities
coverage         how often a set of labels is to hold the right one
set_threshold    the least probability of the labels in such a set

The weights of a model stay as they were trained: a training that starts from
them starts from logits that are not divided. task.json and model.json keep the
values. `metrics.calibration` fits them.

It needs NumPy and no part of the model's code.
"""

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from bert_tf.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confidence:
    """The values above; each is None where it was not fitted.

    Raises:
        UserError: a value cannot have been fitted.
    """

    temperature: float | None = None
    coverage: float | None = None
    set_threshold: float | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None:
            _check("temperature", self.temperature, 0.0, math.inf)
        if self.coverage is not None:
            _check("coverage", self.coverage, 0.0, 1.0)
        if self.set_threshold is not None:
            # 0 is fitted where labels that the model does not know are common.
            least, most = math.nextafter(0.0, -1.0), math.nextafter(1.0, 2.0)
            _check("set_threshold", self.set_threshold, least, most)
        if (self.coverage is None) != (self.set_threshold is None):
            missing = "coverage" if self.coverage is None else "set_threshold"
            raise UserError(
                "must be given: `coverage` and `set_threshold` belong together",
                setting=missing,
            )

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Confidence":
        """Reads what `record` returned among other values.

        Raises:
            UserError: a value is damaged.
        """
        return cls(**{name: record[name] for name in NAMES if name in record})

    def record(self) -> dict[str, float]:
        """The values that were fitted, for JSON."""
        values = dataclasses.asdict(self)
        return {name: v for name, v in values.items() if v is not None}

    @property
    def columns(self) -> tuple[str, ...]:
        """What answers have because of it."""
        return () if self.set_threshold is None else (LABEL_SET,)

    def label_set(
        self, probabilities: Any, labels: Sequence[Any]
    ) -> list[list[Any]]:
        """The labels in the set of one example, for `columns`.

        Args:
            probabilities: float [C], those with the temperature.
            labels: what the C are called.
        """
        if self.set_threshold is None:
            return []
        pairs = zip(labels, probabilities, strict=True)
        # NumPy would round the threshold to the type of a probability.
        return [[x for x, p in pairs if float(p) >= self.set_threshold]]

    def scaled(self, logits: Any) -> Any:
        """Divides logits, an array or a tensor of any shape."""
        if self.temperature is None:
            return logits
        return logits / self.temperature


LABEL_SET = "label_set"
NAMES = tuple(field.name for field in dataclasses.fields(Confidence))
NOT_FITTED = Confidence()


def _check(name, value, lower, upper):
    """Raises UserError unless a number is above `lower` and below `upper`."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not lower < value < upper:
        limit = "" if upper == math.inf else " and at most 1"
        if name == "coverage":
            limit = " and below 1"
        least = "at least" if name == "set_threshold" else "above"
        raise UserError(
            f"must be a number, {least} 0{limit}", setting=name, value=value
        )
