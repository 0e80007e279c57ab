"""What methods and settings are called: by no more than what tells them apart."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from fedlab.compare.grouping import DEPLOYED, LABEL, ORIGIN, Keys, identity_of

# What methods are told apart by first; then by the other keys in the order of the alphabet, and last by their folders.
_FIRST = ("strategy.name", "client.name", "codec", "client.depth", "client.width")
_LAST = ("rounds", "simulated_hours", "target_accuracy", "evaluation", ORIGIN)


def method_labels(methods: Sequence[Keys], settings: Sequence[Keys]) -> list[str]:
    """Name each method: by its label, else its strategy, and by what else tells it from others of its setting.

    One that ran on real machines always says so.
    """
    labels = [_first_label(method) for method in methods]
    identities = [identity_of(method) for method in methods]
    places = [identity_of(setting) for setting in settings]

    def tell_apart(alike: list[int], keys: Sequence[str]) -> None:
        if not _collide(alike, identities, places):
            return
        key = next((key for key in keys if _differs([methods[at].get(key) for at in alike], key)), None)
        if key is None:
            return
        parts = {at: _part(key, methods[at].get(key)) for at in alike}
        for at in alike:
            labels[at] = f"{labels[at]} {parts[at]}".strip()
        for part in dict.fromkeys(parts.values()):
            tell_apart([at for at in alike if parts[at] == part], keys)

    keys = _in_order(methods)
    for label in list(dict.fromkeys(labels)):
        tell_apart([at for at, each in enumerate(labels) if each == label], keys)
    return labels


def _first_label(method: Keys) -> str:
    name = str(method.get(LABEL) or short_name(str(method.get("strategy.name", "?"))))
    return f"{name} (deployed)" if method.get(DEPLOYED) else name


def choice_label(candidates: Sequence[Keys], chosen: Keys) -> str:
    """Name what hindsight chose, by the keys in which the candidates differ."""
    keys = [key for key in _in_order(candidates) if _differs([each.get(key) for each in candidates], key)]
    return ", ".join(part for key in keys if (part := _part(key, chosen.get(key))))


def differing_keys(tables: Sequence[Keys]) -> list[str]:
    """Return the keys that do not have the same value in all tables, in the order of the tables."""
    keys = dict.fromkeys(key for table in tables for key in table)
    return [key for key in keys if len({identity_of({key: table.get(key)}) for table in tables}) > 1]


def headings(keys: Sequence[str]) -> list[str]:
    """Return the shortest ends of dotted keys that differ: `bandwidth` for `link.options.bandwidth`."""
    return [_heading(key, [other for other in keys if other != key]) for key in keys]


def setting_value(key: str, value: Any) -> str:
    """Return a value of a setting for people; absent ones are the default of whatever reads them."""
    if value is None:
        return "default"
    if key == "fleet.devices":
        return _devices(value)
    if key == "task.data":
        return PurePath(str(value)).name
    return short_name(value) if isinstance(value, str) and key.endswith(".name") else _value(value)


def short_name(reference: str) -> str:
    """Return the name at the end of `module:Name` and `path/to/file.py:Name`."""
    return reference.rpartition(":")[2]


def _collide(alike: Sequence[int], identities: Sequence[str], places: Sequence[str]) -> bool:
    """Tell whether different methods of one setting are among those with one label."""
    seen: dict[str, str] = {}
    return any(seen.setdefault(places[at], identities[at]) != identities[at] for at in alike)


def _in_order(methods: Iterable[Keys]) -> list[str]:
    keys = {key for method in methods for key in method} - {LABEL, DEPLOYED}

    def rank(key: str) -> tuple[int, str]:
        if place := _place(key, _FIRST):
            return place - len(_FIRST) - 1, key
        return _place(key, _LAST), key

    return sorted(keys, key=rank)


def _place(key: str, tables: Sequence[str]) -> int:
    """Return the place of a key, counted from 1, among keys and tables; 0 if it is none of them."""
    return next((at for at, table in enumerate(tables, 1) if key == table or key.startswith(f"{table}.")), 0)


def _differs(values: Sequence[Any], key: str) -> bool:
    return len({_part(key, value) for value in values}) > 1


def _part(key: str, value: Any) -> str:
    """Return what a key adds to a label; nothing where it is absent or empty."""
    if value in (None, [], ""):
        return ""
    if key == ORIGIN:
        return f"({value})"
    if key.endswith(".name"):
        return short_name(str(value))
    if key.startswith("codec.") and not isinstance(value, bool | int | float):
        return _value(value)
    return f"{_heading(key, [])} {_value(value)}"


def _heading(key: str, others: Sequence[str]) -> str:
    parts = key.split(".")
    if parts[-1] == "name" and len(parts) > 1:
        parts = parts[:-1]
    taken = [other.split(".") for other in others]
    for length in range(1, len(parts)):
        tail = parts[-length:]
        if all(other[-length:] != tail for other in taken):
            return " ".join(tail).replace("_", " ")
    return ".".join(parts)


def _devices(shares: Any) -> str:
    if not isinstance(shares, Mapping):
        return _value(shares)
    equal = len(set(shares.values())) == 1
    return " + ".join(name if equal else f"{share:g} {name}" for name, share in shares.items())


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return "+".join(_value(each) for each in value) or "none"
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_value(each)}" for key, each in value.items()) or "none"
    return str(value)
