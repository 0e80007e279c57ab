"""Garbage is looked for again after imports, unless it was not before."""

import gc

import pytest

from fedlab.common.quick_imports import uncollected


@pytest.mark.parametrize("before", [True, False])
def test_the_search_for_garbage_pauses_in_the_block(before):
    try:
        if not before:
            gc.disable()
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() is before
    finally:
        gc.enable()
