"""The page of a run or, of several, of their comparison."""

from collections.abc import Sequence
from pathlib import Path

from fedlab.compare.runs import run_folders
from fedlab.errors import UserError
from fedlab.results.folder import open_run
from fedlab.results.html.parts import Page
from fedlab.results.html.run_page import run_page
from fedlab.results.html.run_records import read_run


def page_of(arguments: Sequence[str]) -> tuple[Page, Path]:
    """Return the page of the run that an argument stands for, and where it goes if the user does not say.

    Raises:
        UserError: a folder neither is a run nor holds one, or the files of a run cannot be read.
    """
    folders = run_folders(arguments)
    if len(folders) > 1:
        raise UserError("expected one run")
    folder = open_run(folders[0])
    return run_page(read_run(folder)), folder.report
