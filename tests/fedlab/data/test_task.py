import numpy as np
import pytest

from fedlab.data.task import join_partitions


def test_partitions_are_cut_out_of_one_array():
    partitions = join_partitions([np.array([4, 7]), np.array([1]), np.array([0, 2, 9])])
    assert len(partitions) == 3
    assert [indices.tolist() for indices in partitions] == [[4, 7], [1], [0, 2, 9]]
    assert partitions[2].tolist() == [0, 2, 9]
    for missing in (-1, 3):
        with pytest.raises(IndexError):
            partitions[missing]
