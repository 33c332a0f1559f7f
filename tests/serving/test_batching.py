"""Batches: which rows share one, in which order, and whose error is whose."""

import threading
import time

import numpy as np
import pytest

from bert_tf.serving.batching import UNPREPARED, Batcher, QueueFull


class Model:
    """A `run` that records its batches; it waits while `may_run` is cleared."""

    def __init__(self):
        self.batches = []
        self.on_batch = lambda: None
        self.may_run = threading.Event()
        self.may_run.set()

    def __call__(self, key, payloads):
        self.may_run.wait()
        self.batches.append((key, list(payloads)))
        self.on_batch()
        if "wrong" in payloads:
            raise ValueError("a wrong one")
        return {"text": np.array(payloads, object)}


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def make_batcher(model):
    made = []

    def make(**settings):
        made.append(Batcher(model, **settings))
        return made[-1]

    yield make
    model.may_run.set()
    for batcher in made:
        batcher.close()


def rows(*texts, key="k"):
    return [(key, text) for text in texts]


def texts_of(future):
    return [result["text"] for result in future.result(timeout=5)]


def hold(model, batcher, key="k"):
    """Submits one row, which runs until `model.may_run` is set."""
    model.may_run.clear()
    held = batcher.submit(rows("first", key=key))
    while batcher.num_waiting:
        time.sleep(0.001)
    return held


def test_what_gathers_while_a_batch_runs_is_the_next(model, make_batcher):
    batcher = make_batcher(max_batch_size=8)
    held = hold(model, batcher)
    futures = [batcher.submit(rows(f"a{i}", f"b{i}")) for i in range(3)]
    model.may_run.set()
    assert texts_of(held) == ["first"]
    assert [texts_of(f) for f in futures] == [
        [f"a{i}", f"b{i}"] for i in range(3)
    ]
    assert [len(payloads) for _, payloads in model.batches] == [1, 6]


def test_a_batch_holds_one_key_and_results_keep_their_order(
    model, make_batcher
):
    batcher = make_batcher()
    hold(model, batcher)
    mixed = [(len(t), t) for t in ("aaa", "b", "ccc", "dd", "e")]
    future = batcher.submit(mixed)
    model.may_run.set()
    assert texts_of(future) == ["aaa", "b", "ccc", "dd", "e"]
    assert model.batches[1:] == [
        (3, ["aaa", "ccc"]),
        (1, ["b", "e"]),
        (2, ["dd"]),
    ]


def test_a_short_request_does_not_wait_for_all_of_a_long_one(
    model, make_batcher
):
    batcher = make_batcher(max_batch_size=2)
    hold(model, batcher)
    long = batcher.submit(rows(*"abcdef"))
    short = batcher.submit(rows("short"))
    model.may_run.set()
    assert texts_of(short) == ["short"] and texts_of(long) == list("abcdef")
    order = [text for _, payloads in model.batches for text in payloads]
    assert order.index("short") <= 3 and order.index("f") == 7


def test_a_long_request_is_not_starved_by_short_ones(model, make_batcher):
    batcher = make_batcher(max_batch_size=2)
    hold(model, batcher)
    long = batcher.submit(rows(*"abcdef"))
    # With each batch, two more short ones arrive.
    model.on_batch = lambda: long.done() or batcher.submit(rows("s", "s"))
    model.may_run.set()
    assert texts_of(long) == list("abcdef")
    assert [payloads for _, payloads in model.batches].index(["e", "f"]) <= 7


def test_what_is_wrong_with_one_is_not_the_others_error(model, make_batcher):
    batcher = make_batcher()
    hold(model, batcher)
    good, bad = batcher.submit(rows("good")), batcher.submit(rows("wrong"))
    model.may_run.set()
    assert texts_of(good) == ["good"]
    with pytest.raises(ValueError, match="a wrong one"):
        bad.result(timeout=5)


def test_a_full_queue_takes_nothing(model, make_batcher):
    batcher = make_batcher(max_queue=3)
    hold(model, batcher)
    batcher.submit(rows("a", "b"))
    with pytest.raises(QueueFull):
        batcher.submit(rows("c", "d"))
    assert batcher.num_waiting == 2
    assert not batcher.submit(rows("c")).done()


def test_rows_that_nobody_waits_for_are_not_run(model, make_batcher):
    batcher = make_batcher()
    hold(model, batcher)
    gone, kept = batcher.submit(rows("gone")), batcher.submit(rows("kept"))
    assert gone.cancel()
    model.may_run.set()
    assert texts_of(kept) == ["kept"]
    assert model.batches[1:] == [("k", ["kept"])]


def test_it_waits_only_for_senders_that_were_there_before(model, make_batcher):
    batcher = make_batcher(max_wait_seconds=0.5)
    start = time.perf_counter()
    for _ in range(20):  # A single client.
        texts_of(batcher.submit(rows("a")))
    assert time.perf_counter() - start < 0.4
    hold(model, batcher)
    together = [batcher.submit(rows("a")), batcher.submit(rows("b"))]
    model.may_run.set()
    for future in together:
        texts_of(future)
    again = [batcher.submit(rows("a"))]
    time.sleep(0.02)  # The other client takes a little longer.
    again.append(batcher.submit(rows("b")))
    for future in again:
        texts_of(future)
    assert [len(payloads) for _, payloads in model.batches[-2:]] == [2, 2]


def test_closing_answers_what_was_submitted(model):
    batcher = Batcher(model, max_batch_size=1)
    hold(model, batcher)
    futures = [batcher.submit(rows(f"{i}")) for i in range(5)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    model.may_run.set()
    closing.join(timeout=5)
    assert [texts_of(f) for f in futures] == [[f"{i}"] for i in range(5)]


def test_a_model_that_answers_nonsense_fails_its_batch_alone():
    answers = [{"a": np.float32(1)}, {"a": np.array([7])}]
    batcher = Batcher(lambda key, payloads: answers.pop(0))
    with pytest.raises(IndexError):
        batcher.submit(rows("one")).result(timeout=5)
    (found,) = batcher.submit(rows("two")).result(timeout=5)
    assert found == {"a": 7}
    assert batcher.is_alive
    batcher.close()
    assert not batcher.is_alive


def test_long_rows_fill_the_queue_sooner(model, make_batcher):
    batcher = make_batcher(max_queue=10, weigh=lambda key: key)
    held = hold(model, batcher, 1)
    # More than the queue holds, while nothing else waits.
    large = batcher.submit(rows("a", "b", key=7))
    with pytest.raises(QueueFull, match="14 sequences wait"):
        batcher.submit(rows("c", key=1))
    model.may_run.set()
    assert texts_of(held) == ["first"]
    assert texts_of(large) == ["a", "b"]
    assert texts_of(batcher.submit(rows("c", key=1))) == ["c"]


# ---------------------------------------------------------------------------
# Rows that are prepared by the batcher.


class Tokenizer:
    """A `prepare` that records its calls; a row's key is its length."""

    def __init__(self):
        self.calls = []

    def __call__(self, items, first):
        self.calls.append(items)
        if "bad" in items:
            raise ValueError(f"item {first + items.index('bad')} is bad")
        return [(len(item), item.upper()) for item in items]


def raw(*texts):
    return rows(*texts, key=UNPREPARED)


def test_rows_of_all_requests_are_prepared_together(model, make_batcher):
    tokenizer = Tokenizer()
    batcher = make_batcher(prepare=tokenizer, group=lambda key: "all")
    held = hold(model, batcher, 1)
    futures = [batcher.submit(raw(f"a{i}", f"b{i}")) for i in range(3)]
    futures.append(batcher.submit([*raw("c"), (2, "ready"), *raw("d")]))
    assert batcher.num_waiting == 9
    gone = batcher.submit(raw("gone"))
    assert gone.cancel()
    model.may_run.set()
    assert texts_of(held) == ["first"]
    assert texts_of(futures[1]) == ["A1", "B1"]
    assert texts_of(futures[3]) == ["C", "ready", "D"]
    assert tokenizer.calls == [["a0", "b0", "a1", "b1", "a2", "b2", "c", "d"]]
    assert [len(payloads) for _, payloads in model.batches] == [1, 9]
    assert not batcher.num_waiting


def test_an_item_that_is_wrong_fails_its_request_alone(model, make_batcher):
    batcher = make_batcher(prepare=Tokenizer())
    hold(model, batcher, 1)
    good = [batcher.submit(raw("a", "b")), batcher.submit(raw("c"))]
    bad = batcher.submit(raw("d", "e", "bad"))
    mixed = batcher.submit([*raw("f"), (1, "ready"), *raw("bad")])
    model.may_run.set()
    assert [texts_of(future) for future in good] == [["A", "B"], ["C"]]
    for future in (bad, mixed):
        with pytest.raises(ValueError, match="item 2 is bad"):
            future.result(timeout=5)
    assert texts_of(batcher.submit(raw("g"))) == ["G"]
    assert not batcher.num_waiting


def test_what_is_heavy_when_it_is_prepared_may_not_fit(model, make_batcher):
    batcher = make_batcher(
        prepare=Tokenizer(), max_queue=10, weigh=lambda key: key
    )
    hold(model, batcher, 1)
    light, heavy = batcher.submit(raw("aaa")), batcher.submit(raw("b" * 8))
    model.may_run.set()
    assert texts_of(light) == ["AAA"]
    with pytest.raises(QueueFull, match="3 sequences wait"):
        heavy.result(timeout=5)
    assert texts_of(batcher.submit(raw("c" * 12))) == ["C" * 12]


def test_a_batch_has_a_budget_of_tokens(model, make_batcher):
    batcher = make_batcher(
        max_batch_tokens=10,
        count_tokens=lambda key: key,
        group=lambda key: "all",
    )
    hold(model, batcher, 1)
    future = batcher.submit(
        [(4, "a"), (4, "b"), (4, "c"), (20, "d"), (1, "e"), (1, "f")]
    )
    short = batcher.submit([(1, "short")])
    model.may_run.set()
    assert texts_of(future) == list("abcdef") and texts_of(short) == ["short"]
    batches = [payloads for _, payloads in model.batches[1:]]
    # "short" is before "d", which has the turn after the first batch.
    assert batches == [["a", "b"], ["c", "short"], ["d"], ["e", "f"]]


def test_rows_may_have_results_of_their_own(make_batcher):
    batcher = make_batcher(
        more_of=lambda payload: {"long": True} if payload == "b" else {}
    )
    first = batcher.submit(rows("a"))
    assert first.result(timeout=5) == [{"text": "a"}]
    second = batcher.submit(rows("b"))
    assert second.result(timeout=5) == [{"text": "b", "long": True}]
