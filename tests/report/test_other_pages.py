"""Pages of questions, tags and pretraining: what they say of their runs."""

import pytest
from support.common import needs
from support.report_folders import (
    CONTEXT,
    PAIRS,
    QUESTIONS,
    RECORD,
    SENTENCES,
    WORDS,
    make_other,
    place,
    question,
    sentence,
)
from support.report_runs import EVIL

from bert_tf.metrics import entity_errors
from bert_tf.report import (
    pretraining,
    question_examples,
    question_threshold,
    questions,
    stored,
    tags,
)
from bert_tf.report.blocks import Marked

needs("matplotlib", "matplotlib>=3.9,<4")


def marks(parts):
    return [(p.text, p.label) for p in parts if isinstance(p, Marked)]


def text_of(parts):
    return "".join(getattr(p, "text", p) for p in parts)


@pytest.mark.parametrize(
    "text, word",
    [
        ("In which year did who build it?", "which"),
        ("HOW MANY doors are there?", "how many"),
        ("How much is it?", "how many"),
        ("how tall", "how"),
        ("Whose house?", "who"),
        ("Name the whole town.", "other"),
    ],
)
def test_question_words(text, word):
    assert questions.question_word(text) == word


def test_bins_have_names_without_gaps():
    assert questions.bin_names((1, 2, 3, 5, 10)) == [
        *("1", "2", "3", "4–5", "6–10", "more than 10")
    ]
    assert questions.bin_names((100, 150))[0] == "up to 100"


def test_answers_are_marked_where_they_stand_in_any_script():
    # The predicted answer is a part of the right one.
    parts = question_examples.marked_context(QUESTIONS[0], CONTEXT)
    assert marks(parts) == [
        ("Marta ", "right answer"),
        ("Nilsson", "right, predicted"),
    ]
    assert text_of(parts) == CONTEXT
    parts = question_examples.marked_context(QUESTIONS[1], CONTEXT)
    assert marks(parts) == [
        ("Marta Nilsson", "predicted"),
        ("1871", "right answer"),
    ]
    # No answer is predicted: only the right one is marked.
    parts = question_examples.marked_context(QUESTIONS[3], CONTEXT)
    assert marks(parts) == [("1871", "right answer")]


def test_a_long_context_is_shortened_around_the_answers():
    context = (
        "word " * 200 + "first " + "word " * 200 + "second" + " word" * 200
    )
    row = question(
        *("q", "Which?", "1871", "1871"),
        gold_at=place("second", context),
        predicted_at=place("first", context),
    )
    parts = question_examples.marked_context(row, context)
    assert [text for text, _ in marks(parts)] == ["first", "second"]
    assert len(text_of(parts)) < 700 and text_of(parts).count("[…]") == 3


def test_places_outside_the_context_are_not_marked():
    row = {**QUESTIONS[1], "gold_at": [5, 9999], "predicted_at": None}
    assert question_examples.marked_context(row, CONTEXT) == CONTEXT


def html_of(section):
    return "".join(block.html() for block in section.blocks)


def test_mistakes_are_sorted_by_what_went_wrong():
    section = question_examples.example_section(
        QUESTIONS, {0: CONTEXT}, "/dev.json"
    )
    assert [(b.summary, b.is_open) for b in section.blocks] == [
        ("The most confident mistakes (1)", True),
        ("Right in part (1)", False),
        ("Answered, but there is no answer (1)", False),
        ("Not answered, but there is an answer (1)", False),
        ("The least certain right answers (2)", False),
    ]


def test_scores_of_groups_and_the_share_of_long_contexts(tmp_path):
    run = stored.read(make_other(tmp_path / "run", "squad"))
    html = "".join(map(html_of, questions.sections(run)))
    assert "how many (1)" in html and "when (2)" in html
    # 2 of 6 are exact; F1 is (0.67 + 0 + 0 + 0 + 1 + 1) / 6.
    assert "33.3333" in html and "44.5000" in html
    assert "1 of 6 questions (16.7 %) are longer" in html


def test_the_best_threshold_is_named():
    rows = [
        question("a", "Who?", "1871", "1871", null_odds=-3.0),
        question("b", "Who?", "", "1871", null_odds=-1.0),
        question("c", "Who?", "", "", best_text="1871", null_odds=2.0),
    ]
    for row, is_right in zip(rows, (1.0, 0.0, 1.0), strict=True):
        row["exact"] = row["f1"] = is_right
    html = html_of(question_threshold.threshold_section(rows, 0.0))
    # Between -3, which must be answered, and -1, which must not.
    assert "F1 is 66.7 at the threshold 0.000" in html
    assert "100.0 at the best one, -2.000" in html
    assert "null_score_diff_threshold=-2.0000 would raise F1" in html


# ---------------------------------------------------------------------------
# Tags.


def test_errors_of_entities():
    gold = "B-PER I-PER O B-LOC O B-ORG O O B-LOC I-LOC".split()
    found = "B-PER O O B-ORG O O O B-PER I-ORG I-ORG".split()
    assert entity_errors(gold, found) == [
        ("boundary", ("PER", 0, 2), ("PER", 0, 1)),
        ("type", ("LOC", 3, 4), ("ORG", 3, 4)),
        ("missed", ("ORG", 5, 6), None),
        ("invented", None, ("PER", 7, 8)),
        ("type", ("LOC", 8, 10), ("ORG", 8, 10)),
    ]
    assert entity_errors(gold, gold) == []


def test_a_sentence_shows_right_and_found_entities():
    example = tags.example_of(SENTENCES[0], "/dev.conll")
    (right, gold), (found, predicted) = example.texts
    assert (right, found) == ("right", "found")
    assert marks(gold) == [(f"Zoë {EVIL}", "PER"), ("東京", "LOC")]
    assert marks(predicted) == [("Zoë", "PER"), ("東京", "PER")]
    assert text_of(gold) == text_of(predicted) == " ".join(WORDS)
    kinds = [
        [p.kind for p in t if isinstance(p, Marked)] for _, t in example.texts
    ]
    assert kinds == [["missed", "missed"], ["wrong", "wrong"]]
    assert [name for name, _ in example.facts] == [
        *("other boundaries", "another type")
    ]


def test_confusions_and_types_are_counted():
    html = html_of(tags.confusion_section(tags.scored_rows(SENTENCES)))
    for cells in (
        ("PER", "PER", "other boundaries", "1"),
        ("LOC", "PER", "another type", "1"),
        ("(nothing)", "LOC", "invented", "1"),
    ):
        assert cells in rows_of(html)
    html = html_of(tags.type_section(tags.scored_rows(SENTENCES)))
    # LOC: 1 of 2 found ones is right, 1 of 2 right ones is found.
    assert ("LOC", "2", "0.500", "0.500", "0.500") in rows_of(html)


def rows_of(html):
    """The cells of the rows of tables, four or five of each."""
    import re

    rows = []
    for row in re.findall("<tr>(.*?)</tr>", html):
        cells = re.findall(r"<t[hd][^>]*>(?:<span[^>]*>)?([^<]*)", row)
        rows += [tuple(cells[:4]), tuple(cells[:5])]
    return rows


def test_words_without_a_tag_do_not_count():
    row = sentence(["a", "b"], "O O", "B-PER O")
    row["label"] = [None, "O"]
    unknown = sentence(["a"], None, "B-PER")
    (scored,) = tags.scored_rows([row, unknown])
    assert (scored["words"], scored["label"]) == (["b"], ["O"])
    html = html_of(tags.sentence_section([unknown], ""))
    assert "<mark" in html and "PER" in html


# ---------------------------------------------------------------------------
# Pretraining.


def test_masked_places_show_the_right_piece_and_the_guesses():
    parts = pretraining.marked_tokens(RECORD)
    assert marks(parts) == [("cat", "1"), ("it", "2")]
    assert text_of(parts) == f"[CLS] the {EVIL} cats [SEP] it [SEP]"
    html = html_of(pretraining.record_section([RECORD]))
    assert "dog 0.50" in html and "comes from elsewhere (0.62)" in html
    assert "<script" not in html


def test_what_mask_was_taken_for():
    html = html_of(pretraining.piece_section(PAIRS))
    assert "6 of 10 masked places" in html and "(60.0 %)" in html
    assert ("the", "8", "0.750") in [row[:3] for row in rows_of(html)]
    assert ("cat", "2", "0.000", "dog (2)") in rows_of(html)
    ids = [{"piece": "#17", "predicted": "#3", "count": 1}]
    assert "by their ids" in html_of(pretraining.piece_section(ids))
