"""The site builds without a warning, needs no network, and has every command, key, record and public name."""

import html
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import fedlab.api
from fedlab.cli.main import app
from fedlab.config.builtins import AVAILABILITY, CLIENTS, CODECS, LINKS, STRATEGIES, TRACKERS
from fedlab.config.schema import Experiment
from fedlab.results.records import ClientRecord, RoundRecord

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site, strictly."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class References(HTMLParser):
    """Collects what a page refers to: links, what it loads, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self.anchors |= {said["id"]} if said.get("id") else set()
        if tag == "a" and said.get("href"):
            self.links.append(said["href"])
        elif tag in ("script", "img", "iframe", "source") and said.get("src"):
            self.loads.append(said["src"])
        elif tag == "link" and said.get("rel") in ("stylesheet", "icon", "preload", "preconnect", "dns-prefetch"):
            self.loads.append(said["href"])


@pytest.fixture(scope="module")
def pages(site):
    found = {}
    for path in site.rglob("*.html"):
        found[path] = References()
        found[path].feed(path.read_text())
    return found


def test_every_page_is_built(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").exists(), page


def test_every_file_that_a_page_includes_is_there(site):
    shown = "".join(words_of(path) for path in (site / "extend").glob("*.html"))
    for path in (ROOT / "docs/extend").glob("*.py"):
        assert path.read_text().splitlines()[0].strip('"') in html.unescape(shown), path
    assert "8<--" not in html.unescape(shown)


def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert not {load for page in pages.values() for load in page.loads if urlsplit(load).netloc}
    for style in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//", style.read_text())


def test_every_link_leads_to_a_file_and_an_anchor_of_the_site(pages):
    missing = set()
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchors = pages[target].anchors if target in pages else None
            if not target.exists() or (
                parts.fragment and anchors is not None and unquote(parts.fragment) not in anchors
            ):
                missing.add((path.name, link))
    assert not missing


def words_of(path: Path) -> str:
    return re.sub(r"<[^>]+>", " ", path.read_text())


def test_the_command_line_has_every_command_and_option(site):
    text = words_of(site / "reference/cli.html")
    command = typer.main.get_command(app)
    for name, each in command.commands.items():
        for inner in getattr(each, "commands", {}).values():
            assert f"fedlab {name} {inner.name}" in text
        for parameter in getattr(each, "params", []):
            if parameter.param_type_name == "option" and not hasattr(each, "commands"):
                assert parameter.opts[0] in text, (name, parameter.opts)


def test_the_keys_are_all_there_with_their_meaning(site):
    text = words_of(site / "reference/keys.html")

    def check(model, place):
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                check(field.annotation, f"{place}{name}.")
            else:
                assert f"{place}{name}" in text
                assert field.description, f"{place}{name}"

    check(Experiment, "")


@pytest.mark.parametrize(
    "names", [STRATEGIES, CLIENTS, LINKS, AVAILABILITY, CODECS, TRACKERS], ids=lambda names: next(iter(names))
)
def test_the_built_in_names_are_there(site, names):
    headings = (site / "reference/options.html").read_text()
    assert not [name for name in names if f"<code>{name}</code>" not in headings]


@pytest.mark.parametrize("record", [RoundRecord, ClientRecord])
def test_the_fields_of_records_are_there(site, record):
    text = words_of(site / "reference/run-folder.html")
    hidden = {"old_work", "shifts"}  # of earlier versions, and in a file of their own
    assert not [name for name in record.__dataclass_fields__ if name not in text and name not in hidden]


def test_the_public_names_are_documented(site):
    text = (site / "reference/api.html").read_text()
    assert not [name for name in fedlab.api.__all__ if not re.search(rf'id="fedlab\.[\w.]*\.{name}"', text)]


def test_search_works_in_pages_that_are_opened_as_files(site, browser):
    browser.get((site / "index.html").as_uri())
    field = WebDriverWait(browser, 20).until(lambda page: page.find_element(By.CSS_SELECTOR, "input[name=query]"))
    field.send_keys("gateway")
    results = WebDriverWait(browser, 20).until(
        lambda page: page.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
    )
    assert any("deployment/keys.html" in each.get_attribute("href") for each in results)
