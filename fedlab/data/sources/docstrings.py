"""The built-in data set: docstrings of installed Python packages, labelled with their package.

It is real English in about twenty classes, present on every machine that runs fedlab. Files are parsed, never
imported. Package names are masked, so that a classifier has to read the rest of the sentence. The examples depend on
the installed versions, which `installed_versions` returns.
"""

import ast
import hashlib
import importlib.util
import inspect
import platform
import re
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from fedlab.data.sources.base import Columns

# Label -> top-level modules, all of the standard library or of packages that fedlab depends on.
_MODULES: dict[str, tuple[str, ...]] = {
    "aiohttp": ("aiohttp",),
    "concurrency": ("asyncio", "concurrent", "multiprocessing", "queue", "sched", "subprocess", "threading"),
    "datasets": ("datasets",),
    "flwr": ("flwr",),
    "fsspec": ("fsspec",),
    "internet": ("email", "ftplib", "html", "http", "imaplib", "smtplib", "ssl", "urllib", "wsgiref", "xml", "xmlrpc"),
    "matplotlib": ("matplotlib",),
    "networkx": ("networkx",),
    "numpy": ("numpy",),
    "pandas": ("pandas",),
    "pillow": ("PIL",),
    "pyarrow": ("pyarrow",),
    "pydantic": ("pydantic",),
    "ray": ("ray",),
    "rich": ("rich",),
    "scikit-learn": ("sklearn",),
    "scipy": ("scipy",),
    "sympy": ("sympy",),
    "torch": ("torch",),
    "transformers": ("transformers",),
}
_ALIASES = ("arrow", "flower", "hugging face", "huggingface", "np", "pd", "plt", "pytorch", "scikit", "sk", "mpl")
_SKIPPED_FOLDERS = {"tests", "test", "testing", "_vendor", "vendored", "thirdparty", "thirdparty_files", "externals"}
_EXAMPLES_PER_LABEL = 300
_EXAMPLES_PER_MODULE = 15
_FILE_BYTES = 100_000
_WORDS = (8, 150)

_SECTION = re.compile(
    r"^\s*(:\w[^:]*:.*|\.\. .*|@\w+.*|(Args?|Arguments|Attributes|Examples?|Keyword Args|Kwargs|Methods|Notes?|"
    r"Other Parameters|Parameters|Params|Raises|References|Returns?|See Also|Usage|Warns|Yields?)\b\s*:{0,2}\s*)$"
)
_RULE = re.compile(r"^\s*[-=~^*#`]{3,}.*$")
_MARKUP = re.compile(r":[a-z:]+:(?=`)|[`*|]+")
_MASK = "package"
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def read_docstrings() -> Columns:
    """Read the columns `text`, `label` and `module` (the dotted name of the file, a natural client id).

    There are at most 300 examples for each label and 15 for each module; the order of files depends on their names
    only. A package that is not installed has no label.
    """
    columns: Columns = {"text": [], "label": [], "module": []}
    seen: set[str] = set()
    for label, modules in _MODULES.items():
        for text, module in _examples(modules, seen):
            columns["text"].append(text)
            columns["label"].append(label)
            columns["module"].append(module)
    return columns


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages in the data set."""
    versions = {"python": platform.python_version()}
    for label in _MODULES:
        try:
            versions[label] = metadata.version(label)
        except metadata.PackageNotFoundError:  # part of Python, or not installed
            versions[label] = ""
    return versions


def _examples(modules: tuple[str, ...], seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield up to 300 (text, module) of one label, skipping texts in `seen`; adds the texts to `seen`."""
    left = _EXAMPLES_PER_LABEL
    for module, path in _source_files(modules):
        texts = [text for text in _texts(path) if text not in seen]
        texts = list(dict.fromkeys(texts))[: min(_EXAMPLES_PER_MODULE, left)]
        seen.update(texts)
        left -= len(texts)
        yield from ((text, module) for text in texts)
        if left == 0:
            return


def _source_files(modules: tuple[str, ...]) -> list[tuple[str, Path]]:
    """Return (dotted name, path) of source files, in the pseudo-random order of the SHA-256 of the name."""
    found = []
    for top in modules:
        spec = importlib.util.find_spec(top)  # for a top-level name this imports nothing
        for folder in (spec.submodule_search_locations or []) if spec else []:
            found += [(_dotted(top, path.relative_to(folder)), path) for path in Path(folder).rglob("*.py")]
        if spec and spec.origin and not spec.submodule_search_locations:
            found.append((top, Path(spec.origin)))
    kept = [(name, path) for name, path in found if not _SKIPPED_FOLDERS.intersection(name.split("."))]
    return sorted(kept, key=lambda pair: (hashlib.sha256(pair[0].encode()).digest(), pair[1]))


def _dotted(top: str, path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join((top, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _texts(path: Path) -> Iterator[str]:
    """Yield the prose of a file's docstrings, in file order; skips files that cannot be parsed or are too long."""
    if path.suffix != ".py" or path.stat().st_size > _FILE_BYTES:
        return
    try:
        with warnings.catch_warnings(action="ignore"):  # invalid escape sequences in other packages
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a template, or code of another Python version
        return
    for node in _documented(tree):
        words = prose(ast.get_docstring(node, clean=False) or "").split()[: _WORDS[1]]
        if len(words) >= _WORDS[0]:
            yield " ".join(words)


def _documented(node: _Documented) -> Iterator[_Documented]:
    """Yield a module or class and the classes and functions in it, but not those inside functions."""
    yield node
    for child in [] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else node.body:
        if isinstance(child, _Documented):
            yield from _documented(child)


def prose(docstring: str) -> str:
    """Return the sentences of a docstring on one line, package names replaced by "package".

    The text before the first section (parameters, returns, examples, ...) is kept, without doctests and markup.
    """
    kept: list[str] = []
    in_example = False
    for line in inspect.cleandoc(docstring).splitlines():
        if _SECTION.match(line) or (_RULE.match(line) and len(kept) > 2):
            break
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example and not _RULE.match(line):
            kept.append(line)
    return " ".join(_NAMES.sub(_MASK, _MARKUP.sub("", " ".join(kept))).split())


def _names_pattern() -> re.Pattern[str]:
    names = {*_MODULES, *(module for modules in _MODULES.values() for module in modules), *_ALIASES}
    longest_first = sorted((re.escape(name) for name in names), key=lambda name: (-len(name), name))
    return re.compile(rf"(?<![A-Za-z0-9])({'|'.join(longest_first)})(?![A-Za-z0-9])", re.IGNORECASE)


_NAMES = _names_pattern()
