"""The server as people start it, with small models that were exported."""

import contextlib
import functools
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from support.common import ROOT
from support.programs import (
    DEMO,
    SMALL_CONFIG,
    last_line,
    program_of,
    run_here,
)
from support.rpc_clients import (
    INFERENCE,
    PREDICTION,
    OwnClient,
    from_proto,
    infer_request,
    outputs_of,
    predict_request,
)
from support.server_requests import examples_body, predict
from support.server_requests import send_request as send

from bert_tf import BertConfig, BertPreprocessor, FullTokenizer, extras
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.errors import UserError
from bert_tf.export import search_index, writing
from bert_tf.export.predictor import Predictor
from bert_tf.export.question_answering import QuestionServing
from bert_tf.export.question_windows import SquadSettings
from bert_tf.export.serving_modules import (
    ID_NAMES,
    ChoiceServing,
    EmbeddingServing,
    InputShape,
    TextServing,
)
from bert_tf.export.serving_outputs import labelled
from bert_tf.heads import BertClassifier, BertMultipleChoice, BertSpanLabeler
from bert_tf.pooling import BertEmbedder
from bert_tf.serving.client import EncodeClient
from bert_tf.tools.benchmarks import serving as serving_benchmark

pytestmark = pytest.mark.slow

PROGRAM = program_of("bert_tf.tools.serve")
BENCHMARK = program_of("bert_tf.tools.benchmark")
VOCAB = str(DEMO / "demo" / "vocab.txt")
LENGTH = 32
READER_SETTINGS = TextReaderSettings(vocab_file=VOCAB, max_seq_length=LENGTH)
LABELS = ["ham", "spam"]
TEXTS = ["win a prize now", "see you at home", "", "x " * 100]


def labels_and_scores(logits):
    return labelled(tf.nn.softmax(logits), LABELS)


def best_choice(logits):
    probabilities = tf.nn.softmax(logits)
    return {
        "label": tf.argmax(logits, 1, tf.int32),
        "score": tf.reduce_max(probabilities, 1),
        "probabilities": probabilities,
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{name: folder of versions}: an exported model of each kind."""
    root = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(3)
    config = BertConfig.from_dict(SMALL_CONFIG)
    reader = TextReader(FullTokenizer(VOCAB), READER_SETTINGS)
    preprocess = BertPreprocessor(VOCAB, max_seq_length=LENGTH)
    modules = {
        "sms": TextServing(
            BertClassifier(config, 2),
            reader,
            kind="single_label",
            outputs_of=labels_and_scores,
            shape=InputShape(),
        ),
        "fixed": TextServing(
            BertClassifier(config, 2),
            reader,
            kind="single_label",
            outputs_of=labels_and_scores,
            shape=InputShape(batch_size=4, pads_to_max=True),
        ),
        "vectors": EmbeddingServing(
            BertEmbedder(config, layers=(-1,)), reader, InputShape()
        ),
        "choice": ChoiceServing(
            BertMultipleChoice(config),
            reader,
            outputs_of=best_choice,
            shape=InputShape(),
        ),
        "squad": QuestionServing(
            BertSpanLabeler(config), preprocess, SquadSettings(doc_stride=8)
        ),
    }
    for name, module in modules.items():
        description = {"labels": LABELS} if name in ("sms", "fixed") else {}
        writing.export_module(
            str(root / name / "1"), module, description=description
        )
    return {name: root / name for name in modules}


@contextlib.contextmanager
def served(folders, *settings):
    """Runs the program; gives (process, port)."""
    models = [f"--model={name}={path}" for name, path in folders.items()]
    command = [sys.executable, "-m", "bert_tf.tools.serve", "--port=0"]
    process = subprocess.Popen(
        [*command, *models, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    try:
        ports = re.findall(r":([0-9]+)", process.stdout.readline())
        process.grpc_port = int(ports[-1])
        yield process, int(ports[0])
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def predictors(folders):
    """function(name) that returns the Predictor of a model, loaded once."""
    return functools.cache(lambda name: Predictor(str(folders[name] / "1")))


@pytest.fixture(scope="module")
def growing(folders, tmp_path_factory):
    """A folder of versions of its own, to which a test adds some."""
    folder = tmp_path_factory.mktemp("growing") / "sms"
    shutil.copytree(folders["sms"], folder)
    return folder


@pytest.fixture(scope="module")
def index(predictors, tmp_path_factory):
    """The folder of an index of the model of vectors."""
    folder = str(tmp_path_factory.mktemp("index") / "index")
    rows = [(str(place), text) for place, text in enumerate(TEXTS)]
    search_index.write(folder, predictors("vectors"), rows)
    return folder


@pytest.fixture(scope="module")
def ports(folders, growing, index):
    """(HTTP port, gRPC port)."""
    models = {**folders, "growing": growing}
    settings = (
        "--poll_seconds=0.2",
        "--grpc_port=0",
        f"--index=vectors={index}",
    )
    with served(models, *settings) as (process, port):
        yield port, process.grpc_port
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


@pytest.fixture(scope="module")
def port(ports):
    return ports[0]


@pytest.mark.parametrize("name", ["sms", "fixed"])
def test_answers_are_the_predictors(predictors, port, name):
    """`fixed` has a batch size of four."""
    expected = predictors(name).predict(TEXTS + TEXTS[:1])
    status, answer = send(port, predict(name), {"instances": TEXTS + TEXTS[:1]})
    assert status == 200
    for row, other in zip(answer["predictions"], expected, strict=True):
        assert row["label"] == other["label"]
        assert row["score"] == pytest.approx(other["score"], abs=1e-6)


@pytest.mark.parametrize("name", ["sms", "fixed"])
def test_ids_and_examples_are_answered_as_texts(predictors, port, name):
    reader = TextReader(FullTokenizer(VOCAB), READER_SETTINGS)
    ids = {
        n: v.numpy().tolist() for n, v in reader.read(TEXTS[:2], None).items()
    }
    ids = {n: [r + [0] * (LENGTH - len(r)) for r in v] for n, v in ids.items()}
    expected = [row["score"] for row in predictors(name).predict(TEXTS[:2])]
    body = {"signature_name": "ids", "inputs": ids}
    status, answer = send(port, predict(name), body)
    assert status == 200, answer
    np.testing.assert_allclose(answer["outputs"]["score"], expected, atol=1e-6)
    rows = [{name: ids[name][row] for name in ids} for row in range(2)]
    body = examples_body(*rows)
    status, answer = send(port, predict(name), body)
    assert status == 200, answer
    scores = [row["score"] for row in answer["predictions"]]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize(
    "ids",
    [
        [[5000, 1]],
        [[1] * 65],
        [[-1]],
        [[2**31]],
        [[1], [1, 2]],
        [[[1]]],
        [1],
    ],
)
def test_ids_that_the_model_does_not_have_are_refused(port, ids):
    ones = [[1 for _ in row] for row in ids if isinstance(row, list)] or [1]
    columns = {"input_ids": ids, "input_mask": ones, "segment_ids": ones}
    body = {"signature_name": "ids", "inputs": columns}
    status, answer = send(port, predict("sms"), body)
    assert status == 400 and "\n" not in answer["error"]
    assert "Graph execution error" not in answer["error"]


@pytest.mark.parametrize("depth", [2, 3, 300, 900])
@pytest.mark.parametrize("name", ["sms", "fixed", "choice"])
def test_ids_that_are_nested_too_deep_are_refused(port, name, depth):
    """TensorFlow ends the process if a tensor has 255 axes."""
    depth += name == "choice"
    deep = "[" * depth + "1" + "]" * depth
    flat = "[[1]]" if name == "choice" else "[1]"
    for ids in (deep, f"[{deep}, 1]", f"[1, {deep}]", f"[{deep}, []]"):
        row = f'{{"input_ids": {ids}, "input_mask": {flat}, "segment_ids": '
        body = f'{{"signature_name": "ids", "instances": [{row}{flat}}}]}}'
        status, answer = send(port, predict(name), body)
        assert status == 400 and "input_ids" in answer["error"]
    row = {"input_ids": [[1]], "input_mask": [[1]], "segment_ids": [[0]]}
    if name != "choice":
        row = {key: value[0] for key, value in row.items()}
    row = {key: pad(value, name) for key, value in row.items()}
    body = {"signature_name": "ids", "instances": [row]}
    assert send(port, predict(name), body)[0] == 200


def pad(ids, name):
    return ids + [0] * (LENGTH - 1) if name == "fixed" else ids


@pytest.mark.parametrize(
    "ids",
    [
        [[[1], 2], [1, 2]],
        [[[]], [[]]],
        [[[1]], [[1]]],
        [[1], []],
        [[], []],
        [[1], [1, 2]],
        [[1], 2],
        [[1], None],
        [1, 2],
    ],
)
def test_ids_of_choices_that_are_nested_wrongly_are_refused(port, ids):
    row = {name: [[1], [1]] for name in ID_NAMES} | {"input_ids": ids}
    for other in (row, {name: ids for name in ID_NAMES}):
        body = {"signature_name": "ids", "instances": [other]}
        status, answer = send(port, predict("choice"), body)
        assert status == 400 and answer["error"].startswith("item 0: input_ids")


def test_an_example_of_the_wrong_length_is_refused(port):
    body = examples_body({name: [1, 1, 1] for name in ID_NAMES})
    status, answer = send(port, predict("sms"), body)
    assert status == 400 and "\n" not in answer["error"]


def test_choices_of_different_number(port):
    rows = [
        {"text": "so", "endings": ["a", "b", "c", "d"][:number]}
        for number in (2, 4, 1)
    ]
    status, answer = send(port, predict("choice"), {"instances": rows})
    assert status == 200, answer
    alone = send(port, predict("choice"), {"instances": rows[:1]})[1]
    found = answer["predictions"][0]["probabilities"]
    expected = alone["predictions"][0]["probabilities"]
    assert len(expected) == 2
    np.testing.assert_allclose(found, [*expected, 0, 0], atol=1e-6)


def test_a_question_and_its_context(port):
    context = "The mill was built by Ann. " * 50
    row = {"question": "Who built it?", "context": context}
    status, answer = send(port, predict("squad"), {"instances": [row]})
    found = answer["predictions"][0]
    assert status == 200
    assert context[found["start"] : found["end"]] == found["answer"]


@pytest.mark.parametrize(
    "name, inputs",
    [
        ("sms", {"text": TEXTS}),
        ("vectors", {"text": TEXTS}),
        ("choice", {"text": ["a", "b"], "endings": [["c", "d"], ["e", ""]]}),
        ("squad", {"question": ["who?"], "context": ["It was Ann. " * 9]}),
    ],
)
def test_grpc_answers_as_http_does(ports, name, inputs):
    items = [
        dict(zip(inputs, row, strict=True))
        for row in zip(*inputs.values(), strict=True)
    ]
    for item in items:
        if "endings" in item:
            item["endings"] = [text for text in item["endings"] if text]
    answer = send(ports[0], predict(name), {"instances": items})[1]
    rows = answer["predictions"]
    with contextlib.closing(OwnClient(ports[1])) as client:
        request = predict_request(client, name, **inputs)
        outputs = client.stub(PREDICTION).Predict(request).outputs
        columns = {name: from_proto(proto) for name, proto in outputs.items()}
        infer = client.stub(INFERENCE).ModelInfer
        tensors = outputs_of(infer(infer_request(client, name, inputs)))
    for output, column in columns.items():
        values = [row[output] if len(columns) > 1 else row for row in rows]
        if column.dtype == object:
            column = np.vectorize(bytes.decode, otypes="O")(column)
            assert column.tolist() == values == tensors[output]
        else:
            np.testing.assert_allclose(column, values, atol=1e-5)
            np.testing.assert_allclose(tensors[output], values, atol=1e-5)


def test_vectors_of_the_client(predictors, port):
    client = EncodeClient("127.0.0.1", port)
    texts = [f"{text} {i}" for i in range(100) for text in TEXTS]
    expected = predictors("vectors").predict(texts)
    expected = np.stack([row["embedding"] for row in expected])
    np.testing.assert_allclose(client.encode(texts), expected, atol=1e-5)
    answer = send(
        port,
        predict("vectors"),
        {"signature_name": "embed", "instances": texts[:2]},
    )[1]
    np.testing.assert_allclose(answer["predictions"], expected[:2], atol=1e-5)


def test_search_finds_what_the_index_finds(predictors, port, index):
    queries = ["a prize", "at home with you"]
    vectors = search_index.embed(predictors("vectors"), queries)
    hits = search_index.SearchIndex(index).search(vectors, 3)
    status, answer = send(port, "/search", {"queries": queries, "k": 3})
    assert status == 200, answer
    assert answer["results"] == [
        [
            {
                "id": h.id,
                "score": pytest.approx(h.score, abs=1e-5),
                "text": h.text,
            }
            for h in of_query
        ]
        for of_query in hits
    ]


def test_metadata_is_the_models(port):
    answer = send(port, "/v1/models/choice/metadata")[1]
    found = answer["metadata"]["signature_def"]["signature_def"]
    endings = found["serving_default"]["inputs"]["endings"]
    sizes = [axis["size"] for axis in endings["tensor_shape"]["dim"]]
    assert endings["dtype"] == "DT_STRING" and sizes == ["-1", "-1"]
    assert set(found) == {"serving_default", "ids", "examples"}


def test_a_new_version_answers_and_a_damaged_one_does_not(growing, port):
    versions = "/v1/models/growing/versions"
    shutil.copytree(growing / "1", growing / "2")
    wait_for(port, f"{versions}/2")
    shutil.copytree(growing / "2", growing / "3")
    data = growing / "3" / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    failed = wait_for(port, f"{versions}/3", state="END")
    assert str(growing) not in json.dumps(failed)
    status, answer = send(port, predict("growing"), {"instances": ["a"]})
    assert status == 200
    assert send(port, "/healthz")[0] == 200


def wait_for(port, path, state="AVAILABLE"):
    for _ in range(300):
        status, answer = send(port, path)
        if status == 200:
            (found,) = answer["model_version_status"]
            if found["state"] == state:
                return found
        time.sleep(0.1)
    raise AssertionError(f"{path} is not {state}")


def large_bodies():
    """[(status, body)]: some that are answered, and some that are refused."""
    ids = '{"signature_name": "ids", "instances": [{"input_ids": %s, '
    ids += '"input_mask": [1], "segment_ids": [0]}]}'
    return [
        (200, {"instances": ["hello my friends " * 420] * 1000}),
        (200, {"instances": ["hello my friends " * 15_000] * 28}),
        (200, {"instances": ["x" * 260_000] * 26}),
        (413, {"instances": ["x" * 7_000_000]}),
        (413, {"instances": [[]] * 2_000_000}),
        (400, ids % ("[" * 900 + "1" + "]" * 900)),
        (400, ids % ("[" + "1," * 3_000_000 + "1]")),
        (400, '{"instances": [{"text": [' + "{}," * 2_000_000 + "1]}]}"),
        (400, '{"instances": [' + '{"a":' * 900 + "1" + "}" * 900 + "]}"),
    ]


def memory(process):
    """The process's memory in MB."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.thorough
def test_large_requests_leave_no_memory_behind(folders):
    """A text of 256 kB needs about 16 MB, which the next text uses again."""
    bodies = large_bodies()
    with served({"sms": folders["sms"]}) as (process, port):

        def ask(status, body):
            found, answer = send(port, predict("sms"), body)
            assert found == status, answer

        held = []
        for length in range(1, LENGTH):
            ask(200, {"instances": ["a " * length] * 64})
        held.append(memory(process))
        for _ in range(4):
            for status, body in bodies:
                ask(status, body)
            ask(200, {"instances": ["a"] * 32})
            held.append(memory(process))
    assert held[1] - held[0] < 150 and held[-1] - held[2] < 50, held


def test_mistakes_are_one_line(folders, tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"rubbish")
    (tmp_path / "empty").mkdir()
    sms, empty = f"sms={folders['sms']}", f"a={tmp_path / 'empty'}"
    damaged = f"a={tmp_path}"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "train.json").write_text("{}")
    run = f"a={tmp_path / 'run'}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for values, message in (
            ({}, "--model must be given"),
            ({"model": ["sms"]}, "--model=sms: must be NAME=FOLDER"),
            ({"model": ["/tmp"]}, "; did you mean --model=tmp=/tmp?"),
            ({"model": ["a/b=/tmp"]}, "must be NAME=FOLDER"),
            ({"model": ["a=/no/such"]}, "--model=a=/no/such: no such folder"),
            ({"model": [sms, sms]}, "sms is given twice"),
            ({"model": [empty]}, "neither an exported model"),
            ({"model": [run]}, "a run without an export"),
            ({"model": [damaged]}, "cannot be served"),
            ({"model": [sms], "port": port}, "Address already in use"),
            ({"model": [sms], "index": [empty]}, "--index=a=.*: must be NAME"),
            (
                {"model": [sms], "index": [str(folders["sms"])]},
                "holds no index",
            ),
            ({"model": [sms], "host": "192.0.2.1"}, "Cannot assign requested"),
            ({"model": [sms], "max_queue": 5}, "exceeds --max_queue=5"),
            ({"model": [sms], "grpc_port": port}, "grpc_port=.* in use"),
        ):
            with PROGRAM.flags(**{"port": 0, **values}):
                with pytest.raises(UserError, match=message):
                    PROGRAM.main()
    monkeypatch.setattr(extras, "is_there", lambda name: name != "grpc")
    with PROGRAM.flags(port=0, grpc_port=0, model=[sms]):
        with pytest.raises(UserError, match=r"pip install 'bert-tf\[grpc\]'"):
            PROGRAM.main()
    monkeypatch.undo()
    done = run_here("bert_tf/tools/serve.py", f"--model={damaged}", "--port=0")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert last_line(done).startswith("serve.py: ")


@pytest.mark.thorough
def test_the_benchmark_measures_it(folders, monkeypatch, capsys):
    """Three of its servers, which get few requests."""
    all_of_them = serving_benchmark.contestants
    names = ["32 clients", "32 clients, no batches", "one client"]
    monkeypatch.setattr(serving_benchmark, "NUM_REQUESTS", 64)
    monkeypatch.setattr(
        serving_benchmark,
        "contestants",
        lambda: {name: all_of_them()[name] for name in names},
    )
    BENCHMARK.run(what=["serving"], rounds=1, model=folders["sms"])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    cells = {row[1].strip(): row[2:-1] for row in rows if len(row) > 3}
    assert set(names) <= set(cells)
    assert all(float(cell) > 0 for cell in cells["one client"])
