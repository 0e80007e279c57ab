"""The sizes of an encoder, read from its configuration and not from its weights."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.config.builtins import RANDOM_BACKBONES
from fedlab.config.plugins import nearest
from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.location import DISTILBERT_SIZES, source_of
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape

# The encoders whose sizes are transformers' defaults, by the names they have on the hub.
_HUB_NAMES: Mapping[str, str] = {
    "bert-base-uncased": "bert-base",
    "google-bert/bert-base-uncased": "bert-base",
    "distilbert-base-uncased": "distilbert-base",
    "distilbert/distilbert-base-uncased": "distilbert-base",
}
_VOCABULARY, _POSITIONS = 30522, 512  # of both base models
_HUB_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class EncoderSizes:
    """An encoder's shape, and the rows of its embeddings."""

    shape: ModelShape
    vocabulary: int
    positions: int


def read_sizes(table: BackboneTable, *, resolve: Callable[[str], Path]) -> EncoderSizes:
    """Return the sizes of the encoder an experiment names; `resolve` as for `load_pretrained`.

    Only an id of the hub that is not known here takes a file from there.

    Raises:
        UserError: the name is unknown, its configuration cannot be read, or it is no BERT or DistilBERT.
    """
    name = _HUB_NAMES.get(table.name, table.name)
    if name in RANDOM_BACKBONES:
        given = table.overrides if table.name in RANDOM_BACKBONES else {}
        return _sizes(dict(RANDOM_BACKBONES[name]) | given, table.name)
    source = source_of(name, resolve)
    path = source / "config.json" if isinstance(source, Path) else _from_hub(source)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"backbone.name: '{table.name}': {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not JSON
        raise UserError(f"backbone.name: '{table.name}': {path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"backbone.name: '{table.name}': {path} holds no table")
    return _sizes(config, table.name)


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
            f"({type(error).__name__}): {nearest(name, [*RANDOM_BACKBONES, *_HUB_NAMES, 'a folder'])}"
        ) from error


def _sizes(config: Mapping[str, Any], name: str) -> EncoderSizes:
    family = config.get("model_type")
    if family not in ("bert", "distilbert"):
        raise UserError(f"backbone.name: '{name}' is a '{family}'; accepted: bert, distilbert")

    def size(key: str, default: int) -> int:
        given = DISTILBERT_SIZES.get(key, key) if family == "distilbert" else key
        value = config.get(given, config.get(key, default))
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"backbone.name: '{name}': {given} is {value!r}, expected a positive whole number")
        return value

    base = REFERENCE_SHAPES[family]  # transformers takes the base model's where a configuration gives no size
    shape = ModelShape(
        family=family,
        blocks=size("num_hidden_layers", base.blocks),
        hidden=size("hidden_size", base.hidden),
        intermediate=size("intermediate_size", base.intermediate),
    )
    return EncoderSizes(
        shape=shape,
        vocabulary=size("vocab_size", _VOCABULARY),
        positions=size("max_position_embeddings", _POSITIONS),
    )
