"""Experiments as dotted keys and values, as in `--set`."""

import json
from collections.abc import Collection, Mapping
from typing import Any

Keys = Mapping[str, Any]

_WHOLE = ("fleet.devices",)  # tables that are one value


def flatten(table: Keys, prefix: str = "") -> dict[str, Any]:
    """Return a table of tables as dotted keys and values; empty tables leave nothing."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) and name not in _WHOLE else {name: value}
    return flat


def without(keys: Keys, dropped: Collection[str]) -> Keys:
    """Leave out keys."""
    return {key: value for key, value in keys.items() if key not in dropped}


def identity_of(value: Any) -> str:
    """Return plain values as text: the same text, the same values."""
    return json.dumps(value, sort_keys=True, default=str)


def table_of(key: str) -> str:
    """Return the table a dotted key is in, the key itself if it is in none."""
    return key.partition(".")[0]
