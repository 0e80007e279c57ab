import sys
from types import SimpleNamespace

import pytest

from fedlab.results.html.libraries import chart_libraries


@pytest.fixture
def bundler(monkeypatch, tmp_path):
    """Return the calls of a bundler in the place of the real one, with an empty cache."""
    calls = []

    def bundle(snippet):
        calls.append(snippet)
        return f"libraries; {snippet}"

    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "vl_convert", SimpleNamespace(javascript_bundle=bundle))
    chart_libraries.cache_clear()
    yield calls
    chart_libraries.cache_clear()


def test_libraries_are_bundled_once_and_then_read_from_the_cache(bundler, tmp_path):
    first = chart_libraries()
    chart_libraries.cache_clear()  # as in another process

    assert chart_libraries() == first == "libraries; window.vegaEmbed = vegaEmbed;"
    assert len(bundler) == 1
    (file,) = (tmp_path / "cache" / "charts").iterdir()
    assert file.read_text() == first


def test_a_cache_that_cannot_be_written_to_is_done_without(bundler, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "file"))

    assert chart_libraries().startswith("libraries")
