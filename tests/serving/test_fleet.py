"""What workers know of each other."""

import pytest

from bert_tf.serving.fleet import Board, Fleet


@pytest.fixture
def fleets():
    board = Board(3, ["a", "b"], 4)
    return board, [Fleet(board, number) for number in range(3)]


def test_a_version_answers_when_all_workers_have_loaded_it(fleets):
    board, (first, second, third) = fleets
    first.publish("a", [1])
    assert first.in_common("a", [1]) == [1]  # No other one answers yet.
    for number, fleet in enumerate((first, second, third)):
        fleet.publish("a", [1])
        fleet.set_ready(100 + number)
    first.publish("a", [2, 1])
    assert first.in_common("a", [2, 1]) == [1]
    second.publish("a", [2, 1])
    third.publish("a", [2, 1])
    for fleet in (first, second, third):
        assert fleet.in_common("a", [2, 1]) == [2, 1]
    first.publish("a", [2])
    assert second.in_common("a", [2, 1]) == [2]
    third.publish("a", [7, 6, 5])  # More than the other ones know.
    assert third.in_common("a", [7, 6, 5]) == [7, 6, 5]
    board.forget(2)
    assert first.in_common("a", [2]) == [2]
    assert first.in_common("b", []) == []


def test_numbers_are_those_of_all_workers(fleets):
    board, (first, second, third) = fleets
    for number, fleet in enumerate((first, second, third), 1):
        fleet.set_ready(100 * number)
        fleet.set_connections(number)
        fleet.set_waiting("b", 10 * number)
        for _ in range(number):
            fleet.count_request()
    assert second.pids == [100, 200, 300]
    assert first.connections_of_others == 5
    assert third.num_waiting("b") == 60 and third.num_waiting("a") == 0
    board.forget(2)
    assert first.pids == [100, 200] and first.connections_of_others == 2
    assert first.num_waiting("b") == 30
    assert first.num_requests == 6  # They were answered.


def test_versions_may_have_any_number_and_fill_all_slots(fleets):
    _, (first, second, third) = fleets
    large = 10**30
    for fleet in (first, second, third):
        fleet.set_ready(1)
        fleet.publish("a", [large, 3, 2, 0])
    assert first.in_common("a", [large, 3, 2, 0]) == [large, 3, 2, 0]
    for fleet in (first, second, third):
        fleet.publish("a", [9, 8, 3, 0])
    assert first.in_common("a", [9, 8, 3, 0]) == [9, 8, 3, 0]
