"""PyPI's project fedlab, which is not this one: its package has the same name, and both install into one folder."""

import csv
import hashlib
from base64 import urlsafe_b64encode
from pathlib import Path

from fedlab.errors import UserError

_OURS, _OTHER = "fedlab-edge", "fedlab"


def notice_other(installed: Path = Path(__file__).parents[2]) -> str | None:
    """Return a line if the other project is installed beside this one, in the folder `installed`; None if it is not.

    Raises:
        UserError: it was installed later, and has overwritten files of this one.
    """
    found = next(installed.glob(f"{_OTHER}-*.dist-info"), None)
    if found is None:
        return None
    other = f"{found.name.removesuffix('.dist-info').replace('-', ' ')} of PyPI, another project,"
    if overwritten := _overwritten(installed):
        raise UserError(
            f"{other} has overwritten {overwritten[0]} of {_OURS}; they cannot share an environment: pip uninstall"
            f" {_OTHER}, then pip install --force-reinstall --no-deps {_OURS}"
        )
    return f"{other} is installed here too, and does not work beside {_OURS}: use an environment for each"


def _overwritten(installed: Path) -> list[str]:
    """Return the files of this project that are not as they were installed, by the list that pip has kept."""
    # Imported here: it takes time, and is needed only where the other project is.
    from importlib.metadata import distributions  # noqa: PLC0415

    return [
        name
        for ours in distributions(name=_OURS, path=[str(installed)])
        for name, digest, _ in csv.reader((ours.read_text("RECORD") or "").splitlines())
        if name.endswith(".py") and digest and digest != _digest(installed / name)
    ]


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file as the list has it."""
    digest = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
    return f"sha256={urlsafe_b64encode(digest).rstrip(b'=').decode()}"
