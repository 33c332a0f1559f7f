"""What a soak sends, compares and finds, without a server."""

import json
import math

import pytest

from bert_tf.tools.soaking.clients import Seen, nearly_equal
from bert_tf.tools.soaking.requests import Friendly, Hostile, Traffic
from bert_tf.tools.soaking.results import NUM_BINS, Results
from bert_tf.tools.soaking.watching import Memory, Versions

TEXTS = ["a short text", "another one", "x" * 3000]


def traffic(seed=1, share=0.5, inputs=("text",)):
    return Traffic("m", inputs, TEXTS, hostile_share=share, seed=seed)


def test_a_seed_gives_the_same_requests_and_all_kinds():
    one, same, other = traffic(1), traffic(1), traffic(2)
    requests = [one.next() for _ in range(2000)]
    assert requests == [same.next() for _ in range(2000)]
    assert requests != [other.next() for _ in range(2000)]
    hostile = [r for r in requests if isinstance(r, Hostile)]
    assert 900 < len(hostile) < 1100
    assert len({r.kind for r in hostile}) == 10
    assert len({r.kind for r in requests}) == 10 + 5


def test_a_server_with_an_index_is_searched():
    made = Traffic("m", ["text"], TEXTS, 0.0, seed=1, is_searched=True)
    requests = [made.next() for _ in range(500)]
    found = [json.loads(r.body) for r in requests if r.kind == "search"]
    assert 20 < len(found) < 100
    assert all({*body["queries"]} <= {*TEXTS} for body in found)


@pytest.mark.parametrize(
    "inputs",
    [
        ("text",),
        ("text", "text_pair"),
        ("question", "context"),
        ("text", "endings"),
    ],
)
def test_requests_have_the_inputs_of_the_model(inputs):
    made = traffic(share=0.0, inputs=inputs)
    assert all(set(row) == set(inputs) for row in made.instances)
    for request in (made.next() for _ in range(200)):
        assert isinstance(request, Friendly)
        if request.places:
            rows = json.loads(request.body)["instances"]
            assert rows == [made.instances[place] for place in request.places]


def test_answers_may_differ_by_rounding_only():
    answer = {"label": "a", "score": 0.5, "words": ["b", 1]}
    assert nearly_equal([answer], [answer | {"score": 0.5001}])
    for other in ({"score": 0.51}, {"label": "b"}, {"words": ["b"]}):
        assert not nearly_equal([answer], [answer | other])
    assert not nearly_equal([answer], [answer, answer])


def test_growth_does_not_count_the_start():
    memory = Memory(pid=0)
    memory.samples = [(i, 100.0 * min(i, 20)) for i in range(100)]
    assert memory.growth == 0
    memory.samples = [(i, float(i)) for i in range(100)]
    assert memory.growth == 60  # From the 30th to the 90th.


def test_versions_are_complete_and_old_ones_go(tmp_path):
    model, folder = tmp_path / "model", tmp_path / "versions"
    model.mkdir(), folder.mkdir()
    (model / "saved_model.pb").write_bytes(b"12345678")
    versions = Versions(str(model), str(folder))
    for number in range(1, 8):
        versions.add(is_broken=number == 3)
        assert versions.number == (2 if number == 3 else number)
    assert versions.broken == [3]
    assert sorted(path.name for path in folder.iterdir()) == list("4567")


def test_curves_and_table_count_every_request(tmp_path):
    memory = Memory(pid=0)
    memory.samples = [(0.0, 100.0), (60.0, 101.0)]
    seen = [Seen(i / 10, "one text", False, 200, 0.01) for i in range(600)]
    seen += [Seen(30.0, "not HTTP", True, 400, 0.001)] * 30
    seen += [Seen(59.0, "one text", False, 503, 0.5, "one text: 503: busy")]
    results = Results(seen, memory, [20.0], num_broken=1, status=0)
    curves = results.curves()
    width = results.seconds / NUM_BINS
    for name, number in (("answered", 600), ("refused", 30), ("failed", 1)):
        total = math.fsum(curves[f"{name}_per_second"]) * width
        assert total == pytest.approx(number)
    assert [row[:3] for row in results.rows()] == [
        ["one text", "601", "1"],
        ["not HTTP (hostile)", "30", "0"],
    ]
    assert results.failures == ["one text: 503: busy"]
    results.write(tmp_path / "soak.json")
    stored = json.loads((tmp_path / "soak.json").read_text())
    assert stored["reloads"] == [20.0] and "1 failure." in stored["summary"]
    pytest.importorskip("matplotlib")
    results.draw(tmp_path / "soak.svg")
    picture = (tmp_path / "soak.svg").read_text()
    assert "requests/s" in picture and "new version" in picture
