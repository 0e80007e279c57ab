"""Profiling spans: the real time of an actor by kind of work; a span excludes the spans inside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from fedlab.common.clock import stopwatch


@dataclass(kw_only=True)
class Spans:
    """Seconds by name of span."""

    seconds: dict[str, float] = field(default_factory=dict)
    inner_seconds: float = 0.0  # spent in spans inside the open one


_spans: ContextVar[Spans | None] = ContextVar("spans", default=None)


@contextmanager
def collecting() -> Iterator[dict[str, float]]:
    """Collect the spans of the block; the yielded dictionary holds their seconds at the end."""
    spans = Spans()
    token = _spans.set(spans)
    try:
        yield spans.seconds
    finally:
        _spans.reset(token)


@contextmanager
def span(name: str) -> Iterator[None]:
    """Count the time of the block under a name; do nothing outside `collecting`."""
    spans = _spans.get()
    if spans is None:
        yield
        return
    before, spans.inner_seconds = spans.inner_seconds, 0.0
    elapsed = stopwatch()
    try:
        yield
    finally:
        seconds = elapsed()
        spans.seconds[name] = spans.seconds.get(name, 0.0) + seconds - spans.inner_seconds
        spans.inner_seconds = before + seconds
