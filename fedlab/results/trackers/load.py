"""The trackers and observers that an experiment names, made before anything costly is done."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedlab.config.builtins import TRACKERS
from fedlab.config.plugins import call_with_options, nearest, resolve
from fedlab.config.schema import Experiment
from fedlab.errors import UserError
from fedlab.results.trackers.guarded import GuardedObserver
from fedlab.results.trackers.observer import TrackerObserver

_PREFIX = "on_"
_METHODS = tuple(name for name in vars(GuardedObserver) if name.startswith(_PREFIX))


def load_trackers(experiment: Experiment) -> dict[str, object]:
    """Make the observers that `tracking.to` names, by name.

    Raises:
        UserError: no tracker has that name, its package is not installed, it does not take its options, or it has no
            method of an observer.
    """
    return {name: _load(name, experiment) for name in experiment.tracking.to}


def _load(name: str, experiment: Experiment) -> object:
    place, options = f"tracking.options.{name}", experiment.tracking.options.get(name, {})
    try:
        made = resolve(name, TRACKERS, Path(experiment.base_folder))
    except UserError as error:
        raise UserError(f"tracking.to: {error}") from error
    if name not in TRACKERS:
        return _checked(name, call_with_options(made, options, place))
    if find_spec(name) is None:
        raise UserError(f"tracking.to: {name} is not installed: pip install 'fedlab-edge[{name}]'")
    return TrackerObserver(call_with_options(made, options, place), experiment.task.scored_by)


def _checked(name: str, observer: Any) -> object:
    """Return an observer of a user's own; one that would never be told anything is a mistake, as a misspelt method."""
    said = [each for each in dir(observer) if each.startswith(_PREFIX)]
    for each in said:
        if each not in _METHODS:
            raise UserError(f"tracking.to: {name} has {each}: {nearest(each, _METHODS)}")
    if not said:
        raise UserError(f"tracking.to: {name} has no method of an observer: {nearest('', _METHODS)}")
    return observer
