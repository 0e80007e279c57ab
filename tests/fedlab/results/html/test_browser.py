"""The page in a real browser: it is drawn, says nothing on the console, and can be used without a mouse."""

from pathlib import Path

import pytest

from fedlab.compare.page import page_of
from fedlab.results.html.run_page import run_page
from fedlab.results.html.run_records import read_run
from fedlab.results.html.write_report import write_report


@pytest.fixture(scope="session")
def report(adafl_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(run_page(read_run(adafl_run)), path)
    return path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_all_charts_are_drawn_within_the_page_and_nothing_is_said_on_the_console(opened, report, width, scheme):
    browser = opened(report, width=width, scheme=scheme)

    drawn = browser.execute_script("return [...document.querySelectorAll('.chart')].map(e => !!e.querySelector('svg'))")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert len(drawn) == 9
    assert all(drawn)
    assert wide <= width
    assert browser.get_log("browser") == []


def test_every_chart_has_an_accessible_name(opened, report):
    browser = opened(report)

    names = [each.accessible_name for each in browser.find_elements("css selector", ".chart")]

    assert len(names) == 9
    assert all(len(name) > 20 for name in names)


def test_the_chooser_is_reached_and_changed_by_keyboard(opened, report, waited):
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415

    browser = opened(report)

    def title():
        return browser.execute_script("return document.querySelector('[data-chart=accuracy]').textContent")

    def focused():
        return browser.switch_to.active_element

    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    for _ in range(40):
        if focused().get_attribute("name") == "over":
            break
        focused().send_keys(Keys.TAB)
    assert focused().get_attribute("value") == "time"
    assert "Simulated time" in title()
    focused().send_keys(Keys.ARROW_RIGHT)
    assert focused().get_attribute("value") == "round"
    waited(lambda: "Simulated time" not in title() and "Round" in title())


def test_the_time_line_follows_the_choice_of_the_round_and_says_why(opened, report, waited):
    from selenium.webdriver.support.ui import Select  # noqa: PLC0415

    browser = opened(report)

    def why():
        return browser.find_element("id", "round-why").text

    Select(browser.find_element("id", "round-choice")).select_by_value("2")
    waited(lambda: why().startswith("Round 2 took "))
    browser.find_element("css selector", "[data-step='1']").click()
    waited(lambda: why().startswith("Round 3 took "))


def test_the_time_line_is_zoomed_by_its_buttons(opened, report, waited):
    browser = opened(report)

    def ticks():
        script = "return document.querySelector('[data-chart=timeline]').view.scale('x').domain()"
        return browser.execute_script(script)

    start, end = ticks()
    browser.find_element("css selector", "[data-zoom='0.5']").click()
    waited(lambda: ticks()[1] - ticks()[0] < 0.6 * (end - start))
    browser.find_element("css selector", "[data-zoom='0']").click()
    waited(lambda: ticks() == [start, end])


@pytest.fixture
def comparison(recorded, tmp_path):
    for seed in range(2):
        recorded(f"sweep/a-{seed}", [(10.0, 0.3), (20.0 + seed, 0.6)], {"label": "A", "seed": seed})
        recorded(f"sweep/b-{seed}", [(15.0, 0.5), (30.0, 0.55)], {"label": "B", "seed": seed})
    path = tmp_path / "comparison.html"
    write_report(page_of([str(tmp_path / "sweep")])[0], path)
    return path.as_uri()


def test_a_comparison_is_drawn_against_every_cost_and_axe_finds_nothing_to_mend(opened, comparison, waited):
    browser = opened(comparison)

    def against():
        return browser.execute_script("return document.querySelector('[data-chart=fronts]').textContent")

    for choice, title in (("energy", "Energy of all"), ("traffic", "Traffic"), ("memory", "Peak memory")):
        browser.execute_script(f"document.querySelector('[value={choice}][name=against]').click()")
        waited(lambda title=title: title in against())
    assert browser.get_log("browser") == []
    assert violations(browser) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_mend(opened, report, scheme):
    assert violations(opened(report, scheme=scheme)) == []


def violations(browser):
    """Return what axe finds that keeps people from using a page, with the first element of each."""
    axe = pytest.importorskip("axe_core_python", reason="needs axe-core-python")
    browser.execute_script((Path(axe.__file__).parent / "axe.min.js").read_text())
    found = browser.execute_async_script("const done = arguments[0]; axe.run(document).then(done)")
    return [(each["id"], each["nodes"][0]["html"][:100]) for each in found["violations"]]
