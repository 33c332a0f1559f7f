"""What a soak has found: a table, a file and a picture."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_tf.counts import number_of
from bert_tf.tools.soaking.clients import MAX_FAILURES, Seen
from bert_tf.tools.soaking.watching import Memory

NUM_BINS = 60  # Points of a curve.


@dataclasses.dataclass(frozen=True)
class Results:
    """All that was seen in a soak.

    Attributes:
        seen: the requests, in the order of their starts.
        memory: the memory of the server.
        reloads: seconds since the start at which the server answered with a
            new version.
        num_broken: number of versions that could not be loaded.
        status: with which the server ended.
    """

    seen: Sequence[Seen]
    memory: Memory
    reloads: Sequence[float]
    num_broken: int
    status: int

    @property
    def failures(self) -> list[str]:
        """What was wrong, one line for each of the first requests."""
        return [each.failure for each in self.seen if each.failure]

    @property
    def seconds(self) -> float:
        """Seconds from the first request to the last one."""
        return max((each.at + each.seconds for each in self.seen), default=0.0)

    def rows(self) -> list[list[str]]:
        """The rows of the table: a kind of requests each."""
        kinds = sorted({(each.is_hostile, each.kind) for each in self.seen})
        return [self._row(kind) for _, kind in kinds]

    def _row(self, kind: str) -> list[str]:
        seen = [each for each in self.seen if each.kind == kind]
        middle, slow = np.percentile([e.seconds for e in seen], [50, 99]) * 1e3
        return [
            f"{kind} (hostile)" if seen[0].is_hostile else kind,
            f"{len(seen):,}",
            f"{sum(bool(each.failure) for each in seen):,}",
            f"{middle:.1f}",
            f"{slow:.1f}",
        ]

    def curves(self) -> dict[str, list[float]]:
        """Points over time: latency, requests, refusals and failures.

        Returns:
            {name: values}, one value for each of NUM_BINS spans of time. A
            span without requests has no latency: NaN.
        """
        edges = np.linspace(0, self.seconds, NUM_BINS + 1)
        at = np.array([each.at for each in self.seen])
        bins = np.clip(np.searchsorted(edges, at, "right") - 1, 0, NUM_BINS - 1)
        hostile = np.array([each.is_hostile for each in self.seen])
        failed = np.array([bool(each.failure) for each in self.seen])
        seconds = np.array([each.seconds for each in self.seen])
        width = edges[1] - edges[0]

        def rate(chosen: np.ndarray) -> list[float]:
            return list(np.bincount(bins[chosen], minlength=NUM_BINS) / width)

        def latency(percent: float) -> list[float]:
            groups = [seconds[(bins == b) & ~hostile] for b in range(NUM_BINS)]
            return [
                float(np.percentile(group, percent)) * 1e3
                if len(group)
                else float("nan")
                for group in groups
            ]

        return {
            "seconds": list((edges[:-1] + edges[1:]) / 2),
            "p50_ms": latency(50),
            "p99_ms": latency(99),
            "answered_per_second": rate(~hostile & ~failed),
            "refused_per_second": rate(hostile & ~failed),
            "failed_per_second": rate(failed),
        }

    def summary(self) -> str:
        """The result in one or two sentences."""
        used = [megabytes for _, megabytes in self.memory.samples] or [0.0]
        hostile = sum(each.is_hostile for each in self.seen)
        return (
            f"{number_of(len(self.seen), 'request')}, {hostile:,} of them "
            f"hostile, in {self.seconds:.0f} seconds: "
            f"{number_of(len(self.failures), 'failure')}. New versions: "
            f"{len(self.reloads)} loaded, {self.num_broken} broken. Memory: "
            f"{used[0]:.0f} MB at the start, {max(used):.0f} MB at most, "
            f"{used[-1]:.0f} MB at the end; it grew by "
            f"{self.memory.growth:.0f} MB after the first fifth. The server "
            f"ended with status {self.status}."
        )

    def write(self, path: str) -> None:
        """Writes the numbers behind the picture as JSON."""
        content: dict[str, Any] = {
            "summary": self.summary(),
            "failures": self.failures[:MAX_FAILURES],
            "curves": {
                name: [None if np.isnan(v) else round(float(v), 3) for v in c]
                for name, c in self.curves().items()
            },
            "memory": [
                [round(s, 2), round(m, 1)] for s, m in self.memory.samples
            ],
            "reloads": [round(at, 2) for at in self.reloads],
        }
        with open(path, "w", encoding="utf-8") as writer:
            json.dump(content, writer, indent=1)

    def draw(self, path: str) -> None:
        """Draws memory, latency and requests over time, as an SVG file."""
        import matplotlib
        from matplotlib.figure import Figure

        curves = self.curves()
        with matplotlib.rc_context(
            {"svg.hashsalt": "bert_tf", "svg.fonttype": "none"}
        ):
            figure = Figure(figsize=(8, 6.4), layout="constrained")
            memory, latency, rates = figure.subplots(3, 1, sharex=True)
            memory.plot(
                *zip(*self.memory.samples, strict=True),
                label="the server",
                color="#1f5fa8",
            )
            memory.set_ylabel("memory, MB")
            memory.set_ylim(bottom=0)
            for name, label, color in (
                ("p50_ms", "median", "#1f5fa8"),
                ("p99_ms", "99 of 100 are faster", "#c05a1c"),
            ):
                latency.plot(
                    curves["seconds"], curves[name], label=label, color=color
                )
            latency.set_ylabel("time of an answer, ms")
            latency.set_ylim(bottom=0)
            for name, label, color in (
                ("answered_per_second", "answered", "#1f5fa8"),
                ("refused_per_second", "hostile, refused", "#7a7a7a"),
                ("failed_per_second", "failed", "#b3261e"),
            ):
                rates.plot(
                    curves["seconds"], curves[name], label=label, color=color
                )
            rates.set_ylabel("requests/s")
            rates.set_xlabel("seconds")
            rates.set_ylim(bottom=0)
            for axes in (memory, latency, rates):
                axes.spines[["top", "right"]].set_visible(False)
                for number, at in enumerate(self.reloads):
                    axes.axvline(
                        at,
                        color="#999999",
                        linewidth=0.8,
                        linestyle=":",
                        label="new version" if not number else None,
                    )
                axes.legend(loc="lower right", fontsize=8, frameon=False)
            figure.savefig(path, format="svg", metadata={"Date": None})
