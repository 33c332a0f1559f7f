"""StepLog: what a training's steps were like, in a small file.

    {"step": 40, "loss": 0.31, "gradient_norm": 2.2, "learning_rate": 4e-05}

A line stands for some steps: the loss is their mean, "step" and the learning
rate are those of the last one, and the norm is one of theirs. A loss of several
terms has {name: mean} as "losses". What is not finite is null.
"""

import json
import math
import time
from typing import Any

import keras
from absl import logging

from bert_tf import files

MAX_LINES = 2000
SECONDS_BETWEEN_WRITES = 30.0
_OTHERS = ("loss", "gradient_norm", "learning_rate", "steps", "seconds")

Line = dict[str, Any]


def read_lines(path: str, last_step: int) -> list[Line]:
    """The lines of an earlier part of a training, up to a step.

    Args:
        path: the file; there may be none.
        last_step: the step at which the training resumes.

    Returns:
        [] if the file is damaged: nobody should lose a training by it.
    """
    if not last_step or not files.exists(path):
        return []
    try:
        lines = [json.loads(line) for _, line in files.read_lines(path)]
        return [line for line in lines if line["step"] <= last_step]
    except (ValueError, LookupError, TypeError) as error:
        logging.debug("%s: %s; it starts again", path, error)
        return []


class StepLog(keras.callbacks.Callback):
    """Keeps at most `MAX_LINES` lines of a training in a file.

    When there are more, two neighbours become one. The whole file is written
    at evaluations, at the end, and now and then: after a crash it ends a little
    earlier. A training that resumes cuts it at its first step.

    Args:
        path: the file.
        max_lines: see above; 4 or more.
    """

    def __init__(self, path: str, max_lines: int = MAX_LINES):
        super().__init__()
        self.path = path
        self.max_lines = max_lines
        self.lines: list[Line] = []
        self.steps_per_line = 1
        self.written_at = -math.inf
        self.is_broken = False

    def on_train_begin(self, logs: Any = None) -> None:
        start = self.params["start"]
        self.lines = read_lines(self.path, start)
        self._num_pending = 0
        self._pending: list[tuple[int, Line]] = []

    def on_train_batch_end(self, step: int, logs: dict[str, float]) -> None:
        terms = {k: v for k, v in logs.items() if k not in _OTHERS}
        line = {
            "step": step,
            **{name: logs[name] for name in _OTHERS[:3]},
            **({"losses": terms} if len(terms) > 1 else {}),
        }
        self._pending.append((int(logs["steps"]), line))
        self._num_pending += int(logs["steps"])
        if self._num_pending >= self.steps_per_line:
            self._add_pending()
        if time.monotonic() - self.written_at > SECONDS_BETWEEN_WRITES:
            self.write()

    def on_epoch_end(self, step: int, logs: Any = None) -> None:
        """Writes the file after an evaluation; see `training.train`."""
        self.write()

    def on_train_end(self, logs: Any = None) -> None:
        self._add_pending()
        self.write()

    def _add_pending(self):
        if self._pending:
            self.lines.append(_merged(self._pending))
        self._pending, self._num_pending = [], 0
        if len(self.lines) > self.max_lines:
            # The number of steps of a line is not kept; neighbours have about
            # the same one.
            pairs = zip(self.lines[::2], self.lines[1::2], strict=False)
            last = self.lines[len(self.lines) // 2 * 2 :]
            self.lines = [_merged([(1, a), (1, b)]) for a, b in pairs] + last
            self.steps_per_line = 2 * max(
                self.steps_per_line,
                self.lines[-1]["step"] // (2 * len(self.lines)),
            )

    def write(self) -> None:
        """Writes the file. Where that fails, training continues without it."""
        self.written_at = time.monotonic()
        if self.is_broken:
            return
        text = "".join(json.dumps(_finite(line)) + "\n" for line in self.lines)
        try:
            files.make_folder_of(self.path)
            files.write_text(self.path, text)
        except OSError as error:
            self.is_broken = True
            logging.warning("No learning curves: %s", files.reason(error))


def _merged(parts: list[tuple[int, Line]]) -> Line:
    """One line for several, each with its number of steps."""
    if len(parts) == 1:
        return parts[0][1]
    total = sum(number for number, _ in parts)

    def mean(values):
        pairs = [(n, v) for (n, _), v in zip(parts, values, strict=True)]
        if any(value is None for _, value in pairs):
            return None
        return sum(number * value for number, value in pairs) / total

    lines = [line for _, line in parts]
    merged = {
        **lines[-1],
        "loss": mean([line["loss"] for line in lines]),
        "gradient_norm": mean([line["gradient_norm"] for line in lines]),
    }
    if "losses" in lines[-1]:
        merged["losses"] = {
            name: mean([line.get("losses", {}).get(name) for line in lines])
            for name in lines[-1]["losses"]
        }
    return merged


def _finite(value):
    """JSON has no NaN and no infinity."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
