"""Models in forked processes: one process uses them, and forks for each use.

A child that hangs is killed, and its use fails the test.
"""

import json
import subprocess
import sys

import pytest
from support.common import ROOT

# All wait for one program that loads, exports and forks.
pytestmark = pytest.mark.slow

# Prints {use: [seconds, "answer" or the error]} as JSON; `null` for one that
# hangs.
PROGRAM = """
import json, os, select, sys, time

import numpy as np

from bert_tf import BertConfig, BertPreprocessor, FullTokenizer, training
from bert_tf.embeddings import TextEmbedder
from bert_tf.export import Predictor, export_model
from bert_tf.fill_mask import FillMask
from bert_tf.pooling import BertEmbedder
from bert_tf.pretrained import BUNDLED_MODEL
from bert_tf.serving.batching import Batcher
import tensorflow as tf

FILES = [BUNDLED_MODEL[n] for n in
         ("vocab_file", "bert_config_file", "init_checkpoint")]
IDS = np.ones((1, 8), np.int32)
results = {}

def in_child(name, use):
    start = time.monotonic()
    readable, writable = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            use()
            said = "answer"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writable, said.encode())
        os._exit(0)
    os.close(writable)
    said = None
    if select.select([readable], [], [], 60)[0]:
        said = os.read(readable, 5000).decode()
    else:
        os.kill(pid, 9)
    os.waitpid(pid, 0)
    results[name] = [time.monotonic() - start, said]

def fill():
    return FillMask(*FILES)("a [MASK] .")

tokenizer = FullTokenizer(FILES[0])
in_child("load before use", fill)
preprocess = BertPreprocessor(FILES[0], max_seq_length=16)
config = BertConfig.from_json_file(FILES[1])
model = BertEmbedder(config, "mean", (-1,))
export_model(sys.argv[1], model, preprocess)
predictor = Predictor(sys.argv[1])
embedder, fill_mask = TextEmbedder(*FILES), FillMask(*FILES)
runner = training.BatchRunner(model)
dataset = tf.data.Dataset.from_tensors({"input_ids": IDS})
batcher = Batcher(lambda key, payloads: {"x": np.array(payloads)})
batcher.submit([("", 1)]).result()
list(runner(dataset)), model.predict({"input_ids": IDS}, verbose=0)
in_child("Predictor", lambda: predictor.predict(["a"]))
in_child("Predictor.warm_up", predictor.warm_up)
in_child("a new Predictor", lambda: Predictor(sys.argv[1]))
in_child("TextEmbedder", lambda: embedder.embed(["a"]))
in_child("a new FillMask", fill)
in_child("FillMask", lambda: fill_mask("a [MASK] ."))
in_child("BatchRunner", lambda: list(runner(dataset)))
in_child("model", lambda: model({"input_ids": IDS}))
in_child("model.predict", lambda: model.predict({"input_ids": IDS}, verbose=0))
in_child("BertPreprocessor", lambda: preprocess(["a"]))
in_child("Batcher", lambda: batcher.submit([("", 1)]).result())
in_child("FullTokenizer", lambda: tokenizer.tokenize("some words"))
predictor.predict(["the parent still can"])
print(json.dumps(results))
"""
# TensorFlow without a model of ours, and a process of multiprocessing's.
OTHERS = """
import multiprocessing, sys
import tensorflow as tf
from bert_tf.pretrained import BUNDLED_MODEL
from bert_tf.fill_mask import FillMask

def use(queue):
    try:
        FillMask(*[BUNDLED_MODEL[n] for n in
            ("vocab_file", "bert_config_file", "init_checkpoint")])
        queue.put("loaded")
    except Exception as error:
        queue.put(type(error).__name__)

if __name__ == "__main__":
    tf.linalg.matmul(tf.ones([64, 64]), tf.ones([64, 64]))
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=use, args=(queue,))
        process.start()
        print(method, queue.get(timeout=60))
        process.join()
"""


def run(program, *arguments):
    done = subprocess.run(
        [sys.executable, program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forks")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    return json.loads(run(program, folder / "export"))


@pytest.mark.parametrize(
    "use",
    [
        "Predictor",
        "Predictor.warm_up",
        "a new Predictor",
        "TextEmbedder",
        "FillMask",
        "a new FillMask",
        "BatchRunner",
        "model",
        "model.predict",
        "BertPreprocessor",
        "Batcher",
    ],
)
def test_what_would_hang_says_so_at_once(results, use):
    seconds, said = results[use]
    assert said and said.startswith("ForkedProcess: this process was forked")
    assert "load them there" in said and "'spawn'" in said
    assert "\n" not in said and seconds < 5


@pytest.mark.parametrize("use", ["load before use", "FullTokenizer"])
def test_what_works_in_a_child_works(results, use):
    assert results[use][1] == "answer"


@pytest.mark.slow
def test_tensorflow_alone_makes_a_fork_useless_too(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(OTHERS)
    assert run(program) == "fork ForkedProcess\nspawn loaded\n"
