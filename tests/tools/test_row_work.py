"""What pipelines ask of flags, and which rows are in which shard."""

import re
import sys

import pytest
from support.common import ROOT, TESTS
from support.programs import program_of, write

from bert_tf.errors import UserError
from bert_tf.tools import row_work

PREDICT = program_of("bert_tf.tools.predict")
EXTRACT = program_of("bert_tf.tools.extract_features")


@pytest.mark.parametrize("num_rows", [1, 2, 7, 100])
def test_a_plan_distributes_all_rows(num_rows):
    for num_shards in range(1, num_rows + 1):
        sizes = [(2, num_rows // 2), (0, 0), (1, num_rows - num_rows // 2)]
        plan = row_work.make_plan(sizes, num_shards)
        assert plan.starts == {0: 0, 1: 0, 2: num_rows - num_rows // 2}
        shards = [plan.shard_of(row) for row in range(num_rows)]
        assert shards == sorted(shards)
        counts = [shards.count(shard) for shard in range(num_shards)]
        assert sum(counts) == num_rows and max(counts) - min(counts) <= 1
        assert min(counts) > 0
    with pytest.raises(UserError, match="more than"):
        row_work.make_plan([(0, num_rows)], num_rows + 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_shards": None}, "--runner=beam needs --num_shards"),
        ({"runner": "local"}, "--num_shards=2: only with --runner=beam"),
        (
            {"runner": "local", "num_shards": None, "beam_options": "--x"},
            "--beam_options=--x: only with --runner=beam",
        ),
        ({"input": "-"}, "--input=-: --runner=beam reads and writes files"),
        ({"output": "-"}, "--output=-: --runner=beam reads and writes files"),
        ({"output": "{}/in-0.txt"}, "in-0.txt: would replace an input"),
        ({"input": "{}/no-*"}, "--input: no file matches .*no-"),
    ],
)
def test_flags_that_do_not_fit(changes, message, tmp_path):
    for number in range(2):
        write(tmp_path, f"in-{number}.txt", "a\n")
    flags = {
        "model": str(tmp_path),
        "input": "{}/in-*",
        "output": "{}/out",
        "runner": "beam",
        "num_shards": 2,
        **changes,
    }
    flags = {
        name: value.format(tmp_path) if isinstance(value, str) else value
        for name, value in flags.items()
        if value is not None
    }
    with pytest.raises(UserError, match=message):
        PREDICT.run(**flags)
    assert len([*tmp_path.iterdir()]) == 2


def test_without_beam_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    source = write(tmp_path, "in.txt", "a\n")
    flags = {"input_file": str(source), "output_file": str(tmp_path / "out")}
    with pytest.raises(UserError, match="pip install .bert-tf.beam"):
        EXTRACT.run(**flags, runner="beam", num_shards=2)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_ci_has_beam_for_all_tests_that_need_it():
    commands = (ROOT / ".ci" / "run").read_text()
    skips = re.compile(r"^ *needs\(\"apache_beam\"", re.MULTILINE)
    found = [p for p in TESTS.rglob("*.py") if skips.search(p.read_text())]
    assert len(found) == 2
    for path in found:
        assert str(path.relative_to(ROOT)) in commands
