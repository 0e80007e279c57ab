"""The reference of the command line, made of the commands themselves."""

from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.structure.pages import Page

from fedlab.cli.main import app

PAGE, MARK = "reference/cli.md", "<!-- commands -->"


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, in the order of the program's help."""
    if hasattr(command, "commands"):
        for each in command.commands.values():
            yield from commands(each, f"{name} {each.name}")
    else:
        yield name, command


def cell(text: str) -> str:
    """Return text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def accepted(parameter: Any, context: Any) -> str:
    """Return what a parameter takes: nothing for a flag, else a type or the choices."""
    if getattr(parameter, "is_flag", False):
        return ""
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    shown = parameter.metavar or parameter.make_metavar(context)
    low, high = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    bounds = (f"from {low:g}" if low is not None else "") + (f" to {high:g}" if high is not None else "")
    return cell(f"{shown.strip('[]').lower() if parameter.metavar is None else shown} {bounds}")


def default(parameter: Any) -> str:
    """Return a parameter's default as the help shows it."""
    if parameter.required:
        return "required"
    if isinstance(getattr(parameter, "show_default", None), str):
        return cell(parameter.show_default)
    value = parameter.default
    if value is None or value == [] or value is False or callable(value) or "UNSET" in str(value).upper():
        return ""
    return f"`{cell(str(value))}`"


def rows(command: Any, context: Any) -> Iterator[str]:
    """Yield the lines of a command's table of arguments and options."""
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        argument = parameter.param_type_name == "argument"
        shown = parameter.human_readable_name if argument else ", ".join([*parameter.opts, *parameter.secondary_opts])
        takes = "" if argument and parameter.metavar else accepted(parameter, context)
        yield f"| `{shown.strip('[]')}` | {takes} | {default(parameter)} | {cell(parameter.help or '')} |"


def section(name: str, command: Any) -> str:
    """Return a command's part of the page."""
    context = typer.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = [f"## {name}", "", (command.help or "").strip(), "", f"```text\n{usage}\n```", ""]
    if table := list(rows(command, context)):
        lines += ["| argument or option | takes | default | |", "|---|---|---|---|", *table, ""]
    return "\n".join(lines)


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Put the commands into their page."""
    if page.file.src_uri != PAGE:
        return markdown
    found = commands(typer.main.get_command(app), "fedlab")
    return markdown.replace(MARK, "\n".join(section(name, command) for name, command in found))
