"""The sizes of a backbone, read from its configuration and not from its weights."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedlab.common.files import check_regular
from fedlab.common.short_text import raised
from fedlab.config.builtins import RANDOM_BACKBONES
from fedlab.config.plugins import nearest
from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.decoders import PUBLISHED_DECODERS, published_decoder
from fedlab.models.families import EncoderSizes, families, family_of, known_model
from fedlab.models.location import source_of

__all__ = ["EncoderSizes", "read_config", "read_sizes"]
_HUB_TIMEOUT_SECONDS = 5.0


def read_sizes(table: BackboneTable, *, resolve: Callable[[str], Path]) -> EncoderSizes:
    """Return the sizes of the backbone an experiment names; `resolve` as for `load_pretrained`.

    Only a hub id that is not known here takes a file from the hub.

    Raises:
        UserError: the name is unknown, its configuration cannot be read, or no family accepts it.
    """
    where = f"backbone.name: '{table.name}'"
    random = RANDOM_BACKBONES.get(table.name)
    if random is not None:
        return _sizes(dict(random) | table.overrides, where)
    decoder = published_decoder(table.name)
    if decoder is not None:
        return _sizes(dict(decoder) | table.overrides, where)
    known = known_model(table.name)
    if known is not None:
        return _sizes(known, where)
    source = source_of(table.name, resolve)
    path = source / "config.json" if isinstance(source, Path) else _from_hub(source)
    return _sizes(read_config(path, where), where)


def read_config(path: Path, where: str) -> Mapping[str, Any]:
    """Read a model's configuration; raises a UserError that begins with `where` if it is missing or no table."""
    check_regular(path)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        accepted = ", ".join(sorted(families()))
        raise UserError(
            f"{where}: {path.parent} has no config.json; accepted: a folder with config.json, weights and a fast "
            f"tokenizer, of one of {accepted}"
        ) from error
    except OSError as error:
        raise UserError(f"{where}: {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not JSON
        raise UserError(f"{where}: {path} is not JSON: {raised(error)}") from error
    if not isinstance(config, dict):
        raise UserError(f"{where}: {path} holds no table")
    return config


def _sizes(config: Mapping[str, Any], where: str) -> EncoderSizes:
    return family_of(config.get("model_type"), where).sizes(config, where)


def _from_hub(name: str) -> Path:
    # Imported here: a quarter of a second, and most backbones are known or lie in a folder.
    from huggingface_hub import constants, get_session, hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(hf_hub_download(name, "config.json", local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):  # never downloaded, or no name a hub would have
        pass
    try:
        if not constants.HF_HUB_OFFLINE:  # asked first, as the download tries again for most of a minute
            get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_SECONDS)
        return Path(hf_hub_download(name, "config.json"))
    except Exception as error:  # no such id, no network, no room: each an exception of its own
        raise UserError(
            f"backbone.name: '{name}' is no folder, and its config.json is not to be had from the hub "
            f"({type(error).__name__}): {nearest(name, [*RANDOM_BACKBONES, *_known(), 'a folder'])}"
        ) from error


def _known() -> list[str]:
    return [*PUBLISHED_DECODERS, *(name for family in families().values() for name in family.known)]
