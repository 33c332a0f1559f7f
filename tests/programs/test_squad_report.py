"""What a run on questions leaves for its report."""

import json

import numpy as np

from bert_tf.data.squad.answers import Answer
from bert_tf.programs import pretraining_report, squad_report

CONTEXT = "Größe  😀\tin Zürich:\u3000東京塔 (1871), built by Anna."


def answer(text, words, null_odds=None):
    return Answer(text, [], null_odds, text, words)


def rows_of(tmp_path, qas, answers, has_unanswerable=False):
    data = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": qas}]}]}
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(data), "utf-8")
    sizes = {q["id"]: squad_report.Sizes(3, 9, 1, 0.5) for q in qas}
    gold = {q["id"]: [a["text"] for a in q["answers"]] for q in qas}
    found = [
        *squad_report.rows(str(path), answers, sizes, gold, has_unanswerable)
    ]
    (text,) = [context["text"] for context, _ in found if context]
    return text, [row for _, row in found]


def question(qas_id, text, start=None, **changes):
    if start is None:
        start = CONTEXT.index(text) if text else 0
    answers = [{"text": text, "answer_start": start}] if text else []
    return {"id": qas_id, "question": "?", "answers": answers, **changes}


def test_places_count_characters_of_any_script(tmp_path):
    text, rows = rows_of(
        tmp_path,
        [question("q1", "Zürich"), question("q2", "Anna")],
        {
            "q1": answer("in Zürich", (2, 3)),
            "q2": answer("1871", (3, 4)),
        },
    )
    for row, gold, predicted in zip(
        rows, ("Zürich", "Anna"), ("in Zürich", "1871"), strict=True
    ):
        places = row["gold_at"], row["predicted_at"]
        assert [text[start:end] for start, end in places] == [gold, predicted]
        assert row["place"].startswith("data[0].paragraphs[0].qas")
    assert [row["exact"] for row in rows] == [0.0, 0.0]
    assert rows[0]["f1"] == round(2 / 3, 5)


def test_places_that_count_bytes_are_found(tmp_path):
    start = len(CONTEXT[: CONTEXT.index("Anna")].encode())
    text, (row,) = rows_of(
        tmp_path, [question("q", "Anna", start)], {"q": answer("", None)}
    )
    first, end = row["gold_at"]
    assert text[first:end] == "Anna" and row["predicted_at"] is None


def test_questions_without_an_answer(tmp_path):
    _, (row,) = rows_of(
        tmp_path,
        [question("q", "", is_impossible=True)],
        {"q": Answer("", [], 2.5, "Anna", (5, 5))},
        has_unanswerable=True,
    )
    assert (row["gold"], row["exact"], row["f1"]) == ([], 1.0, 1.0)
    assert row["null_odds"] == 2.5 and row["predicted_at"] is not None
    assert "gold_at" not in row


def test_a_question_without_a_prediction_is_left_out(tmp_path):
    _, rows = rows_of(
        tmp_path,
        [question("q1", "Anna"), question("q2", "Anna")],
        {"q2": answer("Anna", (6, 6))},
    )
    assert [row["id"] for row in rows] == ["q2"]


def test_masked_positions_are_counted_up_to_a_number(monkeypatch):
    monkeypatch.setattr(pretraining_report, "NUM_POSITIONS", 3)
    monkeypatch.setattr(pretraining_report, "NUM_RECORDS", 1)
    sample = pretraining_report.MaskedSample()
    batch = {
        "input_ids": np.ones((2, 4), np.int32),
        "masked_lm_ids": np.array([[7, 8], [7, 0]]),
        "masked_lm_weights": np.array([[1.0, 1.0], [1.0, 0.0]]),
    }
    for _ in range(2):
        sample.add(batch, np.array([[7, 9], [9, 9]]))
    assert sample.pairs == {(7, 7): 1, (8, 9): 1, (7, 9): 1}
    assert (sample.num_records, sample.num_positions) == (4, 3)
    assert sample.records["masked_lm_ids"].shape == (1, 2)
    tokens = [f"t{i}" for i in range(10)]
    rows = [*pretraining_report.pair_rows(sample, tokens)]
    assert rows[0] == {"piece": "t7", "predicted": "t7", "count": 1}
