"""A cost model a family, no fallback, and sums over steps: seconds, energy by processor, and the largest peak."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.config.builtins import COST_MODELS
from fedlab.devices.costmodel.base import Computing, compute_seconds, cost_model_for, misfit, peak_memory_bytes, price
from fedlab.devices.costmodel.roofline import RooflineCosts
from fedlab.devices.costmodel.transformer import FAMILIES, TransformerCosts
from fedlab.devices.profile import Processor, at_throughput, load_profile
from fedlab.devices.tables import Provenance
from fedlab.errors import UserError
from fedlab.workload.passes import WHOLE, Pass, bottleneck, lora
from fedlab.workload.shape import REFERENCE_SHAPES
from fedlab.workload.workload import Workload, forward_passes, training_passes

BERT = REFERENCE_SHAPES["bert"]
TX2 = load_profile("jetson-tx2", Path())


def adapters(batches: int = 1, cached: int = 0, processor: str = "default", batch_size: int = 4) -> tuple[Pass, ...]:
    return training_passes(
        batches=batches, cached_batches=cached, batch_size=batch_size, input_shape=(256,), model_blocks=12, depth=2,
        trained=bottleneck(32), processor=processor,
    )  # fmt: skip


def work(*passes: Pass) -> Workload:
    return Workload(passes=passes, num_examples=1)


@pytest.fixture
def phone():
    """Return a TX2 with a second processor: a GPU of the same tables and 3 W."""
    default = TX2.processor()
    gpu = Processor(
        name="gpu", computing_watts=3.0, formats=default.formats,
        watts_provenance=Provenance(level="assumed", source=""),
    )  # fmt: skip
    return replace(TX2, processors={"default": default, "gpu": gpu})


def test_every_family_has_the_cost_model_that_names_it():
    assert set(COST_MODELS) == {*FAMILIES, "llama", "cnn"}
    assert all(isinstance(cost_model_for(family), TransformerCosts) for family in FAMILIES)
    assert isinstance(cost_model_for("llama"), RooflineCosts)


def test_a_family_without_a_cost_model_is_refused_naming_those_that_have_one():
    with pytest.raises(
        UserError, match="no cost model for the model family 'lenet': accepted: albert, bert, cnn, disti"
    ):
        cost_model_for("lenet")
    with pytest.raises(UserError, match="'roberts': did you mean 'roberta'"):
        compute_seconds(TX2, work(*adapters()), replace(BERT, family="roberts"))


def test_a_method_that_nothing_is_known_of_is_never_billed_as_adapters():
    with pytest.raises(UserError, match=r"trained\.kind is 'anything', expected one of none, bottleneck, lora"):
        replace(bottleneck(8), kind="anything")
    with pytest.raises(UserError, match=r"count is 2\.5, expected a whole number"):
        replace(adapters()[0], count=2.5)


def test_a_workload_is_priced_step_by_step():
    evaluation = forward_passes(batches=2, batch_size=4, input_shape=(256,), model_blocks=12)
    whole = work(*adapters(3, cached=1), *evaluation)
    assert compute_seconds(TX2, whole, BERT) == 2 * 0.63 + 1 * 0.18 + 2 * 0.57
    assert peak_memory_bytes(TX2, whole, BERT) == 1_300_000_000


def test_what_forward_passes_hold_of_a_trained_set_is_4_bytes_a_value():
    plain = {"batches": 2, "batch_size": 4, "input_shape": (256,), "model_blocks": 12}
    alone, holding = work(*forward_passes(**plain)), work(*forward_passes(**plain, held_values=10**6))
    assert peak_memory_bytes(TX2, holding, BERT) == peak_memory_bytes(TX2, alone, BERT) + 4_000_000
    assert compute_seconds(TX2, holding, BERT) == compute_seconds(TX2, alone, BERT)


def test_no_work_takes_nothing():
    idle = price(TX2, work(), BERT)
    assert (idle.compute_seconds, idle.computing, idle.peak_memory_bytes) == (0.0, (), 0)
    assert (idle.latency_provenance, idle.watts_provenance, idle.memory_provenance) == (None, None, None)
    none_done = work(Pass(kind="forward", count=0, batch_size=4, input_shape=(256,), blocks=range(12)))
    assert price(TX2, none_done, BERT) == idle


def test_a_price_has_all_that_is_asked_for_one_by_one(phone):
    workload = work(*adapters(3, cached=1))
    priced = price(phone, workload, BERT)
    assert priced.compute_seconds == compute_seconds(phone, workload, BERT)
    assert priced.peak_memory_bytes == peak_memory_bytes(phone, workload, BERT)
    assert (priced.latency_provenance, priced.watts_provenance, priced.memory_provenance) == (
        "published", "published", "published",
    )  # fmt: skip


def test_each_processor_computes_at_its_own_power_in_turn(phone):
    priced = price(
        at_throughput(phone, 0.5), work(*adapters(2), *adapters(1, cached=1), *adapters(3, processor="gpu")), BERT
    )
    assert priced.computing == (
        Computing(watts=12.0, seconds=pytest.approx((2 * 0.63 + 0.18) / 0.5)),
        Computing(watts=3.0, seconds=pytest.approx(3 * 0.63 / 0.5)),
    )
    assert priced.watts_provenance == "assumed"


def test_blocks_outside_the_model_do_not_fit_it():
    assert misfit(adapters(), BERT) is None
    assert misfit(adapters(), replace(BERT, blocks=4)) == (
        "workload: blocks is 0 to 11, expected some of 0 to 3: the model's"
    )
    head = training_passes(batches=1, batch_size=4, input_shape=(8,), model_blocks=99, depth=0, trained=WHOLE)
    assert misfit(head[1:], BERT) is None  # no block is run


@pytest.mark.parametrize(
    ("trained", "problem"),
    [
        (
            lora(8, ["gate"]),
            "workload: trained.targets: a bert has no projection 'gate', accepted: q, k, v, o, up, d",
        ),
        (lora(999, ["q"]), "workload: trained.rank is 999, expected at most 768: the projection 'q' is 768 x 768"),
    ],
)
def test_pairs_beside_projections_that_the_model_does_not_have_do_not_fit_it(trained, problem):
    passes = training_passes(batches=1, batch_size=4, input_shape=(256,), model_blocks=12, depth=2, trained=trained)
    assert misfit(passes, BERT).startswith(problem)
    assert misfit(adapters(), BERT) is None


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 64), st.integers(0, 64))
def test_seconds_rise_with_counts_and_batch_sizes(fewer, more, batch_size, larger):
    few, many = (work(*adapters(count, batch_size=batch_size)) for count in (fewer, fewer + more))
    assert compute_seconds(TX2, few, BERT) <= compute_seconds(TX2, many, BERT)
    wide = work(*adapters(fewer, batch_size=batch_size + larger))
    assert compute_seconds(TX2, few, BERT) <= compute_seconds(TX2, wide, BERT)
