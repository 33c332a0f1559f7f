"""Which file, and which part of the training file, each set is read from."""

import dataclasses
import json
import math
import pathlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_tf.data import splits
from bert_tf.data.splits import FileSettings
from bert_tf.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Files have short names, as errors show them."""
    monkeypatch.chdir(tmp_path)
    for name in ("x", "y", "z"):
        (tmp_path / name).touch()


@dataclasses.dataclass
class Example:
    guid: str
    number: int
    label: str | tuple | float | None


def reader(labels):
    """Function that reads such examples from any file."""
    return lambda path, set_type: [
        Example(f"{set_type}-{number}", number, label)
        for number, label in enumerate(labels)
    ]


def split(labels, sets=("train", "dev", "test"), **settings):
    """{set: the rows' numbers}."""
    found = splits.read_sets(
        FileSettings(train_file="x", **settings),
        sets,
        reader(labels),
        label_of=lambda example: example.label,
    )
    assert list(found) == list(sets)
    for name, examples in found.items():
        for example in examples:
            assert example.guid == f"{name}-{example.number}"
    return {
        name: [example.number for example in examples]
        for name, examples in found.items()
    }


def error_of(sets, **settings):
    with pytest.raises(UserError) as caught:
        splits.read_sets(FileSettings(**settings), sets, reader("ab"))
    return str(caught.value)


# ---------------------------------------------------------------------------
# Files.


def test_files_of_their_own():
    calls = []

    def read(path, set_type):
        calls.append((path, set_type))
        return [path]

    settings = FileSettings(train_file="x", dev_file="y", test_file="z")
    found = splits.read_sets(settings, ["test", "train", "dev"], read)
    assert found == {"test": ["z"], "train": ["x"], "dev": ["y"]}
    assert list(found) == ["test", "train", "dev"]
    assert calls[0] == ("x", "train") and len(calls) == 3
    calls.clear()
    assert splits.read_sets(settings, ["dev"], read) == {"dev": ["y"]}
    assert calls == [("y", "dev")]


def test_a_part_and_a_file():
    calls = []

    def read(path, set_type):
        calls.append((path, set_type))
        return reader("a" * 10)(path, set_type)

    settings = FileSettings(train_file="x", dev_fraction=0.2, test_file="z")
    found = splits.read_sets(settings, ["dev", "test"], read)
    assert [len(examples) for examples in found.values()] == [2, 10]
    assert calls == [("x", "train"), ("z", "test")]


def test_a_pick_of_ones_own():
    settings = FileSettings(train_file="x", dev_fraction=0.5)
    found = splits.read_sets(
        settings,
        ["train", "dev"],
        lambda path, set_type: range(10),
        pick=lambda numbers, set_type, indices: (set_type, indices),
    )
    assert found["dev"][0] == "dev"
    assert sorted(found["train"][1] + found["dev"][1]) == [*range(10)]


def test_ids_say_the_set():
    examples = [Example(name, 0, None) for name in ("train-1", "7", "a train-")]
    found = splits.pick_and_rename(examples, "dev", [2, 0, 1])
    assert [example.guid for example in found] == ["a train-", "dev-1", "7"]
    assert examples[0].guid == "train-1"
    assert splits.pick_as_they_are(examples, "dev", [0]) == examples[:1]


@pytest.mark.parametrize(
    "settings, sets, message",
    [
        ({}, ["train"], "train_file must be given"),
        ({}, ["dev"], "dev_file or dev_fraction must be given"),
        ({}, ["test"], "test_file or test_fraction must be given"),
        (
            {"dev_fraction": 0.1},
            ["dev"],
            "dev_fraction=0.1: takes rows of train_file, which must be given",
        ),
        (
            {"train_file": "no"},
            ["train"],
            "train_file=no: no such file or folder",
        ),
        (
            {"train_file": "no", "dev_fraction": 0.1},
            ["dev"],
            "train_file=no: no such file or folder",
        ),
        (
            {"test_file": "."},
            ["test"],
            "test_file=.: is a folder, not a file",
        ),
    ],
)
def test_missing_files_are_named(settings, sets, message):
    assert error_of(sets, **settings) == message


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"dev_fraction": 0.5, "test_fraction": 0.5},
            "dev_fraction=0.5 and test_fraction=0.5: together they must "
            "be below 1",
        ),
        (
            {"dev_fraction": -0.1},
            "dev_fraction=-0.1: must be at least 0 and below 1",
        ),
        (
            {"test_fraction": math.nan},
            "test_fraction=nan: must be at least 0 and below 1",
        ),
    ],
)
def test_wrong_fractions_are_named(settings, message):
    assert error_of(["train"], train_file="x", **settings) == message


# ---------------------------------------------------------------------------
# Splits.


@pytest.mark.parametrize("name, other", [("test", "dev"), ("dev", "test")])
def test_a_set_with_a_file_leaves_the_rows_of_the_others(name, other):
    labels, fractions = "ab" * 50, {"dev_fraction": 0.2, "test_fraction": 0.2}
    before = split(labels, **fractions)
    now = split(labels, **fractions, **{f"{name}_file": "y"})
    assert now["train"] == before["train"]
    assert now[other] == before[other]
    assert len(now[name]) == 100


def check_shares(parts, groups, fractions):
    """Each group gives its share, within one row."""
    for group in groups:
        for name, fraction in fractions.items():
            share = len(group) * fraction
            assert abs(len(group & set(parts[name])) - share) < 1 + 1e-9


@given(
    labels=st.lists(st.sampled_from("aaaaabbbcde"), min_size=40),
    dev=st.sampled_from([0.1, 0.2, 1 / 3]),
    test=st.sampled_from([0.1, 0.25, 0.5]),
    seed=st.integers(0, 5),
)
@pytest.mark.parametrize("form", [str, tuple])
def test_splits_are_stratified(form, labels, dev, test, seed):
    labels = [form(label) for label in labels]
    settings = {
        "dev_fraction": dev,
        "test_fraction": test,
        "split_seed": seed,
    }
    parts = split(labels, **settings)
    assert parts == split(labels, **settings)
    everything = sorted(sum(parts.values(), []))
    assert everything == list(range(len(labels)))
    groups = [
        {i for i, label in enumerate(labels) if label == name}
        for name in set(labels)
    ]
    fractions = {"train": 1 - dev - test, "dev": dev, "test": test}
    check_shares(parts, groups, fractions)
    for name, indices in parts.items():
        assert indices == sorted(indices)
        assert split(labels, [name], **settings) == {name: indices}
    del settings["dev_fraction"]
    assert split(labels, ["test"], **settings)["test"] == parts["test"]


def test_totals_are_near_their_shares():
    labels = [f"l{i % 1000}" for i in range(3000)]
    parts = split(labels, dev_fraction=0.1, test_fraction=0.2)
    assert len(parts["test"]) == 600 and len(parts["dev"]) == 300


def test_values_are_stratified():
    values = [(i * 7919) % 1000 / 10 for i in range(1000)]
    settings = {"dev_fraction": 0.1, "test_fraction": 0.05}
    parts = split(values, **settings)
    assert sorted(sum(parts.values(), [])) == list(range(1000))
    ranges = [
        {i for i, value in enumerate(values) if low <= value < low + 2}
        for low in range(0, 100, 2)
    ]
    fractions = {"train": 0.85, "dev": 0.1, "test": 0.05}
    check_shares(parts, ranges, fractions)
    other = split(values, split_seed=1, **settings)
    assert other["dev"] != parts["dev"]


def test_the_seed_chooses_the_rows():
    found = {
        tuple(
            split("ab" * 50, ["dev"], dev_fraction=0.1, split_seed=seed)["dev"]
        )
        for seed in range(5)
    }
    assert len(found) == 5


def test_rare_labels_stay_in_training():
    labels = ["a"] * 60 + ["b"] * 40 + list(string.ascii_lowercase[2:])
    for seed in range(5):
        parts = split(
            labels,
            dev_fraction=0.2,
            test_fraction=0.2,
            split_seed=seed,
        )
        assert {labels[i] for i in parts["train"]} == set(labels)
        assert len(parts["dev"]) == len(parts["test"]) == 20


def test_ids_cannot_be_split_as_labels():
    labels = [str(i) for i in range(20)]
    with pytest.raises(UserError, match="each row has another label"):
        split(labels, ["dev"], dev_fraction=0.1)


@pytest.mark.parametrize(
    "settings, sets, message",
    [
        (
            {"dev_fraction": 0.1},
            ["dev"],
            "dev_fraction=0.1: no row of x is in the dev set then",
        ),
        (
            {"dev_fraction": 0.5, "test_fraction": 0.49},
            ["train"],
            "dev_fraction=0.5 and test_fraction=0.49: no row of x is in "
            "the train set then",
        ),
    ],
)
def test_a_set_without_rows_is_an_error(settings, sets, message):
    with pytest.raises(UserError) as caught:
        split([("a",), ("b",)], sets, **settings)
    assert str(caught.value) == message


def test_the_order_of_several_labels_says_nothing():
    labels = [("a", "b"), ("b", "a")] * 5
    parts = split(labels, ["train", "dev"], dev_fraction=0.1)
    assert [*map(len, parts.values())] == [9, 1]


@given(
    number=st.integers(20, 200),
    dev=st.sampled_from([0.1, 1 / 3]),
    test=st.sampled_from([0.1, 0.5]),
)
def test_splits_without_labels(number, dev, test):
    parts = split([None] * number, dev_fraction=dev, test_fraction=test)
    assert sorted(sum(parts.values(), [])) == [*range(number)]
    fractions = {"train": 1 - dev - test, "dev": dev, "test": test}
    check_shares(parts, [{*range(number)}], fractions)


GOLDEN = pathlib.Path(__file__).with_name("golden_splits.json")


def test_rows_stay_in_their_sets():
    """The split of a file never changes. Letters are sets: train ., d, t."""
    for golden in json.loads(GOLDEN.read_text()):
        expected = golden.pop("sets")
        labels = [
            tuple(label) if isinstance(label, list) else label
            for label in golden.pop("labels")
        ]
        rows = ["?"] * len(labels)
        parts = splits._split(labels, FileSettings(**golden))
        for name, letter in (("train", "."), ("dev", "d"), ("test", "t")):
            for index in parts[name]:
                rows[index] = letter
        assert "".join(rows) == expected, golden
