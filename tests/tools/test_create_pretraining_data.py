"""create_pretraining_data and split_sentences, as a user calls them."""

import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from support.common import ROOT, TESTS, needs, run_module, shared
from support.programs import last_line, program_of, run_here

from bert_tf import pretrained
from bert_tf.data.features import parse_examples
from bert_tf.data.pretraining.dataset import pretraining_specs
from bert_tf.errors import UserError
from bert_tf.tools.shard_run import ShardRun

TOOL = "bert_tf.tools.create_pretraining_data"
CREATE = program_of(TOOL)
SPLIT = program_of("bert_tf.tools.split_sentences")
VOCAB = pretrained.DEMO_FLAGS["vocab_file"]


def records_of(path):
    return [*tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]


def visible(folder):
    """{name: bytes} of a folder's files that a pattern would match."""
    paths = sorted(pathlib.Path(folder).glob("[!.]*"))
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two files of messages, one of them compressed: 60 documents."""
    folder = tmp_path_factory.mktemp("corpus")
    path = f"{pretrained.DEMO_FLAGS['data_dir']}/train.tsv"
    with open(path, encoding="utf-8") as reader:
        messages = [line.split("\t")[1].strip() for line in reader][1:361]
    lines = [
        message + "\n" * (2 if number % 6 == 5 else 1)
        for number, message in enumerate(messages)
    ]
    (folder / "a.txt").write_text("".join(lines[:120]), encoding="utf-8")
    with gzip.open(folder / "b.txt.gz", "wt", encoding="utf-8") as writer:
        writer.write("".join(lines[120:]))
    return folder


def create(corpus, out, **changes):
    values = {
        "input_file": f"{corpus}/a.txt,{corpus}/b*",
        "output_file": str(out),
        "vocab_file": VOCAB,
        "max_seq_length": 32,
        "max_predictions_per_seq": 5,
        "dupe_factor": 2,
        **changes,
    }
    CREATE.run(**values)


def as_flags(corpus, out, **changes):
    values = {
        "input_file": f"{corpus}/a.txt,{corpus}/b*",
        "output_file": out,
        "vocab_file": VOCAB,
        **changes,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def test_golden_files_with_the_originals_command(tmp_path, caplog):
    caplog.set_level("DEBUG", logger="absl")
    golden = shared("golden/4_create_pretraining_data")
    names = ["short2-0", "short2-1"]
    CREATE.run(
        input_file=str(shared("data/corpus/sample_text.txt")),
        output_file=",".join(str(tmp_path / "new" / name) for name in names),
        vocab_file=str(shared("data/vocab/uncased/vocab.txt")),
        max_seq_length=64,
        max_predictions_per_seq=7,
        dupe_factor=2,
        short_seq_prob=0.5,
        random_seed=7,
    )
    specs = pretraining_specs(64, 7)
    for name in names:
        ours = parse_examples(records_of(tmp_path / "new" / name), specs)
        path = golden / f"{name}.tfrecord"
        for feature, value in parse_examples(records_of(path), specs).items():
            assert (ours[feature].numpy() == value.numpy()).all(), feature
    assert "*** Reading from input files ***" in caplog.text
    assert caplog.text.count("*** Example ***") == 20
    assert "Wrote 44 total instances" in caplog.text
    assert "they are 10" not in caplog.text
    assert "--max_predictions_per_seq=7: the longest sequences" in caplog.text


def test_workers_make_the_same_shards(corpus, tmp_path, caplog):
    caplog.set_level("DEBUG", logger="absl")
    for number in (1, 2):
        out = tmp_path / str(number) / "records"
        create(corpus, out, num_shards=8, num_workers=number)
    one, two = visible(tmp_path / "1"), visible(tmp_path / "2")
    assert one == two and len(one) == 8
    assert sorted(one)[0] == "records-00000-of-00008"
    assert len(set(one.values())) == 8
    hidden = [p.name for p in (tmp_path / "1").glob(".*")]
    assert hidden == [".records.json"]
    assert "100 %, 0:00 left" in caplog.text and " MB/s" in caplog.text
    # Another seed makes other records.
    create(corpus, tmp_path / "3" / "records", num_shards=8, random_seed=5)
    assert not set(one.values()) & set(visible(tmp_path / "3").values())


def test_shards_that_are_there_stay(corpus, tmp_path, caplog):
    caplog.set_level("DEBUG", logger="absl")
    out = tmp_path / "records"
    create(corpus, out, num_shards=4, num_workers=1)
    expected = visible(tmp_path)
    os.remove(f"{out}-00002-of-00004")
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("records-*")}
    (tmp_path / ".records-00002-of-00004.77.tmp").write_bytes(b"half")
    (tmp_path / ".records.dealing-x").mkdir()
    create(corpus, out, num_shards=4, num_workers=1)
    assert "3 of 4 shards exist already" in caplog.text
    assert visible(tmp_path) == expected
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    assert [p.name for p in tmp_path.glob(".*")] == [".records.json"]
    # Shards of other settings are refused, and not changed.
    for change in ({"dupe_factor": 3}, {"num_shards": 5}):
        name = next(iter(change))
        with pytest.raises(UserError, match=f"made with another {name}"):
            create(corpus, out, **{"num_shards": 4, **change})
    (tmp_path / ".records.json").write_text("{")
    with pytest.raises(UserError, match="made with another num_shards"):
        create(corpus, out, num_shards=4)
    assert visible(tmp_path) == expected


@pytest.mark.slow
def test_killed_in_the_middle_and_started_again(corpus, tmp_path):
    expected, out = tmp_path / "whole", tmp_path / "killed"
    more = {"num_shards": 8, "dupe_factor": 100, "max_seq_length": 64}
    expected.mkdir()
    flags = as_flags(corpus, expected / "records", num_workers=1, **more)
    assert run_module(TOOL, *flags).returncode == 0
    flags = as_flags(corpus, out / "records", num_workers=2, **more)
    process = subprocess.Popen(
        [sys.executable, "-m", TOOL, *flags],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not visible(out) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    whole = visible(expected)
    assert visible(out).items() <= whole.items()
    done = run_module(TOOL, *flags)
    assert done.returncode == 0, done.stderr
    assert visible(out) == whole
    assert [path.name for path in out.glob(".*")] == [".records.json"]


def test_a_beam_pipeline_makes_the_same_shards(corpus, tmp_path):
    needs("apache_beam", "apache-beam>=2.60,<3")
    create(corpus, tmp_path / "here" / "r", num_shards=8, num_workers=1)
    changes = {"runner": "beam", "num_shards": 8}
    changes["beam_options"] = "--runner=BundleBasedDirectRunner"
    create(corpus, tmp_path / "beam" / "r", **changes)
    assert visible(tmp_path / "beam") == visible(tmp_path / "here")
    # Shards that exist are not made again.
    path = tmp_path / "beam" / "r-00003-of-00008"
    path.unlink()
    create(corpus, tmp_path / "beam" / "r", **changes)
    assert visible(tmp_path / "beam") == visible(tmp_path / "here")
    changes["num_shards"] = 61
    with pytest.raises(UserError, match="shards have no document"):
        create(corpus, tmp_path / "beam" / "s", **changes)
    assert visible(tmp_path / "beam") == visible(tmp_path / "here")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"good\n\nb\xffd\n")
    with pytest.raises(UserError, match=r"bad.txt:3: not UTF-8") as error:
        create(
            corpus,
            tmp_path / "t",
            input_file=str(bad),
            **{**changes, "num_shards": 2},
        )
    assert "\n" not in str(error.value)
    changes["beam_options"] = "--direct_num_workers=abc"
    with pytest.raises(UserError, match="invalid int value: 'abc'"):
        create(corpus, tmp_path / "t", **changes)
    changes["beam_options"] = "--runner=Nothing"
    with pytest.raises(UserError, match="--beam_options=--runner=Nothing: "):
        create(corpus, tmp_path / "t", **changes)


def test_without_beam_installed(corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match="pip install .bert-tf.beam"):
        create(corpus, tmp_path / "r", runner="beam", num_shards=2)


def test_names_of_shards_are_taken_as_they_are(corpus, tmp_path, monkeypatch):
    """No folder, brackets, and another name that starts alike."""
    monkeypatch.chdir(tmp_path)
    create(corpus, "r-x", num_shards=2, num_workers=1)
    for name in ("r", "r[1]", "r*"):
        create(corpus, name, num_shards=2, num_workers=1)
        expected = visible(tmp_path)
        with pytest.raises(UserError, match="made with another random_seed"):
            create(corpus, name, num_shards=2, random_seed=9)
        with pytest.raises(UserError, match="made with another num_shards"):
            create(corpus, name, num_shards=3)
        assert visible(tmp_path) == expected
    # An input with brackets, too.
    (tmp_path / "a [1].txt").write_text("one.\ntwo.\n")
    create(corpus, "s", input_file="a [1].txt", num_shards=1, num_workers=1)
    os.utime("a [1].txt", (1, 1))
    with pytest.raises(UserError, match=r"input_file \(a \[1\].txt: another"):
        create(corpus, "s", input_file="a [1].txt", num_shards=1)


def test_two_runs_do_not_meet(corpus, tmp_path):
    with ShardRun(str(tmp_path / "r")).alone():
        with pytest.raises(UserError, match="another run is writing it"):
            create(corpus, tmp_path / "r", num_shards=2)
    assert not [*tmp_path.iterdir()]
    create(corpus, tmp_path / "r", num_shards=2, num_workers=1)


def test_inputs_are_not_replaced(corpus, tmp_path):
    text, vocab = tmp_path / "text", tmp_path / "vocab"
    text.write_text("you win.\na prize.\n")
    vocab.write_bytes(pathlib.Path(VOCAB).read_bytes())
    (tmp_path / "link").symlink_to(text)
    before = visible(tmp_path)
    for name in ("text", "vocab", "link"):
        with pytest.raises(UserError, match=f"{name}: would replace an input"):
            create(
                corpus,
                tmp_path / name,
                input_file=str(text),
                vocab_file=str(vocab),
            )
    for names in (f"{tmp_path}/x,", ",", f"{tmp_path}/x,{tmp_path}/"):
        with pytest.raises(UserError, match="a file name is needed"):
            create(corpus, names)
    with pytest.raises(UserError, match="x: names a file twice"):
        create(corpus, f"{tmp_path}/x,{tmp_path}/x")
    # Either all files are written or none.
    with pytest.raises(UserError, match="/proc/none: cannot be written"):
        create(corpus, f"{tmp_path}/x,/proc/none")
    assert visible(tmp_path) == before


def test_shards_without_text_are_refused(corpus, tmp_path):
    (tmp_path / "in").write_text("\ufffd\n\nreal text\nand more\n")
    with pytest.raises(UserError, match="00000-of-00002: its documents have n"):
        create(
            corpus,
            tmp_path / "r",
            input_file=str(tmp_path / "in"),
            num_shards=2,
            num_workers=1,
        )


def bad_inputs():
    return {
        "no file": ({"input_file": "{}/*.none"}, "no file matches .*none"),
        "empty": ({"input_file": "{}/empty"}, "contains no text"),
        "only blank": ({"input_file": "{}/blank"}, "contains no text"),
        "empty shards": (
            {"input_file": "{}/empty", "num_shards": 2},
            "contains no text",
        ),
        "utf-8": ({"input_file": "{}/latin"}, "latin:2: not UTF-8: byte 0xe9"),
        "shards of latin": (
            {"input_file": "{}/latin", "num_shards": 2},
            "latin:2: not UTF-8: byte 0xe9",
        ),
        "no text": ({"input_file": "{}/no.gz"}, "no.gz: an SQLite database"),
        "cut gzip": ({"input_file": "{}/cut.gz"}, "cut.gz: cannot be decompr"),
        "no mask": (
            {"vocab_file": "{}/no_mask"},
            r"--vocab_file=.*no_mask: the vocabulary has no \[MASK\]",
        ),
        "no vocabulary": ({"vocab_file": "{}/none"}, "--vocab_file=.*no such"),
        "cased": (
            {"do_lower_case": False},
            "--do_lower_case=False: none of the vocabulary",
        ),
        "predictions": (
            {"max_predictions_per_seq": 40},
            "--max_predictions_per_seq=40 is more than --max_seq_length=32",
        ),
        "folder": ({"output_file": "{}"}, "--output_file=.*this is a folder"),
        "two names": (
            {"output_file": "{}/x,{}/y", "num_shards": 2},
            "--output_file=.*: must be one name with --num_shards",
        ),
        "workers": ({"num_workers": 2}, "--num_workers=2 needs --num_shards"),
        "options": (
            {"num_shards": 2, "beam_options": "--x"},
            "--beam_options=--x: only with --runner=beam",
        ),
        "beam": ({"runner": "beam"}, "--runner=beam needs --num_shards"),
        "shards": (
            {"num_shards": 61},
            "--num_shards=61 is more than the 60 documents of the input",
        ),
    }


@pytest.mark.parametrize("name", bad_inputs())
def test_bad_input_ends_in_one_line(name, corpus, tmp_path):
    changes, message = bad_inputs()[name]
    source = tmp_path / "in"
    source.mkdir()
    (source / "empty").write_text("")
    (source / "blank").write_text("\n \n\n\u200b\n")
    (source / "latin").write_bytes(b"good\ncaf\xe9\n")
    (source / "no.gz").write_bytes(b"SQLite format 3\0")
    (source / "cut.gz").write_bytes(gzip.compress(b"a b c\n" * 1000)[:-20])
    (source / "no_mask").write_text("[UNK]\n[CLS]\n[SEP]\na\n")
    changes = {
        key: value.format(source, source) if "{}" in str(value) else value
        for key, value in changes.items()
    }
    with pytest.raises(UserError, match=message) as error:
        create(corpus, tmp_path / "out" / "records", **changes)
    assert "\n" not in str(error.value)
    out = tmp_path / "out"
    assert not out.exists() or not [*out.iterdir()]


def test_one_line_as_reported(tmp_path, caplog):
    path = str(TESTS / "reports" / "P03_one_line.txt")
    create(tmp_path, tmp_path / "r", input_file=path)
    assert "P03_one_line.txt: 1 document with 1 line of text: a line" in (
        caplog.text
    )


@pytest.mark.parametrize("num_shards", [None, 1])
def test_other_formats_as_text_are_said(num_shards, tmp_path, caplog):
    path = str(TESTS / "reports" / "C12_array.json")
    changes = {"num_shards": num_shards} if num_shards else {}
    create(tmp_path, tmp_path / "r", input_file=path, **changes)
    assert "C12_array.json: it looks like a list in JSON, and is" in (
        caplog.text
    )


def test_a_mistake_ends_with_status_1(corpus, tmp_path):
    flags = as_flags(corpus, tmp_path / "r", max_seq_length=4)
    done = run_here("bert_tf/tools/create_pretraining_data.py", *flags)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "--max_seq_length=4" in last_line(done)


def test_state_is_what_made_the_shards(corpus, tmp_path):
    create(corpus, tmp_path / "r", num_shards=2, num_workers=1)
    state = json.loads((tmp_path / ".r.json").read_text())
    assert state["num_shards"] == 2 and state["max_seq_length"] == 32
    assert set(state["input_file"]) == {
        f"{corpus}/a.txt",
        f"{corpus}/b.txt.gz",
    }


# ---------------------------------------------------------------------------
# split_sentences.


def test_sentences_end_where_they_do():
    paragraph = (
        "\u201cMy dear Mr. Bennet,\u201d said J. Smith. \u201cIs it so?\u201d "
        "he asked. Yes! It cost 3.50 in St. James Street. (Why?) \u201cOh! "
        "No.\u201d The end"
    )
    assert SPLIT.module.split_sentences(paragraph) == [
        "\u201cMy dear Mr. Bennet,\u201d said J. Smith.",
        "\u201cIs it so?\u201d he asked.",
        "Yes!",
        "It cost 3.50 in St. James Street.",
        "(Why?)",
        "\u201cOh!",
        "No.\u201d",
        "The end",
    ]
    assert SPLIT.module.split_sentences("") == []


def test_documents_end_at_several_empty_lines():
    lines = ["One", "two.", "", "Three.", "", " ", "Four.", ""]
    assert [*SPLIT.module.documents_of(lines, 2)] == [
        ["One two.", "Three."],
        ["Four."],
    ]
    assert [*SPLIT.module.documents_of(lines, 3)] == [
        ["One two.", "Three.", "Four."]
    ]
    assert [*SPLIT.module.documents_of([], 2)] == []


def test_split_sentences_as_a_program(tmp_path):
    (tmp_path / "book.txt").write_text(
        "Licence.\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\n\n"
        "It was\nlate. He slept.\n\n\n\nNext.\n"
        "*** END OF THIS PROJECT GUTENBERG EBOOK X ***\nDonate. Now.\n"
    )
    out = tmp_path / "new" / "out.txt"
    SPLIT.run(input_file=f"{tmp_path}/b*.txt", output_file=str(out))
    assert out.read_text() == "It was late.\nHe slept.\n\nNext.\n\n"
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match="contains no text"):
        SPLIT.run(input_file=f"{tmp_path}/e*.txt", output_file=f"{out}.2")
    with pytest.raises(UserError, match="would replace an input"):
        SPLIT.run(input_file=str(out), output_file=str(out))
    assert [path.name for path in out.parent.iterdir()] == ["out.txt"]
