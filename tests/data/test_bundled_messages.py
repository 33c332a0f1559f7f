"""The bundled messages: format, labels, words and likeness across the files."""

import collections
import math
import re

import pytest
from support.programs import DEMO

NAMES = ("train", "dev", "test")
WORD = re.compile(r"\d+|[^\W\d_]+")

# What each word's share of the spam must exceed its share of the wanted
# messages by, in the training set. Both kinds have all of them: neither a
# won match is spam, nor a lottery's winner wanted.
SPAM_WORDS = (
    ("account", 2),
    ("bank", 1.5),
    ("bonus", 2),
    ("call", 1.5),
    ("card", 2),
    ("cash", 2),
    ("claim", 2),
    ("code", 1),
    ("congratulations", 1.5),
    ("crypto", 2),
    ("delivery", 1.5),
    ("fee", 2),
    ("free", 2),
    ("gift", 2),
    ("loan", 2),
    ("lottery", 2),
    ("money", 1.5),
    ("offer", 1),
    ("package", 1.5),
    ("parcel", 1.3),
    ("pills", 1.5),
    ("prize", 2),
    ("refund", 2),
    ("sale", 1.5),
    ("tax", 2),
    ("urgent", 0.8),
    ("win", 2),
    ("winner", 2),
    ("won", 1.2),
)


@pytest.fixture(scope="module")
def sets():
    """{file: [[label, text], …]}."""
    found = {}
    for name in NAMES:
        text = (DEMO / "sms" / f"{name}.tsv").read_text(encoding="utf-8")
        header, *rows = text.removesuffix("\n").split("\n")
        assert header == "label\ttext"
        found[name] = [row.split("\t") for row in rows]
    return found


def words_of(text):
    """Words in small letters; any number counts as the same word."""
    found = WORD.findall(text.lower())
    return ["0" if word.isdigit() else word for word in found]


def triples_of(text):
    words = words_of(text)
    last = max(1, len(words) - 2)
    return frozenset(tuple(words[i : i + 3]) for i in range(last))


def alike(texts, features_of, least):
    """Pairs (i, j) whose sets' intersection over union is `least` or more.

    Such sets share one of the rarest |set| - ceil(least * |set|) + 1 features
    of each, which leaves few pairs to compare.
    """
    sets = [features_of(text) for text in texts]
    counts = collections.Counter(x for found in sets for x in found)
    having = collections.defaultdict(list)
    pairs = set()
    for i, found in enumerate(sets):
        rarest = sorted(found, key=lambda x: (counts[x], x))
        prefix = rarest[: len(found) - math.ceil(least * len(found)) + 1]
        for j in {j for x in prefix for j in having[x]}:
            shared = len(found & sets[j])
            if shared >= least * (len(found) + len(sets[j]) - shared):
                pairs.add((j, i))
        for x in prefix:
            having[x].append(i)
    return pairs


def test_every_row_is_a_label_and_a_text(sets):
    for name, rows in sets.items():
        for row in rows:
            assert len(row) == 2, (name, row)
            label, text = row
            assert label in ("ham", "spam"), (name, row)
            assert text == text.strip() and 2 <= len(text) <= 320, (name, row)


def test_labels_and_sizes_are_balanced(sets):
    """No majority that wins; 70, 15 and 15 of 100 in the files."""
    total = sum(map(len, sets.values()))
    for name, share in zip(NAMES, (0.7, 0.15, 0.15), strict=True):
        labels = [label for label, _ in sets[name]]
        assert 0.42 < labels.count("spam") / len(labels) < 0.55, name
        assert abs(len(labels) / total - share) < 0.01, name


def test_no_message_is_near_another_files(sets):
    """Numbers aside: 3 of 10 word triples, or 6 of 10 words of 5 or more."""
    rows = [(name, text) for name in NAMES for _, text in sets[name]]
    texts = [text for _, text in rows]
    assert len(texts) == len({tuple(words_of(text)) for text in texts})
    pairs = alike(texts, triples_of, 0.3)
    pairs |= {
        (i, j)
        for i, j in alike(texts, lambda text: frozenset(words_of(text)), 0.6)
        if min(len(set(words_of(texts[k]))) for k in (i, j)) >= 5
    }
    found = [(rows[i], rows[j]) for i, j in pairs if rows[i][0] != rows[j][0]]
    assert not found


def test_likeness_finds_what_comparing_all_pairs_does(sets):
    """And finds texts with a word changed, or a number."""
    texts = [text for _, text in sets["dev"][:150]]
    texts += [f"Well, {text}" for text in texts[:20]]
    texts += ["Call 555-0101 now", "call 555 0199 now!"]
    for features_of, least in ((triples_of, 0.3), (triples_of, 0.8)):
        found = alike(texts, features_of, least)
        features = [features_of(text) for text in texts]
        expected = {
            (i, j)
            for j in range(len(texts))
            for i in range(j)
            if len(features[i] & features[j])
            >= least * len(features[i] | features[j])
        }
        assert found == expected
        assert (len(texts) - 2, len(texts) - 1) in found


def test_words_of_spam_are_not_lopsided_the_wrong_way(sets):
    """With "prize" more often in wanted messages, "your prize!" is wanted."""
    counts = {"ham": collections.Counter(), "spam": collections.Counter()}
    messages = collections.Counter()
    for label, text in sets["train"]:
        messages[label] += 1
        counts[label].update(set(words_of(text)))
    for word, times in SPAM_WORDS:
        ham = counts["ham"][word] / messages["ham"]
        spam = counts["spam"][word] / messages["spam"]
        assert 0 < ham * times < spam, (word, counts["ham"][word])
