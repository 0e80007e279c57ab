"""The built-in names of an experiment file with their options, made of the functions and classes that take them."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mkdocs.structure.pages import Page

from fedlab.config.builtins import AVAILABILITY, CLIENTS, CODECS, LINKS, STRATEGIES, TRACKERS, TRAINABLE_SETS
from fedlab.config.plugins import load_object

PAGE, MARK = "reference/options.md", "<!-- options -->"
KINDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "Strategies": ("`strategy.name`; options are keys of `strategy.options`.", STRATEGIES),
    "Clients": ("`client.name`; options are keys of `client.options`.", CLIENTS),
    "Trainable sets": ("`client.trains`; depth, width and `client.axes` are its axes.", TRAINABLE_SETS),
    "Links": ("`link.name`; options are keys of `link.options`.", LINKS),
    "Availability": ("`availability.name`; options are keys of `availability.options`.", AVAILABILITY),
    "Codecs": ("Names in `codec.up`, `codec.down` and `codec.memory`.", CODECS),
    "Trackers": ("Names in `tracking.to`; options are keys of `tracking.options.NAME`.", TRACKERS),
}
# What the options of several built-in parts mean is said where they are validated.
SHARED = {
    "Options of a cohort": "strategies.cohort:CohortRules",
    "Options of steps": "strategies.steps:StepOptions",
    "Options of AdaFL": "strategies.adafl:AdaFLOptions",
    "Options of FwdLLM": "strategies.fwdllm:FwdLLMOptions",
    "Options of FedKSeed": "strategies.fedkseed:FedKSeedOptions",
    "Options of local training": "fedlab.training.local:LocalTraining",
}
GIVEN = ("seed", "base_folder", "sets")  # by the experiment itself


def about(found: Any) -> str:
    """Return a docstring without the part that says what is raised."""
    return (inspect.getdoc(found) or "").partition("\nRaises:")[0].strip()


def table(found: Callable[..., Any]) -> list[str]:
    """Return the lines of a table of options; none if there are no options."""
    parameters = [each for each in inspect.signature(found).parameters.values() if each.name not in GIVEN]
    rows = [
        f"| `{each.name}` | {'required' if each.default is each.empty else f'`{each.default!r}`'} |"
        for each in parameters
        if each.kind is not each.VAR_KEYWORD
    ]
    return ["", "| option | default |", "|---|---|", *rows] if rows else []


def section(name: str, reference: str, level: str = "###") -> str:
    """Return the part of the page that is about one name."""
    found = load_object(reference, Path())
    shown = f"`{name}`" if level == "###" else name
    return "\n".join([f"{level} {shown}", "", about(found), *table(found), ""])


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Put the names into their page."""
    if page.file.src_uri != PAGE:
        return markdown
    parts = []
    for title, (place, names) in KINDS.items():
        parts += [f"## {title}\n\n{place}\n", *(section(name, reference) for name, reference in names.items())]
    parts += [section(title, reference, "##") for title, reference in SHARED.items()]
    return markdown.replace(MARK, "\n".join(parts))
