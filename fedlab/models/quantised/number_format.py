"""In which numbers a tensor of a training is kept: integers or narrow floats, their scales and their rounding."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

NumberRounding = Literal["nearest", "stochastic", "pseudo-stochastic"]
NumberGroup = Literal["tensor", "channel", "pair", "block"]
ScaleRule = Literal["power-of-two", "nearest-power-of-two", "max", "percentile", "spread", "affine", "fixed"]
_FULL_EXPONENT, _FULL_MANTISSA = 8, 23  # of float32


class NumberFormat(BaseModel):
    """A format of numbers, as a table of an algorithm's file gives it.

    Integers of n bits are multiples of a unit from -L to L, L = 2^(n-1) - 1. The unit of a group follows from its
    numbers by the scale rule:

    * `power-of-two`: 2^ceil(log2(max / L)), of the largest magnitude max;
    * `nearest-power-of-two`: 2^round(log2 max) / 2^(n-1), and what is larger is clipped (WAGEUBN);
    * `max`: max / L; `percentile`: the same of a percentile of the magnitudes, and what is larger is clipped;
    * `spread`: (largest - smallest) / (2^n - 2) (Octo, backward);
    * `affine`: (largest - smallest) / (2^(n+1) - 2) with a zero point: n + 1 bits in effect (Octo, forward);
    * `fixed`: 2^-(n-1), whatever the numbers are (WAGEUBN).

    Floats have a sign, `exponent_bits` and `mantissa_bits` with subnormal numbers; what is larger than the largest one
    becomes it. 8 and 23 are float32, which nothing is rounded to.

    A group is the whole tensor, a channel, each (example, channel) or (output, input) pair, or `block_size` numbers
    that lie one behind another.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    kind: Literal["integer", "float"] = "float"
    bits: Annotated[int, Field(ge=2, le=24)] = 8
    exponent_bits: Annotated[int, Field(ge=2, le=8)] = _FULL_EXPONENT
    mantissa_bits: Annotated[int, Field(ge=0, le=23)] = _FULL_MANTISSA
    group: NumberGroup = "tensor"
    block_size: Annotated[int, Field(ge=1, le=65536)] = 32
    scale: ScaleRule = "max"
    percentile: Annotated[float, Field(gt=0, le=100)] = 99.9
    kept_range: Annotated[float, Field(gt=0, le=1)] = 1.0  # of the smallest and largest; what is outside is clipped
    scale_mantissa_bits: Annotated[int, Field(ge=0, le=8)] | None = None  # of a group's scale over its tensor's (MLS)
    fine_bits: Annotated[int, Field(ge=0, le=8)] = 0  # of fraction, for numbers below one unit (WAGEUBN's flag bit)
    recomputed: Literal["every-batch", "adaptive"] = "every-batch"
    widened_above: Annotated[float, Field(gt=0, le=1)] = (
        0.03  # distance above which an adaptive format gets 8 more bits
    )
    most_bits: Annotated[int, Field(ge=2, le=24)] = 24
    rounding: NumberRounding = "nearest"

    @model_validator(mode="after")
    def _fits(self) -> "NumberFormat":
        given = self.model_fields_set
        alien = given & ({"bits", "scale", "fine_bits", "recomputed"} if self.kind == "float" else _OF_FLOATS)
        if alien:
            raise ValueError(f"{min(alien)}: a format of kind = '{self.kind}' has none")
        if "block_size" in given and self.group != "block":
            raise ValueError(f"block_size: group is '{self.group}', expected group = 'block' with it")
        if "percentile" in given and self.scale != "percentile":
            raise ValueError(f"percentile: scale is '{self.scale}', expected scale = 'percentile' with it")
        if self.recomputed == "adaptive" and (self.scale != "power-of-two" or self.group != "tensor"):
            raise ValueError("recomputed = 'adaptive': expected scale = 'power-of-two' and group = 'tensor' with it")
        if self.scale_mantissa_bits is not None and (self.scale != "max" or self.group == "tensor"):
            raise ValueError("scale_mantissa_bits: expected scale = 'max' and groups of a tensor with it")
        return self

    @property
    def exact(self) -> bool:
        """Tell whether this is float32, to which nothing is rounded."""
        return self.kind == "float" and (self.exponent_bits, self.mantissa_bits) == (_FULL_EXPONENT, _FULL_MANTISSA)


_OF_FLOATS = {"exponent_bits", "mantissa_bits"}
FULL = NumberFormat()
