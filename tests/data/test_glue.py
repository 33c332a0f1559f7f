"""The published files of each task: which columns are read, which rows."""

import gzip
import os

import pytest
from support.common import TESTS

from bert_tf import choices
from bert_tf.data.processor import NUM_CHECKED, Examples
from bert_tf.errors import UserError
from bert_tf.tasks.registry import get_task

TAB = "\t"
STS = "\t".join("index genre filename year old_index source1 source2".split())
MNLI = "index\t" + "\t".join(f"c{i}" for i in range(1, 8)) + "\ts1\ts2"
SNLI = "gold_label\t" + "\t".join(f"p{i}" for i in range(4)) + "\ts1\ts2\tid"
XNLI = "language\tgold_label\t\t\t\t\ts1\ts2"
PAIR_FILE = "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t{}\n"
# {task: {file: text}}
LAYOUTS = {
    "sst-2": {
        "dev.tsv": "sentence\tlabel\ngood\t1\n",
        "test.tsv": "index\tsentence\n0\tbad\n",
    },
    "sts-b": {
        "train.tsv": f"{STS}\ts1\ts2\tscore\n0\t\t\t\t\t\t\ta\tb\t3.800\n",
        "test.tsv": f"{STS}\ts1\ts2\n0\t\t\t\t\t\t\tc\td\n",
    },
    "qqp": {
        "train.tsv": "id\tqid1\tqid2\tq1\tq2\tis_duplicate\n"
        "7\t1\t2\ta\tb\t1\n8\t1\t2\tcut\n in two\t\t0\n9\t1\t2\tc\td\t0\n",
        "test.tsv": "id\tq1\tq2\n0\te\tf\n",
    },
    "mnli": {
        "dev_matched.tsv": f"{MNLI}\tgold_label\n5{8 * TAB}a\tb\tneutral\n",
        "test_matched.tsv": f"{MNLI}\n6{8 * TAB}c\td\n",
    },
    "mnli-mm": {
        "dev_mismatched.tsv": f"{MNLI}\tgold_label\n5{8 * TAB}a\tb\tneutral\n",
    },
    "qnli": {
        "dev.tsv": PAIR_FILE.format("not_entailment"),
        "test.tsv": "index\tquestion\tsentence\n0\tc\td\n",
    },
    "rte": {"train.tsv": PAIR_FILE.format("entailment")},
    "wnli": {"train.tsv": PAIR_FILE.format("1")},
    "ax": {"AX.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"},
    "snli": {
        "snli_1.0_dev.txt": f"{SNLI}\n-{5 * TAB}x\ty\t0\n"
        f"neutral{5 * TAB}a\tb\t1\n",
        "snli_1.0_test.txt": f"{SNLI}\n-{5 * TAB}c\td\t0\n"
        f"neutral{5 * TAB}e\tf\t1\n",
    },
    "scitail": {"scitail_1.0_train.tsv": "a\tb\tentails\n"},
    "xnli": {
        "multinli/multinli.train.de.tsv": "s1\ts2\tlabel\n"
        "a\tb\tcontradictory\n",
        "xnli.dev.tsv": f"{XNLI}\nzh\tneutral\t\t\t\t\ta\tb\n"
        "de\tneutral\t\t\t\t\tc\td\n",
    },
}
# {(task, set): [(guid, text_a, text_b, label)]}
EXPECTED = {
    ("sst-2", "dev"): [("dev-1", "good", None, "1")],
    ("sst-2", "test"): [("test-1", "bad", None, None)],
    ("sts-b", "train"): [("train-1", "a", "b", 3.8)],
    ("sts-b", "test"): [("test-1", "c", "d", None)],
    ("qqp", "train"): [
        ("train-1", "a", "b", "1"),
        ("train-4", "c", "d", "0"),
    ],
    ("qqp", "test"): [("test-1", "e", "f", None)],
    ("mnli", "dev"): [("dev_matched-5", "a", "b", "neutral")],
    ("mnli", "test"): [("test-6", "c", "d", None)],
    ("mnli-mm", "dev"): [("dev_mismatched-5", "a", "b", "neutral")],
    ("qnli", "dev"): [("dev-1", "a", "b", "not_entailment")],
    ("qnli", "test"): [("test-1", "c", "d", None)],
    ("rte", "train"): [("train-1", "a", "b", "entailment")],
    ("wnli", "train"): [("train-1", "a", "b", "1")],
    ("ax", "test"): [("test-1", "a", "b", None)],
    ("snli", "dev"): [("dev-2", "a", "b", "neutral")],
    ("snli", "test"): [
        ("test-1", "c", "d", None),
        ("test-2", "e", "f", "neutral"),
    ],
    ("scitail", "train"): [("train-0", "a", "b", "entails")],
    ("xnli", "train"): [("train-1", "a", "b", "contradiction")],
    ("xnli", "dev"): [("dev-2", "c", "d", "neutral")],
}


def examples_of(task, set_type, folder, language="de", strict=False):
    processor = get_task(task).processor.configured(xnli_language=language)
    return Examples(processor, str(folder), set_type, strict)


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("task, set_type", EXPECTED)
def test_layouts(tmp_path, task, set_type):
    write(tmp_path, LAYOUTS[task])
    found = [
        (e.guid, e.text_a, e.text_b, e.label)
        for e in examples_of(task, set_type, tmp_path)
    ]
    assert found == EXPECTED[task, set_type]


def test_skipped_rows_are_counted(tmp_path):
    write(tmp_path, LAYOUTS["qqp"])
    assert examples_of("qqp", "train", tmp_path).num_skipped == 2


@pytest.mark.parametrize(
    "task, rows",
    [
        ("sst-2", "sentence\tlabel\ngood\t1\nodd\t-1\n"),
        ("sst-2", "index\tsentence\tlabel\n0\tgood\t1\n1\todd\t?\n"),
        ("cola", "id\tsentence\tlabel\n0\tgood\t1\n1\todd\t\n"),
        ("cola", "src\tlabel\tmark\ttext\ns\t1\t\tgood\ns\t\t\todd\n"),
    ],
)
def test_a_test_file_may_have_labels(tmp_path, task, rows):
    """In the dev set's columns or in one more; a placeholder is none."""
    write(tmp_path, {"test.tsv": rows})
    found = [(e.text_a, e.label) for e in examples_of(task, "test", tmp_path)]
    assert found == [("good", "1"), ("odd", None)]


def test_texts_without_content(tmp_path, caplog):
    write(tmp_path, {"train.tsv": "s\t1\t\t\ns\t0\t\tb\n"})
    assert len(examples_of("cola", "train", tmp_path)) == 2
    assert "1 of 2 rows has no text (train-0 first)" in caplog.text
    with pytest.raises(UserError, match="train-0 has no text, under strict"):
        examples_of("cola", "train", tmp_path, strict=True)


HEADERLESS = {
    ("mrpc", "test"): "0\t1\t2\ta\tb\n1\t1\t2\tc\td\n",
    ("mrpc", "train"): "1\t1\t2\ta\tb\n0\t1\t2\tc\td\n",
    ("sst-2", "dev"): "a\t1\nc\t0\n",
    ("sst-2", "test"): "0\ta\n1\tc\n",
    ("sts-b", "train"): "0\tx\tx\tx\tx\tx\tx\ta\tb\t2.5\n"
    "1\tx\tx\tx\tx\tx\tx\tc\td\t1.5\n",
    ("rte", "dev"): "0\ta\tb\tentailment\n1\tc\td\tnot_entailment\n",
    ("cola", "test"): "0\ta\n1\tc\n",
    ("ax", "test"): "0\ta\tb\n1\tc\td\n",
    ("snli", "train"): "-\t\t\t\t\tx\ty\nneutral\t\t\t\t\ta\tb\n"
    "entailment\t\t\t\t\tc\td\n",
}


@pytest.mark.parametrize("task, set_type", HEADERLESS)
def test_a_first_row_of_data_is_no_header(task, set_type, tmp_path, caplog):
    processor = get_task(task).processor
    path = processor.path(str(tmp_path), set_type)
    name = os.path.basename(path)
    write(tmp_path, {name: HEADERLESS[task, set_type]})
    found = [e.text_a for e in examples_of(task, set_type, tmp_path)]
    assert found == ["a", "c"]
    assert ":1: the first row is no header, but a row of data" in caplog.text
    with pytest.raises(UserError, match=":1: the first row is no header, but"):
        examples_of(task, set_type, tmp_path, strict=True)


@pytest.mark.parametrize(
    "task, rows",
    [
        ("cola", "source\tlabel\tmark\ts\ns\t1\t\ta\ns\t0\t\tc\n"),
        ("scitail", "a\tb\tlabel\na\tb\tentails\nc\td\tneutral\n"),
    ],
)
def test_a_header_where_the_task_has_none(task, rows, tmp_path, caplog):
    for set_type in ("train", "dev"):
        path = get_task(task).processor.path(str(tmp_path), set_type)
        write(tmp_path, {os.path.basename(path): rows})
        found = [e.text_a for e in examples_of(task, set_type, tmp_path)]
        assert found == ["a", "c"]
    assert ":1: the first row is a header where this task has none" in (
        caplog.text
    )
    with pytest.raises(UserError, match="a header where this task has none"):
        examples_of(task, "dev", tmp_path, strict=True)


def test_a_test_set_without_header_as_reported(caplog):
    folder = TESTS / "reports" / "C13_mrpc"
    lines = (folder / "test.tsv").read_text().splitlines()
    found = [*examples_of("mrpc", "test", folder)]
    assert len(found) == len(lines)
    assert found[0].text_a == lines[0].split("\t")[3]
    assert "test.tsv:1: the first row is no header" in caplog.text


def test_the_rows_of_a_large_file_without_header(tmp_path):
    rows = "".join(f"{i}\ttext\n" for i in range(NUM_CHECKED + 5))
    write(tmp_path, {"test.tsv": rows})
    assert len(examples_of("sst-2", "test", tmp_path)) == NUM_CHECKED + 5


@pytest.mark.parametrize("name", ["test.tsv", "test.tsv.gz"])
def test_compressed_files(name, tmp_path):
    content = gzip.compress(b"index\tsentence\n0\ta\n1\tc\n")
    (tmp_path / name).write_bytes(content)
    found = [e.text_a for e in examples_of("sst-2", "test", tmp_path)]
    assert found == ["a", "c"]


def test_mistakes(tmp_path):
    write(tmp_path, {"dev.tsv": LAYOUTS["sts-b"]["train.tsv"]})
    text = (tmp_path / "dev.tsv").read_text()
    write(tmp_path, {"dev.tsv": text.replace("3.800", "inf")})
    message = "dev.tsv:2: label 'inf' is not a number"
    with pytest.raises(UserError, match=message):
        examples_of("sts-b", "dev", tmp_path)
    with pytest.raises(UserError, match="no train set, only test"):
        examples_of("ax", "train", tmp_path)
    with pytest.raises(UserError, match="diagnostic.tsv does not exist"):
        examples_of("ax", "test", tmp_path)


def test_a_page_that_was_downloaded(tmp_path):
    write(tmp_path, {"dev.tsv": "<!DOCTYPE html>\n<p>404\n"})
    with pytest.raises(UserError, match="dev.tsv: an HTML page, not a table"):
        examples_of("sst-2", "dev", tmp_path)


def test_nothing_to_learn_or_to_read(tmp_path):
    write(tmp_path, {"train.tsv": "s\t1\t\ta\ns\t1\t\tb\n"})
    with pytest.raises(UserError, match="all 2 examples have the label '1'"):
        examples_of("cola", "train", tmp_path)
    write(tmp_path, LAYOUTS["xnli"])
    with pytest.raises(UserError, match="no examples of xnli_language=ur"):
        examples_of("xnli", "dev", tmp_path, "ur")


def test_every_task_has_its_labels():
    labels = {
        name: get_task(name).problem.labels
        for name in ("ax", "mnli", "mnli-mm", "snli", "xnli")
    }
    assert len({tuple(found) for found in labels.values()}) == 1
    assert get_task("rte").problem.labels == ["entailment", "not_entailment"]
    assert len(choices.XNLI_LANGUAGES) == 15


@pytest.mark.parametrize(
    "task, label", [("mnli", "-"), ("mnli", "-1"), ("mnli", "")]
)
def test_rows_without_a_label_are_left_out(tmp_path, task, label, caplog):
    rows = "".join(
        f"{i}{8 * TAB}a\tb\t{one}\n"
        for i, one in enumerate(["neutral", label, "entailment"])
    )
    for name in ("train", "dev_matched", "test_matched"):
        (tmp_path / f"{name}.tsv").write_text(f"{MNLI}\tgold_label\n{rows}")
    processor = get_task(task).processor
    for set_type in ("train", "dev"):
        examples = Examples(processor, str(tmp_path), set_type)
        assert len(examples) == len(list(examples)) == 2
        assert caplog.messages.pop().endswith(
            "1 of 3 rows has no label (row of line 3 first): left out"
        )
        with pytest.raises(UserError, match=":3: no label, under `?strict"):
            Examples(processor, str(tmp_path), set_type, strict=True)
    labels = [e.label for e in Examples(processor, str(tmp_path), "test")]
    assert labels == ["neutral", None, "entailment"]


def test_named_labels_of_a_published_task(tmp_path, monkeypatch):
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\na\t1\nb\t9\nc\t0\n" + "d\t1\n" * 5)
    processor = get_task("sst-2").processor
    with pytest.raises(UserError, match="train.tsv:3: label '9'"):
        Examples(processor, str(tmp_path), "train")
    named = processor.configured(missing_label=["9"])
    for number in (1, 2, 3, 100):  # A large file is read to its end.
        monkeypatch.setattr("bert_tf.data.processor.NUM_CHECKED", number)
        if number == 1:
            examples = Examples(named, str(tmp_path), "train")
            with pytest.raises(UserError, match="train-2 has no label; none"):
                list(examples)
            continue
        examples = Examples(named, str(tmp_path), "train")
        assert len(examples) == len(list(examples)) == 7
    path.write_text("sentence\tlabel\na\t-1\nb\t-1\n")
    with pytest.raises(UserError, match="train.tsv: no row has a label"):
        Examples(processor, str(tmp_path), "train")


def test_minus_one_is_a_number_but_in_a_test_set(tmp_path):
    content = LAYOUTS["sts-b"]["train.tsv"].replace("3.800", "-1.000")
    write(tmp_path, {"train.tsv": content, "test.tsv": content})
    assert [e.label for e in examples_of("sts-b", "train", tmp_path)] == [-1.0]
    assert [e.label for e in examples_of("sts-b", "test", tmp_path)] == [None]
