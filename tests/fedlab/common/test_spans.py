"""Spans of real time add up, and say nothing where nobody asks."""

import pytest

from fedlab.common import spans as profiling


@pytest.fixture
def ticks(monkeypatch):
    """A stopwatch that moves by hand."""
    now = {"seconds": 0.0}

    def stopwatch():
        start = now["seconds"]
        return lambda: now["seconds"] - start

    monkeypatch.setattr(profiling, "stopwatch", stopwatch)
    return now


def test_a_span_leaves_out_the_spans_inside_it(ticks):
    with profiling.collecting() as seconds, profiling.span("outer"):
        ticks["seconds"] += 1
        with profiling.span("inner"):
            ticks["seconds"] += 10
            with profiling.span("innermost"):
                ticks["seconds"] += 100
        ticks["seconds"] += 2

    assert seconds == {"outer": 3, "inner": 10, "innermost": 100}


def test_a_span_that_comes_twice_is_added_up(ticks):
    with profiling.collecting() as seconds:
        for _ in range(2):
            with profiling.span("train"):
                ticks["seconds"] += 4

    assert seconds == {"train": 8}


def test_where_nobody_collects_a_span_does_nothing():
    with profiling.span("train"):
        pass

    with profiling.collecting() as seconds:
        pass
    assert seconds == {}
