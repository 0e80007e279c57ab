"""The project's other two top-level packages, found by where they lie and not by whoever comes first on the path."""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

OWN_PACKAGES = ("strategies", "clients")


def pin_packages(root: Path, names: Iterable[str] = OWN_PACKAGES) -> None:
    """Import the packages of these names from `root`, so that later imports get them whatever is on the path.

    A folder or module `strategies` or `clients` of a user's own would shadow them: Python looks into the working
    folder first under `python -m`, and Ray's workers do too. Packages that `root` lacks are left alone.

    Raises:
        ImportError: another module of such a name is already imported.
    """
    for name in names:
        init = root / name / "__init__.py"
        loaded = sys.modules.get(name)
        if loaded is None and init.is_file():
            _import_package(name, init)
        elif loaded is not None and init.is_file() and not _is_package_of(loaded, init):
            raise ImportError(
                f"fedlab needs its own package '{name}' of {init.parent}, but {_place(loaded)} was imported under "
                "that name: rename it, or import fedlab first"
            )


def _import_package(name: str, init: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(init.parent)])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _is_package_of(module: ModuleType, init: Path) -> bool:
    return module.__file__ is not None and Path(module.__file__).resolve() == init.resolve()


def _place(module: ModuleType) -> str:
    """Return the file of a module, or the folder of a package without an `__init__.py`."""
    return module.__file__ or ", ".join(getattr(module, "__path__", ["a built-in module"]))
