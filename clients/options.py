"""The options that all built-in clients have: those of local training."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from flwr.clientapp import ClientApp

from fedlab.training.local import LocalTraining


def with_training_options(make: Callable[..., ClientApp]) -> Callable[..., ClientApp]:
    """Give a function that makes a client the options of `LocalTraining`, which it gets as its first argument.

    They appear in its signature, against which the options of an experiment file are checked. An option of its own has
    the place of one of the same name.
    """
    _, *own = inspect.signature(make).parameters.values()
    taken = {each.name for each in own}
    parameters = inspect.signature(LocalTraining).parameters
    training = {name: each for name, each in parameters.items() if name not in taken}

    @functools.wraps(make)
    def factory(**options: Any) -> ClientApp:
        settings = LocalTraining(**{name: value for name, value in options.items() if name in training})
        return make(settings, **{name: value for name, value in options.items() if name not in training})

    factory.__signature__ = inspect.Signature([*training.values(), *own])  # type: ignore[attr-defined]
    return factory
