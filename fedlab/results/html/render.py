"""A page as HTML: one file that needs nothing else, or its body alone for a page that is open."""

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedlab.results.html.libraries import chart_libraries
from fedlab.results.html.parts import Page
from fedlab.results.html.templates import body, parts, script, style, whole

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = '<meta name="generator" content="fedlab report">'  # in the head of every report

_TEMPLATES = {"page.html.j2": whole.TEXT, "body.html.j2": body.TEXT, "parts.html.j2": parts.TEXT}


@dataclass(frozen=True, kw_only=True)
class LiveState:
    """The state that a served page shows, and how often it asks for a new one."""

    state: str
    seconds: float


def render_page(page: Page, live: LiveState | None = None) -> str:
    """Return the whole page, with the chart libraries, styles and script in it."""
    from markupsafe import Markup  # noqa: PLC0415

    return _render(
        "page.html.j2",
        page,
        live,
        generator=Markup(GENERATOR),
        css=Markup(style.TEXT),
        libraries=Markup(in_script(chart_libraries())),
        script=Markup(in_script(script.TEXT)),
    )


def render_body(page: Page, live: LiveState | None = None) -> str:
    """Return what of the page may change while a run goes on: its sections and their data."""
    return _render("body.html.j2", page, live)


def in_script(text: str) -> str:
    """Return JavaScript that does not end the element it stands in."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def in_data(value: Any) -> str:
    """Return JSON that does not end the element it stands in; raises `ValueError` for what JSON has no word for."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _render(template: str, page: Page, live: LiveState | None, **more: Any) -> str:
    from markupsafe import Markup  # noqa: PLC0415

    data = {"charts": page.charts()} | ({"live": vars(live)} if live else {})
    return _templates().get_template(template).render(page=page, live=live, data=Markup(in_data(data)), **more)


@functools.cache
def _templates() -> "Environment":
    from jinja2 import DictLoader, Environment  # noqa: PLC0415  (keeps other commands quick to start)

    return Environment(loader=DictLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
