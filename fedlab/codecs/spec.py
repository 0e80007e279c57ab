"""Codec specs: the codecs of a run, as an experiment names them and an order carries them."""

import inspect
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.codecs.codec import Codec
from fedlab.codecs.guarded import GuardedCodec
from fedlab.codecs.pipeline import Pipeline
from fedlab.config.builtins import CODECS
from fedlab.config.guard import guarded
from fedlab.config.plugins import call_with_options, resolve
from fedlab.errors import UserError
from fedlab.messages.codec_terms import CodecTerms, Spec


@dataclass(frozen=True, kw_only=True)
class Coding:
    """The coding of a run: the terms that the server sends to clients, and the pipelines of both directions."""

    terms: CodecTerms
    up: Pipeline
    down: Pipeline


def build_pipeline(specs: Sequence[Spec], place: str, base: Path, trusted: Collection[str] | None = None) -> Pipeline:
    """Build the codecs of a pipeline; `place` is the key of the specs, for errors.

    Names that are not built in are imported. If `trusted` is given, only names in it are: a client must not run any
    code that the sender of its terms names.

    Raises:
        UserError: a codec does not exist, is not trusted, does not take its options, or is followed by others although
            it is final.
    """
    codecs = tuple(_build(spec, place, base, trusted) for spec in specs)
    for spec, codec in zip(specs, codecs[:-1], strict=False):
        if codec.final:
            raise UserError(f"{place}: '{name_of(spec)}' must be the last: it leaves nothing to encode")
    return Pipeline(codecs=codecs)


def name_of(spec: Spec) -> str:
    """Return the name of the codec that a spec names."""
    return _parts(spec)[0]


def _build(spec: Spec, place: str, base: Path, trusted: Collection[str] | None) -> Codec:
    name, argument, options = _parts(spec)
    if trusted is not None and name not in CODECS and name not in trusted:
        raise UserError(f"{place}: codec '{name}' is neither built in nor named in the client's own experiment")
    try:
        factory = resolve(name, CODECS, base)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error
    if argument is not None:
        options = {_first_option(factory, name, place): argument, **options}
    codec = call_with_options(factory, options, f"{place}.{name}")
    if not guarded(f"{place}: '{name}'", "its codec", lambda: isinstance(codec, Codec)):
        raise UserError(f"{place}: '{name}' does not make a fedlab.codecs.codec.Codec")
    return codec if name in CODECS else GuardedCodec(codec=codec, place=f"{place}: '{name}'")


def _parts(spec: Spec) -> tuple[str, Any, dict[str, Any]]:
    """Return the name, the argument after a colon (None without one) and the options."""
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    whole = options.pop("name")
    name, colon, argument = whole.partition(":")
    if not colon or name not in CODECS:  # module:Name is a name, without an argument
        return whole, None, options
    try:
        return name, json.loads(argument), options
    except ValueError:
        return name, argument, options


def _first_option(factory: Any, name: str, place: str) -> str:
    options = list(inspect.signature(factory).parameters)
    if not options:
        raise UserError(f"{place}: '{name}' takes no options")
    return options[0]
