from collections import Counter

import pytest

from fedlab.data.sources import docstrings
from fedlab.data.sources.docstrings import installed_versions, prose, read_docstrings


@pytest.fixture(scope="module")
def columns():
    return read_docstrings()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make an importable package the only label; return a function that writes a file of it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(docstrings, "_MODULES", {"made": ("fedlab_made_up",), "absent": ("fedlab_no_such_package",)})

    def write(name, text):
        path = tmp_path / "fedlab_made_up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    write("__init__.py", "")
    return write


_LONG = "one two three four five six seven eight {}"


def test_there_are_many_classes_of_many_examples(columns):
    counts = Counter(columns["label"])
    assert len(counts) >= 16
    assert min(counts.values()) >= 50
    assert max(counts.values()) <= 300
    assert len(columns["text"]) == len(columns["label"]) == len(columns["module"])


def test_no_text_names_a_package_or_comes_twice(columns):
    words = {word for text in columns["text"] for word in text.lower().replace(".", " ").split()}
    assert not words & {"numpy", "torch", "pytorch", "pandas", "sklearn", "transformers", "asyncio", "matplotlib"}
    assert len(set(columns["text"])) == len(columns["text"])


def test_texts_are_spread_over_modules(columns):
    assert max(Counter(columns["module"]).values()) <= 15


def test_reading_again_gives_the_same(package):
    for i in range(20):
        package(f"m{i}.py", f'"""{_LONG.format(i)}"""')
    assert read_docstrings() == read_docstrings()


def test_modules_classes_and_functions_are_read_with_their_module_and_nothing_is_imported(package):
    package(
        "sub/a.py",
        f'"""{_LONG.format("a")}"""\n'
        f'class C:\n    """{_LONG.format("b")}"""\n    def f(self):\n        """{_LONG.format("c")}"""\n'
        'raise RuntimeError("imported")\n',
    )
    assert read_docstrings() == {
        "text": [_LONG.format("a"), _LONG.format("b"), _LONG.format("c")],
        "label": ["made"] * 3,
        "module": ["fedlab_made_up.sub.a"] * 3,
    }


def test_short_texts_repeated_ones_tests_and_broken_files_are_left_out(package):
    package(
        "a.py", f'"""Too short."""\ndef f():\n    """{_LONG.format("x")}"""\ndef g():\n    """{_LONG.format("x")}"""\n'
    )
    package("tests/t.py", f'"""{_LONG.format("y")}"""')
    package("broken.py", f'"""{_LONG.format("z")}"""\ndef')
    assert read_docstrings()["text"] == [_LONG.format("x")]


def test_prose_is_what_comes_before_the_first_section():
    text = """Return the mean of a `torch.Tensor` in NumPy.

        More of it.
        >>> mean(x)
        3.0

        And more.

        Parameters
        ----------
        x : array
        """
    assert prose(text) == "Return the mean of a package.Tensor in package. More of it. And more."


@pytest.mark.parametrize("section", ["Args:", "Returns", ":param x: a number", "Example::", ".. versionadded:: 2"])
def test_sections_of_every_style_end_the_prose(section):
    assert prose(f"What it does.\n\n{section}\n    more\n") == "What it does."


def test_versions_tell_python_and_packages():
    versions = installed_versions()
    assert versions["numpy"]
    assert versions["python"].startswith("3.")
    assert versions["concurrency"] == ""
