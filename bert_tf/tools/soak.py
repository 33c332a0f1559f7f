"""Runs a server through an hour's traffic in minutes, and watches it.

    python -m bert_tf.tools.soak --model=/tmp/sms/export --output_dir=/tmp/soak

The clients send without a pause what a server gets in an hour at 20 requests a
second: single texts, many texts, long ones, the Open Inference Protocol,
probes, searches if the model makes vectors, and hostile requests. Meanwhile
the server gets new versions of the model, one of them broken. It fails if a
friendly request is not answered, or not as at the start, if a hostile one is
not refused, if the memory grows, or if the server does not end well.
`soak.svg` shows memory, latency and errors over time, `soak.json` has the
numbers.
"""

import itertools
import os
import sys
import tempfile
import time

from absl import flags

from bert_tf import extras, files, pretrained
from bert_tf.errors import UserError
from bert_tf.programs import flags as shared_flags
from bert_tf.programs import program
from bert_tf.tools.benchmarks.racing import print_cells
from bert_tf.tools.benchmarks.server_process import serving
from bert_tf.tools.soaking.clients import MAX_FAILURES, Clients
from bert_tf.tools.soaking.requests import Traffic
from bert_tf.tools.soaking.results import Results
from bert_tf.tools.soaking.watching import Memory, Reloads, Versions, get

FLAGS = flags.FLAGS
REQUIRED = ("model",)
NUM_TEXTS = 200  # Different short texts.
POLL_SECONDS = 0.5  # Between two looks of the server for new versions.

flags.DEFINE_string(
    "model", None, "Folder of an exported model, or of a run that has one."
)
flags.DEFINE_string(
    "output_dir", None, "Folder for soak.svg and soak.json; neither without it."
)
flags.DEFINE_string(
    "input",
    None,
    "File with a text on each line, for the requests. By default the bundled "
    "messages.",
)
shared_flags.define_count(
    "num_requests",
    72_000,
    "Number of requests. The default is an hour's traffic at 20 a second.",
)
shared_flags.define_count("clients", 8, "Clients that send at once.")
shared_flags.define_float(
    "hostile_share",
    0.1,
    "Share of the requests that are hostile.",
    lower_bound=0.0,
    upper_bound=1.0,
)
shared_flags.define_count(
    "reloads", 6, "New versions of the model; the third is broken."
)
shared_flags.define_float(
    "max_minutes", 10.0, "The soak ends after this time in any case."
)
shared_flags.define_count(
    "max_growth_mb",
    100,
    "Megabytes by which the server's memory may grow after the first fifth.",
)
shared_flags.define_count("seed", 1, "Seed of the requests.", lower_bound=0)
flags.DEFINE_list(
    "server_flags", [], "More flags of the server, such as --engine=int8."
)


def main() -> None:
    program.require(*REQUIRED)
    program.require_existing("model", folder=True)
    texts = read_texts()
    if FLAGS.output_dir:
        extras.require("report", "the picture")
        files.make_folder(FLAGS.output_dir)
    # Loading TensorFlow takes seconds, and mistakes are found without it.
    from bert_tf.export import saved_models

    results = soak(saved_models.find(FLAGS.model), texts)
    print_cells(
        ["requests", "number", "failed", "p50, ms", "p99, ms"], results.rows()
    )
    print(f"\n{results.summary()}")
    if FLAGS.output_dir:
        results.write(os.path.join(FLAGS.output_dir, "soak.json"))
        results.draw(os.path.join(FLAGS.output_dir, "soak.svg"))
    problems = problems_of(results)
    for problem in problems:
        print(f"FAILED: {problem}")
    if problems:
        sys.exit(1)


def read_texts() -> list[str]:
    """Returns the texts of the requests.

    Raises:
        UserError: the file has none.
    """
    if FLAGS.input:
        program.require_existing("input")
        lines = (line.strip() for _, line in files.read_lines(FLAGS.input))
    else:
        path = os.path.join(str(pretrained.DEMO_FLAGS["data_dir"]), "train.tsv")
        rows = itertools.islice(files.read_lines(path), 1, None)
        lines = (line.partition("\t")[2].strip() for _, line in rows)
    texts = list(itertools.islice(filter(None, lines), NUM_TEXTS))
    if not texts:
        raise UserError("contains no text", setting="input", value=FLAGS.input)
    return texts


def soak(model: str, texts: list[str]) -> Results:
    """Runs the server, sends all requests and returns what was seen."""
    with (
        tempfile.TemporaryDirectory(prefix="bert-soak-") as folder,
        tempfile.TemporaryDirectory(prefix="bert-soak-") as indexes,
    ):
        versions = Versions(model, folder)
        versions.add()
        index_flags = write_index(model, texts, indexes)
        flags_of_server = [f"--poll_seconds={POLL_SECONDS}", *index_flags]
        with serving(folder, *flags_of_server, *FLAGS.server_flags) as server:
            traffic = Traffic(
                "m",
                inputs_of(server.port),
                texts,
                hostile_share=FLAGS.hostile_share,
                seed=FLAGS.seed,
                is_searched=bool(index_flags),
            )
            clients = Clients(
                server.port,
                traffic,
                number=FLAGS.clients,
                num_requests=FLAGS.num_requests,
                end=time.monotonic() + 60 * FLAGS.max_minutes,
            )
            clients.learn()
            memory = Memory(server.process.pid)
            reloads = Reloads(versions, clients, server.port, FLAGS.reloads)
            with memory.watched(), reloads.made():
                clients.run()
        return Results(
            seen=sorted(clients.seen, key=lambda each: each.at),
            memory=memory,
            reloads=reloads.seconds,
            num_broken=len(versions.broken),
            status=server.process.returncode,
        )


def write_index(model: str, texts: list[str], folder: str) -> list[str]:
    """Writes an index of the texts, if the model makes vectors.

    Returns:
        The flags of the server for it.
    """
    from bert_tf.export import Predictor, saved_models, search_index
    from bert_tf.export.kinds import EMBEDDING

    if saved_models.read_description(model)["kind"] != EMBEDDING.name:
        return []
    predictor = Predictor(model)
    if not search_index.makes_vectors(predictor):
        return []
    index = os.path.join(folder, "index")
    rows = ((str(number), text) for number, text in enumerate(texts, 1))
    search_index.write(index, predictor, rows)
    return [f"--index={index}"]


def inputs_of(port: int) -> list[str]:
    """Returns the names of the inputs of the model that a server serves."""
    return get(port, "/status")["models"]["m"]["input_names"]


def problems_of(results: Results) -> list[str]:
    """Returns what must not be, one line each; none if all is well."""
    problems = list(dict.fromkeys(results.failures))[:MAX_FAILURES]
    if results.memory.growth > FLAGS.max_growth_mb:
        problems.append(
            f"the memory grew by {results.memory.growth:.0f} MB; allowed are "
            f"{FLAGS.max_growth_mb}"
        )
    if len(results.reloads) < FLAGS.reloads - results.num_broken:
        problems.append(
            f"{len(results.reloads)} new versions were loaded instead of "
            f"{FLAGS.reloads - results.num_broken}"
        )
    if results.status:
        problems.append(f"the server ended with status {results.status}")
    return problems


if __name__ == "__main__":
    program.run(main, required=REQUIRED)
