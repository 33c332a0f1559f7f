"""The demo: what README prints comes out, and plain messages are right."""

import csv
import json
import re

import numpy as np
import pytest
from support.common import ROOT, run_module
from support.programs import run_program

from bert_tf.explanations import Explainer
from bert_tf.export import Predictor

README = (ROOT / "README.md").read_text("utf-8")
SERVING = (ROOT / "docs" / "serving.md").read_text("utf-8")

with open(
    ROOT / "tests" / "golden" / "plain_messages.tsv", encoding="utf-8"
) as reader:
    # label, sort, text: obvious ones, none of which is in the bundled data.
    PLAIN = [*csv.DictReader(reader, delimiter="\t", quoting=csv.QUOTE_NONE)]

MIN_RIGHT = 57
# Other processors round otherwise, and a training makes more of it.
MAX_DIFFERENCE = 0.03
MAX_LOSS_DIFFERENCE = 0.06


def test_the_plain_messages_are_new_and_of_many_sorts():
    assert len(PLAIN) == len({row["text"].lower() for row in PLAIN}) == 60
    spam = [row["sort"] for row in PLAIN if row["label"] == "spam"]
    assert len(spam) == 30 and len(set(spam)) >= 10
    known = set()
    for name in ("train", "dev", "test"):
        text = (ROOT / f"bert_tf/assets/sms/{name}.tsv").read_text("utf-8")
        known |= {line.split("\t")[-1].lower() for line in text.splitlines()}
    assert known.isdisjoint(row["text"].lower() for row in PLAIN)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """README's first commands: [what each shows], run.log, the model."""
    out = tmp_path_factory.mktemp("demo")
    consoles = []
    for modes in (["--do_train", "--do_eval", "--do_predict"], ["--do_export"]):
        done = run_program("--task_name=sms", *modes, f"--output_dir={out}")
        assert done.returncode == 0, done.stderr
        consoles.append(done.stderr)
    return consoles, (out / "run.log").read_text("utf-8"), Predictor(str(out))


@pytest.mark.slow
def test_plain_messages_are_right(demo):
    *_, predictor = demo
    answers = predictor.predict([row["text"] for row in PLAIN])
    wrong = [
        (row["label"], row["text"])
        for row, answer in zip(PLAIN, answers, strict=True)
        if answer["label"] != row["label"]
    ]
    assert len(PLAIN) - len(wrong) >= MIN_RIGHT, wrong


# A row of README's table of labels, and a score.
ROW = r"^ +(ham|spam) +([\d.]+) +([\d.]+) +([\d.]+) +(\d+)$"
SCORE = r"\b(\w+) (\d\.\d{4})\b"


def scores_of(text):
    """(rows of labels, {score: value}) of the dev set that a console shows."""
    (block,) = re.findall(
        r"^Dev set +723 examples\b.*?^Written", text, re.M | re.S
    )
    return re.findall(ROW, block, re.M), dict(re.findall(SCORE, block))


@pytest.mark.slow
def test_the_printed_results_come_out(demo):
    (console, _), _, _ = demo
    (printed_rows, printed), (rows, found) = map(scores_of, (README, console))
    assert len(rows) == len(printed_rows) == 2 and [*found] == [*printed]
    for row, printed_row in zip(rows, printed_rows, strict=True):
        assert row[0] == printed_row[0] and row[-1] == printed_row[-1]
        for value, other in zip(row[1:4], printed_row[1:4], strict=True):
            assert abs(float(value) - float(other)) <= MAX_DIFFERENCE, row
    for name, value in printed.items():
        limit = MAX_LOSS_DIFFERENCE if "loss" in name else MAX_DIFFERENCE
        difference = abs(float(found[name]) - float(value))
        assert difference <= limit, (name, found[name], value)


# What a log of google-research/bert has, and what ours had before run.log.
LINES = (
    r"\*\*\*\* Trainable Variables \*\*\*\*",
    r"  name = bert/embeddings/word_embeddings:0, shape = \(4895, 128\), "
    r"\*INIT_FROM_CKPT\*",
    r"  name = output_bias:0, shape = \(2,\)",
    r"Not used from the checkpoint: cls/predictions/output_bias, .*",
    r"\*\*\* Example \*\*\*",
    r"guid: train-1",
    r"tokens: \[CLS\] an ##te - post .* \[SEP\]",
    r"input_ids: 22 143 1094 .* 0",
    r"input_mask: 1 1 .* 0",
    r"segment_ids: 0 0 .* 0",
    r"label: spam \(id = 1\)",
    r"\*\*\* Features \*\*\*",
    r"  name = input_ids, shape = \(32, 64\)",
    r"\*\*\*\*\* Running training \*\*\*\*\*",
    r"  Num examples = 3375",
    r"  Batch size = 32",
    r"  Num steps = 274",
    r"step 1/274  loss \d\.\d+  lr .*",
    r"\*\*\*\*\* Running evaluation \*\*\*\*\*",
    r"  Num examples = 723 \(723 actual, 0 padding\)",
    r"\*\*\*\*\* Eval report \*\*\*\*\*",
    r"\*\*\*\*\* Eval results \*\*\*\*\*",
    r"  eval_accuracy = 0\.\d+",
    r"  eval_loss = 0\.\d+",
    r"  global_step = 274",
    r"  loss = 0\.\d+",
    r"\*\*\*\*\* Running prediction\*\*\*\*\*",
    r"\*\*\*\*\* Predict results \*\*\*\*\*",
    r"\*\*\*\*\* Test results \*\*\*\*\*",
    r"\*\*\*\*\* Running export \*\*\*\*\*",
)
PREFIX = r"^[DIWE]\d{4} [\d:.]+ +\d+ \w+\.py:\d+\] "


@pytest.mark.slow
def test_people_see_a_page_and_run_log_has_everything(demo):
    (console, export), log, _ = demo
    lines = console.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) < 400, console
    for first in ("Data ", "Model ", "Train set ", "Devices ", "Lengths "):
        assert any(line.startswith(first) for line in lines), first
    assert "random at first: output_weights, output_bias" in console
    assert lines[-1].startswith("Next ") and "--do_export" in lines[-1]
    assert len(export.splitlines()) <= 10, export
    for text in (console, export):  # Nothing of TensorFlow, and no details.
        assert not re.search(r"oneDNN|cuda|absl::|\*\*\*", text), text
    starts = re.findall(r"^# \d{4}-.* in .*: (?:python )?.*$", log, re.M)
    assert len(starts) == 2 and "--do_predict" in starts[0]
    for line in LINES:
        assert re.search(f"{PREFIX}{line}$", log, re.M), line
    assert len(re.findall(rf"{PREFIX}\*\*\* Example", log, re.M)) == 15
    training, _ = log.split(starts[1])
    assert len(re.findall(r"\*INIT_FROM_CKPT\*$", training, re.M)) == 39
    for line in lines:
        assert line in log


def printed_answers():
    """(text, label, score) of each answer of the demo in README and docs."""
    for text in (README, SERVING):
        for call, answers in re.findall(
            r"^predictor\.predict\((\[.*\])\)\n# (\[.*\])$", text, re.MULTILINE
        ):
            label, score = re.search(
                r'"label": "(\w+)", "score": ([\d.]+)', answers
            ).groups()
            yield json.loads(call)[0], label, float(score)
    for request, reply in re.findall(
        r"^curl -d '(\{\"instances.*?\})' .*sms:predict\n# (\{.*\})$",
        SERVING,
        re.MULTILINE,
    ):
        texts = json.loads(request)["instances"]
        for sent, answer in zip(
            texts, json.loads(reply)["predictions"], strict=True
        ):
            yield sent, answer["label"], answer["score"]
    for request, reply in re.findall(
        r"^curl -d '(\{\"examples.*?\})' .*sms:classify +# (\{.*\})$",
        SERVING,
        re.MULTILINE,
    ):
        for sent, scores in zip(
            json.loads(request)["examples"],
            json.loads(reply)["results"],
            strict=True,
        ):
            yield sent["text"], *max(scores, key=lambda pair: pair[1])


@pytest.mark.slow
def test_the_printed_answers_come_out(demo):
    *_, predictor = demo
    expected = [*printed_answers()]
    assert len(expected) == 3
    answers = predictor.predict([text for text, _, _ in expected])
    for (text, label, score), answer in zip(expected, answers, strict=True):
        assert answer["label"] == label, (text, answer)
        assert abs(answer["score"] - score) <= MAX_DIFFERENCE, (text, answer)


@pytest.mark.slow
def test_the_words_that_explain_an_answer_are_those_it_depends_on(demo):
    """Without them the logit falls more than without as many others."""
    explainer = Explainer.open(demo[2].folder)
    rng = np.random.default_rng(0)
    falls = []
    for row in PLAIN[:20]:
        text = row["text"]
        found = explainer.explain(text)
        total = sum(word.score for word in found.words)
        difference = found.logit - found.baseline_logit
        assert abs(total - difference) <= max(0.01 * abs(difference), 1e-4)
        words = [word for word in found.words if word.text.isalnum()]
        number = max(1, len(words) // 5)
        best = sorted(words, key=lambda word: -word.score)[:number]
        others = [words[i] for i in rng.permutation(len(words))[:number]]
        of_best, of_others = (
            found.logit - logit_without(explainer, text, several, found.target)
            for several in (best, others)
        )
        falls.append((of_best, of_others))
    of_best, of_others = np.mean(falls, axis=0)
    assert of_best > 2 * max(of_others, 0.05)


def logit_without(explainer, text, words, label):
    """The logit of a label for a text without some words."""
    for word in sorted(words, key=lambda word: -word.start):
        text = text[: word.start] + text[word.end :]
    return explainer.explain(text, label, tolerance=1.0).logit


@pytest.mark.slow
def test_a_soak_loses_no_request(demo, tmp_path):
    """A short one: new versions and hostile requests while clients ask."""
    done = run_module(
        "bert_tf.tools.soak",
        f"--model={demo[2].folder}",
        f"--output_dir={tmp_path}",
        "--num_requests=1500",
        "--reloads=1",
        "--max_growth_mb=400",  # It is too short for a judgement.
    )
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = json.loads((tmp_path / "soak.json").read_text())
    assert numbers["failures"] == [] and len(numbers["reloads"]) == 1
    assert (tmp_path / "soak.svg").is_file()
