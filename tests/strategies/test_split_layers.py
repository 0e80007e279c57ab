"""Each client moves the values of a few blocks, and the head."""

from strategies.split_layers import spans_of_clients

LAYOUT = {"block.0.down": (2,), "block.0.up": (3,), "block.1.down": (4,), "block.2.down": (5,), "head.weight": (6,)}


def test_blocks_are_dealt_in_turn_and_the_head_is_everyones():
    spans = spans_of_clients(LAYOUT, [9, 4, 2, 7], 1)
    assert spans == {9: ((0, 5), (14, 20)), 4: ((5, 9), (14, 20)), 2: ((9, 20),), 7: ((0, 5), (14, 20))}


def test_several_blocks_a_client():
    assert spans_of_clients(LAYOUT, [0, 1], 2) == {0: ((0, 9), (14, 20)), 1: ((9, 20),)}


def test_of_a_head_alone_everyone_moves_all():
    assert spans_of_clients({"head.bias": (2,), "head.weight": (6,)}, [0, 1], 2) == {0: ((0, 8),), 1: ((0, 8),)}
