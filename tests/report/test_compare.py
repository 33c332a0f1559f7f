"""The page that compares runs."""

import json
import re

import pytest
from support.common import needs
from support.report_folders import (
    CONTEXT,
    QUESTIONS,
    SENTENCES,
    make_other,
)
from support.report_runs import EVIL, make_run

from bert_tf.errors import UserError
from bert_tf.report import changes, compare, over_seeds, stored

needs("matplotlib", "matplotlib>=3.9,<4")
from bert_tf.report import writing  # noqa: E402

CONTEXTS = [{"context": 0, "text": CONTEXT}]


def answered(row, predicted):
    is_right = float(predicted == (row["gold"] or [""])[0])
    return {**row, "predicted": predicted, "exact": is_right}


@pytest.fixture
def runs(tmp_path):
    """Folders of two runs on the same questions, whose answers differ."""
    first = make_other(tmp_path / "one" / "run", "squad")
    rows = [
        answered(QUESTIONS[0], "Marta Nilsson"),  # Fixed.
        answered(QUESTIONS[1], "Nilsson"),  # Wrong in both.
        QUESTIONS[2],
        QUESTIONS[3],
        answered(QUESTIONS[4], ""),  # Broken.
        QUESTIONS[5],
    ]
    second = make_other(
        tmp_path / "two" / "run",
        "squad",
        {"eval": rows, "contexts": CONTEXTS},
        learning_rate=5e-5,
        scores={"f1": 60.0, "exact": 30.0},
    )
    return [first, second]


def page(folders, **settings):
    return compare.page_of_runs([*map(stored.read, folders)], **settings)


def test_which_texts_changed_their_answer(runs):
    first, second = (
        changes.ANSWERS["squad"](stored.read(folder), "eval") for folder in runs
    )
    found, number = changes.changes_between(first, second)
    assert number == 6
    assert [(c.how, c.before.row["id"]) for c in found] == [
        ("fixed", "q1"),
        ("changed", "q2"),
        ("broken", "q5"),
    ]


def test_the_page_of_two_runs(runs):
    html = page(runs)
    assert "<script" not in html and EVIL[:8] not in html
    text = re.sub("<[^>]*>", " ", html)
    # The best of each score; the flags that differ and no others.
    assert re.search(r"one\s+50\.0000\s+40\.0000 ★", text)
    assert re.search(r"two\s+60\.0000 ★\s+30\.0000", text)
    assert re.search(r"learning_rate\s+0\.0001\s+5e-05", text)
    assert "output_dir" not in text and "max_seq_length" not in text
    assert "two: fixed (1)" in text and "two: broken (1)" in text
    # Curves of both runs in one picture.
    assert "one 0.3000, two 0.3000" in text


def test_runs_that_cannot_be_compared_are_refused_in_one_line(runs, tmp_path):
    other = make_other(tmp_path / "tags", "tags")
    with pytest.raises(UserError, match=r"tags: a run of tags, but .*one/run"):
        page([runs[0], other])
    fewer = make_other(
        tmp_path / "fewer",
        "squad",
        {"eval": QUESTIONS[:4], "contexts": CONTEXTS},
    )
    with pytest.raises(UserError, match="dev set is not that .*: 2 texts of 6"):
        page([runs[0], fewer])
    with pytest.raises(UserError, match="named twice"):
        page([runs[0], runs[0]])
    with pytest.raises(UserError, match="at least two"):
        page(runs[:1])


def test_texts_with_the_same_id_must_be_the_same(runs, tmp_path):
    rows = [{**QUESTIONS[0], "question": "Who?"}, *QUESTIONS[1:]]
    other = make_other(
        tmp_path / "other", "squad", {"eval": rows, "contexts": CONTEXTS}
    )
    with pytest.raises(UserError, match="2 texts of 7"):
        page([runs[0], other])


def test_several_runs_are_compared_with_the_first(runs, tmp_path):
    third = make_other(tmp_path / "three" / "run", "squad", seed=3)
    text = re.sub("<[^>]*>", " ", page([*runs, third]))
    numbers = r"two\s+6\s+1\s+1\s+1\s+3\s+three\s+6\s+0\s+0\s+0\s+0"
    assert re.search(numbers, text)


def test_answers_of_other_kinds(tmp_path):
    row = {**SENTENCES[0], "predicted": SENTENCES[0]["label"]}
    runs = [
        make_other(tmp_path / "a", "tags", {"eval": SENTENCES[:1]}),
        make_other(tmp_path / "b", "tags", {"eval": [row]}),
    ]
    assert "b: fixed (1)" in page(runs)
    for kind in ("single_label", "multi_label", "multiple_choice"):
        first = make_run(tmp_path / kind / "a", kind)
        other = make_run(tmp_path / kind / "b", kind)
        path = tmp_path / kind / "b" / "report" / "eval.jsonl"
        lines = [json.loads(line) for line in path.open()]
        lines[0]["logits"] = [-x for x in lines[0]["logits"]]
        path.write_text("".join(map(stored.to_line, lines)))
        html = page([first, other])
        assert re.search(r"b: (fixed|broken|changed) \(1\)", html), kind
        assert "<script" not in html


def test_mean_and_spread_over_the_seeds(tmp_path):
    runs = []
    for rate in (1e-4, 5e-5):
        for seed in (1, 2):
            score = 1e5 * rate + seed
            folder = tmp_path / f"{rate}-{seed}"
            scores = {"f1": score, "exact": -score}
            runs.append(
                make_other(
                    folder,
                    *("squad", {}),
                    seed=seed,
                    learning_rate=rate,
                    scores=scores,
                )
            )
    text = re.sub("<[^>]*>", " ", page(runs))
    assert re.search(
        r"learning_rate=0\.0001\s+2\s+11\.5000 ± 0\.7071 ★\s+-11\.5000", text
    )
    assert re.search(r"learning_rate=5e-05\s+2\s+6\.5000 ± 0\.7071", text)
    assert over_seeds.mean_and_spread([1.0]) == "1.0000"


def test_a_folder_of_several_runs(tmp_path):
    for name in ("a", "b"):
        make_other(tmp_path / name, "squad", seed=ord(name))
    runs = [
        {"folder": "a", "status": "finished", "collapsed": False},
        {"folder": "b", "status": "finished", "collapsed": True},
        {"folder": "c", "status": "diverged", "reason": f"NaN {EVIL}"},
    ]
    (tmp_path / "runs.json").write_text(json.dumps({"runs": runs}))
    path = writing.write_page(str(tmp_path))
    assert path == str(tmp_path / "report.html")
    html = open(path, encoding="utf-8").read()
    text = re.sub("<[^>]*>", " ", html)
    assert re.search(r"b\s+gives all examples the same answer", text)
    assert re.search(r"c\s+diverged: NaN &lt;script", text)
    (tmp_path / "runs.json").write_text('{"runs": [3]}')
    with pytest.raises(UserError, match="it lists no runs"):
        writing.write_page(str(tmp_path))


@pytest.mark.parametrize(
    "folders, names",
    [
        (["/x/a/out", "/x/b/out"], ["a", "b"]),
        (["/x/seed-1", "/x/seed-2/"], ["seed-1", "seed-2"]),
        (["/x", "/x/y"], ["x", "x/y"]),
        (["a/1/b", "a/2/c"], ["1/b", "2/c"]),
    ],
)
def test_names_are_what_paths_do_not_share(folders, names):
    assert compare.names_of(folders) == names
