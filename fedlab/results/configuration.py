"""Configurations in words: what was trained, as displays, tables and plots show it.

A configuration is a flat mapping: the name of the trainable set under `set`, then the axes of that set, for example
{"set": "bottleneck", "depth": 2, "width": 8}. Only numbers can be drawn; other values, such as the targets of LoRA,
are shown as they are.
"""

from collections.abc import Iterable

from fedlab.workload.workload import Configuration

_SET, _DEPTH = "set", "depth"


def axes(configuration: Configuration) -> dict[str, int | str]:
    """Return the axes of a configuration: all but the name of the set."""
    return {name: value for name, value in configuration.items() if name != _SET}


def numeric_axes(configuration: Configuration) -> dict[str, int]:
    """Return the axes that are numbers, in their order."""
    return {name: value for name, value in axes(configuration).items() if isinstance(value, int)}


def axis_names(configurations: Iterable[Configuration], *, numeric: bool = False) -> list[str]:
    """Return the axes that any of these configurations has, in the order of their first appearance."""
    of = numeric_axes if numeric else axes
    return list(dict.fromkeys(name for each in configurations for name in of(each)))


def size(configuration: Configuration) -> tuple[int, ...]:
    """Return what configurations of one set are ordered by: their numbers, the first axis first."""
    return tuple(numeric_axes(configuration).values())


def describe(configuration: Configuration) -> str:
    """Return a configuration in words: `depth 2, width 8`, or the name of a set that has no axes."""
    parts = [f"{name} {value}" if isinstance(value, int) else value for name, value in axes(configuration).items()]
    return ", ".join(parts) or str(configuration.get(_SET, "unknown"))


def label(configuration: Configuration) -> str:
    """Return a configuration in few letters: `(2, 8)` where it has two axes, both numbers; else as `describe` does."""
    values = list(axes(configuration).values())
    return f"({values[0]}, {values[1]})" if _is_pair(configuration) else describe(configuration)


def label_heading(configuration: Configuration) -> str:
    """Return what the values of a label are, `(depth, width)`; empty where the label names them itself."""
    return f"({', '.join(axes(configuration))})" if _is_pair(configuration) else ""


def cell(configuration: Configuration, axis: str) -> str:
    """Return an axis as a cell of a table: `-` where it is absent, or has no effect because nothing is at depth 0."""
    has_effect = axis == _DEPTH or configuration.get(_DEPTH) != 0
    return str(configuration.get(axis, "-")) if has_effect else "-"


def _is_pair(configuration: Configuration) -> bool:
    return len(axes(configuration)) == len(numeric_axes(configuration)) == 2
