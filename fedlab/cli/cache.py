"""`fedlab cache` and `fedlab clean`: what fedlab keeps on this machine, and what killed runs left."""

import json
import math
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedlab.common.prepared_cache import CacheEntry

cache = typer.Typer(no_args_is_help=True, help="The cache of prepared data and encoders.")

_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


@cache.command(name="list")
def list_cache(as_json: _AsJson = False) -> None:
    """List what the cache holds, by kind."""
    from fedlab.common.prepared_cache import cache_entries, cache_folder  # noqa: PLC0415

    folder = cache_folder()
    entries = cache_entries(folder)
    if as_json:
        _print_json(str(folder), entries)
        return
    for each in entries:
        unused = "" if each.unused_days is None else f", last used {each.unused_days:.0f} days ago"
        typer.echo(f"{each.kind}/{each.path.name[:16]}: {_megabytes(each.size_bytes)}{unused}")
    typer.echo(f"{folder}: {len(entries)} entries, {_megabytes(sum(each.size_bytes for each in entries))}")


@cache.command()
def prune(
    unused_days: Annotated[
        float, typer.Option(min=0, help="Remove what was not used for this long; 0 removes everything.")
    ] = 30,
    as_json: _AsJson = False,
) -> None:
    """Remove prepared data and encoders that were not used lately; a run makes them again when it needs them."""
    from fedlab.common.prepared_cache import cache_folder, prune_cache  # noqa: PLC0415

    folder = cache_folder()
    removed = prune_cache(folder, unused_days=unused_days)
    if as_json:
        _print_json(str(folder), removed)
        return
    freed = _megabytes(sum(each.size_bytes for each in removed))
    typer.echo(f"{folder}: removed {len(removed)} entries, {freed}")


def clean(as_json: _AsJson = False) -> None:
    """Remove the temporary files and processes that killed runs left; those of living runs stay."""
    from fedlab.common.scratch import remove_leftovers  # noqa: PLC0415

    found = remove_leftovers()
    if as_json:
        plain = {"folders": [str(each) for each in found.folders], "bytes": found.size_bytes}
        typer.echo(json.dumps(plain | {"processes": found.processes}))
        return
    for folder in found.folders:
        typer.echo(f"removed {folder}")
    typer.echo(
        f"{len(found.folders)} folders, {_megabytes(found.size_bytes)}, and {len(found.processes)} processes"
        " of killed runs removed"
    )


def _print_json(folder: str, entries: "Iterable[CacheEntry]") -> None:
    plain = [
        {"kind": each.kind, "path": str(each.path), "bytes": each.size_bytes, "unused_days": _number(each.unused_days)}
        for each in entries
    ]
    typer.echo(json.dumps({"folder": folder, "entries": plain}))


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _number(days: float | None) -> float | None:
    return days if days is not None and math.isfinite(days) else None  # JSON has no infinity
