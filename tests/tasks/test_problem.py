"""Problems: examples to features, scores, thresholds, lines of predictions."""

import dataclasses
import json

import numpy as np
import pytest
from support.programs import DEMO

from bert_tf import FullTokenizer, metrics
from bert_tf.data.input_example import InputExample
from bert_tf.data.multiple_choice import ChoiceExample
from bert_tf.data.tagged.tag_schemes import Spelling
from bert_tf.data.tagging import LearnedTags, Sentence
from bert_tf.data.text_reader import TextReader, TextReaderSettings
from bert_tf.errors import UserError
from bert_tf.metrics import reports
from bert_tf.tasks import record as task_record
from bert_tf.tasks import registry
from bert_tf.tasks.multiple_choice import MultipleChoice
from bert_tf.tasks.regression import Regression
from bert_tf.tasks.relations import Relations
from bert_tf.tasks.tagging import Tagging
from bert_tf.tasks.texts import MultiLabel, SingleLabel

VOCAB = str(DEMO / "demo" / "vocab.txt")
LONG = "call me when you are home, and do not forget the bread and milk"


def reader_of(**settings):
    settings = TextReaderSettings(
        vocab_file=VOCAB, max_seq_length=10, **settings
    )
    return TextReader(FullTokenizer(VOCAB), settings)


TEXTS = ["free call", f"{LONG} {LONG}", "", "Zoë said: no!"]


def examples(labels, pairs=(None,) * 4):
    rows = zip(TEXTS, pairs, labels, strict=True)
    return [InputExample(f"x-{i}", *row) for i, row in enumerate(rows)]


SENTENCES = [
    Sentence("s-0", LONG.split(), ["O"] * 14 + ["B-X"], LONG.split()),
    Sentence("s-1", ["free", "\x00", "Zoë"], ["B-X", "I-X", "O"], [""] * 3),
]
PROBLEMS = {
    "single label": (SingleLabel(["a", "b"]), examples(["a", "b", "b", None])),
    "pairs": (
        SingleLabel(["a", "b"]),
        examples(["a", "b", "b", "a"], ["a pair", LONG, LONG, ""]),
    ),
    "several labels": (
        MultiLabel(["a", "b", "c"]),
        examples([("a", "c"), (), ("b",), None]),
    ),
    "numbers": (Regression(2.0, 0.5), examples([1.0, 2.5, 3.0, None])),
    "tags": (Tagging(["O", "B-X", "I-X"]), SENTENCES),
    "endings": (
        MultipleChoice(3),
        [
            ChoiceExample("c-0", LONG, ["yes", LONG, "no"], "2"),
            ChoiceExample("c-1", "free", ["", "call"], None),
        ],
    ),
}
READERS = {
    name: reader_of(long_documents=name) for name in ("truncate", "head_tail")
}
READERS["windows"] = reader_of(
    long_documents="windows", max_windows=3, doc_stride=5
)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("long_documents", READERS)
def test_the_graph_and_python_make_the_same(name, long_documents):
    problem, found = PROBLEMS[name]
    reader = READERS[long_documents]
    is_windows = long_documents == "windows"
    if is_windows and name == "pairs":
        with pytest.raises(UserError, match="does not support pairs"):
            problem.prepare(found, reader)
        return
    if is_windows and "long_documents" in problem.refused_flags:
        return
    prepared = problem.prepare(found, reader)
    specs = problem.feature_specs(reader)
    (rows,) = problem.rows(prepared, reader).batch(len(prepared))
    in_graph = problem.features_of_rows(rows, reader)
    assert {*in_graph} == {spec.name for spec in specs}
    converted = [problem.convert(example, reader)[0] for example in prepared]
    for spec in specs:
        ours = np.array([row[spec.name] for row in converted])
        ours = ours.reshape(-1, *spec.shape)
        np.testing.assert_array_equal(in_graph[spec.name], ours, spec.name)
    lengths = problem.num_tokens(prepared, reader)
    assert (lengths > reader.capacity).any() == (name != "tags")


def test_windows_hold_more():
    reader = READERS["windows"]
    assert reader.capacity == 2 * 5 + 10
    with pytest.raises(UserError, match="^doc_stride=9: .* hold 8 pieces"):
        reader_of(long_documents="windows", doc_stride=9)


def lines_of(problem, file, found, outputs):
    text = problem.prediction_files()[file]
    pairs = zip(found, outputs, strict=True)
    return text.header + "".join(text.text_of(*pair) for pair in pairs)


def test_several_labels():
    problem = MultiLabel(["a", "b"])
    truth = [("a",), ("a", "b"), (), ("b",)]
    # At 0.5 `a` is always given; it should be from logit 1 on.
    outputs = np.array([[2.0, -9], [1, 3], [0.1, -9], [0.2, 3]])
    found = problem.evaluate(truth, list(outputs), 8)
    assert {*found.scores} == problem.metric_names
    # a: 2 of 4 right, b: 2 of 2.
    assert found.results["micro_f1"] == pytest.approx(8 / 10)
    assert found.results["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found.results["exact_match"] == 0.5
    tuned = problem.tune(truth, list(outputs))
    assert tuned.record()["labels"] == ["a", "b"]
    json.dumps(tuned.record())
    low, high = (1 / (1 + np.exp(-x)) for x in (0.2, 1.0))
    assert tuned.thresholds["a"] == pytest.approx((low + high) / 2)
    after = tuned.evaluate(truth, list(outputs), 8)
    assert after.results["micro_f1_tuned"] == 1.0
    assert after.report["labels"]["a"]["f1"] == 1.0
    assert lines_of(
        tuned, "test_predictions.tsv", examples([None] * 4), outputs
    ) == ("id\tlabels\nx-0\ta\nx-1\ta,b\nx-2\t\nx-3\tb\n")
    assert not after.is_collapsed
    # Extreme logits stay finite.
    extreme = tuned.evaluate(truth, list(outputs * 1e4), 8)
    assert np.isfinite(extreme.results["eval_loss"])


def test_numbers():
    problem = Regression(mean=10.0, deviation=2.0)
    outputs = [np.array([x]) for x in (-1.0, 0.0, 1.5)]
    found = problem.evaluate([8.0, 10.0, 12.0], outputs, 8)
    assert {*found.scores} == problem.metric_names
    assert found.results["mean_absolute_error"] == pytest.approx(1 / 3)
    assert found.results["eval_loss"] == pytest.approx(0.25 / 3)
    assert found.results["spearman"] == 1.0
    assert found.results["pearson"] == pytest.approx(0.9934, abs=1e-4)
    constant = problem.evaluate([8.0, 10.0], [np.zeros(1)] * 2, 8)
    assert constant.is_collapsed and not found.is_collapsed
    assert constant.results["pearson"] == constant.results["spearman"] == 0.0
    some = examples([None] * 4)[:3]
    assert lines_of(problem, "test_predictions.tsv", some, outputs) == (
        "id\tprediction\nx-0\t8\nx-1\t10\nx-2\t13\n"
    )


def test_endings():
    problem = MultipleChoice(3)
    found = [
        ChoiceExample("c-0", "t", ["x", "y", "z"], "2"),
        ChoiceExample("c-1", "t", ["x", "y"], "0"),
    ]
    outputs = [np.array([0.0, 0, np.log(2)]), np.array([0.0, 5, -1e9])]
    scores = problem.evaluate(["2", "0"], outputs, 8)
    assert scores.results["eval_accuracy"] == 0.5
    expected = (np.log(2) + np.log1p(np.exp(5))) / 2
    assert scores.results["eval_loss"] == pytest.approx(expected)
    assert {*scores.scores} == problem.metric_names
    text = lines_of(problem, "test_results.tsv", found, outputs)
    assert [len(line.split("\t")) for line in text.splitlines()] == [3, 2]
    text = lines_of(problem, "test_predictions.tsv", found, outputs)
    assert text.splitlines()[1] == "c-0\t2\t0.5"


def test_tags():
    problem = Tagging(["O", "B-X", "I-X"])
    outputs = [np.eye(3)[[0] * 14 + [1]] * 9, np.eye(3)[[1, 0, 0]] * 9]
    truth = [sentence.labels for sentence in SENTENCES]
    found = problem.evaluate(truth, outputs, 8)
    assert {*found.scores} == problem.metric_names
    assert found.results["f1"] == 0.5
    assert found.results["eval_accuracy"] == pytest.approx(17 / 18)
    assert found.report["micro_avg"]["support"] == 2


def test_tags_that_are_missing_or_unknown():
    """The first are not scored, the second are missed."""
    problem = Tagging(["O", "B-X", "I-X"])
    logits = np.eye(3)[[1, 2, 0, 1]] * 9
    truth = ["B-X", "I-X", None, "B-Y"]
    found = problem.evaluate([truth, None, [None]], [logits] * 3, 8)
    assert found.results["eval_accuracy"] == np.float32(2 / 3)
    assert found.results["precision"] == found.results["recall"] == 0.5
    assert found.results["eval_loss"] < 0.01
    assert found.report["labels"]["Y"]["support"] == 1


def test_tags_are_written_as_training_spells_them():
    spelling = Spelling(separator="_", letters="BILU")
    labels = ["O", "S-X", "B-X", "E-X"]
    problem = Tagging(labels, LearnedTags(labels, spelling, "BIOES"))
    sentence = Sentence("s-0", [*"abc"], None, [*"abc"])
    logits = np.eye(4)[[2, 3, 1]] * 9
    text = problem.prediction_files()["test_predictions.conll"]
    assert text.lines(sentence, logits) == "a B_X\nb L_X\nc U_X\n"
    problem = dataclasses.replace(problem, prediction_format="spans")
    text = problem.prediction_files()["test_predictions.jsonl"]
    found = json.loads(text.lines(sentence, logits))["spans"]
    assert [(s["start"], s["end"]) for s in found] == [(0, 3), (4, 5)]
    assert found[0]["score"] == pytest.approx(0.99963, abs=1e-5)
    read = LearnedTags.from_record(json.loads(json.dumps(problem.record())))
    assert read == problem.learned


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_was_learned_is_read_again(name, tmp_path):
    problem, _ = PROBLEMS[name]
    path = tmp_path / "task.json"
    record = task_record.TaskRecord.of(problem)
    path.write_text(json.dumps(record.to_json()), encoding="utf-8")
    assert task_record.read(str(tmp_path)) == record
    assert json.loads(path.read_text())["problem"] == problem.kind
    assert registry.PROBLEMS[problem.kind] is type(problem)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"problem": "tags", "labels": 5}',
        '{"problem": "tags", "labels": ["O"], "tag_spelling": {"form": "x"}}',
        '{"problem": "single_label", "labels": [1, 2]}',
        '{"problem": "regression", "mean": 3.0}',
        '{"problem": "regression", "mean": 1, "deviation": Infinity}',
        '{"problem": "multi_label", "labels": ["a"], "thresholds": {"a": "b"}}',
    ],
)
def test_a_damaged_task_json(tmp_path, text):
    (tmp_path / "task.json").write_text(text)
    with pytest.raises(UserError, match="task.json: damaged; train again"):
        task_record.read(str(tmp_path))
    assert task_record.read(str(tmp_path / "nowhere")) is None


def test_a_report_as_a_person_reads_it():
    report = reports.classification_report(
        ["ham", "accuracy"], [0, 0, 0, 1], [0, 0, 1, 1]
    )
    assert report["labels"]["accuracy"] == {
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
        "support": 1,
    }
    assert report["accuracy"] == 0.75
    lines = reports.format_report(json.loads(json.dumps(report)))
    assert lines[0].split() == ["precision", "recall", "f1", "support"]
    assert lines[1].split() == ["ham", "1.0000", "0.6667", "0.8000", "3"]
    assert lines[-1] == "accuracy = 0.7500"
    # A class that the set does not have is in the table all the same.
    missing = reports.classification_report(["a", "b"], [0, 0], [0, 0])
    assert missing["labels"]["b"]["support"] == 0


# ---------------------------------------------------------------------------
# Labels that training did not have.


def test_an_unknown_label_counts_as_wrong():
    problem = SingleLabel(["a", "b"], {"macro_f1": metrics.macro_f1})
    logits = [np.array(row) for row in ([2.0, 0], [0, 1.0], [3.0, 0], [0, 1])]
    known = problem.evaluate(["a", "b"], logits[:2], 2)
    found = problem.evaluate(["a", "b", "new", "odd"], logits, 2)
    assert found.results["eval_accuracy"] == 0.5
    assert found.results["eval_loss"] == known.results["eval_loss"]
    assert found.scores["balanced_loss"] == known.scores["balanced_loss"]
    # a: 1 of 2 predictions is right, b: 1 of 2; two labels have F1 0.
    assert found.scores["macro_f1"] == pytest.approx((2 / 3 + 2 / 3) / 4)
    labels = found.report["labels"]
    assert [*labels] == ["a", "b", "new", "odd"]
    assert labels["new"] == dict.fromkeys(reports.SCORES, 0.0) | {"support": 1}
    assert problem.label_value("new") == 0
    nothing = problem.evaluate(["new"], logits[:1], 2)
    assert nothing.results["eval_accuracy"] == 0
    assert np.isnan(nothing.results["eval_loss"])


def test_matthews_correlation_counts_unknown_labels():
    problem = SingleLabel(
        ["0", "1"],
        {"mcc": metrics.matthews_correlation, "f1": metrics.f1},
    )
    logits = [np.array(row) for row in ([2.0, 0], [0, 1.0], [0, 1.0])]
    found = problem.evaluate(["0", "1", "2"], logits, 2)
    assert 0 < found.scores["mcc"] < 1
    assert found.scores["f1"] == pytest.approx(2 / 3)


def test_an_unknown_label_among_several_is_missed():
    problem = MultiLabel(["a", "b"])
    truth = [("a",), ("a", "new"), ("b",)]
    outputs = [np.array(row) for row in ([3.0, -3], [3, -3], [-3, 3])]
    found = problem.evaluate(truth, outputs, 8)
    known = problem.evaluate([("a",), ("a",), ("b",)], outputs, 8)
    assert found.results["eval_loss"] == known.results["eval_loss"]
    assert found.results["micro_f1"] == pytest.approx(6 / 7)
    assert found.results["macro_f1"] == pytest.approx(2 / 3)
    assert found.results["exact_match"] == pytest.approx(2 / 3)
    assert found.report["labels"]["new"]["support"] == 1
    assert {*problem.tune(truth, outputs).thresholds} == {"a", "b"}


def test_an_unknown_relation_counts_in_the_mean():
    problem = Relations(["A", "B", "Other"])
    logits = [np.array(row) for row in ([2.0, 0, 0], [0, 1.0, 0], [0, 1, 0])]
    found = problem.evaluate(["A", "B", "C"], logits, 2)
    assert found.results["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found.report["labels"]["C"]["support"] == 1


@pytest.mark.parametrize("metric", metrics.MULTI_LABEL_NAMES)
def test_thresholds_are_tuned_by_the_metric(metric):
    generator = np.random.default_rng(3)
    outputs = generator.normal(size=[60, 3]) - [0, 2, 1]
    chances = 1 / (1 + np.exp(-2 * outputs - 1))
    truth = [
        tuple(np.array(["a", "b", "c"])[row])
        for row in generator.random([60, 3]) < chances
    ]
    problem = MultiLabel(["a", "b", "c"])
    tuned = {
        other: problem.tune(truth, list(outputs), other)
        .evaluate(truth, list(outputs), 8)
        .results
        for other in metrics.MULTI_LABEL_NAMES
    }
    by_metric = {name: row[f"{metric}_tuned"] for name, row in tuned.items()}
    assert by_metric[metric] == max(by_metric.values())
    assert by_metric[metric] > tuned[metric][metric]
    assert problem.tune(truth, list(outputs), f"{metric}_tuned") == (
        problem.tune(truth, list(outputs), metric)
    )


def test_a_report_shows_both_thresholds():
    problem = MultiLabel(["a", "b"])
    truth, outputs = (
        [("a",), ("b",)],
        [np.array([-1.0, 1]), np.array([-2.0, 2])],
    )
    assert "at_0.5" not in problem.evaluate(truth, outputs, 8).report
    tuned = problem.tune(truth, outputs)
    report = tuned.evaluate(truth, outputs, 8).report
    assert report["thresholds"] == tuned.thresholds
    assert report["at_0.5"]["labels"]["a"]["recall"] == 0.0
    assert report["labels"]["a"]["recall"] == 1.0
    lines = reports.format_report(report)
    place = lines.index("With thresholds of 0.5 instead of the tuned ones:")
    assert lines[0] == lines[place + 1] and lines[1] != lines[place + 2]
    json.dumps(report)
