"""The reference of an experiment's keys, made of the schema that validates them."""

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fedlab.config.schema import Experiment

PAGE, MARK = "reference/keys.md", "<!-- keys -->"
UNITS = {"seconds": "seconds", "hours": "hours", "bytes": "bytes", "length": "tokens", "tokens": "tokens"}
NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any value"}


def kind(annotation: Any) -> str:
    """Return a type in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return kind(inner[0])
    if origin in (Union, types.UnionType):
        return " or ".join(kind(each) for each in inner if each is not type(None))
    compound = {
        Literal: lambda: ", ".join(f"`{each}`" for each in inner),
        list: lambda: f"list of {kind(inner[0])}",
        dict: lambda: f"table: {kind(inner[0])} = {kind(inner[1])}",
    }
    return compound[origin]() if origin in compound else NAMES[annotation]


def bounds(field: FieldInfo) -> str:
    """Return the limits of a number."""
    found = {
        name: getattr(each, name) for each in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(each, name)
    }
    said = [
        f"{word} {shown(found[name])}"
        for name, word in (("ge", "from"), ("gt", "above"), ("le", "up to"), ("lt", "below"))
        if name in found and abs(found[name]) < 2**53
    ]
    return " ".join(said)


def shown(number: float) -> str:
    """Return a number as people write it: 1,000,000 and 0.001."""
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def unit(name: str) -> str:
    """Return the unit of a number, which its name ends with."""
    if name.startswith("server_bandwidth"):
        return "bytes a second"
    return UNITS.get(name.rpartition("_")[2], "")


def default(field: FieldInfo) -> str:
    """Return a default as TOML has it; "" if there is none, or the description gives it in words."""
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return ""
    text = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
    if isinstance(value, dict):
        text = "{ " + ", ".join(f"{name} = {share:g}" for name, share in value.items()) + " }" if value else "{ }"
    return f"`{text}`"


def tables(model: type[BaseModel], place: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each table of an experiment with its name, the experiment's own keys first."""
    yield place, model
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from tables(field.annotation, f"{place}.{name}" if place else name)


def entry(place: str, name: str, field: FieldInfo) -> str:
    """Return a key with what it takes, its default and its meaning."""
    takes = ", ".join(filter(None, [kind(field.annotation), bounds(field), unit(name)]))
    shown = default(field)
    key = f"{place}.{name}" if place else name
    return f"`{key}`\n:   *{takes}{f'; default {shown}' if shown else ''}*\n\n    {field.description or ''}\n"


def section(place: str, model: type[BaseModel]) -> str:
    """Return a table's part of the page."""
    about = (model.__doc__ or "").strip().split("\n\n")[0] if place else "Keys at the top of the file."
    entries = [
        entry(place, name, field)
        for name, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    ]
    title = f"## `[{place}]`" if place else "## The experiment"
    return "\n".join([f"{title}\n\n{' '.join(about.split())}\n", *entries])


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Put the keys into their page."""
    if page.file.src_uri != PAGE:
        return markdown
    return markdown.replace(MARK, "\n".join(section(place, model) for place, model in tables(Experiment, "")))
