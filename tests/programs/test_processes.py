"""Training in processes that are killed, and in several that work together."""

import contextlib
import ctypes
import json
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from support.common import ROOT
from support.programs import (
    DEMO,
    SMALL_CONFIG,
    arguments,
    as_flags,
    make_folder,
    run,
    values_of,
)

from bert_tf import checkpoints

pytestmark = pytest.mark.slow
SECONDS = 300  # No process here takes so long, unless it hangs.
NUM_KILLS = 2
LAST_STEP = 52  # Of half an epoch of the bundled messages.


class Process:
    """run_classifier.py in the background; what it prints goes to a file."""

    def __init__(self, log, flags, environment=None, preexec_fn=None):
        self.log = log
        with open(log, "w") as file:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "run_classifier.py"), *flags],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                preexec_fn=preexec_fn,
            )

    def wait_for(self, text):
        """Returns when the text is printed, or the process has ended."""
        deadline = time.monotonic() + SECONDS
        while text not in self.log.read_text() and self.is_running():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def is_running(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def wait(self):
        """The exit status."""
        try:
            return self.process.wait(SECONDS)
        finally:
            self.process.kill()


def assert_equal(ours, theirs):
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert ours[name].tobytes() == value.tobytes(), name


def assert_close(ours, theirs, tolerance):
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        if "key/bias" not in name:  # Its true gradient is zero.
            difference = np.abs(ours[name] - value).max()
            assert difference <= tolerance, (name, difference)


def test_killed_at_random_moments(tmp_path):
    """A checkpoint is written after every step: half of the kills cut one."""
    folder = make_folder(tmp_path)
    settings = {
        "do_train": True,
        "num_train_epochs": 40.0,
        "save_checkpoints_steps": 1,
        "keep_checkpoints": 2,
    }
    run(folder, **settings, output_dir=str(folder / "whole"))
    (last,) = checkpoints.CheckpointFolder(
        str(folder / "whole")
    ).newest_first()[:1]
    flags = as_flags(arguments(folder, **settings))
    rng = random.Random(0)
    steps, cut = [], 0
    for attempt in range(NUM_KILLS):
        process = Process(folder / f"{attempt}.log", flags)
        process.wait_for("  loss ")
        time.sleep(rng.random() * 0.5)
        out = folder / "out"
        while attempt % 2 and not any(
            out.glob(checkpoints.SCRATCH_PREFIX + "*")
        ):
            assert process.is_running(), process.log.read_text()
        assert process.is_running(), process.log.read_text()
        process.kill()
        cut += any(out.glob(checkpoints.SCRATCH_PREFIX + "*"))
        newest = checkpoints.CheckpointFolder(str(out)).newest_first()[0]
        steps.append(checkpoints.Checkpoint(newest).global_step())
    assert steps == sorted(steps) and len(set(steps)) > NUM_KILLS / 2
    assert cut  # Some were killed while they wrote.
    process = Process(folder / "last.log", [*flags, "--resume=must"])
    assert process.wait() == 0
    name = os.path.basename(last)
    assert_equal(values_of(out / name), values_of(last))
    assert not list(out.glob(checkpoints.SCRATCH_PREFIX + "*"))


def test_a_signal_ends_with_the_command_that_resumes(tmp_path):
    number = signal.SIGTERM
    folder = make_folder(tmp_path)
    settings = {"do_train": True, "num_train_epochs": 200.0}
    flags = as_flags(arguments(folder, **settings))
    process = Process(folder / "log", flags)
    process.wait_for("  loss ")
    process.process.send_signal(number)
    assert process.wait() == 128 + number
    last = process.log.read_text().strip().split("\n")[-1]
    message, command = last.split("; resume with: ")
    assert f"run_classifier.py: stopped by {number.name}, saved" in message
    saved, *_ = checkpoints.CheckpointFolder(f"{folder}/out").newest_first()
    assert message.endswith(f"step {saved.split('-')[-1]}")
    assert shlex.split(command)[2:] == flags


def test_a_folder_that_cannot_be_written(tmp_path):
    folder = make_folder(tmp_path)
    run(folder, do_train=True)
    out = folder / "out"
    before = (out / "checkpoint").read_text()
    flags = as_flags(arguments(folder, do_train=True, num_train_epochs=4.0))
    out.chmod(0o500)
    try:
        process = Process(folder / "log", flags, preexec_fn=lose_privileges)
        assert process.wait() == 1
    finally:
        out.chmod(0o700)
    text = process.log.read_text()
    assert text == (
        f"run_classifier.py: --output_dir={out}: cannot be written: "
        "Permission denied\n"
    )
    assert (out / "checkpoint").read_text() == before
    run(folder, do_eval=True)


def lose_privileges():
    """An administrator may write anywhere: not the process started next."""
    set_bounding, may_override_permissions = 24, 1
    ctypes.CDLL(None).prctl(set_bounding, may_override_permissions, 0, 0, 0)


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def start_workers(folder, name, flags):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return [
        Process(
            folder / f"{name}-{index}.log",
            [*flags, f"--output_dir={folder / name}"],
            {
                "TF_CONFIG": json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": index},
                    }
                )
            },
        )
        for index in (0, 1)
    ]


def wait_for_all(processes):
    statuses = [process.wait() for process in processes]
    assert statuses == [0, 0], processes[0].log.read_text()


@pytest.fixture(scope="module")
def cluster_run(tmp_path_factory):
    """(folder, flags) of a training without dropout: masks of replicas differ,
    and so one process with dropout is not two."""
    folder = tmp_path_factory.mktemp("cluster")
    config = {
        **SMALL_CONFIG,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    values = arguments(
        folder,
        data_dir=str(DEMO / "sms"),
        vocab_file=str(DEMO / "demo" / "vocab.txt"),
        do_train=True,
        do_eval=True,
        do_predict=True,
        train_batch_size=32,
        num_train_epochs=0.5,
        save_checkpoints_steps=20,
        learning_rate=1e-4,
        classifier_dropout=0.0,
        output_dir=None,
    )
    return folder, as_flags(values)


@pytest.fixture(scope="module")
def one_process(cluster_run):
    folder, flags = cluster_run
    out = folder / "one"
    process = Process(folder / "one.log", [*flags, f"--output_dir={out}"])
    assert process.wait() == 0, process.log.read_text()
    return out


@pytest.mark.thorough
def test_two_devices_train_as_one(cluster_run, one_process):
    """By the default strategy, as two GPUs would."""
    folder, flags = cluster_run
    out = folder / "devices"
    flags = [*flags, "--cpu_replicas=2", f"--output_dir={out}"]
    process = Process(folder / "devices.log", flags)
    assert process.wait() == 0, process.log.read_text()
    assert "2 replicas" in process.log.read_text()
    assert_same_results(out, one_process)


def test_two_workers_train_as_one_process(cluster_run, one_process):
    """Each of them takes its share of a batch in two parts."""
    folder, flags = cluster_run
    accumulation = "--gradient_accumulation_steps=2"
    workers = start_workers(folder, "two", [*flags, accumulation])
    wait_for_all(workers)
    assert_same_results(folder / "two", one_process)


def assert_same_results(out, one_process):
    expected = values_of(one_process / f"model.ckpt-{LAST_STEP}")
    assert_close(values_of(out / f"model.ckpt-{LAST_STEP}"), expected, 1e-6)
    # 723 examples in batches of 8 over 2 workers: the last one is uneven.
    for name in ("test_results.tsv", "eval_results.txt"):
        ours = (out / name).read_text().split()
        theirs = (one_process / name).read_text().split()
        for a, b in zip(ours, theirs, strict=True):
            if "." in a:
                assert float(a) == pytest.approx(float(b), abs=1e-5)
            else:
                assert a == b


@pytest.mark.thorough
def test_a_worker_is_killed_and_all_start_again(cluster_run):
    """They find their batches, also of packed rows, and their masks again."""
    folder, flags = cluster_run
    flags = [*flags, "--classifier_dropout=0.1"]
    flags += ["--pack_sequences", "--max_seq_length=64"]
    flags += ["--nodo_eval", "--nodo_predict"]
    never, killed = "never", "killed"
    wait_for_all(start_workers(folder, never, flags))
    expected = values_of(folder / never / f"model.ckpt-{LAST_STEP}")
    workers = start_workers(folder, killed, flags)
    workers[0].wait_for("  loss ")
    text = workers[0].log.read_text()
    assert "in each of the 2 parts of a batch; tokens" in text
    while not (folder / killed / "model.ckpt-20.index").exists():
        assert workers[0].is_running()
        time.sleep(0.02)
    workers[1].kill()
    assert workers[0].wait() == 1
    text = workers[0].log.read_text()
    assert "another process of TF_CONFIG has ended: start all" in text
    assert not (folder / killed / f"model.ckpt-{LAST_STEP}.index").exists()
    wait_for_all(start_workers(folder, killed, flags))
    assert_equal(
        values_of(folder / killed / f"model.ckpt-{LAST_STEP}"), expected
    )


def test_a_signal_to_one_worker_stops_both(cluster_run):
    folder, flags = cluster_run
    workers = start_workers(
        folder, "stopped", [*flags, "--num_train_epochs=50"]
    )
    workers[1].wait_for("  loss ")
    workers[1].process.terminate()
    assert [worker.wait() for worker in workers] == [143, 143]
    texts = [worker.log.read_text() for worker in workers]
    assert "stopped by a signal to another process, saved at step" in texts[0]
    assert "stopped by SIGTERM; resume with: " in texts[1]
