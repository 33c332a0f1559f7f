"""How a program ends that is asked to stop: status, and one line."""

import os
import signal
import subprocess
import sys
import time

import pytest
from support.common import ROOT
from support.programs import run_here

from bert_tf import training
from bert_tf.errors import UserError
from bert_tf.programs import labelled_flags

# A program that is stopped while it does something, without TensorFlow.
PROGRAM = '''"""Does nothing."""
import os, time
from bert_tf.programs import program, signals

signals.SECONDS_TO_END = 0.2

def stop():
    os.kill(os.getpid(), int(os.environ["SIGNAL"]))
    time.sleep(60)

def main():
    {body}

program.run(main)
'''
# A library may lose the exception, in the middle of the program or at its end.
LOST = """
    for do in (stop, lambda: time.sleep(60)):
        try:
            do()
        except BaseException:
            pass
"""
# Or it makes another exception of them.
CHANGED = """
    try:
        stop()
    except BaseException as error:
        raise RuntimeError("UNKNOWN: KeyboardInterrupt") from error
"""
BODIES = {
    "at once": "stop()",
    "lost, then busy": LOST + "    time.sleep(60)",
    "lost, then done": LOST,
    "changed": CHANGED,
}
SIGNALS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGTERM: (143, "stopped by SIGTERM"),
}


def listen():
    """A job in the background ignores SIGINT: not the process started next."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_in_one_line(tmp_path, number, body):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(body=BODIES[body]))
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=listen,
        env={**os.environ, "SIGNAL": str(int(number)), "PYTHONPATH": str(ROOT)},
    )
    status, message = SIGNALS[number]
    assert done.returncode == status
    assert done.stderr == f"program.py: {message}\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_tensorflow_is_loaded(tmp_path, number):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "run_classifier.py"),
            "--task_name=sms",
            "--do_train",
            f"--output_dir={out}",
        ],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen,
    )
    assert "bundled with this package" in process.stderr.readline()
    time.sleep(0.5)  # TensorFlow takes seconds.
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    status, message = SIGNALS[number]
    assert process.returncode == status
    assert "Traceback" not in errors
    assert errors.split("\n")[-2:] == [f"run_classifier.py: {message}", ""]
    assert not out.exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_the_status_of_an_interrupted_training(monkeypatch, tmp_path, number):
    def stopped(modes):
        raise training.Interrupted("stopped; resume with: …", number.name)

    monkeypatch.setattr(labelled_flags, "check_command", stopped)
    done = run_here("run_classifier.py")
    assert done.returncode == SIGNALS[number][0]
    assert done.stderr.startswith("run_classifier.py: stopped; resume with: …")


def test_other_statuses():
    assert UserError("why").exit_status == 1
    assert training.Interrupted("another process was").exit_status == 143


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_goes_to_the_handler_before(number):
    """The first one asks a training to stop, the second one ends it."""
    received = []

    def handler(number, frame):
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(number, handler)
    try:
        with pytest.raises(KeyboardInterrupt), training.StopRequest() as stop:
            os.kill(os.getpid(), number)
            assert stop.received == number.name and not received
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)
    assert received == [number]
