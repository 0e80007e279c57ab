"""The ready experiments that come with fedlab."""

import re
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import fedlab
from fedlab.config.plugins import nearest
from fedlab.errors import UserError


def ready_experiments() -> Mapping[str, Path]:
    """Return the files of the ready experiments by name: those of the checkout, else those that were installed."""
    return {path.stem: path for path in sorted(experiments_folder().glob("*.toml"))}


def experiments_folder() -> Path:
    """Return the folder `experiments` of the checkout, else the one that pip installed, for all, a user or a target."""
    beside = Path(fedlab.__file__).parents[1]
    bases = (
        sysconfig.get_path("data"),
        sysconfig.get_path("data", sysconfig.get_preferred_scheme("user")),
        beside,
    )
    checkout, *installed = beside / "experiments", *(Path(base) / "share" / "fedlab" / "experiments" for base in bases)
    return next((each for each in (checkout, *installed) if (each / "quickstart.toml").is_file()), checkout)


def about(path: Path) -> str:
    """Return the first sentence of the comment that an experiment begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return re.split(r"(?<=\.) ", " ".join(comment), maxsplit=1)[0]


def started_from(name: str, ready: str) -> str:
    """Return the text of a new experiment of a name: that of a ready one, with its comments.

    Raises:
        UserError: there is no ready experiment of that name, or the new name cannot name a folder.
    """
    files = ready_experiments()
    if ready not in files:
        raise UserError(f"--from {ready}: no ready experiment: {nearest(ready, files)}")
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise UserError(f"'{name}': a name may have letters, digits, '-', '_' and '.', and does not begin with a dot")
    text = files[ready].read_text(encoding="utf-8")
    return re.sub(r'^name = "[^"]*"', f'name = "{name}"', text, count=1, flags=re.MULTILINE)
