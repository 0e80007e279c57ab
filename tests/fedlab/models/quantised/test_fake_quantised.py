"""Numbers as formats keep them: by hand, against torch's own narrow floats, and without a drift."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedlab.models.quantised.fake_quantised import FormatState, fake_quantised, float_rounded
from fedlab.models.quantised.number_format import FULL, NumberFormat


def state(seed=0):
    return FormatState(draws=torch.Generator().manual_seed(seed))


def kept(numbers, channel=0, **keys):
    form = NumberFormat(kind="integer", **keys)
    return fake_quantised(torch.tensor(numbers), form, state(), "x", channel=channel).tolist()


def test_float32_is_left_as_it_is():
    numbers = torch.randn(5)
    assert fake_quantised(numbers, FULL, state(), "x") is numbers


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # 3 bits: 3 levels each way. The unit is 2^ceil(log2(1 / 3)) = 0.5, 1 / 3, 2^round(log2 1) / 4, 2^-2, 2 / 6.
        ({"scale": "power-of-two"}, [1.0, 0.5, -0.5, 0.0]),
        ({"scale": "max"}, [1.0, 1 / 3, -2 / 3, 0.0]),
        ({"scale": "nearest-power-of-two"}, [0.75, 0.5, -0.5, 0.0]),
        ({"scale": "fixed"}, [0.75, 0.5, -0.5, 0.0]),
    ],
)
def test_units_by_the_scale_rules(keys, expected):
    assert kept([1.0, 0.45, -0.6, 0.1], bits=3, **keys) == pytest.approx(expected)


def test_an_affine_scale_spans_from_the_smallest_to_the_largest():
    # 2 bits: 6 levels, unit (3 - -1.5) / 6 = 0.75
    assert kept([3.0, -1.5, 0.0, 1.0], bits=2, scale="affine") == pytest.approx([3.0, -1.5, 0.0, 0.75])
    # backward: (3 - -1.5) / (2^3 - 2) = 0.75, 3 levels each way
    assert kept([3.0, -1.5, 0.0, 1.0], bits=3, scale="spread") == pytest.approx([2.25, -1.5, 0.0, 0.75])


def test_a_percentile_clips_what_is_larger():
    numbers = [float(number) for number in range(1, 101)]
    assert max(kept(numbers, bits=8, scale="percentile", percentile=50.0)) == pytest.approx(50.0)


def test_a_kept_range_clips_the_ends():
    assert kept([10.0, -1.0, 0.0], bits=8, scale="max", kept_range=0.5) == pytest.approx([5.0, -0.5, 0.0], abs=0.02)


def test_groups_have_scales_of_their_own():
    numbers = [[[100.0, 50.0], [1.0, 0.5]], [[10.0, 5.0], [0.1, 0.05]]]
    whole = kept(numbers, bits=2, scale="max")
    assert whole[1] == [[0.0, 0.0], [0.0, 0.0]]
    rows = kept(numbers, bits=2, scale="max", group="channel", channel=0)
    assert [row[0][0] for row in rows] == pytest.approx([100.0, 10.0])
    columns = kept(numbers, bits=2, scale="max", group="channel", channel=1)
    assert [column[0] for column in columns[0]] == pytest.approx([100.0, 1.0])
    pairs = kept(numbers, bits=2, scale="max", group="pair")
    assert [pair[0] for row in pairs for pair in row] == pytest.approx([100.0, 1.0, 10.0, 0.1])
    blocks = kept([8.0, 1.0, 0.1, 0.1, 4.0], bits=2, scale="max", group="block", block_size=2)
    assert blocks == pytest.approx([8.0, 0.0, 0.1, 0.1, 4.0])


def test_a_groups_scale_can_be_a_float_of_one_mantissa_bit_within_the_tensors():
    # shares of the largest: 1 and 0.4, which is rounded up to 0.5 (0.25 * 1.5 is 0.375)
    found = kept([[8.0, 8.0], [3.2, 3.2]], bits=2, scale="max", group="channel", scale_mantissa_bits=1)
    assert found == [[8.0, 8.0], [4.0, 4.0]]


def test_fine_bits_keep_what_is_below_one_unit():
    # S = 1, a unit of 1 / 4 with 3 bits; below it 1 / 32.
    assert kept([1.0, 0.3, 0.1, -0.02], bits=3, scale="nearest-power-of-two", fine_bits=3) == [
        0.75,
        0.25,
        0.09375,
        -0.03125,
    ]


@pytest.mark.parametrize("scale", ["power-of-two", "nearest-power-of-two", "max", "percentile", "spread", "affine"])
def test_zeros_stay_zeros(scale):
    assert kept([0.0, 0.0], bits=8, scale=scale) == [0.0, 0.0]


@pytest.mark.parametrize("rounding", ["stochastic", "pseudo-stochastic"])
@pytest.mark.parametrize("sign", [1, -1])
def test_stochastic_roundings_keep_the_mean_on_both_sides_of_zero(rounding, sign):
    numbers = sign * torch.rand(200_000, generator=torch.Generator().manual_seed(1)) * 20
    form = NumberFormat(kind="integer", bits=8, scale="fixed", rounding=rounding)
    found = fake_quantised(numbers / 128, form, state(), "x") * 128
    assert float((found - numbers).mean()) == pytest.approx(0, abs=0.01)
    assert set((found - numbers.trunc()).abs().unique().tolist()) == {0.0, 1.0}


def test_the_same_seed_rounds_alike_and_another_one_does_not():
    form = NumberFormat(kind="integer", bits=4, rounding="stochastic")
    numbers = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    first, again, other = (fake_quantised(numbers, form, state(seed), "x") for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(st.lists(st.floats(-6e4, 6e4, width=32), min_size=1, max_size=20))
def test_1_5_2_is_torchs_float8_e5m2(values):
    numbers = torch.tensor(values).clamp(-57344, 57344)
    found = float_rounded(numbers, 5, 2, "nearest", state().draws)
    assert torch.equal(found, numbers.to(torch.float8_e5m2).float())


@given(st.lists(st.floats(-(2.0**120), 2.0**120, width=32), min_size=1, max_size=20))
def test_1_8_7_is_bfloat16(values):
    numbers = torch.tensor(values)
    numbers = torch.where(numbers.abs() < 2.0**-120, 0.0, numbers)  # torch flushes some subnormal numbers
    assert torch.equal(float_rounded(numbers, 8, 7, "nearest", state().draws), numbers.bfloat16().float())


def test_1_6_9_is_not_ieees_half():
    numbers = torch.tensor([1 + 2.0**-10, 1 + 3 * 2.0**-10, 1e9, 2.0**-31 * 1.5, 2.0**-41])
    found = float_rounded(numbers, 6, 9, "nearest", state().draws)
    assert found.tolist() == [1.0, 1 + 2.0**-8, 954 * 2.0**20, 2.0**-31 * 1.5, 0.0]


def test_floats_that_are_too_large_become_the_largest():
    assert float_rounded(torch.tensor([1e6, -1e6]), 5, 2, "nearest", state().draws).tolist() == [57344.0, -57344.0]


def test_an_adaptive_format_widens_where_8_bits_lose_too_much():
    form = NumberFormat(kind="integer", bits=8, scale="power-of-two", recomputed="adaptive")
    mild, wild = torch.linspace(-1, 1, 1001), torch.cat((torch.full((10_000,), 1.1e-3), torch.ones(1)))
    remembered = state()
    fake_quantised(mild, form, remembered, "mild")
    found = fake_quantised(wild, form, remembered, "wild")
    assert remembered.bits == {"mild": 8, "wild": 16}
    assert float(found[0]) == pytest.approx(1.1e-3, rel=0.01)


def test_an_adaptive_format_reuses_its_scale_and_counts_what_is_clipped():
    form = NumberFormat(kind="integer", bits=8, scale="power-of-two", recomputed="adaptive")
    remembered = state()
    remembered.rescaling.steps_in_epoch = 50
    remembered.rescaling.step = 10
    numbers = torch.linspace(-1, 1, 1001)
    fake_quantised(numbers, form, remembered, "x")
    remembered.rescaling.step = 11
    found = fake_quantised(numbers * 10, form, remembered, "x")
    assert float(found.max()) == 127 / 64
    history = remembered.rescaling.histories["x"]
    assert (history.found, history.reused) == (1, 1)
    assert history.saturated == int((numbers.abs() * 10 * 64).round().gt(127).sum())
