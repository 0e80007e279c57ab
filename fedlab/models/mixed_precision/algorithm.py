"""An algorithm of mixed-precision training: a TOML file of formats and an update rule, built in or a user's own."""

import tomllib
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedlab.common.files import check_regular
from fedlab.common.short_text import shortened
from fedlab.config.schema import Initial
from fedlab.errors import UserError
from fedlab.models.integer.network import IntegerRules
from fedlab.models.integer.update import MuSchedule
from fedlab.models.quantised.number_format import FULL, NumberFormat
from fedlab.workload.passes import Format

UpdateRule = Literal["integer", "sgd", "adam", "normalised"]
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
_Epoch = Annotated[int, Field(ge=0)]
_Rate = Annotated[float, Field(gt=0, le=1000)]
_OPERANDS = ("weights", "activations", "errors")  # of products
_NARROW_BITS = 8
_NITI_FORMATS = ("weights", "activations", "errors", "gradients")


class WeightUpdate(BaseModel):
    """How weights are updated.

    `integer`: NITI's subtraction of whole levels, whose learning rate is `mu`. `sgd` and `adam`: on the stored weights,
    rounded to their format. `normalised`: a gradient over its power-of-two scale, times the rate over 2^7, kept to
    `step_bits` bits (WAGEUBN). `mu` and `learning_rate` are one value, or pairs of an epoch and the value from then on.
    """

    model_config = _STRICT

    rule: UpdateRule = "sgd"
    mu: Annotated[int, Field(ge=-7, le=7)] | list[tuple[_Epoch, Annotated[int, Field(ge=-7, le=7)]]] = 0
    learning_rate: _Rate | list[tuple[_Epoch, _Rate]] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    decays: bool = False  # NITI's decay of integers
    wide_weights: bool = False  # NITI's 16-bit weights
    step_bits: Annotated[int, Field(ge=2, le=24)] = 15

    @model_validator(mode="after")
    def _fits(self) -> "WeightUpdate":
        integer, given = self.rule == "integer", self.model_fields_set
        alien = given & ({"learning_rate", "momentum", "weight_decay"} if integer else {"mu", "decays", "wide_weights"})
        if alien:
            raise ValueError(f"{min(alien)}: rule = '{self.rule}' has none")
        for name in ("mu", "learning_rate"):
            pairs = getattr(self, name)
            epochs = [epoch for epoch, _ in pairs] if isinstance(pairs, list) else [0]
            if not epochs or epochs[0] != 0 or epochs != sorted(set(epochs)):
                raise ValueError(f"{name}: epochs {epochs}, expected rising ones that begin with 0")
        return self

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate in an epoch, counted from 0."""
        if not isinstance(self.learning_rate, list):
            return self.learning_rate
        return next(rate for first, rate in reversed(self.learning_rate) if epoch >= first)

    @property
    def mu_schedule(self) -> MuSchedule:
        """Return NITI's learning rate by epoch."""
        return MuSchedule(steps=tuple(self.mu) if isinstance(self.mu, list) else ((0, self.mu),))

    @property
    def last_epoch(self) -> int:
        """Return the last epoch that a schedule names."""
        return max(
            (pairs[-1][0] for pairs in (self.mu, self.learning_rate) if isinstance(pairs, list)),
            default=0,
        )


class ChunkedSums(BaseModel):
    """Sums of products in a float format: each chunk is summed, then the sums of the chunks one after another."""

    model_config = _STRICT

    exponent_bits: Annotated[int, Field(ge=2, le=8)]
    mantissa_bits: Annotated[int, Field(ge=1, le=23)]
    chunk: Annotated[int, Field(ge=1, le=65536)]


class Compensation(BaseModel):
    """Octo's loss-aware compensation: alpha * mu + offset is added behind each quantised convolution, and trained."""

    model_config = _STRICT

    alpha: float = 1.0
    spread: Annotated[float, Field(ge=0, le=1)] = 1e-3  # standard deviation of mu and offset at the start
    decay: Annotated[float, Field(ge=0, le=1)] = 0.1  # L2, of mu and offset


class Algorithm(BaseModel):
    """An algorithm's file."""

    model_config = _STRICT

    description: str = ""
    source: str = ""
    unconfirmed: list[str] = []  # what the file says without a source that confirms it
    weights: NumberFormat = FULL
    activations: NumberFormat = FULL
    errors: NumberFormat = FULL
    gradients: NumberFormat = FULL
    stored_weights: NumberFormat = FULL
    ends: NumberFormat | None = None  # of weights, activations and errors of the first and the last layer
    layers: Literal["all", "convolutions"] = "all"  # which are quantised
    sums: ChunkedSums | None = None
    compensation: Compensation | None = None
    loss_scale: Annotated[float, Field(gt=0, le=2**24)] = 1.0
    initial: Initial = "xavier-uniform"
    stretched_inputs: bool = False  # of integer training
    least_shift: Literal[1, 2] = 1  # of integer training
    update: WeightUpdate = WeightUpdate()

    @model_validator(mode="after")
    def _integers_alone(self) -> "Algorithm":
        if self.update.rule != "integer":
            return self
        for name in _NITI_FORMATS:
            form: NumberFormat = getattr(self, name)
            if (form.kind, form.bits, form.group, form.scale) != ("integer", 8, "tensor", "power-of-two"):
                raise ValueError(
                    f"{name}: update.rule = 'integer' takes kind = 'integer', bits = 8, group = 'tensor' and "
                    "scale = 'power-of-two'"
                )
        stored = 16 if self.update.wide_weights else 8
        if (self.stored_weights.kind, self.stored_weights.bits) != ("integer", stored):
            raise ValueError(f"stored_weights: expected kind = 'integer' and bits = {stored} with this update")
        return self

    @property
    def is_integer(self) -> bool:
        """Tell whether it is computed in integers alone; otherwise float32 emulates its formats."""
        return self.update.rule == "integer"

    @property
    def billed_in(self) -> Format:
        """Return the number format of a processor in which it is computed.

        That is int8 where all operands of products are integers of at most 8 bits. Others are emulated in fp32, which
        holds them all, on a device as here. Layers that are left in float, and formats that widen now and then, do not
        count.
        """
        return "int8" if all(_is_narrow(getattr(self, name)) for name in _OPERANDS) else "fp32"

    def with_learning_rate(self, rate: float | Sequence[Sequence[float]], place: str) -> "Algorithm":
        """Return the algorithm with another learning rate: one, or pairs of an epoch and the rate from then on.

        Raises UserError, which begins with the place, for what is no learning rate.
        """
        table = self.model_dump(exclude_unset=True)
        given = rate if isinstance(rate, int | float) else [tuple(pair) for pair in rate]
        table["update"] = table.get("update", {}) | {"learning_rate": given}
        return parse_algorithm(table, place)

    @property
    def integer_rules(self) -> IntegerRules:
        """Return the rules of the integer engine."""
        assert self.is_integer
        return IntegerRules(
            activations=self.activations.rounding,
            errors=self.errors.rounding,
            gradients=self.gradients.rounding,
            least_shift=self.least_shift,
            stretched_inputs=self.stretched_inputs,
            initial=self.initial,
            decay=self.update.decays,
            wide_weights=self.update.wide_weights,
        )


def builtin_algorithms() -> tuple[str, ...]:
    """Return the names of the algorithms that come with fedlab."""
    folder = files("fedlab.models.mixed_precision") / "algorithms"
    return tuple(sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml")))


def read_algorithm(name: str) -> Algorithm:
    """Return the built-in algorithm of a name, or that of a user's file, whose name ends in .toml.

    Raises:
        UserError: there is no such algorithm, or the file says what no algorithm can be; with file and key.
    """
    if not name.endswith(".toml"):
        known = builtin_algorithms()
        if name not in known:
            raise UserError(f"algorithm '{shortened(name)}': expected one of {', '.join(known)}, or a .toml file")
        path = files("fedlab.models.mixed_precision") / "algorithms" / f"{name}.toml"
        return parse_algorithm(tomllib.loads(path.read_text(encoding="utf-8")), f"algorithm {name}")
    return parse_algorithm(_read_own(Path(name)), f"algorithm {name}")


def _read_own(path: Path) -> dict[str, Any]:
    try:
        check_regular(path)
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"algorithm {path}: cannot be read ({error.strerror}), expected a TOML file") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not TOML
        raise UserError(f"algorithm {path}: not a TOML file ({shortened(str(error), 160)})") from error


def parse_algorithm(table: dict[str, Any], place: str) -> Algorithm:
    """Return the algorithm of a table. Raises UserError, which begins with the place and names the key."""
    try:
        return Algorithm.model_validate(_with_tuples(table))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        said = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
        raise UserError(f"{place}: {key}: {said}" if key else f"{place}: {said}") from error


def _with_tuples(table: dict[str, Any]) -> dict[str, Any]:
    """Return a table whose schedules are lists of tuples: TOML has lists alone."""
    update = table.get("update")
    if not isinstance(update, dict):
        return table
    pairs = {
        key: [tuple(pair) if isinstance(pair, list) else pair for pair in value]
        for key, value in update.items()
        if isinstance(value, list)
    }
    return table | {"update": update | pairs}


def algorithm_named(name: str, base: Path) -> Algorithm:
    """Return what `read_algorithm` does; a user's own file is found from `base`."""
    return read_algorithm(str(base / name) if name.endswith(".toml") else name)


def check_runs_on(algorithm: Algorithm, formats: Collection[str], place: str) -> None:
    """Raise a UserError if a processor with these number formats cannot compute an algorithm; `place` begins it."""
    if algorithm.billed_in in formats:
        return
    name = next((each for each in _OPERANDS if not _is_narrow(getattr(algorithm, each))), _OPERANDS[0])
    raise UserError(
        f"{place}: {name} are {_in_words(getattr(algorithm, name))}, and the processor has {', '.join(formats)} alone; "
        f"expected an algorithm of integers of at most {_NARROW_BITS} bits, or another processor"
    )


def _is_narrow(form: NumberFormat) -> bool:
    return form.kind == "integer" and form.bits <= _NARROW_BITS


def _in_words(form: NumberFormat) -> str:
    bits = form.bits if form.kind == "integer" else 1 + form.exponent_bits + form.mantissa_bits
    return f"{form.kind}s of {bits} bits"
