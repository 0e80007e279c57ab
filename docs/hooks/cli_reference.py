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


def plain(text: str) -> str:
    """Return text on one line, without what Markdown would take for a tag."""
    return " ".join(text.split()).replace("<", "&lt;")


def accepted(parameter: Any, context: Any) -> str:
    """Return what a parameter takes: nothing for a flag, else its name in the help, a type or the choices."""
    if getattr(parameter, "is_flag", False):
        return ""
    if parameter.metavar:
        return f"`{parameter.metavar.strip('[]')}`"
    if choices := getattr(parameter.type, "choices", None):
        return " ".join(f"`{choice}`" for choice in choices)
    low, high = getattr(parameter.type, "min", None), getattr(parameter.type, "max", None)
    kind = parameter.type.name.removesuffix(" range")
    return kind + (f" from {low:,}" if low is not None else "") + (f" up to {high:,}" if high is not None else "")


def default(parameter: Any) -> str:
    """Return a parameter's default as the help shows it."""
    if parameter.required:
        return "required"
    if isinstance(getattr(parameter, "show_default", None), str):
        return f"default: {plain(parameter.show_default)}"
    value = parameter.default
    if value is None or value is False or value in ([], ()) or callable(value) or "UNSET" in str(value).upper():
        return ""
    return f"default: `{plain(str(value))}`"


def entries(command: Any, context: Any) -> Iterator[str]:
    """Yield a command's arguments and options, with what each takes, its default and its help."""
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
            continue
        argument = parameter.param_type_name == "argument"
        shown = parameter.human_readable_name if argument else ", ".join([*parameter.opts, *parameter.secondary_opts])
        takes = "" if argument and parameter.metavar else accepted(parameter, context)
        said = "; ".join(filter(None, [takes, default(parameter)]))
        lines = f"*{said}*\n\n    " if said else ""
        yield f"`{shown.strip('[]')}`\n:   {lines}{plain(parameter.help or '')}\n"


def section(name: str, command: Any) -> str:
    """Return a command's part of the page."""
    context = typer.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = [f"## {name}", "", (command.help or "").strip(), "", f"```text\n{usage}\n```", ""]
    lines += entries(command, context)
    return "\n".join(lines)


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Put the commands into their page."""
    if page.file.src_uri != PAGE:
        return markdown
    found = commands(typer.main.get_command(app), "fedlab")
    return markdown.replace(MARK, "\n".join(section(name, command) for name, command in found))
