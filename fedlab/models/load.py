"""Where an encoder's weights come from: a hub, a folder, an installed package, or random numbers."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlab.common.seeds import seed_for
from fedlab.config.builtins import RANDOM_BACKBONES
from fedlab.config.plugins import nearest
from fedlab.config.schema import BackboneTable
from fedlab.errors import UserError
from fedlab.models.base import BlockChain
from fedlab.models.families import BackboneFamily, EncoderSizes, families, family_of
from fedlab.models.location import source_of
from fedlab.models.quantised.named_weights import from_parts, in_parts
from fedlab.models.sizes import check_hub_answers, read_config
from fedlab.models.stored_weights import StoredWeights
from fedlab.models.tokenizer import tokenizer_for
from fedlab.workload.passes import Precision


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A transformers model and its tokenizer: a model without a head, or a decoder with that over the vocabulary."""

    model: Any
    tokenizer: Any


def load_pretrained(
    table: BackboneTable, *, seed: int, resolve: Callable[[str], Path], texts: Callable[[], Iterable[str]]
) -> Pretrained:
    """Load the encoder and the tokenizer an experiment names.

    A random encoder has no tokenizer of its own: its vocabulary is that of `texts()`.

    Raises:
        UserError: the name is unknown, the hub cannot be reached, the weights or the tokenizer are missing, or no
            family accepts the model.
    """
    if table.name in RANDOM_BACKBONES:
        return _random(table, seed, texts)
    if table.overrides:
        raise UserError("backbone.overrides: sizes can be set for a randomly initialised encoder only")
    return _from_files(source_of(table.name, resolve), table.name)


def encoder_of(model: Any, precision: Precision = "fp32") -> BlockChain:
    """Take the frozen weights out of a transformers model without a head, in a precision.

    Raises:
        UserError: the model is of no known family, or computes something that its family's functions do not.
    """
    family = _family_of(model)
    stored = family.weights(model)
    backbone: BlockChain = family.from_tensors(stored.tensors(precision), stored.facts)
    return backbone


def sizes_of(model: Any) -> EncoderSizes:
    """Return the sizes of a transformers model; raises as `encoder_of`."""
    family = _family_of(model)
    return family.sizes(model.config.to_dict(), f"backbone.name: the {model.config.model_type}")


def stored_weights(model: Any) -> StoredWeights:
    """Return the weights of a transformers model as they can be written to a file; raises as `encoder_of`."""
    stored: StoredWeights = _family_of(model).weights(model)
    return stored


def encoder_tensors(encoder: BlockChain) -> dict[str, Tensor]:
    """Return the encoder's weights by name as plain tensors, as `encoder_from_tensors` takes them back."""
    return in_parts(encoder.tensors())


def encoder_from_tensors(tensors: Mapping[str, Tensor], sizes: Mapping[str, Any]) -> BlockChain:
    """Put an encoder together from `encoder_tensors` and `encoder_sizes`."""
    backbone: BlockChain = families()[sizes["shape"]["family"]].from_tensors(from_parts(tensors), sizes)
    return backbone


def encoder_sizes(encoder: BlockChain) -> dict[str, Any]:
    """Return what an encoder is apart from its weights, as plain values."""
    return encoder.facts()


_FORMAT = 3  # of what `encoder_tensors` and `encoder_sizes` return: files of another are left alone


def source_key(table: BackboneTable, seed: int, resolve: Callable[[str], Path]) -> str:
    """Return a key that changes when the weights a name stands for change."""
    named = table.model_dump(mode="json", exclude={"initial"})  # what a new network is drawn from is no weight of it
    facts: list[Any] = [_FORMAT, named]
    if table.name in RANDOM_BACKBONES:
        facts.append(seed)
    with suppress(UserError):
        folder = source_of(table.name, resolve)
        if isinstance(folder, Path):
            facts += [[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(folder.iterdir()) if p.is_file()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _family_of(model: Any) -> BackboneFamily:
    return family_of(model.config.model_type, "backbone.name: the model")


def _from_files(source: Path | str, name: str) -> Pretrained:
    from transformers import AutoConfig, AutoTokenizer  # noqa: PLC0415  (seconds to import)
    from transformers.utils import logging  # noqa: PLC0415

    logging.set_verbosity_error()
    where = f"backbone.name: '{name}'"
    if isinstance(source, Path):  # a configuration that transformers does not know gets our line, too
        family_of(read_config(source / "config.json", where).get("model_type"), where)
    else:
        check_hub_answers(source)
    kind = _loaded(where, lambda: AutoConfig.from_pretrained(source)).model_type
    family = family_of(kind, where)
    options: dict[str, Any] = {"attn_implementation": "eager", "output_loading_info": True}
    if family.is_decoder:  # as stored, so that the files are mapped and nothing is converted in memory
        options["dtype"] = "auto"
    model, loading = _loaded(
        f"{where}: the weights of this {kind}", lambda: _auto_class(family).from_pretrained(source, **options)
    )
    tokenizer = _loaded(
        f"{where}: the tokenizer of this {kind}", lambda: AutoTokenizer.from_pretrained(source, use_fast=True)
    )
    if any(key.startswith("pooler.") for key in loading["missing_keys"]):
        model.pooler = None  # transformers would make one up at random
    if "lm_head.weight" in loading["missing_keys"]:
        model.lm_head = None  # likewise
    return Pretrained(model=model.eval(), tokenizer=tokenizer)


def _auto_class(family: BackboneFamily) -> Any:
    from transformers import AutoModel, AutoModelForCausalLM  # noqa: PLC0415

    return AutoModelForCausalLM if family.is_decoder else AutoModel


def _loaded(what: str, load: Callable[[], Any]) -> Any:
    """Return what transformers loads; raises a UserError of one line that begins with `what` if it cannot."""
    from transformers.utils import is_offline_mode  # noqa: PLC0415

    try:
        return load()
    except Exception as error:  # safetensors and tokenizers raise types of their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        offline = " (offline)" if is_offline_mode() else ""
        raise UserError(f"{what} cannot be loaded{offline}: {reason}") from error


def _random(table: BackboneTable, seed: int, texts: Callable[[], Iterable[str]]) -> Pretrained:
    from transformers import AutoConfig  # noqa: PLC0415

    sizes = dict(RANDOM_BACKBONES[table.name]) | table.overrides
    model_type = sizes.pop("model_type")
    family = family_of(model_type, f"backbone.name: '{table.name}'")
    _check_overrides(table.overrides, family)
    family.sizes({"model_type": model_type, **sizes}, "backbone.overrides")  # raises before anything is allocated
    config = AutoConfig.for_model(model_type, **{family.overrides.get(key, key): value for key, value in sizes.items()})
    generator_state = torch.random.get_rng_state()
    torch.manual_seed(seed_for(seed, "backbone"))  # transformers draws from torch's global generator
    try:
        model = _auto_class(family).from_config(config).eval()
    except ValueError as error:
        raise UserError(f"backbone.overrides: {error}") from error
    finally:
        torch.random.set_rng_state(generator_state)
    return Pretrained(model=model, tokenizer=tokenizer_for(texts(), config.vocab_size, family.special_tokens))


def _check_overrides(overrides: Mapping[str, int], family: BackboneFamily) -> None:
    for key, value in overrides.items():
        if key not in family.overrides:
            raise UserError(f"unknown key backbone.overrides.{key}: {nearest(key, family.overrides)}")
        if value < 1:
            raise UserError(f"backbone.overrides.{key} = {value}: expected a positive number")
