"""The server with several processes, as people start it."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import keras
import pytest
from support.common import ROOT
from support.programs import DEMO, SMALL_CONFIG
from support.server_requests import predict
from support.server_requests import send_request as send

from bert_tf import BertConfig, BertPreprocessor
from bert_tf.export import export_model
from bert_tf.export.predictor import Predictor
from bert_tf.heads import BertClassifier

pytestmark = pytest.mark.slow

TEXTS = ["win a prize now", "see you at home", "", "x " * 100]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """[folder, folder]: two models of the same kind with other weights."""
    folders = []
    preprocess = BertPreprocessor(
        str(DEMO / "demo" / "vocab.txt"), max_seq_length=32
    )
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        model = BertClassifier(BertConfig.from_dict(SMALL_CONFIG), 2)
        folders.append(tmp_path_factory.mktemp("model") / "export")
        export_model(
            str(folders[-1]), model, preprocess, labels=["ham", "spam"]
        )
    return folders


@contextlib.contextmanager
def served(folder, *settings):
    """Runs the program with two workers; gives (process, port, log)."""
    command = [sys.executable, "-m", "bert_tf.tools.serve", "--port=0"]
    process = subprocess.Popen(
        [*command, f"--model=sms={folder}", "--workers=2", *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    log = []
    reader = threading.Thread(target=log.extend, args=(process.stderr,))
    reader.start()
    try:
        address = process.stdout.readline().strip()
        yield process, int(address.rpartition(":")[2] or 0), log
    finally:
        process.kill()
        process.wait()
        reader.join()  # No worker holds it any more.


def scores(port, texts=TEXTS):
    status, answer = send(port, predict("sms"), {"instances": texts})
    assert status == 200, answer
    return [row["score"] for row in answer["predictions"]]


def workers_of(process):
    path = f"/proc/{process.pid}/task/{process.pid}/children"
    pids = open(path).read().split()
    return [
        int(pid)
        for pid in pids
        if "spawn_main" in open(f"/proc/{pid}/cmdline").read()
    ]


def metrics(port):
    """{line's start: value} of /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if not line.startswith("#")
    }


def wait_until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# A server with two workers takes three starts of TensorFlow. So each of these
# two tests follows one from its start to its end.


def test_from_the_first_probe_to_a_signal_under_load(exported):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with contextlib.ExitStack() as stack:
        with probes_while_it_loads(port) as found:
            server = served(exported[0], f"--port={port}")
            process, address, _ = stack.enter_context(server)
        assert address == port
        check_probes(found, port)
        check_that_they_count_together(exported[0], process, port)
        check_that_a_signal_loses_no_request(process, port)


@contextlib.contextmanager
def probes_while_it_loads(port):
    """Gives the list of [status of /livez, of /readyz], from the start on."""
    found, is_over = [], threading.Event()

    def probe():
        while not is_over.wait(0.1):
            with contextlib.suppress(OSError):  # It does not listen yet.
                found.append([send(port, p)[0] for p in ("/livez", "/readyz")])

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()


def check_probes(found, port):
    assert [send(port, p)[0] for p in ("/livez", "/readyz")] == [200, 200]
    assert found[0] == [200, 503]
    assert all(live == 200 for live, _ in found)
    # Once ready, it stays ready.
    ready = [ready for _, ready in found]
    assert ready == sorted(ready, reverse=True)


REQUESTS = (
    'bert_requests_total{model="sms",route="/v1/models/{model}:predict",'
    'status="200"}'
)


def check_that_they_count_together(folder, process, port):
    expected = [row["score"] for row in Predictor(folder).predict(TEXTS)]
    before = send(port, "/status")[1]["num_requests"]
    for _ in range(30):
        assert scores(port) == pytest.approx(expected, abs=1e-6)
    # A worker notes the length of its queue ten times a second.
    time.sleep(0.5)
    for _ in range(5):  # Whichever worker answers.
        found = metrics(port)
        assert found[REQUESTS] == 30
        assert found['bert_batch_size_sum{model="sms"}'] == 120
        assert found['bert_queue_length{model="sms"}'] == 0
        version = '{model="sms",version="1"}'
        assert found[f"bert_model_version_available{version}"] == 1
        pages = os.sysconf("SC_PAGE_SIZE")
        sizes = [
            int(open(f"/proc/{pid}/statm").read().split()[1]) * pages
            for pid in workers_of(process)
        ]
        assert found["process_resident_memory_bytes"] == pytest.approx(
            sum(sizes), rel=0.1
        )
    status, answer = send(port, "/status")
    assert answer["num_workers"] == 2
    assert answer["num_requests"] == before + 36


def check_that_a_signal_loses_no_request(process, port):
    sent, answered = [], []

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            try:
                connection.connect()
            except OSError:
                return  # They no longer accept connections.
            while True:
                sent.append(1)
                connection.request(
                    "POST", predict("sms"), b'{"instances": ["abc"]}'
                )
                reply = connection.getresponse()
                assert reply.status == 200 and reply.read()
                answered.append(1)
                if reply.will_close:
                    break

    clients = [threading.Thread(target=client) for _ in range(16)]
    for thread in clients:
        thread.start()
    time.sleep(1.5)
    # As a service manager does: to all processes.
    for pid in [process.pid, *workers_of(process)]:
        os.kill(pid, signal.SIGTERM)
    for thread in clients:
        thread.join()
    assert process.wait(timeout=20) == 0
    assert len(sent) == len(answered) > 100


def test_a_new_version_answers_from_all_of_them_at_once(exported, tmp_path):
    shutil.copytree(exported[0], tmp_path / "1")
    old, new = (
        [row["score"] for row in Predictor(folder).predict(["a text"])]
        for folder in exported
    )
    found, is_over = [], threading.Event()

    def ask():
        while not is_over.is_set():
            found.append(scores(port, ["a text"]))

    settings = ("--poll_seconds=0.2", "--keep_versions=1")
    with served(tmp_path, *settings) as (process, port, _):
        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        shutil.copytree(exported[1], tmp_path / "2")
        path = "/v1/models/sms/versions/2"
        wait_until(lambda: is_available(port, path))
        for _ in range(20):
            assert is_available(port, path)
            assert scores(port, ["a text"]) == pytest.approx(new, abs=1e-6)
        old_path = "/v1/models/sms/versions/1"
        wait_until(lambda: send(port, old_path)[0] == 404)
        is_over.set()
        for asker in askers:
            asker.join()
        for values in found:
            assert any(
                values == pytest.approx(each, abs=1e-6) for each in (old, new)
            )


def is_available(port, path):
    status, answer = send(port, path)
    if status != 200:
        return False
    return answer["model_version_status"][0]["state"] == "AVAILABLE"


def test_limits_a_worker_that_is_killed_and_the_end_of_the_parent(exported):
    with served(exported[0], "--max_connections=8") as (process, port, log):
        check_that_connections_have_one_limit(port)
        check_that_a_worker_is_replaced(process, port, log)
        workers = workers_of(process)
        process.kill()
        process.wait()
        wait_until(
            lambda: not any(os.path.exists(f"/proc/{p}") for p in workers), 10
        )


def check_that_connections_have_one_limit(port):
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(7)]
    time.sleep(0.3)
    status = []
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            status.append(client.recv(100)[9:12])
        time.sleep(0.05)
    assert status == [b"503"] * 6
    for connection in held:
        connection.close()
    time.sleep(0.3)
    assert send(port, "/healthz")[0] == 200


def check_that_a_worker_is_replaced(process, port, log):
    before = workers_of(process)
    for _ in range(10):
        scores(port)
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: any("was ended by SIGKILL" in line for line in log))
    for _ in range(10):
        scores(port)
    wait_until(lambda: len({*workers_of(process)} - {before[0]}) == 2)
    wait_until(lambda: any(" answers" in line for line in log[-3:]))
    for _ in range(10):
        scores(port)
    assert metrics(port)[REQUESTS] == 30


def test_a_damaged_model_is_one_line(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"rubbish")
    with served(tmp_path) as (process, port, log):
        assert not port and process.wait(timeout=60) == 1
    assert "Traceback" not in "".join(log)
    assert log[-1].startswith("serve.py: ") and "cannot be served" in log[-1]
