"""Checks of the doctor: rows, near duplicates, labels, machine, quick part."""

import itertools
import random
import time

import numpy as np
import pytest
from support.programs import DEMO

from bert_tf import BertConfig, FullTokenizer
from bert_tf.data.input_example import InputExample
from bert_tf.doctor import (
    duplicates,
    label_errors,
    machine,
    near_duplicates,
    quick,
    rows,
)

WORDS = [f"{a}{b}" for a, b in itertools.product("abcdefgh", repeat=2)]
H200 = "NVIDIA H200"


def row_set(texts, labels=None, set_type="train"):
    labels = labels or ["x"] * len(texts)
    examples = [
        InputExample(str(i), text, None, label)
        for i, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    return rows.of_examples(examples, set_type, "single_label", "a.csv")


def sentences(number, seed, length=12):
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=length)) for _ in range(number)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't  STOP!", "don t stop"),
        ("Straße — 1", "strasse 1"),
        (" ?! ", "?!"),
        ("a_b\t(c)", "a b c"),
    ],
)
def test_normalized(text, expected):
    assert rows.normalized(text) == expected


# --- Near duplicates ---


def shingles(text):
    words = text.split()
    return {*zip(words, words[1:], words[2:], strict=False)}


def test_near_duplicates_are_those_of_all_pairs():
    texts = sentences(300, 1, 25)
    draw = random.Random(2)
    changed = []
    for text in texts[:100]:
        words = text.split()
        for _ in range(draw.randrange(3)):
            words[draw.randrange(len(words))] = "changed"
        changed.append(" ".join(words))
    ours, theirs = [*map(shingles, changed)], [*map(shingles, texts)]
    expected = {
        (row, other)
        for row, one in enumerate(ours)
        for other, two in enumerate(theirs)
        if len(one & two) >= near_duplicates.SIMILAR * len(one | two)
    }
    found = {*near_duplicates.Index(texts).find(changed)}
    assert found <= expected
    assert len(found) >= 0.9 * len(expected) and 30 < len(expected) < 100


def test_short_texts_are_no_near_duplicates():
    index = near_duplicates.Index(["how are you today", "a b c d e f"])
    assert [*index.find(["how are you today", "a b c d e f"])] == [(1, 1)]
    assert [*near_duplicates.Index([]).find(["a b c d e f"])] == []


def test_an_overlap_is_measured_by_the_repetitions_in_training():
    texts = sentences(400, 3)
    dev = row_set(texts[:20] + sentences(180, 4), set_type="dev")
    (finding,) = duplicates.check_overlap(dev, row_set(texts))
    assert finding.severity == "warning"
    # Where every text stands there twice, a tenth in common is chance.
    (finding,) = duplicates.check_overlap(dev, row_set(texts * 2))
    assert finding.severity == "note"


# --- Label errors ---


def test_label_errors_by_the_paper():
    probabilities = np.array(
        [
            [0.9, 0.1, 0.0],  # As its label.
            [0.2, 0.7, 0.1],  # Label 0: likelier 1, above its threshold.
            [0.45, 0.55, 0.0],  # Label 0: 1 is likelier, not above it.
            [0.1, 0.8, 0.1],
            [0.5, 0.4, 0.1],  # Label 1: 0 is likelier, not above it.
            [0.1, 0.1, 0.8],
        ]
    )
    label_ids = np.array([0, 0, 0, 1, 1, 2])
    margins = label_errors.margins(probabilities, label_ids)
    np.testing.assert_allclose(
        margins, [0.8, -0.5, -0.1, 0.7, -0.1, 0.7], atol=1e-12
    )
    margins[3] = -0.6
    found = label_errors.find(probabilities, margins, label_ids)
    # Thresholds: 0.517, 0.6, 0.8.
    assert found.is_error.tolist() == [False, True, *[False] * 4]
    assert found.order.tolist() == [3, 1, 2, 4, 5, 0]
    assert found.scores.tolist() == margins.tolist()
    assert found.likely.tolist() == [0, 1, 1, 1, 0, 2]


def test_flipped_labels_come_first():
    draw = np.random.default_rng(0)
    true = draw.integers(0, 3, 1000)
    flipped = draw.choice(1000, 50, replace=False)
    given = true.copy()
    given[flipped] = (given[flipped] + 1) % 3
    logits = draw.normal(0, 1, (1000, 3)) + 4 * np.eye(3)[true]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    margins = label_errors.margins(probabilities, given)
    found = label_errors.find(probabilities, margins, given)
    assert len({*found.order[:50]} & {*flipped}) > 40
    assert 30 < found.is_error.sum() < 80


def test_folds_keep_texts_together_and_labels_apart():
    keys = [n // 2 for n in range(400)]
    labels = [n % 3 == 0 for n in range(400)]
    fold = label_errors.folds(keys, labels, 5, seed=1)
    assert (fold[::2] == fold[1::2]).all()
    sizes = np.bincount(fold)
    assert len(sizes) == 5 and sizes.min() == sizes.max() == 80
    assert (fold != label_errors.folds(keys, labels, 5, seed=2)).any()


# --- The machine ---

CUDA = {
    "is_cuda_build": True,
    "cuda_compute_capabilities": ["sm_60", "sm_80", "sm_89", "compute_90"],
}


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ({"seen": 0}, None),
        ({"seen": 1, "present": [H200], "capabilities": ["9.0"]}, None),
        ({"seen": 1, "present": ["A"], "capabilities": ["8.6"]}, None),
        ({"seen": 0, "present": [H200]}, "libraries of CUDA"),
        ({"seen": 0, "present": [H200], "build": {"x": 1}}, "processors alone"),
        ({"seen": 1, "present": ["B"], "capabilities": ["12.0"]}, "has 12.0"),
    ],
)
def test_devices(devices, expected):
    found = machine.check_devices(machine.Devices(**{"build": CUDA, **devices}))
    assert len(found) == (expected is not None)
    if expected:
        assert expected in found[0].line()


def test_the_estimate_of_memory_is_what_was_measured():
    # {(layers, width, batch, length): GB at the most}, see docs/doctor.md.
    for (layers, width, batch, length), peak in PEAKS.items():
        config = BertConfig(
            vocab_size=30522,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // (32 if width < 512 else 64),
            intermediate_size=4 * width,
        )
        need = machine.need_of(config, batch, length)
        assert need.total == pytest.approx(peak * 1e9, rel=0.15)


PEAKS = {
    (6, 384, 32, 128): 2.89,
    (6, 384, 16, 256): 3.15,
    (6, 384, 32, 256): 4.66,
    (4, 768, 16, 128): 2.73,
}


def test_the_batch_that_fits_is_advised():
    need = machine.Need(weights=1e9, activations=64e9)
    (finding,) = machine.check_memory(need, 40e9, "this machine", 64)
    assert finding.severity == "error"
    # (0.9 * 40 - 1.2 - 1) GB hold 33 sequences.
    assert "`gradient_accumulation_steps`=2" in finding.advice
    assert machine.check_memory(need, None, "", 64) == []


# --- The quick part ---


@pytest.fixture(scope="module")
def tokenizer():
    return FullTokenizer(str(DEMO / "demo" / "vocab.txt"))


def test_the_quick_part_of_many_rows(tokenizer):
    texts = sentences(100_000, 5)
    labels = ["x", "y"] * 50_000
    dev_texts = texts[:2_000] + sentences(8_000, 6)
    sets = [row_set(texts, labels), row_set(dev_texts, None, "dev")]
    start = time.process_time()
    (finding,) = quick.look(sets, tokenizer)
    assert time.process_time() - start < 2  # 0.3 s where nothing else runs.
    assert finding.name == "overlap" and finding.where
    (share,) = [int(w) for w in finding.what.split() if w.isdecimal()][:1]
    assert 15 < share < 25
    assert quick.look(sets, tokenizer, said=["overlap"]) == []


def test_the_quick_part_finds_what_is_wrong_with_texts_and_labels(tokenizer):
    texts = sentences(100, 7)
    odd = [f"{text} ∀ ∃ ⊕ ∇ ⊗ ⌘" for text in texts]
    names = [f.name for f in quick.look([row_set(odd)], tokenizer)]
    assert names == ["unknown words"]
    labels = ["x"] * 100 + ["y"] * 100
    names = [f.name for f in quick.look([row_set(texts * 2, labels)], None)]
    assert names == ["contradicting labels"]
