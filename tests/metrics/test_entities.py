"""Entities are found and counted as conlleval does it."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_tf.metrics.entities import entity_scores, entity_spans


@pytest.mark.parametrize(
    "tags, spans",
    [
        ("", []),
        ("O O", []),
        ("B-X I-X O", ["X 0 2"]),
        ("B-X B-X", ["X 0 1", "X 1 2"]),
        ("O I-X I-X O I-X", ["X 1 3", "X 4 5"]),  # IOB1.
        ("I-X B-X I-X", ["X 0 1", "X 1 3"]),
        ("I-X E-X I-X E-X", ["X 0 2", "X 2 4"]),  # IOE1.
        ("B-PER I-LOC I-LOC", ["PER 0 1", "LOC 1 3"]),
        ("I-PER I-LOC", ["PER 0 1", "LOC 1 2"]),
        ("O O B-X", ["X 2 3"]),  # The last word.
        ("B-X I-X E-X S-X B-X E-X", ["X 0 3", "X 3 4", "X 4 6"]),
        ("B-X I-X O", ["X 0 2"]),  # An E is missing.
        ("B-X I-X B-X E-X", ["X 0 2", "X 2 4"]),
        ("B-X S-X I-X E-X", ["X 0 1", "X 1 2", "X 2 4"]),
        ("S-X E-X", ["X 0 1", "X 1 2"]),
        ("E-X E-X", ["X 0 1", "X 1 2"]),
        ("E-X B-X", ["X 0 1", "X 1 2"]),
        ("O E-X O", ["X 1 2"]),
        ("B-a-b I-a-b I-a", ["a-b 0 2", "a 2 3"]),
        ("B I B-X", [" 0 2", "X 2 3"]),  # No type is a type, too.
    ],
)
def test_spans(tags, spans):
    found = [f"{kind} {s} {e}" for kind, s, e in entity_spans(tags.split())]
    assert found == spans


def test_scores():
    gold = ["B-PER I-PER O B-LOC", "B-LOC O"]
    predicted = ["B-PER I-PER O B-ORG", "B-LOC B-LOC"]
    scores = entity_scores(
        [tags.split() for tags in gold], [tags.split() for tags in predicted]
    )
    assert scores == {
        "precision": 2 / 4,
        "recall": 2 / 3,
        "f1": pytest.approx(4 / 7),
        "accuracy": 4 / 6,
        "types": {
            "LOC": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
            "ORG": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
            "PER": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1},
        },
    }
    assert list(scores["types"]) == ["LOC", "ORG", "PER"]


def test_the_ends_must_agree():
    scores = entity_scores([["B-X", "I-X", "O"]], [["B-X", "I-X", "I-X"]])
    assert scores["f1"] == 0.0 and scores["accuracy"] == 2 / 3
    scores = entity_scores([["O", "B-X", "I-X"]], [["B-X", "I-X", "I-X"]])
    assert scores["f1"] == 0.0 and scores["accuracy"] == 1 / 3


def test_other_prefixes_of_the_same_entity_are_right():
    scores = entity_scores([["B-X", "I-X", "O"]], [["I-X", "E-X", "O"]])
    assert scores["f1"] == 1.0 and scores["accuracy"] == 1 / 3


def test_no_entity_crosses_the_border_of_sentences():
    scores = entity_scores([["O", "B-X"], ["I-X"]], [["O", "B-X"], ["O"]])
    assert scores["types"]["X"]["support"] == 2
    assert (scores["precision"], scores["recall"]) == (1.0, 0.5)


@pytest.mark.parametrize("sentences", [[], [[]], [["O"]]])
def test_nothing_to_count(sentences):
    scores = entity_scores(sentences, sentences)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0, 0, 0)
    assert scores["types"] == {}
    assert scores["accuracy"] == float(sentences == [["O"]])


@pytest.mark.parametrize(
    "gold, predicted", [([["O"]], []), ([["O", "O"]], [["O"]])]
)
def test_both_sides_have_the_same_words(gold, predicted):
    with pytest.raises(ValueError):
        entity_scores(gold, predicted)


# ---------------------------------------------------------------------------
# A second witness: conlleval's way, one word after the other, without spans.

# Pairs of prefixes between which an entity of the same type ends or starts.
ENDS = {"BB", "BO", "IB", "IO", "EE", "EI", "EO"}
STARTS = {"BB", "IB", "OB", "OI", "EE", "EI", "OE"}
# Pairs that the script's descendants add.
MORE_ENDS = {"BS", "IS", "ES", "EB", "SE", "SI", "SO", "SS", "SB"}
MORE_STARTS = {"BS", "IS", "OS", "ES", "EB", "SE", "SI", "SS", "SB"}


class Conlleval:
    """Reads (gold tag, predicted tag) of each word; None is a sentence's end.

    Attributes:
        gold, found, right: {type: number of entities}.
        num_words, num_right: words, and those of which the tags agree.
    """

    def __init__(self, ends, starts):
        self.ends, self.starts = ends, starts
        self.gold, self.found, self.right = (
            collections.Counter() for _ in range(3)
        )
        self.num_words = self.num_right = 0
        self.in_right = False  # An entity has started on both sides.
        self.last = ("O", ""), ("O", "")

    def ended(self, last, tag):
        return last[0] + tag[0] in self.ends or (
            last[0] != "O" and last[1] != tag[1]
        )

    def started(self, last, tag):
        return last[0] + tag[0] in self.starts or (
            tag[0] != "O" and last[1] != tag[1]
        )

    def read(self, pair):
        now = tuple(
            tuple(tag.split("-", 1)) if "-" in tag else (tag, "")
            for tag in pair or ("O", "O")
        )
        (last_gold, last_found), (gold, found) = self.last, now
        gold_ended = self.ended(last_gold, gold)
        found_ended = self.ended(last_found, found)
        if self.in_right:
            if gold_ended and found_ended and last_gold[1] == last_found[1]:
                self.in_right = False
                self.right[last_gold[1]] += 1
            elif gold_ended != found_ended or gold[1] != found[1]:
                self.in_right = False
        gold_started = self.started(last_gold, gold)
        found_started = self.started(last_found, found)
        if gold_started and found_started and gold[1] == found[1]:
            self.in_right = True
        self.gold[gold[1]] += gold_started
        self.found[found[1]] += found_started
        if pair is not None:
            self.num_words += 1
            self.num_right += gold == found
        self.last = now

    def finish(self):
        if self.in_right:
            self.right[self.last[0][1]] += 1


def tags_of(prefixes):
    kinds = ["-A", "-B", "-A-B", ""]
    tags = [p + k for p in prefixes for k in kinds] + ["O"] * 3
    return st.sampled_from(tags)


def sentences_of(prefixes):
    pair = st.tuples(tags_of(prefixes), tags_of(prefixes))
    # Often the same on both sides: else nothing long is ever right.
    same = tags_of(prefixes).map(lambda tag: (tag, tag))
    return st.lists(st.lists(same | same | pair, max_size=12), max_size=4)


def check(sentences, ends, starts, last_border):
    script = Conlleval(ends, starts)
    for number, sentence in enumerate(sentences, start=1):
        for pair in sentence:
            script.read(pair)
        if number < len(sentences) or last_border:
            script.read(None)
    script.finish()
    scores = entity_scores(
        [[gold for gold, _ in sentence] for sentence in sentences],
        [[found for _, found in sentence] for sentence in sentences],
    )
    counts = script.right.total(), script.gold.total(), script.found.total()
    check_shares(scores, *counts)
    assert scores["accuracy"] == (
        script.num_right / script.num_words if script.num_words else 0
    )
    kinds = sorted(+script.gold | +script.found)
    assert list(scores["types"]) == kinds
    for kind in kinds:
        of_kind = scores["types"][kind]
        right, gold, found = (
            counter[kind]
            for counter in (script.right, script.gold, script.found)
        )
        assert of_kind["support"] == gold
        check_shares(of_kind, right, gold, found)


def check_shares(scores, num_right, num_gold, num_found):
    precision = num_right / num_found if num_found else 0.0
    recall = num_right / num_gold if num_gold else 0.0
    f1 = 2 * precision * recall / (precision + recall) if num_right else 0.0
    assert (scores["precision"], scores["recall"]) == (precision, recall)
    assert scores["f1"] == pytest.approx(f1)


@given(sentences=sentences_of("BI"), last_border=st.booleans())
def test_b_and_i_as_the_script(sentences, last_border):
    check(sentences, ENDS, STARTS, last_border)


@given(sentences=sentences_of("IE"), last_border=st.booleans())
def test_i_and_e_as_the_script(sentences, last_border):
    check(sentences, ENDS, STARTS, last_border)


@given(sentences=sentences_of("BIES"), last_border=st.booleans())
def test_all_prefixes_as_its_descendants(sentences, last_border):
    ends, starts = ENDS | MORE_ENDS, STARTS | MORE_STARTS
    check(sentences, ends, starts, last_border)
