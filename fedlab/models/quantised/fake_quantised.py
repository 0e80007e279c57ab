"""Numbers as a format would keep them, in float32: what emulated training computes with."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedlab.models.integer.rescaling import Rescaling, quantisation_distance
from fedlab.models.quantised.number_format import NumberFormat, NumberRounding

_PSEUDO_BITS = 8  # of a fraction's upper and lower half


@dataclass(kw_only=True)
class FormatState:
    """What formats remember between the steps of a training, and their draws."""

    draws: torch.Generator
    rescaling: Rescaling = field(default_factory=lambda: Rescaling(adaptive=True))
    bits: dict[str, int] = field(default_factory=dict)  # of adaptive formats, by the names of their tensors


def fake_quantised(numbers: Tensor, form: NumberFormat, state: FormatState, name: str, *, channel: int = 0) -> Tensor:
    """Return float32 numbers, of any shape, as a format keeps them; `channel` is the dimension of the channels.

    `name` is the tensor's, by which an adaptive format knows its last scale and bits.
    """
    if form.exact or not numbers.numel():
        return numbers
    if form.kind == "float":
        return float_rounded(numbers, form.exponent_bits, form.mantissa_bits, form.rounding, state.draws)
    if form.recomputed == "adaptive":
        return _adaptive(numbers, form, state, name)
    rows = _grouped(numbers, form, channel)
    return _ungrouped(_by_rows(rows, form, state.draws), numbers, form, channel)


def float_rounded(
    numbers: Tensor, exponent_bits: int, mantissa_bits: int, rounding: NumberRounding, draws: torch.Generator
) -> Tensor:
    """Return numbers as floats of fewer bits, with subnormal ones; the largest stands for what is larger."""
    bias = 2 ** (exponent_bits - 1) - 1
    _, exponents = torch.frexp(numbers)
    exponents = (exponents - 1).clamp_(min=1 - bias)
    units = torch.ldexp(torch.ones_like(numbers), exponents - mantissa_bits)
    largest = (2 - 2.0**-mantissa_bits) * 2.0**bias
    return _rounded(numbers / units, rounding, draws).mul_(units).clamp_(-largest, largest)


def _grouped(numbers: Tensor, form: NumberFormat, channel: int) -> Tensor:
    """Return numbers as rows, one a group; zeros fill the last block."""
    match form.group:
        case "channel":
            return numbers.transpose(0, channel).reshape(numbers.shape[channel], -1)
        case "pair":
            return numbers.reshape(math.prod(numbers.shape[:2]), -1)
        case "block":
            flat = numbers.reshape(-1)
            return torch.nn.functional.pad(flat, (0, -len(flat) % form.block_size)).view(-1, form.block_size)
    return numbers.reshape(1, -1)


def _ungrouped(rows: Tensor, numbers: Tensor, form: NumberFormat, channel: int) -> Tensor:
    if form.group == "channel":
        return rows.view(numbers.transpose(0, channel).shape).transpose(0, channel).contiguous()
    return rows.reshape(-1)[: numbers.numel()].view(numbers.shape)


def _by_rows(rows: Tensor, form: NumberFormat, draws: torch.Generator) -> Tensor:
    if form.kept_range < 1:
        rows = rows.clamp(rows.amin(1, keepdim=True) * form.kept_range, rows.amax(1, keepdim=True) * form.kept_range)
    most = 2 ** (form.bits - 1) - 1
    if form.scale == "affine":
        return _affine(rows, 2 ** (form.bits + 1) - 2, form.rounding, draws)
    units = _units(rows, form)
    units = torch.where(units > 0, units, 1.0)
    levels = _rounded(rows / units, form.rounding, draws).clamp_(-most, most)
    if form.fine_bits:
        fine = _rounded(rows / units * 2**form.fine_bits, form.rounding, draws).div_(2**form.fine_bits)
        levels = torch.where(rows.abs() < units, fine, levels)
    return levels.mul_(units)


def _units(rows: Tensor, form: NumberFormat) -> Tensor:
    """Return the unit of each row, [G, 1]; 0 where all numbers are."""
    half = 2 ** (form.bits - 1)
    most = half - 1
    largest = rows.abs().amax(1, keepdim=True)
    units: Tensor
    match form.scale:
        case "fixed":
            units = torch.full_like(largest, 1 / half)
        case "spread":
            units = (rows.amax(1, keepdim=True) - rows.amin(1, keepdim=True)) / (2 * most)
        case "power-of-two":
            units = torch.where(largest > 0, torch.exp2(torch.ceil(torch.log2(largest / most))), 0.0)
        case "nearest-power-of-two":
            units = torch.where(largest > 0, torch.exp2(torch.round(torch.log2(largest))) / half, 0.0)
        case "percentile":
            kept = max(1, math.ceil(form.percentile / 100 * rows.shape[1]))
            units = rows.abs().kthvalue(kept, 1, keepdim=True).values / most
        case _:
            bits = form.scale_mantissa_bits
            units = (largest if bits is None else _rounded_up(largest, bits)) / most
    return units


def _rounded_up(largest: Tensor, mantissa_bits: int) -> Tensor:
    """Return the tensor's largest times groups' shares of it, each rounded up to a float of a few mantissa bits."""
    whole = largest.max()
    if not bool(whole > 0):
        return largest
    fractions, exponents = torch.frexp(largest / whole)
    levels = 2 ** (mantissa_bits + 1)
    return torch.ldexp(torch.ceil(fractions * levels) / levels, exponents) * whole


def _affine(rows: Tensor, levels: int, rounding: NumberRounding, draws: torch.Generator) -> Tensor:
    smallest = rows.amin(1, keepdim=True)
    units = (rows.amax(1, keepdim=True) - smallest) / levels
    units = torch.where(units > 0, units, 1.0)
    zeros = torch.round(smallest / units)
    found = _rounded(rows / units - zeros, rounding, draws).clamp_(0, levels)
    return found.add_(zeros).mul_(units)


def _rounded(scaled: Tensor, rounding: NumberRounding, draws: torch.Generator) -> Tensor:
    """Return scaled numbers as whole ones; on magnitudes, so that no rounding drifts to one side."""
    if rounding == "nearest":
        return torch.round(scaled)
    magnitudes = scaled.abs()
    whole = magnitudes.floor()
    if rounding == "stochastic":
        drawn = torch.rand(scaled.shape, generator=draws).to(scaled.device)
        up = magnitudes - whole > drawn
    else:
        bits = ((magnitudes - whole) * 2 ** (2 * _PSEUDO_BITS)).to(torch.int32)
        up = bits >> _PSEUDO_BITS > bits & (2**_PSEUDO_BITS - 1)
    return whole.add_(up).mul_(scaled.sign())


def _adaptive(numbers: Tensor, form: NumberFormat, state: FormatState, name: str) -> Tensor:
    """Return numbers by the scale and bits that are known, or that the rule of Adaptive Fixed-Point finds."""
    known = state.rescaling.known(name)
    if known is not None:
        bits = state.bits[name]
        levels = _rounded(numbers * 2.0**-known, form.rounding, state.draws)
        most = 2 ** (bits - 1) - 1
        saturated = int((levels.abs() > most).sum())
        state.rescaling.record_reused(name, saturated, numbers.numel())
        return levels.clamp_(-most, most).mul_(2.0**known)
    bits = state.bits.get(name, form.bits)
    largest, magnitude = float(numbers.abs().max()), float(numbers.abs().sum(dtype=torch.float64))
    while True:
        most = 2 ** (bits - 1) - 1
        power = math.ceil(math.log2(largest / most)) if largest else 0
        found = _rounded(numbers * 2.0**-power, form.rounding, state.draws).clamp_(-most, most).mul_(2.0**power)
        kept = float(found.abs().sum(dtype=torch.float64))
        if quantisation_distance(magnitude, kept) <= form.widened_above or bits + 8 > form.most_bits:
            break
        bits += 8
    state.bits[name] = bits
    state.rescaling.record_found(name, power, magnitude, kept)
    return found
