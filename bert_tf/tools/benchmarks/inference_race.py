"""Compares answers with those of other libraries; see benchmark.py.

Each contestant answers the same texts with the same weights, in a process of
its own: one at a time, all at once, and many clients. They take turns, so that
nobody computes while another is measured.
"""

import contextlib
import os
import tempfile
from collections.abc import Mapping

import numpy as np
from absl import flags

from bert_tf import suggestions
from bert_tf.choices import ENGINES
from bert_tf.errors import UserError
from bert_tf.export.engines import tuned
from bert_tf.tools.benchmarks import server_process, serving, workers
from bert_tf.tools.benchmarks.inference_models import Model, models_for
from bert_tf.tools.benchmarks.inference_tables import (
    BATCHES,
    CLIENTS,
    ONE,
    Result,
    Turns,
    difference,
    print_result,
    print_summary,
)
from bert_tf.tools.benchmarks.inference_texts import Texts, texts_to_answer
from bert_tf.tools.benchmarks.peers import answer_task
from bert_tf.tools.benchmarks.peers.answer_task import Item, Task
from bert_tf.tools.benchmarks.racing import race
from bert_tf.tools.benchmarks.workers import BASELINE, OURS, Contestant, Worker

FLAGS = flags.FLAGS
FLOAT32, INT8, BFLOAT16 = "float32", "int8", "bfloat16"
# {peer: its precisions}.
VARIANTS = {
    "transformers": (FLOAT32, BFLOAT16),
    "onnxruntime": (FLOAT32, INT8),
    "openvino": (FLOAT32, BFLOAT16),
}
# Threads that wait for more work spin for a while before they sleep.
PAUSE = 0.3


def benchmark_inference() -> None:
    """Compares answers with those of other libraries."""
    check_flags()
    contestants = workers.contestants(
        FLAGS.compare, FLAGS.peer_python, FLAGS.baseline, workers.INFERENCE
    )
    results = []
    for texts in texts_to_answer():
        with tempfile.TemporaryDirectory() as folder:
            for model in models_for(texts, folder, len(contestants) > 1):
                results.append(measure(contestants, texts, model))
                print_result(results[-1])
    if len(results) > 1:
        print_summary(results)


def check_flags() -> None:
    """Raises UserError for flags that are wrong or contradict each other."""
    for name in ("engines", "sizes"):
        if FLAGS[name].value is not None and not FLAGS[name].value:
            raise UserError("give one at least", setting=name, value="")
    for name in FLAGS.engines or ():
        if name not in ENGINES:
            raise UserError(
                f"known are {', '.join(ENGINES)}"
                + suggestions.hint(name, ENGINES, form="{}"),
                setting="engines",
                value=name,
            )
    if FLAGS.model and not FLAGS["sizes"].using_default_value:
        raise UserError(
            "not with `model`", setting="sizes", value=",".join(FLAGS.sizes)
        )


def engines_of(model: Model) -> list[str]:
    """Our engines: those of --engines, by default all that the model has.

    Raises:
        UserError: the model does not have one.
    """
    if FLAGS.engines is None:
        return [FLOAT32, *([INT8] if model.has_int8 else []), BFLOAT16]
    engines = [*dict.fromkeys(FLAGS.engines)]
    if INT8 in engines and model.export and not model.has_int8:
        raise UserError(
            f"{model.export} was exported without it; export the model again "
            "with `export_int8`",
            setting="engines",
            value=INT8,
        )
    return engines


# ---------------------------------------------------------------------------
# Contestants.


def export(
    contestants: list[Contestant],
    model: Model,
    engines: list[str],
    folder: str,
) -> dict[str, str]:
    """Lets each contestant export or convert the model for itself.

    Args:
        contestants: who takes part. Those that are not installed are reported
            and taken off the list.
        model: the model.
        engines: ours.
        folder: gets the files.

    Returns:
        {contestant: the folder of its files}, without those that failed, which
        are reported.
    """
    folders = {}
    for contestant in list(contestants):
        name = contestant.name
        if name == OURS and model.export:
            folders[name] = model.export
            continue
        assert model.source, "it is written if there are others"
        target = os.path.join(folder, name)
        script = contestant.script.replace("_inference", "_export")
        more = [INT8] if name == OURS and INT8 in engines else []
        try:
            workers.run_script(contestant, script, model.source, target, *more)
        except workers.NotInstalled as error:
            workers.print_not_installed(contestant, error)
            contestants.remove(contestant)
        except UserError as error:
            if contestant.is_ours:
                raise
            print(f"Left out: {error}")
        else:
            folders[name] = target
    return folders


def variants_of(
    contestants: list[Contestant], names: Mapping[str, str], engines: list[str]
) -> list[Contestant]:
    """A contestant for each precision; ours first.

    Args:
        contestants: the libraries.
        names: those that have a model.
        engines: ours.
    """
    found = []
    for each in contestants:
        if each.name not in names:
            continue
        if each.name == BASELINE:
            arguments = (f"{BASELINE}/{FLOAT32}",)
            found.append(each._replace(arguments=arguments))
        elif each.name == OURS:
            found += [
                each._replace(
                    name=f"{OURS} {engine}", arguments=(f"{OURS}/{engine}",)
                )
                for engine in engines
            ]
        else:
            found += [
                each._replace(name=f"{each.name} {name}", arguments=(name,))
                for name in VARIANTS[each.name]
            ]
    return found


# ---------------------------------------------------------------------------
# Measuring.


def measure(
    contestants: list[Contestant], texts: Texts, model: Model
) -> Result:
    """Measures all contestants on texts, with a model.

    Args:
        contestants: see `export`.
        texts: what they answer.
        model: what they answer with.
    """
    engines = engines_of(model)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        folders = export(contestants, model, engines, folder)
        task = Task(
            kind=texts.kind,
            items=texts.items,
            num_requests=min(FLAGS.num_requests, len(texts.items)),
            num_clients=FLAGS.clients,
            num_threads=tuned.num_cores(),
            folders=folders,
            settings=model.settings,
        )
        task_file = answer_task.write_task(task, folder)
        entered = variants_of(contestants, folders, engines)
        first_answers = seconds_to_first_answers(entered, task_file)
        started = workers.start(entered, task_file, stack)
        for worker in started:
            first_answers[worker.name].append(worker.seconds_to_first)
        medians = {
            name: float(np.median(times))
            for name, times in first_answers.items()
            if times
        }
        # They start before anything is measured: one that fails is found soon.
        ports = start_servers(started, folders, stack)
        return race_all(started, ports, task, texts, model, medians, folder)


def race_all(
    started: list[Worker],
    ports: Mapping[str, int],
    task: Task,
    texts: Texts,
    model: Model,
    first_answers: dict[str, float],
    folder: str,
) -> Result:
    """Measures all ways to ask.

    Args:
        started: the contestants.
        ports: see `start_servers`.
        task: what they are asked.
        texts, model: see `measure`.
        first_answers: see `Result`.
        folder: a folder for files.
    """
    chosen = {each.name: each.ask("tune")["chosen"] for each in started}
    turns = {}
    for mode, request, amount in (
        (ONE, "one", task.num_requests),
        (BATCHES, "batches", len(task.items)),
    ):
        asking = {each.name: Asking(each, request) for each in started}
        turns[mode] = run_race(asking, amount)
    # Before clients ask: for them some contestants load a model once more.
    at_end = {each.name: each.ask("memory")["now"] for each in started}
    answers = {each.name: answers_of(each, folder) for each in started}
    turns[CLIENTS] = race_of_clients(started, ports, task, texts)
    expected = answers[started[0].name]  # The first is ours.
    first = {each.name: each.first for each in started}
    return Result(
        texts=texts,
        model=model,
        turns=turns,
        loaded={n: f["loaded"] - f["library"] for n, f in first.items()},
        at_end={n: at_end[n] - f["library"] for n, f in first.items()},
        first_answers=first_answers,
        chosen=chosen,
        differences={
            name: difference(expected, theirs, texts.kind)
            for name, theirs in answers.items()
        },
        versions={each.name: each.versions for each in started},
    )


def seconds_to_first_answers(
    contestants: list[Contestant], task_file: str
) -> dict[str, list[float]]:
    """Starts all contestants, in turn, once less than --num_starts.

    Returns:
        {contestant: seconds from the start of each process to its first
        answer}.
    """
    seconds: dict[str, list[float]] = {each.name: [] for each in contestants}
    for _ in range(FLAGS.num_starts - 1):
        with contextlib.ExitStack() as stack:
            for worker in workers.start(contestants, task_file, stack):
                seconds[worker.name].append(worker.seconds_to_first)
    return seconds


class Asking:
    """A request that a worker answers in each of its turns.

    Args:
        worker: the worker.
        request: one of `answer_loop.REQUESTS`.

    Attributes:
        seconds: the time of each text that was answered.
    """

    def __init__(self, worker: Worker, request: str):
        self._worker, self._request = worker, request
        self.seconds: list[float] = []

    def work(self) -> None:
        """Asks once."""
        self.seconds += self._worker.ask(self._request).get("seconds", [])


def run_race(
    asking: Mapping[str, Asking | serving.Clients], amount: int
) -> Turns:
    """Measures a way to ask.

    Args:
        asking: {contestant: who asks it}.
        amount: the number of texts of a round.
    """
    work = {name: each.work for name, each in asking.items()}
    return Turns(
        amount=amount,
        seconds=race(work, FLAGS.rounds, PAUSE),
        latencies={
            name: each.seconds[amount:]  # Without the warm-up round.
            for name, each in asking.items()
        },
    )


def start_servers(
    started: list[Worker],
    folders: Mapping[str, str],
    stack: contextlib.ExitStack,
) -> dict[str, int]:
    """Starts the servers of ours and of the baseline.

    Args:
        started: the contestants.
        folders: {"ours" or "baseline": the folder of its model}.
        stack: ends their processes.

    Returns:
        {contestant: its server's port}.
    """
    ports = {}
    for worker in started:
        root = worker.contestant.root
        if root:
            name, _, engine = worker.contestant.arguments[0].partition("/")
            settings = [] if engine == FLOAT32 else [f"--engine={engine}"]
            if name == OURS:
                settings += FLAGS.server_flags
            server = server_process.serving(folders[name], *settings, root=root)
            ports[worker.name] = stack.enter_context(server).port
    return ports


def race_of_clients(
    started: list[Worker], ports: Mapping[str, int], task: Task, texts: Texts
) -> Turns:
    """Measures many clients: of our servers, and threads of the peers."""
    bodies = [serving.body_of(instance_of(i, texts)) for i in task.requests]
    asking: dict[str, Asking | serving.Clients] = {}
    for worker in started:
        if port := ports.get(worker.name):
            clients = serving.Clients(port, task.num_clients, bodies)
            asking[worker.name] = clients
        else:
            asking[worker.name] = Asking(worker, "clients")
    return run_race(asking, task.num_requests)


def instance_of(item: Item, texts: Texts) -> object:
    """An item as a client sends it."""
    if isinstance(item, str):
        return item
    return dict(zip(texts.input_names, item, strict=True))


def answers_of(worker: Worker, folder: str) -> dict[str, np.ndarray]:
    """The last answers of a worker, see `answer_loop.Asked.answers`.

    Args:
        worker: the worker.
        folder: a folder for a file.
    """
    path = os.path.join(folder, "answers.npz")
    worker.ask("answers", path=path)
    with np.load(path) as arrays:
        return dict(arrays)
