"""The benchmark, as people run it."""

import importlib
import json
import re
import shutil

import numpy as np
import pytest
from support.common import ROOT, run_module
from support.programs import last_line, program_of, run_here
from support.squad_files import squad_data, write_json

from bert_tf import BertConfig
from bert_tf.errors import UserError
from bert_tf.tools.benchmarks import flops, step_profile, training_race, workers
from bert_tf.tools.benchmarks.peers import worker_loop
from bert_tf.tools.benchmarks.step_profile import Event, Sum

BENCHMARK = program_of("bert_tf.tools.benchmark")


def run(*arguments):
    return run_module("bert_tf.tools.benchmark", *arguments)


@pytest.mark.slow
def test_it_prints_tables(tmp_path):
    predict_file = write_json(tmp_path / "squad.json", squad_data())
    corpus = tmp_path / "text.txt"
    corpus.write_text("You win a prize.\nOr not.\n\nIt is so.\n" * 20)
    done = run(
        "--what=tokenizer,input,squad,pretraining",
        "--rounds=1",
        f"--predict_file={predict_file}",
        f"--corpus={corpus}",
    )
    assert done.returncode == 0, done.stderr
    rows = {
        cells[1]: cells[2]
        for cells in (
            [cell.strip() for cell in line.split("|")]
            for line in done.stdout.splitlines()
            if line.startswith("|")
        )
    }
    for name in ("in the graph", "from the file", "the plain way", "plain"):
        assert float(rows[name].replace(",", "")) > 0
    assert "To the first batch: " in done.stdout
    assert "from memory, by length: " in done.stdout


@pytest.mark.thorough
def test_recomputation_halves_the_memory_of_a_step(tmp_path):
    config = {
        "vocab_size": 1000,
        "hidden_size": 256,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))

    def gigabytes(*settings):
        done = run(
            "--what=one_step",
            "--batch_size=8",
            "--max_seq_length=512",
            f"--bert_config_file={path}",
            *settings,
        )
        assert done.returncode == 0, done.stderr
        return float(done.stdout.split()[-1])

    assert gigabytes("--remat") <= gigabytes() / 2


@pytest.mark.parametrize(
    "what, message",
    [
        ("speed", "--what=speed: known are tokenizer, input, squad"),
        ("serving", "--model must be given"),
    ],
)
def test_wrong_flags_are_refused(what, message):
    with pytest.raises(UserError, match=message):
        BENCHMARK.run(what=[what])


@pytest.mark.parametrize(
    "flag, value, message",
    [
        ("compare", ["transformer"], "did you mean transformers?"),
        ("compare", ["pytorch"], "did you mean transformers?"),
        ("compare", ["keras-hub"], "did you mean keras_hub?"),
        ("compare", ["xyzzy"], "no such peer; known are transformers, keras"),
        ("peer_python", ["tf=/bin/sh"], "--peer_python=tf: no such peer"),
        ("peer_python", ["keras_hub=/x/y"], "/x/y: there is no such program"),
        ("peer_python", ["/bin/sh"], "--peer_python=/bin/sh: must have the"),
        ("peer_python", ["transformers=/bin/sh"], "is not compared with"),
        ("baseline", "/x/y", "--baseline=/x/y: no checkout"),
        ("sizes", ["huge"], "--sizes=huge: known are tiny, mini, small"),
        ("sizes", ["bass"], "did you mean base?"),
        ("sizes", [], "--sizes=: give one at least"),
        ("pack_sequences", True, "--pack_sequences=True: not here: all train"),
        ("shapes", ["8x"], "--shapes=8x: must have the form 32x128"),
        ("shapes", ["1x513"], "513 tokens exceed the max_position_embeddings"),
        ("train_file", f"{ROOT}/README.md", "--max_query_length=126: with the"),
        ("precision", "float16", "must be float32 or bfloat16 here"),
    ],
)
def test_wrong_flags_of_a_race_are_refused(flag, value, message):
    settings = {"compare": ["keras_hub"], "max_query_length": 126, flag: value}
    with pytest.raises(UserError, match=re.escape(message)):
        BENCHMARK.run(what=["training"], **settings)


def test_batches_of_a_race_divide_into_parts():
    message = "steps=3: 8x16, no padding: 8 examples of a batch do not divide"
    with pytest.raises(UserError, match=message):
        BENCHMARK.run(
            what=["training"], shapes=["8x16"], gradient_accumulation_steps=3
        )


def test_a_file_that_is_missing_is_named():
    path = f"{ROOT}/tests/golden/x.json"
    with pytest.raises(FileNotFoundError) as error:
        BENCHMARK.run(input_file=[path])
    assert error.value.filename == path


def test_a_mistake_is_one_line():
    done = run_here("bert_tf/tools/benchmark.py", "--input_file=/x/y")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "/x/y: No such file or directory" in last_line(done)


# ---------------------------------------------------------------------------
# Training, compared with others.

OUR_SETTINGS = {
    "gradient_accumulation_steps": 1,
    "optimizer": "adamw",
    "pad_to_max_length": False,
    "remat": False,
    "xla": False,
}
TINY = {
    "vocab_size": 100,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "type_vocab_size": 2,
}
FAKE = """
import worker_loop

class Fake:
    device, versions = "CPU", "fake 1.0"

    def __init__(self, task):
        self.batches, self.problem = task.batches, task.problem

    def train(self, num_steps):
        print("noise")
        assert num_steps in (1, len(self.batches))
        return float("nan") if self.problem == NAN else 0.7

    def product(self, size):
        return lambda: sum(range(100))

    def peak_bytes(self):
        return worker_loop.peak_bytes_of_process()

worker_loop.run(Fake)
"""


def test_flops_are_those_of_all_products_of_matrices():
    config = BertConfig(**TINY)
    batch = {
        "input_ids": np.zeros((2, 5), np.int32),
        "input_mask": np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
        "masked_lm_weights": np.array([[1.0, 0.0], [1.0, 1.0]]),
    }
    heads, width, inner = 2, 8, 16
    products = []  # (rows, inner size, columns) of the forward pass.
    for length in (3, 5):
        products += [(length, width, width)] * 4
        size = width // heads
        products += [(length, size, length), (length, length, size)] * heads
        products += [(length, width, inner), (length, inner, width)]
        products += [(1, width, width)]
    masked = [(3, width, width), (3, width, 100)]

    def total(products):
        return 3 * sum(2 * m * k * n for m, k, n in products)

    def counted(problem):
        return flops.training_flops(config, problem, [batch, batch])

    assert counted("classification") == 2 * total(products)
    assert counted("pretraining") == 2 * total(products + masked)
    pooled = [(2, width, width)]
    assert counted("questions") == 2 * (total(products) - total(pooled))


def test_a_trace_becomes_sums_of_own_times():
    ms = 10**9
    threads = [
        [
            Event("ExecutorState::Process", 0, 10 * ms),
            Event("layer/MatMul:_MklMatMul", 1 * ms, 4 * ms),
            Event("ParallelFor", 2 * ms, 3 * ms),
            Event("other/MatMul:MatMul", 5 * ms, 7 * ms),
            Event("TensorFlow::Something", 8 * ms, 9 * ms),
        ],
        [
            Event("CpuExecutable::ExecuteAsyncOnStream", 0, 6 * ms),
            Event("BlockUntilReady", 1 * ms, 5 * ms),
            Event("multiply_add_fusion.4", 7 * ms, 9 * ms),
        ],
    ]
    assert step_profile.sums_of(threads) == {
        "MatMul": Sum(5.0, 2),
        step_profile.EXECUTOR: Sum(5.0, 0),
        step_profile.COMPILED: Sum(4.0, 0),
    }


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Function(problem) that makes all contestants fakes.

    transformers is not installed; keras_hub's loss of that problem is NaN.
    """
    folder = tmp_path / "peers"
    folder.mkdir()
    shutil.copy(worker_loop.__file__, folder)
    monkeypatch.setattr(workers, "FOLDER", folder)
    monkeypatch.setattr(training_race, "PAUSE", 0.0)

    def make(problem):
        for name, nan in (("ours", None), ("keras_hub", problem)):
            code = f"NAN = {nan!r}\n{FAKE}"
            (folder / f"{name}_worker.py").write_text(code)
        path = folder / "transformers_worker.py"
        path.write_text("import transformers_of_nobody")

    return make


@pytest.mark.slow
def test_contestants_take_turns_on_all_kinds_of_batches(fakes, tmp_path, capfd):
    fakes("pretraining")
    corpus = tmp_path / "text.txt"
    corpus.write_text("You win a prize.\nOr not.\n\nIt is so.\n" * 20)
    BENCHMARK.run(
        what=["training"],
        compare=["transformers", "keras_hub"],
        baseline=str(ROOT),
        sizes=["tiny"],
        shapes=["3x20"],
        train_file=write_json(tmp_path / "squad.json", squad_data()),
        corpus=str(corpus),
        max_seq_length=64,
        max_query_length=16,
        batch_size=4,
        num_batches=2,
        rounds=2,
        profile=False,
    )
    printed = capfd.readouterr().out
    assert "noise" not in printed
    missing = "transformers is not installed, and left out: No module named"
    assert printed.count(missing) == 1
    assert "Left out: keras_hub: its process has ended: RuntimeError: the loss"
    assert (
        "tiny, 3x20, no padding, float32: 2 batches, in which 100%" in printed
    )
    tables = [
        line.split(" | ")
        for line in printed.splitlines()
        if line.startswith(("| ours", "| baseline", "| keras_hub", "| tiny"))
    ]
    names = [cells[0].removeprefix("| ") for cells in tables]
    three = ["ours", "baseline", "keras_hub"]
    assert names == [*three * 2, "ours", "baseline", *["tiny"] * 3]
    for cells in tables[:-3]:
        examples, tokens = (float(c.replace(",", "")) for c in cells[1:3])
        assert tokens > 3 * examples > 0
    # The last table: keras_hub has no figure for pretraining.
    assert [cells[1] for cells in tables[-3:]] == [
        "3x20, no padding",
        "squad.json to 64, 4 a batch",
        "pretraining to 64, 4 a batch",
    ]
    assert [" ".join(row).count("–") for row in tables[-3:]] == [0, 0, 2]


def test_ours_that_fails_ends_the_race(fakes, capfd):
    fakes(None)
    path = workers.FOLDER / "ours_worker.py"
    path.write_text("raise ValueError('of\\nseveral lines')")
    with pytest.raises(UserError, match="^ours: its process has ended: sev"):
        BENCHMARK.run(what=["training"], shapes=["1x8"], num_batches=1)
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.slow
def test_our_worker_trains_tokens_alone_and_leaves_a_trace(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(workers.FOLDER))
    ours_worker = importlib.import_module("ours_worker")
    rng = np.random.default_rng(0)
    batches = [
        {
            "input_ids": rng.integers(0, 100, (4, length), np.int32),
            "input_mask": np.tri(4, length, length - 4, np.int32),
            "segment_ids": np.zeros((4, length), np.int32),
            "label_ids": rng.integers(0, 2, 4, np.int32),
        }
        for length in (8, 16)
    ]
    written = worker_loop.Task(
        "classification", TINY, "float32", batches, OUR_SETTINGS
    )
    task = worker_loop.read_task(worker_loop.write_task(written, tmp_path))
    for batch, original in zip(task.batches, batches, strict=True):
        assert batch.keys() == original.keys()
        np.testing.assert_array_equal(batch["input_ids"], original["input_ids"])
    ours = ours_worker.Ours(task)
    assert not ours.trainer.model.bert.compute_padding
    loss = worker_loop.trained(ours, 2)["loss"]
    np.testing.assert_allclose(loss, np.log(2), rtol=0.1)
    assert worker_loop.product_rate(ours, 64)["flops"] > 0
    assert worker_loop.peak_memory(ours)["bytes"] > 100e6
    ours.profile(2, str(tmp_path / "trace"))
    sums = step_profile.sums_of(step_profile.read_trace(tmp_path / "trace"))
    operations = {kind for kind, each in sums.items() if each.calls}
    assert operations & {"MatMul", "FusedMatMul"}
    assert sum(each.milliseconds for each in sums.values()) > 0


def test_peak_memory_is_that_of_the_process():
    before = worker_loop.peak_bytes_of_process()
    ones = np.ones(50_000_000 // 8)
    assert worker_loop.peak_bytes_of_process() - before <= 1.2 * ones.nbytes
    assert worker_loop.peak_bytes_of_process() > ones.nbytes


@pytest.mark.thorough
def test_a_race_of_ours_alone():
    done = run(
        "--what=training", "--sizes=tiny", "--rounds=1", "--num_batches=2"
    )
    assert done.returncode == 0, done.stderr
    assert "tiny, sms to 128, 32 a batch, float32: 2 batches" in done.stdout
    assert "| ours | " in done.stdout and "| MatMul | " in done.stdout
