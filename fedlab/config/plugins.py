"""Objects named in an experiment file: built-in names, `module:Name` and `path/to/file.py:Name`."""

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fedlab.common.plain_types import plain_type
from fedlab.common.short_text import raised, short, shortened
from fedlab.config.guard import guarded, where
from fedlab.errors import UserError

_LONGEST_NAME = 200  # that is compared with the accepted ones
_LONGEST_PLACE = 120  # of a reference to a file or module, in characters
_LONGEST_LIST = 160  # of accepted names, in characters
_REFUSALS = (TypeError, ValueError)  # by which a factory says that it does not take a value


def nearest(name: str, accepted: Iterable[str]) -> str:
    """Say which names are accepted, the likeliest first: `did you mean 'x'? accepted: x, y`."""
    names = sorted(accepted)
    close = difflib.get_close_matches(name[:_LONGEST_NAME], names, n=1)
    listed = shortened(", ".join(names), _LONGEST_LIST)
    return (f"did you mean '{close[0]}'? " if close else "") + f"accepted: {listed or 'none'}"


def resolve(name: str, built_in: Mapping[str, str], base: Path) -> Any:
    """Return what `name` refers to: a built-in name, or as `load_object`.

    Raises:
        UserError: `name` is none of these.
    """
    if ":" in name:
        return load_object(name, base)
    if name not in built_in:
        raise UserError(
            f"no such name {short(name)}: {nearest(name, built_in)}, or module:Name, or path/to/file.py:Name"
        )
    return load_object(built_in[name], base)


def load_object(reference: str, base: Path) -> Any:
    """Import `module:Name` or `path/to/file.py:Name` (relative to `base`).

    Raises:
        UserError: the file, the module or the name in it is missing, or importing it fails.
    """
    place, _, name = reference.rpartition(":")
    if not place or not name:
        raise UserError(
            f"{short(reference, _LONGEST_PLACE)} is not a reference: expected module:Name or path/to/file.py:Name"
        )
    named, said = short(reference, _LONGEST_PLACE), shortened(place, _LONGEST_PLACE)
    try:
        module = _import_file(base / place) if place.endswith(".py") else importlib.import_module(place)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{named}: importing {said} failed: {raised(error)}{where(error)}") from error
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise UserError(f"{named}: {said} has no {short(name)}: {nearest(name, public)}")
    return getattr(module, name)


def with_known(target: Callable[..., Any], options: Mapping[str, Any], **known: Any) -> dict[str, Any]:
    """Add to the options what an experiment knows by itself, where `target` has such a parameter and no option is it.

    What has no signature gets the options alone: `call_with_options` says what is wrong with it.
    """
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return dict(options)
    return {name: value for name, value in known.items() if name in parameters} | dict(options)


def call_with_options(target: Callable[..., Any], options: Mapping[str, Any], place: str) -> Any:
    """Call `target(**options)`, the options having been checked against its signature.

    Raises:
        UserError: an option `target` does not take, one it needs, or a value it refuses; `place` says where it stands.
    """
    check_options(target, options, place)
    try:
        return guarded(place, getattr(target, "__name__", "the call"), lambda: target(**options), passes=_REFUSALS)
    except _REFUSALS as error:
        raise UserError(f"{place}: {error}") from error


def check_options(target: Callable[..., Any], options: Mapping[str, Any], place: str) -> None:
    """Raise a UserError if `target` cannot be called with these keyword arguments.

    Where a parameter is annotated with a type of plain values, the option must be of it.
    """
    parameters = _parameters(target, place)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    accepted = [n for n, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for key in options:
        if key not in accepted and not open_ended:
            raise UserError(f"unknown key {place}.{shortened(key)}: {nearest(key, accepted)}")
    for key in accepted:
        if parameters[key].default is inspect.Parameter.empty and key not in options:
            raise UserError(f"missing key {place}.{key}")
    for key, value in options.items():
        if key in accepted:
            _check_type(parameters[key], value, f"{place}.{key}")


def _parameters(target: Callable[..., Any], place: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target, eval_str=True).parameters
    except (TypeError, ValueError) as error:
        raise UserError(f"{place}: {error}") from error
    except Exception:  # an annotation of the user's own that cannot be evaluated
        return inspect.signature(target).parameters


def _check_type(parameter: inspect.Parameter, value: Any, place: str) -> None:
    kind = plain_type(parameter.annotation)
    if kind is not None and not kind.accepts(value):
        raise UserError(f"{place} = {short(value)}: expected {kind.words}")


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    name = f"fedlab_user_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # or it would pass for imported the next time
        raise
    return module
