"""PyPI's project fedlab beside ours is noticed in one line, and what it overwrites is not run."""

import hashlib
from base64 import urlsafe_b64encode

import pytest

from fedlab.cli import main as command_line
from fedlab.cli.other_fedlab import notice_other
from fedlab.errors import UserError


@pytest.fixture
def installed(tmp_path):
    """Make a folder in which our package is installed, with the list of its files."""
    init = tmp_path / "fedlab" / "__init__.py"
    init.parent.mkdir()
    init.write_text('"""Ours."""\n')
    digest = urlsafe_b64encode(hashlib.sha256(init.read_bytes()).digest()).rstrip(b"=").decode()
    about = tmp_path / "fedlab_edge-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fedlab-edge\nVersion: 0.1.0\n")
    (about / "RECORD").write_text(f"fedlab/__init__.py,sha256={digest},12\nfedlab_edge-0.1.0.dist-info/RECORD,,\n")
    return tmp_path


def test_alone_there_is_nothing_to_say(installed):
    assert notice_other(installed) is None


def test_the_other_project_is_noticed_in_a_line_while_our_files_are_ours(installed):
    (installed / "fedlab-1.3.0.dist-info").mkdir()
    assert notice_other(installed) == (
        "fedlab 1.3.0 of PyPI, another project, is installed here too, and does not work beside fedlab-edge: use an"
        " environment for each"
    )


@pytest.mark.parametrize("change", ["overwritten", "removed"])
def test_files_that_it_overwrote_or_took_along_are_an_error_with_the_way_out(installed, change):
    (installed / "fedlab-1.3.0.dist-info").mkdir()
    init = installed / "fedlab" / "__init__.py"
    init.write_text('__version__ = "1.3.0"\n') if change == "overwritten" else init.unlink()
    with pytest.raises(UserError, match=r"has overwritten fedlab/__init__.py of fedlab-edge; .*: pip uninstall"):
        notice_other(installed)


def test_a_command_says_it_on_stderr_and_goes_on(fedlab, monkeypatch):
    monkeypatch.setattr(command_line, "notice_other", lambda: "fedlab 1.3.0 is here, too")
    said = fedlab("list", "links")
    assert (said.code, said.err) == (0, "fedlab: fedlab 1.3.0 is here, too\n")
    assert "constant" in said.out


def test_a_command_that_would_run_files_of_both_ends_with_one_line(fedlab, monkeypatch):
    def mixed():
        raise UserError("files of both")

    monkeypatch.setattr(command_line, "notice_other", mixed)
    said = fedlab("list", "links")
    assert (said.code, said.out, said.err) == (2, "", "fedlab: files of both\n")
