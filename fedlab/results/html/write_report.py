"""Writing a report: into its run folder when the run ends, or where a user wants it."""

from collections.abc import Callable
from pathlib import Path

from fedlab.common.files import replace_text
from fedlab.common.short_text import raised
from fedlab.errors import UserError
from fedlab.results.html.parts import Page
from fedlab.results.html.render import GENERATOR, render_page

_HEAD = 2000  # characters in which a report says that it is one


def try_report(path: Path, page: Callable[[], Page], command: str) -> str | None:
    """Write a page where a run or sweep has its report; return in one line why it cannot be, None if it was written.

    A report never stops a run: `command` writes it again from the records.
    """
    try:
        replace_text(path, render_page(page()), durable=False)
    except Exception as error:
        return f"{path.name} was not written ({raised(error)}); try: {command}"
    return None


def write_report(page: Page, path: Path) -> None:
    """Write a page to a file, in the place of an earlier report only.

    Raises:
        UserError: there is a folder, or a file that is not a report, or the file cannot be written.
    """
    check_place(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, render_page(page), durable=False)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def check_place(path: Path) -> None:
    """Raise a UserError if a report cannot go there: before anything costly is done for it."""
    if path.is_dir():
        raise UserError(f"--out {path}: a folder; expected the path of a file, such as {path / 'report.html'}")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            written_by_us = GENERATOR in file.read(_HEAD)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written: {error.strerror}") from error
    if not written_by_us:
        raise UserError(f"--out {path}: exists and is not a report of fedlab, so it is not overwritten; choose another")
