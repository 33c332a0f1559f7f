"""The benchmark as people run it."""

import subprocess
import sys

from conftest import ROOT


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bert_tf.tools.benchmark", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_it_prints_tables():
    done = run("--rounds=1")
    assert done.returncode == 0, done.stderr
    rows = {
        cells[1]: cells[2]
        for cells in (
            [cell.strip() for cell in line.split("|")]
            for line in done.stdout.splitlines()
            if line.startswith("|")
        )
    }
    for name in ("in the graph", "in Python", "from the file"):
        assert float(rows[name].replace(",", "")) > 0
    assert "To the first batch: " in done.stdout
    assert "from memory, by length: " in done.stdout


def test_mistakes_are_one_line():
    for argument, message in (
        ("--what=speed", "--what=speed: known are tokenizer, input"),
        ("--input_file=/x/y", "/x/y: No such file or directory"),
        (f"--input_file={ROOT}/tests/golden/x.json", "x.json: No such file"),
    ):
        done = run(argument)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert message in done.stderr.strip().split("\n")[-1]
