"""Compares training with that of other libraries; see benchmark.py.

Each contestant trains in a process of its own, on the same batches, from
random weights of the same sizes. They take turns, so that nobody computes
while another is measured.
"""

import contextlib
import dataclasses
import functools
import os
import tempfile
from collections.abc import Sequence

import numpy as np
from absl import flags

from bert_tf.config import BertConfig
from bert_tf.errors import UserError
from bert_tf.tools.benchmarks import sizes, step_profile, workers
from bert_tf.tools.benchmarks.flops import training_flops
from bert_tf.tools.benchmarks.peers import worker_loop
from bert_tf.tools.benchmarks.racing import print_cells, race, ratio
from bert_tf.tools.benchmarks.workers import Contestant, Worker
from bert_tf.tools.benchmarks.workloads import Workload, workloads

FLAGS = flags.FLAGS
PRECISIONS = "float32", "bfloat16"
# Settings that only ours has.
OUR_SETTINGS = (
    "gradient_accumulation_steps",
    "optimizer",
    "pad_to_max_length",
    "remat",
    "xla",
)
# Matrices of this size are far larger than caches, and fill all cores.
PRODUCT_SIZE = 2048
# Threads that wait for more work spin for a while before they sleep.
PAUSE = 0.3


@dataclasses.dataclass(frozen=True)
class Result:
    """The measurements of a model on a workload.

    Attributes:
        workload: the batches.
        model: what the model is called.
        flops: floating-point operations of a round, see `flops`.
        seconds: {contestant: seconds of each round}.
        peaks: {contestant: FLOP/s of a large product of matrices}.
        memory: {contestant: bytes, the peak of its process}.
        first_steps: {contestant: seconds from the start of its process to the
            end of its first step}.
        versions: {contestant: the packages that compute, and the device}.
    """

    workload: Workload
    model: str
    flops: int
    seconds: dict[str, list[float]]
    peaks: dict[str, float]
    memory: dict[str, int]
    first_steps: dict[str, float]
    versions: dict[str, str]

    def rate(self, name: str, amount: float) -> float:
        """How much of a round's amount a contestant does in a second."""
        return amount / float(np.median(self.seconds[name]))


def benchmark_training() -> None:
    """Compares training steps with those of other libraries."""
    check_flags()
    models = sizes.models()
    contestants = workers.contestants(
        FLAGS.compare, FLAGS.peer_python, FLAGS.baseline
    )
    results = []
    for workload in workloads():
        for name, config in models.items():
            workload.check(config, name)
            check_parts(workload)
            result = measure(contestants, workload, name, config)
            results.append(result)
    if len(results) > 1:
        print_summary(results)


def check_flags() -> None:
    """Raises UserError for what contestants cannot do, or need."""
    if FLAGS.precision not in PRECISIONS:
        raise UserError(
            f"must be {' or '.join(PRECISIONS)} here",
            setting="precision",
            value=FLAGS.precision,
        )
    if FLAGS.pack_sequences:
        raise UserError(
            "not here: all train on the same batches",
            setting="pack_sequences",
            value=True,
        )
    for name in ("sizes", "shapes"):
        if not FLAGS[name].value:
            raise UserError("give one at least", setting=name, value="")


def check_parts(workload: Workload) -> None:
    """Raises UserError unless batches divide into their parts."""
    parts = FLAGS.gradient_accumulation_steps
    size = len(workload.batches[0]["input_ids"])
    if size % parts:
        raise UserError(
            f"{workload.name}: {size} examples of a batch do not divide by it",
            setting="gradient_accumulation_steps",
            value=parts,
        )


# ---------------------------------------------------------------------------
# Measuring.


def measure(
    contestants: list[Contestant],
    workload: Workload,
    model: str,
    config: BertConfig,
) -> Result:
    """Measures a model on a workload, and prints the result.

    Args:
        contestants: who takes part. Those that are not installed are reported
            and taken off the list.
        workload: the batches.
        model: what the model is called.
        config: its sizes.
    """
    num_steps = len(workload.batches)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        task = worker_loop.Task(
            problem=workload.problem,
            config=config.to_dict(),
            precision=FLAGS.precision,
            batches=workload.batches,
            settings={name: FLAGS[name].value for name in OUR_SETTINGS},
        )
        task_file = worker_loop.write_task(task, folder)
        started = workers.start(contestants, task_file, stack)
        peaks = [peak_rates(started)]
        seconds = race(
            {
                each.name: functools.partial(
                    each.ask, "train", num_steps=num_steps
                )
                for each in started
            },
            FLAGS.rounds,
            PAUSE,
        )
        peaks.append(peak_rates(started))
        result = Result(
            workload=workload,
            model=model,
            flops=training_flops(config, workload.problem, workload.batches),
            seconds=seconds,
            peaks={name: max(p[name] for p in peaks) for name in seconds},
            memory={e.name: e.ask("memory")["bytes"] for e in started},
            first_steps={e.name: e.seconds_to_first for e in started},
            versions={e.name: e.versions for e in started},
        )
        print_result(result)
        if FLAGS.profile:
            trace = os.path.join(folder, "trace")
            profile(started[0], result, trace)  # The first is ours.
    return result


def profile(worker: Worker, result: Result, folder: str) -> None:
    """Trains another round, and prints where its time goes.

    Args:
        worker: ours.
        result: what was measured without a trace.
        folder: gets the trace.
    """
    num_steps = len(result.workload.batches)
    worker.ask("profile", num_steps=num_steps, folder=folder)
    sums = step_profile.sums_of(step_profile.read_trace(folder))
    median = float(np.median(result.seconds[worker.name]))
    step_profile.print_sums(sums, num_steps, median / num_steps)


def peak_rates(started: Sequence[Worker]) -> dict[str, float]:
    """{contestant: FLOP/s of a large product of matrices}, in turn."""
    return {
        worker.name: worker.ask("product", size=PRODUCT_SIZE)["flops"]
        for worker in started
    }


# ---------------------------------------------------------------------------
# Tables.


def print_result(result: Result) -> None:
    """Prints the table of a model on a workload."""
    workload = result.workload
    changed = [f"--{n}={FLAGS[n].value}" for n in OUR_SETTINGS if is_set(n)]
    fill = workload.num_tokens / workload.num_places
    print(
        f"\n{result.model}, {workload.name}, {FLAGS.precision}: "
        f"{len(workload.batches)} batches, in which {fill:.0%} of the places "
        f"hold tokens; {FLAGS.rounds} rounds, on {os.cpu_count()} cores"
        + (f"; ours with {' '.join(changed)}" if changed else "")
        + ". Tokens and FLOP are counted without padding.\n"
    )
    names = list(result.seconds)
    peak = max(result.peaks.values())
    rows = []
    for name in names:
        speed = result.rate(name, result.flops)
        rows.append(
            [
                name,
                f"{result.rate(name, workload.num_examples):,.1f}",
                f"{result.rate(name, workload.num_tokens):,.0f}",
                *(f"{ratio(result.seconds, name, o):.2f}" for o in names[1:]),
                f"{speed / 1e9:,.0f}",
                f"{speed / peak:.0%}",
                f"{result.peaks[name] / 1e9:,.0f}",
                f"{result.memory[name] / 1e9:.2f}",
                f"{result.first_steps[name]:.1f}",
            ]
        )
    header = [
        "",
        "examples/s",
        "tokens/s",
        *(f"times {name}" for name in names[1:]),
        "GFLOP/s",
        "of the peak",
        "matrix product, GFLOP/s",
        "memory, GB",
        "s to first step",
    ]
    print_cells(header, rows)
    print()
    for name in names:
        print(f"{name}: {result.versions[name]}", flush=True)


def is_set(name: str) -> bool:
    """Whether a flag has another value than its default."""
    return FLAGS[name].value != FLAGS[name].default


def print_summary(results: Sequence[Result]) -> None:
    """Prints a row for each result: examples/s, and our ratios to others."""
    names = list(dict.fromkeys(n for r in results for n in r.seconds))
    print(f"\nAll in {FLAGS.precision}, examples/s.\n")
    rows = []
    for result in results:
        seconds, number = result.seconds, result.workload.num_examples
        speeds = [
            f"{result.rate(name, number):,.1f}" if name in seconds else "–"
            for name in names
        ]
        ratios = [
            f"{ratio(seconds, workers.OURS, name):.2f}"
            if name in seconds
            else "–"
            for name in names[1:]
        ]
        rows.append([result.model, result.workload.name, *speeds, *ratios])
    versus = [f"{workers.OURS} / {name}" for name in names[1:]]
    print_cells(["model", "texts", *names, *versus], rows, num_left=2)
