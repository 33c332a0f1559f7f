"""An index of a fake model's vectors: written, opened, damaged, searched."""

import json
import os
import resource
import signal

import numpy as np
import pytest
from support.search_fakes import TEXTS, vectors_of, write_index, write_model

from bert_tf.errors import UserError
from bert_tf.export import search_index
from bert_tf.export.search_index import SearchIndex


@pytest.fixture
def predictor(tmp_path):
    return write_model(tmp_path / "models", 1)


@pytest.fixture
def folder(tmp_path, predictor):
    write_index(tmp_path / "index", predictor)
    return tmp_path / "index"


def truncate(path, size=None):
    os.truncate(path, path.stat().st_size // 2 if size is None else size)


def describe(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def without_a_row(path):
    path.write_bytes(path.read_bytes().partition(b"\n")[2])


ROWS = np.arange(len(TEXTS))
DAMAGES = [
    ("index.json", truncate, "index.json:.*: not JSON"),
    ("index.json", lambda p: truncate(p, 0), "index.json:1: not JSON"),
    ("index.json", lambda p: p.write_text("[]"), "a JSON object of settings"),
    ("index.json", lambda p: p.write_text("{}"), "the version is None"),
    (
        "index.json",
        lambda p: describe(p, version=2),
        "the version is 2, and 1 is read; write the index again",
    ),
    ("index.json", lambda p: describe(p, num_texts=9), "num_texts is 9, but"),
    ("index.json", lambda p: describe(p, dimension=9), "dimension is 9, but"),
    ("vectors.npy", truncate, "vectors.npy: damaged"),
    ("vectors.npy", lambda p: truncate(p, 0), "vectors.npy: damaged"),
    ("vectors.npy", lambda p: p.unlink(), "vectors.npy: No such file"),
    ("vectors.npy", lambda p: np.save(p, [1.0]), "vectors.npy: damaged: an ar"),
    (
        "vectors.npy",
        lambda p: np.save(p, np.ones([5, 3], "float64")),
        "an array of 2 dimensions and of float32 is needed",
    ),
    (
        "vectors.npy",
        lambda p: np.savez(open(p, "wb"), np.ones([5, 3], "float32")),
        "an array of 2 dimensions and of float32 is needed",
    ),
    (
        "vectors.npy",
        lambda p: np.save(p, np.ones([4, 3], "float32")),
        "num_texts is 5, but vectors.npy has 4",
    ),
    ("offsets.npy", lambda p: np.save(p, ROWS[:4]), "offsets.npy is 4, but"),
    ("offsets.npy", lambda p: np.save(p, ROWS * 1.0), "and of int64 is needed"),
    ("offsets.npy", lambda p: np.save(p, -ROWS), "rows.jsonl: damaged: its"),
    ("offsets.npy", lambda p: np.save(p, ROWS + 1), "rows.jsonl: damaged: its"),
    ("offsets.npy", lambda p: np.save(p, ROWS << 40), "rows.jsonl: damaged"),
    ("rows.jsonl", truncate, "rows.jsonl: damaged: its lines are not where"),
    ("rows.jsonl", lambda p: truncate(p, 0), "rows.jsonl: damaged"),
    ("rows.jsonl", without_a_row, "rows.jsonl: damaged: its lines are not"),
    (
        "rows.jsonl",
        lambda p: truncate(p, p.stat().st_size - 1),
        "rows.jsonl: damaged: its lines are not where",
    ),
]


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    DAMAGES,
    ids=[f"{place} {name}" for place, (name, *_) in enumerate(DAMAGES)],
)
def test_a_damaged_index_is_not_opened(folder, name, damage, message):
    assert len(SearchIndex(str(folder))) == len(TEXTS)
    damage(folder / name)
    with pytest.raises(UserError, match=message) as error:
        SearchIndex(str(folder))
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [b"not JSON", b"[1]", b'{"id": 1, "text": "a"}', b"[" * 60, b"\xff"],
)
def test_a_damaged_row_is_named(folder, wrong):
    path = folder / "rows.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[2] = wrong.ljust(len(lines[2]))
    path.write_bytes(b"\n".join(lines))
    index = SearchIndex(str(folder))
    assert index.search(vectors_of(["b"]), 1)[0][0].text == "b"
    with pytest.raises(UserError, match="rows.jsonl:3: damaged"):
        index.search(vectors_of(["b"]), len(TEXTS))


def test_a_damaged_vector_is_named(folder):
    vectors = np.load(folder / "vectors.npy")
    vectors[2] = np.nan
    np.save(folder / "vectors.npy", vectors)
    index = SearchIndex(str(folder))
    with pytest.raises(UserError, match="vectors.npy: damaged: a vector is"):
        index.search(vectors_of(["b"]), len(TEXTS))


def test_vectors_that_do_not_fit_are_named(folder):
    index = SearchIndex(str(folder))
    width = index.vectors.shape[1]
    for shape in ([1, width + 1], [1, width - 1], [width], [1, 1, width]):
        with pytest.raises(ValueError, match=rf"shape \[Q, {width}\]"):
            index.search(np.ones(shape), 1)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            index.search(np.full([1, width], wrong), 1)
    with pytest.raises(ValueError, match="Received: k=0"):
        index.search(np.ones([1, width]), 0)
    assert index.search(np.ones([0, width]), 1) == []
    assert len(index.search(np.ones([1, width]), 99)[0]) == len(TEXTS)


def test_the_last_bits_of_a_cosine_do_not_decide(folder):
    """The first of equal texts comes first, though their vectors differ."""
    vectors = np.load(folder / "vectors.npy")
    first, last = (i for i, text in enumerate(TEXTS) if text == "b")
    vectors[first] = np.nextafter(vectors[first], 0)
    np.save(folder / "vectors.npy", vectors)
    found = SearchIndex(str(folder)).search(vectors_of(["b"]), 2)[0]
    assert [hit.id for hit in found] == [f"id {first}", f"id {last}"]
    assert found[0].score == found[1].score
    one = SearchIndex(str(folder)).search(vectors_of(["b"]), 1)[0]
    assert one == found[:1]


def test_an_index_of_vectors_that_are_not_finite_is_not_written(
    tmp_path, predictor, monkeypatch
):
    nan = {"embedding": np.array([1.0, np.nan, 0.0], "float32")}
    monkeypatch.setattr(predictor, "stream", lambda texts: (nan for _ in texts))
    with pytest.raises(UserError, match="the vector of row 1 is not finite"):
        write_index(tmp_path / "index", predictor)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_vectors_take_the_room_that_they_have(tmp_path, predictor, monkeypatch):
    """A file that is long before it is full kills the process, by SIGBUS, where
    the disk has no room for the rest."""
    sizes, stream = [], predictor.stream

    def watched(texts):
        for answer in stream(texts):
            path = tmp_path / ".index.new.tmp" / "vectors.npy"
            sizes.append(path.stat().st_size)
            yield answer

    monkeypatch.setattr(predictor, "stream", watched)
    write_index(tmp_path / "index", predictor, [*map(str, range(5000))])
    size = (tmp_path / "index" / "vectors.npy").stat().st_size
    assert size == 128 + 5000 * 3 * 4
    assert sizes[0] == 0 and max(sizes) < size


def test_a_full_disk_leaves_the_old_index(folder, predictor):
    """The size of a file is limited: writing fails as on a full disk."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    texts = [*map(str, range(5000))]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(OSError, match="could not be written") as error:
            write_index(folder, predictor, texts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert error.value.filename == str(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert not [*folder.parent.glob(".*")]


def test_ids_must_differ(tmp_path, predictor):
    with pytest.raises(UserError, match="'a' is that of the rows 1 and 3"):
        search_index.write(
            str(tmp_path / "index"), predictor, [(one, "x") for one in "aba"]
        )
    assert not (tmp_path / "index").exists()
