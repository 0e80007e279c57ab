import numpy as np

from fedlab.deploy.server.validate_reply import furthest


def test_an_update_may_go_as_far_as_1_a_value():
    assert furthest({"x": np.zeros((3, 5), np.float32), "y": np.full(10, 0.1, np.float32)}) == 5.0


def test_an_update_to_a_model_of_large_weights_may_go_as_far_as_these_are_from_0():
    assert furthest({"x": np.array([30.0, 40.0], np.float32)}) == 50.0
