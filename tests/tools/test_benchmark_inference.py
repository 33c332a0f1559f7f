"""Answers compared with those of other libraries, as people run it."""

import contextlib
import importlib
import importlib.util
import json
import re
import shutil
import sys
import threading
import time
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import keras
import numpy as np
import pytest
from support.common import ROOT, run_module
from support.programs import DEMO, SMALL_CONFIG, program_of
from support.squad_files import squad_data, write_json

from bert_tf import BertConfig, BertPreprocessor, FullTokenizer
from bert_tf.data.squad import answers, windows
from bert_tf.data.squad.examples import SquadExample
from bert_tf.errors import UserError
from bert_tf.export.fitted import export_model
from bert_tf.heads import BertClassifier
from bert_tf.tools.benchmarks import (
    inference_models,
    inference_race,
    inference_tables,
    inference_texts,
    serving,
    workers,
)
from bert_tf.tools.benchmarks.peers import answer_task, worker_loop

BENCHMARK = program_of("bert_tf.tools.benchmark")
VOCAB = str(DEMO / "demo" / "vocab.txt")
PEERS = workers.FOLDER
RATIOS = "answers/s"


def run(**settings):
    BENCHMARK.run(what=["inference"], **settings)


@pytest.mark.parametrize(
    "flag, value, message",
    [
        ("compare", ["keras_hub"], "such peer; known are transformers, onnxr"),
        ("compare", ["ort"], "did you mean onnxruntime?"),
        ("engines", ["int4"], "--engines=int4: known are float32, bfloat16"),
        ("engines", ["bfloat"], "did you mean bfloat16?"),
        ("engines", [], "--engines=: give one at least"),
        ("sizes", [], "--sizes=: give one at least"),
        ("sizes", ["huge"], "--sizes=huge: known are tiny, mini, small"),
        ("model", "/x/y", "--sizes=base: not with --model"),
        ("max_seq_length", 513, "--max_seq_length=513: the model reads at mos"),
        ("predict_file", "/x/y", "--predict_file=/x/y: no such file or folder"),
        ("train_file", VOCAB, "vocab.txt"),
        ("max_query_length", 125, "it leaves no room for the context"),
    ],
)
def test_wrong_flags_are_refused(flag, value, message):
    settings = {flag: value}
    if flag == "model":
        settings["sizes"] = ["base"]
    if flag == "max_query_length":
        settings["predict_file"] = VOCAB
    with pytest.raises(UserError, match=re.escape(message)):
        run(**settings)


# ---------------------------------------------------------------------------
# Texts and models.


def test_texts_are_a_sample_in_random_order(tmp_path):
    lines = [f"text {number}" for number in range(50)]
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(lines))
    squad = write_json(tmp_path / "squad.json", squad_data())
    settings = {
        "input_file": [str(path)],
        "task_name": "mrpc",
        "data_dir": str(tmp_path),
        "predict_file": squad,
        "num_texts": 20,
    }
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    rows = "1\t1\t2\tOne text.\tIts pair.\n0\t1\t2\tA.\tB.\n"
    (tmp_path / "train.tsv").write_text(header + rows)
    with BENCHMARK.flags(**settings):
        texts, pairs, questions = inference_texts.texts_to_answer()
    assert (texts.name, texts.kind) == ("texts.txt", "single_label")
    assert len({*texts.items}) == 20 and {*texts.items} < {*lines}
    assert texts.items != sorted(texts.items, key=lines.index)
    assert sorted(pairs.items) == [["A.", "B."], ["One text.", "Its pair."]]
    assert pairs.input_names == ("text", "text_pair")
    assert questions.input_names == ("question", "context")
    assert ["Who built the lighthouse?", True] in [
        [question, "Marta Lindqvist" in context]
        for question, context in questions.items
    ]
    with BENCHMARK.flags(data_dir=str(DEMO / "sms")):
        (bundled,) = inference_texts.texts_to_answer()
    assert bundled.name == "sms" and len(bundled.items) == 1000


def loaded(names=("text",), rank=2):
    """What a loaded SavedModel says of its inputs."""
    ids = types.SimpleNamespace(shape=types.SimpleNamespace(rank=rank))
    inputs = {
        "serving_default": dict.fromkeys(names),
        "ids": {"input_ids": ids},
    }
    signatures = {
        name: types.SimpleNamespace(structured_input_signature=((), specs))
        for name, specs in inputs.items()
    }
    return types.SimpleNamespace(signatures=signatures)


@pytest.mark.parametrize(
    "model, settings, message",
    [
        (loaded(), {"kind": "tags"}, "kind of answers is tags, and sms needs"),
        (loaded(("text", "text_pair")), {}, "it reads text and text_pair, and"),
        (loaded(rank=3), {}, "it reads a text in windows, which nobody else"),
        (loaded(), {"precision": "bfloat16"}, "be exported in float32, for"),
    ],
)
def test_a_model_must_fit_the_texts(model, settings, message):
    texts = inference_texts.Texts("sms", "single_label", ["a text"])
    settings = {"kind": "single_label", "precision": "float32", **settings}
    inference_models.check_kind(loaded(), {"kind": "single_label"}, texts)
    with (
        BENCHMARK.flags(model="/m"),
        pytest.raises(UserError, match=f"model`?=/m: .*{re.escape(message)}"),
    ):
        inference_models.check_kind(model, settings, texts)


def test_servers_of_a_run_that_has_an_int8_export(tmp_path):
    extra = tmp_path / "export" / "assets.extra"
    extra.mkdir(parents=True)
    (tmp_path / "export" / "saved_model.pb").write_bytes(b"")
    (extra / "network_int8.tflite").write_bytes(b"")
    for model in (tmp_path, tmp_path / "export"):
        with BENCHMARK.flags(model=str(model)):
            found = serving.contestants()
        assert "32 clients, int8" in found


def test_the_files_of_a_model_are_those_of_its_run(tmp_path):
    export = tmp_path / "export"
    export.mkdir()
    (export / "saved_model.pb").write_bytes(b"")
    config = tmp_path / "bert_config.json"
    config.write_text("{}")
    flags = {"vocab_file": VOCAB, "bert_config_file": "/gone/config.json"}
    record = {"task_name": "sms", "train": {"flags": flags}}
    write_json(tmp_path / "train.json", record)
    for model in (tmp_path, export):
        with BENCHMARK.flags(model=str(model)):
            found = inference_models.files_of_model()
        assert found == (str(config), VOCAB)
    (tmp_path / "train.json").unlink()
    own = export / "assets.extra" / "vocab.txt"
    with BENCHMARK.flags(model=str(export), bert_config_file=str(config)):
        with pytest.raises(UserError, match="`?vocab_file`? must be given"):
            inference_models.files_of_model()
        own.parent.mkdir()
        own.write_text("[PAD]")
        assert inference_models.files_of_model()[1] == str(own)


def test_differences_of_probabilities_are_those_of_equal_answers():
    expected = {
        "labels": np.array(["a", "b", "c"]),
        "probabilities": np.array([[0.5], [0.6], [0.7]]),
    }
    actual = {
        "labels": np.array(["a", "b", "x"]),
        "probabilities": np.array([[0.5], [0.4], [0.1]]),
    }
    found = [
        inference_tables.difference(expected, actual, kind)
        for kind in ("single_label", "question_answering")
    ]
    np.testing.assert_allclose([each.probability for each in found], [0.6, 0.2])
    np.testing.assert_allclose([each.equal for each in found], 2 / 3)


# ---------------------------------------------------------------------------
# The race, with fakes.

FAKE = """
import os

import answer_loop
import worker_loop

class Fake:
    device, versions = "CPU", "fake 1.0"

    def __init__(self, task, variant):
        assert task.settings["kind"] == task.kind
        assert os.path.isdir(task.folders[NAME or variant.split("/")[0]])
        self.variant = variant
        if variant == BROKEN:
            raise ValueError("of\\nseveral lines")

    def tune(self, items, num_clients):
        print("noise")
        return f"batches of {len(items)}, {num_clients} clients"

    def answer_one(self, item):
        if self.variant.endswith("int8"):
            return "even", 0.75
        return "odd" if len(item) % 2 else "even", 0.5

    def answer_all(self, items):
        return [self.answer_one(item) for item in items]

    answer_for_client = answer_one

    def compared(self, answer):
        label, probability = answer
        return label, [probability, 1 - probability]

answer_loop.run(Fake, lambda: None)
"""
EXPORT = """
import os
import sys

from answer_task import read_source

source = read_source(sys.argv[1])
weights = source.read_weights()
assert weights["bert/pooler/dense/kernel"].shape == (16, 16)
assert (source.kind == "single_label") == ("labels" in source.settings)
os.mkdir(sys.argv[2])
assert sys.argv[3:] in ([], ["int8"])
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Makes all contestants fakes: OpenVINO in bfloat16 fails, PyTorch is not
    installed."""
    folder = tmp_path / "peers"
    folder.mkdir()
    for module in (worker_loop, answer_task):
        shutil.copy(module.__file__, folder)
    shutil.copy(PEERS / "answer_loop.py", folder)
    for name in ("ours", "onnxruntime", "openvino"):
        broken = "bfloat16" if name == "openvino" else None
        known = None if name == "ours" else name
        code = f"NAME, BROKEN = {known!r}, {broken!r}\n{FAKE}"
        (folder / f"{name}_inference.py").write_text(code)
        (folder / f"{name}_export.py").write_text(EXPORT)
    (folder / "transformers_export.py").write_text("import torch_of_nobody")
    monkeypatch.setattr(workers, "FOLDER", folder)
    monkeypatch.setattr(inference_race, "PAUSE", 0.0)
    return folder


@pytest.fixture
def config_file(tmp_path):
    return write_json(tmp_path / "config.json", SMALL_CONFIG)


class Reply(BaseHTTPRequestHandler):
    """Answers each request with what the server remembers of it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.bodies.append(json.loads(self.rfile.read(length)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def servers(monkeypatch):
    """Servers in place of ours: [(what each was started with, its bodies)]."""
    started = []

    @contextlib.contextmanager
    def serving(model, *settings, root=""):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Reply)
        server.bodies = []
        started.append(((model, settings, root), server.bodies))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield types.SimpleNamespace(port=server.server_port)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    monkeypatch.setattr(inference_race.server_process, "serving", serving)
    return started


def tables_of(printed):
    """The Markdown tables: lists of rows, each {column: cell}."""
    tables, header = [], None
    for line in printed.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            header = None
        elif header is None:
            header = cells
            tables.append([])
        elif not cells[0].startswith("---"):
            tables[-1].append(dict(zip(header, cells, strict=True)))
    return tables


@pytest.mark.slow
def test_contestants_take_turns(fakes, servers, capfd, config_file):
    run(
        compare=["onnxruntime", "openvino", "transformers"],
        bert_config_file=config_file,
        max_seq_length=16,
        engines=["float32", "int8"],
        server_flags=["--max_batch_size=8"],
        num_texts=60,
        num_requests=10,
        clients=4,
        num_starts=1,
        rounds=2,
    )
    printed = capfd.readouterr().out
    assert "noise" not in printed
    missing = "transformers is not installed, and left out: No module named"
    assert printed.count(missing) == 1
    broken = "Left out: openvino bfloat16: its process has ended: several"
    assert printed.count(broken) == 1
    assert "ours int8: fake 1.0, CPU; batches of 60, 4 clients" in printed
    names = [
        "ours float32",
        "ours int8",
        "onnxruntime float32",
        "onnxruntime int8",
        "openvino float32",
    ]
    one, batches, clients, model = tables_of(printed)
    for table in (one, batches, clients, model):
        assert [row[""] for row in table] == names
    for table in (one, batches, clients):
        columns = [name for name in table[0] if name.startswith("times ")]
        assert columns == [f"times {name}" for name in names[2:]]
        assert table[2]["times onnxruntime float32"] == "1.00"
    assert "p50, ms" not in batches[0]
    for row in (*one, *clients):
        assert float(row["p99, ms"]) >= float(row["p50, ms"]) >= 0
    by_name = {row[""]: row for row in model}
    for name in names:
        row = by_name[name]
        is_int8 = name.endswith("int8")
        difference = "2.5e-01" if is_int8 else "0.0e+00"
        assert row["largest difference"] == difference
        equal = float(row["equal answers"].rstrip("%"))
        assert 20 < equal < 80 if is_int8 else equal == 100
        assert float(row["s to first answer"]) > 0
    # Our servers were asked ten times in three rounds, by four clients.
    settings = [(), ("--engine=int8",)]
    for (given, bodies), engine in zip(servers, settings, strict=True):
        folder, flags, root = given
        assert flags == (*engine, "--max_batch_size=8") and root == str(ROOT)
        assert folder.endswith("/ours") and len(bodies) == 30
        assert all(len(body["instances"]) == 1 for body in bodies)


@pytest.mark.slow
def test_another_checkout_exports_for_itself(
    fakes, servers, capfd, config_file, tmp_path
):
    code = (fakes / "ours_inference.py").read_text()
    code = code.replace("folders[NAME]", 'folders[variant.split("/")[0]]')
    (fakes / "ours_inference.py").write_text(code)
    run(
        baseline=str(ROOT),
        bert_config_file=config_file,
        max_seq_length=16,
        max_query_length=4,
        predict_file=write_json(tmp_path / "squad.json", squad_data()),
        engines=["float32"],
        num_texts=8,
        num_requests=4,
        clients=2,
        num_starts=2,
        rounds=1,
    )
    tables = tables_of(capfd.readouterr().out)
    assert [len(table) for table in tables] == [2] * 4
    assert "times baseline" in tables[0][0]
    folders = [folder for (folder, flags, _), _ in servers if flags == ()]
    assert [folder.rpartition("/")[2] for folder in folders] == [
        "ours",
        "baseline",
    ]
    for _, bodies in servers:
        (instance,) = bodies[0]["instances"]
        assert {*instance} == {"question", "context"}


def test_the_summary_has_a_row_for_each_way_to_ask(capsys):
    def result(name, *contestants):
        turns = inference_tables.Turns(
            30, {name: [3.0, 1.0, 2.0] for name in contestants}, {}
        )
        return types.SimpleNamespace(
            names=contestants,
            model=types.SimpleNamespace(name=name),
            texts=types.SimpleNamespace(name="sms"),
            turns=dict.fromkeys(inference_tables.MODES, turns),
        )

    results = [result("minilm", "ours", "other"), result("base", "ours")]
    inference_tables.print_summary(results)
    (table,) = tables_of(capsys.readouterr().out)
    assert [row["asked"] for row in table[:3]] == [
        "one at a time",
        "in batches",
        "clients",
    ]
    assert [row["model"] for row in table] == ["minilm"] * 3 + ["base"] * 3
    assert [row["ours"] for row in table] == ["15.0"] * 6
    assert [row["other"] for row in table] == ["15.0"] * 3 + ["–"] * 3


def test_ours_that_fails_ends_the_race(fakes, capfd, config_file):
    (fakes / "ours_export.py").write_text("raise ValueError('of\\nlines')")
    with pytest.raises(UserError, match="^ours: ours_export.py has ended: li"):
        run(bert_config_file=config_file, max_seq_length=16)
    assert "Traceback" in capfd.readouterr().err


# ---------------------------------------------------------------------------
# What the peers share.

WORDS = [f"word{number}" for number in range(60)]


class FakeTokenizer:
    """Hugging Face's tokenizer for words that are one piece each."""

    def __init__(self, vocab_file, lowercase, **settings):
        self._tokenizer = FullTokenizer(vocab_file, lowercase)

    def token_to_id(self, token):
        return self._tokenizer.vocab[token]

    def enable_truncation(self, max_length):
        self._longest = max_length

    def encode(self, text, add_special_tokens):
        spans = [match.span() for match in re.finditer(r"\S+", text)]
        tokens = self._tokenizer.tokenize(text)
        if add_special_tokens:
            tokens = ["[CLS]", *tokens[: self._longest - 2], "[SEP]"]
        ids = self._tokenizer.convert_tokens_to_ids(tokens)
        return types.SimpleNamespace(
            ids=ids, type_ids=[0] * len(ids), offsets=spans
        )

    def encode_batch(self, texts, add_special_tokens):
        return [self.encode(text, add_special_tokens) for text in texts]


@pytest.fixture
def peers(monkeypatch):
    """The module `peer_answers`, with a fake in place of `tokenizers`."""
    module = types.ModuleType("tokenizers")
    module.BertWordPieceTokenizer, module.Encoding = FakeTokenizer, object
    monkeypatch.setitem(sys.modules, "tokenizers", module)
    monkeypatch.syspath_prepend(str(PEERS))
    yield importlib.import_module("peer_answers")
    for name in ("peer_answers", "peer_reading", "peer_spans"):
        del sys.modules[name]


@pytest.fixture
def vocab_file(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]))
    return str(path)


def task_of(kind, items, **settings):
    return answer_task.Task(
        kind=kind,
        items=items,
        num_requests=1,
        num_clients=4,
        num_threads=2,
        folders={},
        settings=settings,
    )


@pytest.mark.slow
def test_a_peer_answers_texts_in_their_order(peers, vocab_file, monkeypatch):
    monkeypatch.setattr(peers, "NUM_TRIALS", 1)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, n)) for n in rng.integers(0, 13, 90)]
    seen = []

    def make_network(form, num_threads):
        def network(input_ids, input_mask, segment_ids):
            assert ((input_ids != 0) == input_mask).all()
            assert not segment_ids.any()
            lengths = input_mask.sum(axis=1)
            seen.append((form, num_threads, *input_ids.shape))
            # One form is faster; a call takes as long whatever its size.
            time.sleep(0.02 if form == "slow" else 0.002)
            # One logit for each parity of the number of tokens.
            return [np.stack([lengths % 2, 1 - lengths % 2], 1) * 3.0]

        return network

    task = task_of(
        "single_label",
        texts,
        labels=["odd", "even"],
        vocab_file=vocab_file,
        do_lower_case=True,
        max_seq_length=12,
    )
    peer = peers.Peer(task, make_network, ("slow", "fast"))
    assert peer.tune(texts, 4) == (
        "one: fast 1 at once; all: fast 2 at once, in batches of 64; "
        "clients: fast 2 at once"
    )
    seen.clear()
    found = peer.answer_all(texts)
    lengths = [min(12, 2 + len(text.split())) for text in texts]
    expected = ["odd" if length % 2 else "even" for length in lengths]
    assert [label for label, _ in found] == expected
    likely = 1 / (1 + np.exp(-3))
    for label, (odd, even) in found:
        assert odd == pytest.approx(likely if label == "odd" else 1 - likely)
        assert odd + even == pytest.approx(1)
    # Each batch has one thread, and sequences of about equal lengths.
    longest, shortest = sorted(seen)
    assert longest == ("fast", 1, 26, 12)
    assert shortest[:3] == ("fast", 1, 64) and shortest[3] < 12
    assert peer.answer_one(texts[5]) == found[5]
    assert peer.answer_for_client(texts[6]) == found[6]
    assert [threads for _, threads, *_ in seen[2:]] == [2, 1]
    assert peer.compared(found[6]) == found[6]


@pytest.mark.parametrize("has_null", [False, True])
def test_a_peer_finds_the_answers_of_the_original(peers, vocab_file, has_null):
    rng = np.random.default_rng(1)
    lengths = [0, 1, 5, 17, 18, 60, 200, 3, 40, 90]
    examples = [
        SquadExample(
            qas_id=str(number),
            question_text=" ".join(rng.choice(WORDS, 1 + number % 6)),
            doc_tokens=[*rng.choice(WORDS, length)],
        )
        for number, length in enumerate(lengths)
    ]
    settings = {
        "vocab_file": vocab_file,
        "do_lower_case": True,
        "max_seq_length": 24,
        "doc_stride": 7,
        "max_query_length": 4,
    }
    converter = windows.ConverterSettings(**settings, is_training=False).make()
    features = [*converter.windows(examples)]
    results = []
    for window in features:
        starts, ends = rng.normal(0, 3, (2, 24)).astype(np.float32)
        number = sum(window.input_mask)
        starts[number:] = ends[number:] = -1e4  # Padding is no candidate.
        results.append(answers.RawResult(window.unique_id, starts, ends))
    choosing = {
        "n_best_size": 5,
        "max_answer_length": 4,
        "version_2_with_negative": has_null,
        "null_score_diff_threshold": -1.0,
    }
    expected, nbest, _ = answers.compute_predictions(
        examples, features, results, do_lower_case=True, **choosing
    )
    by_ids = {
        tuple(window.input_ids): result
        for window, result in zip(features, results, strict=True)
    }

    def make_network(form, num_threads):
        def network(input_ids, input_mask, segment_ids):
            rows = np.pad(input_ids, [(0, 0), (0, 24 - input_ids.shape[1])])
            found = [by_ids[tuple(row)] for row in rows]
            return (
                np.stack([each.start_logits for each in found]),
                np.stack([each.end_logits for each in found]),
            )

        return network

    items = [
        [example.question_text, " ".join(example.doc_tokens)]
        for example in examples
    ]
    task = task_of("question_answering", items, **settings, **choosing)
    found = peers.Peer(task, make_network).answer_all(items)
    assert len({text for text, _ in found}) > 5
    for example, (text, (score,)) in zip(examples[1:], found[1:], strict=True):
        right = expected[example.qas_id]
        # The original's answer where no candidate is left.
        assert text == ("" if right == answers.NO_CANDIDATE else right)
        if not text and not has_null:
            continue
        probabilities = {
            entry["text"]: entry["probability"]
            for entry in nbest[example.qas_id]
        }
        assert score == pytest.approx(probabilities[text])
    assert found[0] == ("", [0.0])  # There is no context.


# ---------------------------------------------------------------------------
# A whole run.


@pytest.mark.thorough
def test_a_whole_race(tmp_path):
    keras.utils.set_random_seed(0)
    model = BertClassifier(BertConfig.from_dict(SMALL_CONFIG), 2)
    folder = tmp_path / "export"
    preprocess = BertPreprocessor(VOCAB, max_seq_length=32)
    export_model(str(folder), model, preprocess, labels=["ham", "spam"])
    config = write_json(tmp_path / "config.json", SMALL_CONFIG)
    installed = [
        name
        for name in workers.PEERS[workers.INFERENCE]
        if all(map(importlib.util.find_spec, (name, "torch", "tokenizers")))
    ]
    done = run_module(
        "bert_tf.tools.benchmark",
        "--what=inference",
        f"--model={folder}",
        f"--bert_config_file={config}",
        f"--vocab_file={VOCAB}",
        f"--baseline={ROOT}",
        f"--compare={','.join(installed)}",
        "--engines=float32",
        "--num_texts=40",
        "--num_requests=10",
        "--num_starts=1",
        "--rounds=1",
    )
    assert done.returncode == 0, done.stderr
    *turns, model = tables_of(done.stdout)
    for table in turns:
        assert [row[""] for row in table][:2] == ["ours float32", "baseline"]
        assert all(float(row[RATIOS].replace(",", "")) > 0 for row in table)
    assert len(model) == 2 + 2 * len(installed)
    for row in model:
        if row[""].endswith(("float32", "baseline")):
            assert row["equal answers"] == "100.00%"
            assert float(row["largest difference"]) < 1e-5
    # TensorFlow's own memory does not count.
    assert float(model[0]["memory, MB"].replace(",", "")) < 400
