"""Measurements of answers, and their tables."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags

from bert_tf.export.kinds import QUESTION_ANSWERING
from bert_tf.tools.benchmarks import workers
from bert_tf.tools.benchmarks.inference_models import Model
from bert_tf.tools.benchmarks.inference_texts import Texts
from bert_tf.tools.benchmarks.racing import print_cells, ratio

FLAGS = flags.FLAGS
ONE, BATCHES, CLIENTS = "one at a time", "in batches", "clients"
MODES = ONE, BATCHES, CLIENTS


@dataclasses.dataclass(frozen=True)
class Turns:
    """How long contestants took for one way to ask.

    Attributes:
        amount: number of answers in a round.
        seconds: {contestant: seconds of each round}.
        latencies: {contestant: seconds of each answer, of all rounds}; empty
            where all are asked together.
    """

    amount: int
    seconds: dict[str, list[float]]
    latencies: dict[str, list[float]]

    def rate(self, name: str) -> float:
        """Answers in a second."""
        return self.amount / float(np.median(self.seconds[name]))


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far answers are from those of the first contestant.

    Attributes:
        probability: the largest difference of two probabilities; for
            questions, of those with the same answer.
        equal: the share of answers with the same label or text.
    """

    probability: float
    equal: float


@dataclasses.dataclass(frozen=True)
class Result:
    """The measurements of a model on texts.

    Attributes:
        texts: what was answered.
        model: what answered.
        turns: {one of `MODES`: how long it took}.
        loaded: {contestant: bytes of its process after the first answer,
            without those of its library}.
        at_end: {contestant: the same after all answers}.
        first_answers: {contestant: seconds from the start of its process to
            its first answer}.
        chosen: {contestant: the settings that were fastest}.
        differences: {contestant: how far its answers are from the first's}.
        versions: {contestant: the packages that compute, and the device}.
    """

    texts: Texts
    model: Model
    turns: dict[str, Turns]
    loaded: dict[str, int]
    at_end: dict[str, int]
    first_answers: dict[str, float]
    chosen: dict[str, str]
    differences: dict[str, Difference]
    versions: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The contestants; ours come first."""
        return [*self.versions]

    @property
    def title(self) -> str:
        """The model and the texts."""
        return f"{self.model.name}, {self.texts.name}"


def difference(
    expected: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    kind: str,
) -> Difference:
    """Compares answers.

    Args:
        expected, actual: `labels` [N] and `probabilities` [N, C], of the first
            contestant and of another one.
        kind: the kind of answers.
    """
    is_equal = expected["labels"] == actual["labels"]
    distances = np.abs(expected["probabilities"] - actual["probabilities"])
    if kind == QUESTION_ANSWERING.name:
        # Probabilities of different answers have nothing in common.
        distances = distances[is_equal]
    return Difference(
        probability=float(np.max(distances, initial=0.0)),
        equal=float(np.mean(is_equal)),
    )


def rivals_of(names: Sequence[str]) -> list[str]:
    """Those that ratios compare with: others than ours, if there are any."""
    others = [name for name in names if not name.startswith(workers.OURS)]
    return others or [*names[1:]]


# ---------------------------------------------------------------------------
# Tables.


def print_result(result: Result) -> None:
    """Prints the tables of a model on texts."""
    texts, names = result.texts, result.names
    print(
        f"\n{result.title} to {result.model.settings['max_seq_length']}: "
        f"{FLAGS.rounds} rounds, on {os.cpu_count()} cores. Tokenization is "
        "included."
    )
    one = result.turns[ONE].amount
    titles = {
        ONE: f"One at a time, {one:,} in random order:",
        BATCHES: f"All {len(texts.items):,} at once:",
        CLIENTS: f"{FLAGS.clients} clients, {one:,} requests of one text "
        "each. Ours answer over HTTP, and clients and server share the cores; "
        "the others answer threads of their own process:",
    }
    for mode in MODES:
        print(f"\n{titles[mode]}\n")
        print_turns(result.turns[mode], names)
    print(f"\nThe loaded model, and its answers next to those of {names[0]}:\n")
    print_model(result)
    print()
    for name in names:
        print(
            f"{name}: {result.versions[name]}; {result.chosen[name]}",
            flush=True,
        )


def print_turns(turns: Turns, names: Sequence[str]) -> None:
    """Prints the table of one way to ask."""
    rivals = rivals_of(names)
    has_latencies = any(turns.latencies.values())
    rows = []
    for name in names:
        cells = [name, f"{turns.rate(name):,.1f}"]
        if has_latencies:
            middle, slow = np.percentile(turns.latencies[name], [50, 99])
            cells += [f"{middle * 1000:.1f}", f"{slow * 1000:.1f}"]
        ratios = [ratio(turns.seconds, name, rival) for rival in rivals]
        rows.append([*cells, *(f"{value:.2f}" for value in ratios)])
    header = ["", "answers/s"]
    if has_latencies:
        header += ["p50, ms", "p99, ms"]
    print_cells([*header, *(f"times {rival}" for rival in rivals)], rows)


def print_model(result: Result) -> None:
    """Prints the memory, the first answer and the differences."""
    size = result.model.num_bytes
    rows = [
        [
            name,
            f"{result.loaded[name] / 1e6:,.0f}",
            f"{result.loaded[name] / size:.2f}",
            f"{result.at_end[name] / 1e6:,.0f}",
            f"{result.at_end[name] / size:.2f}",
            f"{result.first_answers[name]:.1f}",
            f"{result.differences[name].probability:.1e}",
            f"{result.differences[name].equal:.2%}",
        ]
        for name in result.names
    ]
    header = [
        "",
        "memory, MB",
        "of the weights",
        "at the end, MB",
        "of the weights",
        "s to first answer",
        "largest difference",
        "equal answers",
    ]
    print_cells(header, rows)


def print_summary(results: Sequence[Result]) -> None:
    """Prints a row for each result and way to ask: answers/s."""
    names = list(dict.fromkeys(n for r in results for n in r.names))
    print("\nAll, in answers/s.\n")
    rows = []
    for result in results:
        for mode in MODES:
            turns = result.turns[mode]
            rates = [
                f"{turns.rate(name):,.1f}" if name in turns.seconds else "–"
                for name in names
            ]
            rows.append([result.model.name, result.texts.name, mode, *rates])
    print_cells(["model", "texts", "asked", *names], rows, num_left=3)
