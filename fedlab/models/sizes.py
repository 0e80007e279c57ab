"""The sizes of a backbone, read from its configuration and not from its weights."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedlab.common.files import check_regular
from fedlab.common.short_text import raised
from fedlab.config.builtins import RANDOM_BACKBONES
from fedlab.config.hub_names import MODELS_VARIABLE, hub_failure
from fedlab.config.plugins import nearest
from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.decoders import published_decoder
from fedlab.models.families import EncoderSizes, families, family_of, known_model
from fedlab.models.location import source_of

__all__ = ["EncoderSizes", "model_type_of", "read_config", "read_sizes"]


def read_sizes(table: BackboneTable, *, resolve: Callable[[str], Path]) -> EncoderSizes:
    """Return the sizes of the backbone an experiment names; `resolve` as for `load_pretrained`.

    Only a hub id that is not known here takes a file from the hub.

    Raises:
        UserError: the name is unknown, its configuration cannot be read, or no family accepts it.
    """
    return _sizes(*_config_of(table, resolve))


def model_type_of(table: BackboneTable, *, resolve: Callable[[str], Path]) -> str:
    """Return transformers' name for the kind of model an experiment names; parameters and errors as of `read_sizes`."""
    config, where = _config_of(table, resolve)
    family_of(config.get("model_type"), where)
    return str(config["model_type"])


def _config_of(table: BackboneTable, resolve: Callable[[str], Path]) -> tuple[Mapping[str, Any], str]:
    """Return the configuration of the model an experiment names, and how a message about it begins."""
    where = f"backbone.name: '{table.name}'"
    random = RANDOM_BACKBONES.get(table.name)
    if random is not None:
        return dict(random) | table.overrides, where
    decoder = published_decoder(table.name)
    if decoder is not None:
        return dict(decoder) | table.overrides, where
    known = known_model(table.name)
    if known is not None:
        return known, where
    source = source_of(table.name, resolve)
    path = source / "config.json" if isinstance(source, Path) else _from_hub(source)
    return read_config(path, where), where


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
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  (a quarter of a second; most backbones are known)

    if (earlier := check_hub_answers(name)) is not None:
        return earlier
    try:
        return Path(hf_hub_download(name, "config.json"))
    except Exception as error:  # no such id, no room: each an exception of its own
        raise _not_to_be_had(name, type(error).__name__) from error


def check_hub_answers(name: str) -> Path | None:
    """Return the `config.json` of a hub id that was downloaded earlier; else None, once the hub has answered.

    Raises:
        UserError: the file was never downloaded, and the hub is not to be used or does not answer.
    """
    from huggingface_hub import constants, hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(hf_hub_download(name, "config.json", local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):  # never downloaded, or no name a hub would have
        pass
    if constants.HF_HUB_OFFLINE:
        raise _not_to_be_had(name, "offline")
    if (failure := hub_failure()) is not None:
        raise _not_to_be_had(name, type(failure).__name__) from failure
    return None


def _not_to_be_had(name: str, reason: str) -> UserError:
    others = [] if name in _known() else _known()
    return UserError(
        f"backbone.name: '{name}' is no folder here or below ${MODELS_VARIABLE}, and its config.json is not to be had "
        f"from the hub ({reason}): "
        f"{nearest(name, [*RANDOM_BACKBONES, *others, 'a folder'])}"
    )


def _known() -> list[str]:
    return [name for family in families().values() for name in family.known]
