"""The roofline by hand, its errors, and what must hold of any model: more work never costs less."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.devices.costmodel.base import compute_seconds, peak_memory_bytes, price, provenance
from fedlab.devices.costmodel.operators import Operator, operators_of
from fedlab.devices.costmodel.roofline import rates_of
from fedlab.devices.profile import DeviceProfile, at_throughput, built_in_profiles, load_profile
from fedlab.errors import UserError
from fedlab.models.decoders import decoder_shape
from fedlab.workload.passes import NOTHING, WHOLE, Pass, TrainedSpec, bottleneck, lora
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape
from fedlab.workload.workload import Workload, forward_passes, steps_of, training_passes

ORIN, TX2, PIXEL = (load_profile(name, Path()) for name in ("jetson-orin-nano", "jetson-tx2", "pixel-7-pro"))
SMOLLM2 = decoder_shape("smollm2-135m")
BERT = REFERENCE_SHAPES["bert"]
QV = lora(8, ["q", "v"])
RATES = """
memory_bytes = 1e9
computing_watts = 5
communicating_watts = 2
idle_watts = 1
peak_operations_per_second = 1e9
efficiency = 0.5
memory_bandwidth_bytes_per_second = 1e8
launch_seconds = 0.001
step_seconds = 0.25
"""


def work(shape: ModelShape = SMOLLM2, *, depth: int | None = 4, trained: TrainedSpec = QV, **changes) -> Workload:
    """Return batches that train the top `depth` blocks, or forward passes if it is None."""
    batch = {"batches": 1, "batch_size": 4, "input_shape": (64,), "model_blocks": shape.blocks, **changes}
    passes = forward_passes(**batch) if depth is None else training_passes(depth=depth, trained=trained, **batch)
    return Workload(passes=passes, num_examples=4)


def seconds(profile: DeviceProfile = ORIN, shape: ModelShape = SMOLLM2, **changes) -> float:
    return compute_seconds(profile, work(shape, **changes), shape)


def memory(profile: DeviceProfile = ORIN, shape: ModelShape = SMOLLM2, **changes) -> int:
    return peak_memory_bytes(profile, work(shape, **changes), shape)


@pytest.fixture
def board(tmp_path):
    def loaded(text: str = RATES) -> DeviceProfile:
        (tmp_path / "board.toml").write_text(text)
        return load_profile("board.toml", tmp_path)

    return loaded


def test_an_operator_takes_the_longer_of_computing_and_moving_and_its_launches(board):
    rates = rates_of(board(), work().passes[0])
    assert rates.seconds(Operator(operations=1e9, num_bytes=1e8)) == 2 + 0.001
    assert rates.seconds(Operator(operations=1e9, num_bytes=3e8, launches=4)) == 3 + 0.004
    assert rates.seconds(Operator(operations=1e9, num_bytes=3e8, count=2)) == 2 * 3.001


def test_seconds_are_those_of_all_operators_and_of_the_step_for_each_batch(board):
    device, [step] = board(), steps_of(work().passes)
    rates = rates_of(device, step.forward)
    batch = 0.25 + sum(rates.seconds(each) for each in operators_of(step, SMOLLM2))
    assert seconds(device, batches=3) == pytest.approx(3 * batch)


def test_a_head_alone_on_stored_states_of_an_encoder_takes_the_step_alone(board):
    # no blocks, no embeddings, no words: an operator that updates nothing, and the step
    taken = seconds(board(), BERT, depth=0, trained=NOTHING, cached_batches=1)
    assert taken == pytest.approx(0.25 + 0.001)


@pytest.mark.parametrize(
    "missing", ["efficiency", "memory_bandwidth_bytes_per_second", "launch_seconds", "step_seconds"]
)
def test_a_rate_that_a_profile_lacks_is_named(board, missing):
    lines = [line for line in RATES.splitlines() if not line.startswith(missing)]
    with pytest.raises(UserError, match=rf"board\.toml: {missing}: missing, needed here for work that no table covers"):
        seconds(board("\n".join(lines)))


def test_a_rate_of_another_processor_is_named_with_its_place(board):
    phone = board(RATES + "[processors.npu]\ncomputing_watts = 2\nint8.peak_operations_per_second = 1e9\n")
    with pytest.raises(UserError, match=r"board\.toml: processors\.npu\.int8\.efficiency: missing, needed here"):
        seconds(phone, processor="npu", format="int8")


def test_nothing_is_priced_on_a_processor_or_in_a_format_that_the_board_does_not_have():
    with pytest.raises(UserError, match="jetson-orin-nano: no processor 'npu', accepted: default"):
        seconds(processor="npu")
    with pytest.raises(UserError, match="no tables or rates for bf16 on the processor 'default', accepted: fp32, fp16"):
        seconds(PIXEL, format="bf16")
    with pytest.raises(UserError, match="jetson-tx2: no tables or rates for int4"):
        memory(TX2, format="int4")


def test_a_processor_that_runs_forward_passes_alone_trains_nothing():
    assert seconds(PIXEL, depth=None, processor="npu", format="int8") > 0
    with pytest.raises(UserError, match=r"the processor 'npu' runs forward passes alone.*accepted: default"):
        seconds(PIXEL, processor="npu", format="int8")


NPU = """
[processors.npu]
computing_watts = 2
memory_bandwidth_bytes_per_second = 1e8
launch_seconds = 0.002
step_seconds = 0.5
switch_seconds = 0.01
[processors.npu.int8]
peak_operations_per_second = 8e9
efficiency = 0.5
"""


def test_a_processor_that_switches_multiplies_by_frozen_matrices_and_the_cpu_does_the_rest_in_fp32(board):
    device, [step] = board(RATES + NPU), steps_of(work(processor="npu", format="int8").passes)
    npu, cpu = rates_of(device, step.forward), rates_of(device, work().passes[0])
    operators = operators_of(step, SMOLLM2)
    frozen = [each for each in operators if each.frozen]
    calls = 4 * (30 + 4)  # forward through 30 blocks and back through 4: q, k and v; o; gate and up; down
    expected = 0.5 + 2 * calls * 0.01 + sum(npu.seconds(each) for each in frozen)
    expected += sum(cpu.seconds(each) for each in operators if not each.frozen)
    assert sum(each.count for each in frozen) == 7 * (30 + 4)
    assert seconds(device, processor="npu", format="int8") == pytest.approx(expected)


def test_a_slower_switch_never_saves_time(board):
    fast, slow = board(RATES + NPU), board(RATES + NPU.replace("0.01", "0.02"))
    assert seconds(slow, processor="npu", format="int8") > seconds(fast, processor="npu", format="int8")


def test_a_processor_that_switches_does_not_train_whole_blocks(board):
    with pytest.raises(UserError, match="no rule for training 'whole' on the processor 'npu', which multiplies by fro"):
        seconds(board(RATES + NPU), trained=WHOLE, processor="npu", format="int8")


@pytest.mark.parametrize("phone", ["snapdragon-888", "snapdragon-865", "snapdragon-750g"])
def test_lora_over_int8_blocks_is_faster_on_a_phones_dsp_than_on_its_cpu(phone):
    profile = load_profile(phone, Path())
    many = {"batch_size": 8, "input_shape": (256,), "depth": 12, "format": "int8"}
    assert seconds(profile, BERT, processor="npu", **many) < seconds(profile, BERT, **many)


def test_images_are_no_text():
    images = Pass(kind="forward", count=1, batch_size=1, input_shape=(3, 8, 8), blocks=range(30))
    with pytest.raises(UserError, match=r"input_shape is \(3, 8, 8\), expected \(tokens,\) for a llama"):
        compute_seconds(ORIN, Workload(passes=(images,), num_examples=1), SMOLLM2)


@pytest.mark.parametrize("missing", ["heads", "vocabulary"])
def test_a_decoder_whose_heads_or_vocabulary_are_not_known_has_no_price(missing):
    shape = replace(SMOLLM2, **{missing: 0, "kv_heads": 0})
    for price_of in (seconds, memory):
        with pytest.raises(UserError, match="the shape of a llama has no heads or no vocabulary"):
            price_of(shape=shape)


def test_a_set_that_the_model_cannot_have_is_refused():
    with pytest.raises(UserError, match="a llama has no projection 'dense'"):
        seconds(trained=lora(8, ["dense"]))


def test_a_table_is_read_where_there_is_one_and_the_rest_is_priced_by_the_roofline():
    adapters = {"shape": BERT, "depth": 2, "trained": bottleneck(32), "input_shape": (256,)}
    assert seconds(TX2, **adapters) == 0.63
    assert provenance(TX2, work(**adapters), BERT).level == "published"
    pairs = adapters | {"trained": QV}
    assert 0.5 < seconds(TX2, **pairs) < 0.7
    found = provenance(TX2, work(**pairs), BERT)
    assert (found.level, found.source[:16]) == ("assumed", "by the roofline:")


def test_a_table_is_of_training_without_checkpointing_and_without_moments():
    adapters = {"shape": BERT, "depth": 12, "trained": bottleneck(32), "input_shape": (256,)}
    assert seconds(TX2, **adapters, checkpointing=True) > seconds(TX2, **adapters)
    moments = replace(bottleneck(32), optimiser="adam")
    assert memory(TX2, **adapters | {"trained": moments}) != memory(TX2, **adapters)


def test_checkpointing_of_no_blocks_is_what_the_table_says():
    head = {"shape": BERT, "depth": 0, "trained": bottleneck(32), "input_shape": (256,)}
    assert seconds(TX2, **head, checkpointing=True) == seconds(TX2, **head) == 0.57


def test_a_board_without_tables_has_all_encoders_too():
    for shape in REFERENCE_SHAPES.values():
        assert seconds(shape=shape, trained=WHOLE) > seconds(shape=shape, trained=bottleneck(8)) > 0


def test_a_throughput_divides_the_seconds_and_leaves_the_memory():
    half = at_throughput(ORIN, 0.5)
    assert seconds(half) == 2 * seconds()
    assert memory(half) == memory()


def test_a_price_has_the_watts_of_the_processor():
    spans = price(PIXEL, work(depth=None, processor="npu", format="int8"), SMOLLM2).computing
    assert [each.watts for each in spans] == [5.2817]


def test_a_runtime_counts_as_memory_where_the_profile_has_one(board):
    without, having = (memory(board(RATES + extra)) for extra in ("", "runtime_bytes = 1e8\n"))
    assert having - without == 1e8


# --- of any model ---------------------------------------------------------------------------------------------------

heads = st.sampled_from([(1, 1), (4, 1), (4, 2), (8, 8)])
shapes = st.builds(
    lambda blocks, hidden, inside, heads, vocabulary, gated, tied: ModelShape(
        family="llama", blocks=blocks, hidden=64 * hidden, intermediate=inside, heads=heads[0], kv_heads=heads[1],
        vocabulary=vocabulary, gated=gated, tied=tied,
    ),
    st.integers(2, 12), st.integers(1, 16), st.integers(16, 8192), heads, st.integers(2, 10**5), st.booleans(),
    st.booleans(),
)  # fmt: skip
sets = st.sampled_from([WHOLE, QV, bottleneck(16), TrainedSpec(kind="bias"), replace(QV, optimiser="adam")])
batches = st.fixed_dictionaries(
    {
        "trained": sets, "batch_size": st.integers(1, 16), "input_shape": st.tuples(st.integers(1, 512)),
        "format": st.sampled_from(["fp32", "fp16", "int8", "int4"]), "checkpointing": st.booleans(),
    }
)  # fmt: skip
more = st.integers(1, 64)
few = settings(max_examples=25)  # of many sizes each, and the arithmetic is smooth


def both(shape: ModelShape, **changes) -> tuple[float, int]:
    return seconds(shape=shape, **changes), memory(shape=shape, **changes)


def never_less(less: tuple[float, int], more_of_it: tuple[float, int]) -> None:
    assert less[0] <= more_of_it[0] * (1 + 1e-12)
    assert less[1] <= more_of_it[1]


@few
@given(shapes, batches, more)
def test_more_tokens_texts_or_batches_never_cost_less(shape, batch, extra):
    less = both(shape, depth=2, **batch)
    [tokens] = batch["input_shape"]
    never_less(less, both(shape, depth=2, **batch | {"input_shape": (tokens + extra,)}))
    never_less(less, both(shape, depth=2, **batch | {"batch_size": batch["batch_size"] + extra}))
    never_less(less, both(shape, depth=2, **batch, batches=1 + extra))


@few
@given(shapes, batches)
def test_deeper_training_never_costs_less(shape, batch):
    costs = [both(shape, depth=depth, **batch) for depth in range(shape.blocks + 1)]
    for less, more_of_it in pairwise(costs):
        never_less(less, more_of_it)
    never_less(
        both(shape, depth=None, **{key: batch[key] for key in ("batch_size", "input_shape", "format")}), costs[0]
    )


@few
@given(shapes, batches, more)
def test_a_larger_model_never_costs_less(shape, batch, extra):
    less = both(shape, depth=1, **batch)  # at all blocks, whole training has the embeddings too
    for larger in (
        replace(shape, blocks=shape.blocks + extra), replace(shape, intermediate=shape.intermediate + extra),
        replace(shape, vocabulary=shape.vocabulary + extra), replace(shape, hidden=shape.hidden + 64 * extra),
    ):  # fmt: skip
        never_less(less, both(larger, depth=1, **batch))


@few
@given(shapes, batches, st.floats(0.1, 1.0))
def test_a_lower_peak_bandwidth_or_efficiency_is_never_faster(shape, batch, share):
    def slower(**rates) -> DeviceProfile:
        processor = ORIN.processor()
        known = processor.formats[batch["format"]]
        peak = replace(known.peak_operations_per_second, value=known.peak_operations_per_second.value * rates["peak"])
        moved = processor.memory_bandwidth_bytes_per_second
        formats = {**processor.formats, batch["format"]: replace(known, peak_operations_per_second=peak)}
        bandwidth = replace(moved, value=moved.value * rates["bandwidth"])
        changed = replace(processor, formats=formats, memory_bandwidth_bytes_per_second=bandwidth)
        return replace(ORIN, processors={"default": changed})

    known = seconds(shape=shape, depth=2, **batch)
    for rates in ({"peak": share, "bandwidth": 1.0}, {"peak": 1.0, "bandwidth": share}):
        assert seconds(slower(**rates), shape, depth=2, **batch) >= known * (1 - 1e-12)
    both_lower = seconds(slower(peak=share, bandwidth=share), shape, depth=2, **batch)
    assert both_lower <= known / share * (1 + 1e-12)  # units: twice as slow in all is at most twice the time


@few
@given(shapes, batches, batches)
def test_seconds_of_steps_add_up_and_the_largest_peak_counts(shape, first, second):
    one, other = (work(shape, depth=2, **batch) for batch in (first, second))
    together = Workload(passes=one.passes + other.passes, num_examples=8)
    assert compute_seconds(ORIN, together, shape) == pytest.approx(
        compute_seconds(ORIN, one, shape) + compute_seconds(ORIN, other, shape)
    )
    peaks = [peak_memory_bytes(ORIN, each, shape) for each in (one, other)]
    assert peak_memory_bytes(ORIN, together, shape) == max(peaks)


@few
@given(shapes, batches)
def test_checkpointing_takes_time_and_never_memory(shape, batch):
    plain, saved = (both(shape, depth=2, **batch | {"checkpointing": value}) for value in (False, True))
    assert saved[0] > plain[0]
    assert saved[1] <= plain[1]


@few
@given(shapes, batches)
def test_stored_activations_never_cost_more(shape, batch):
    never_less(both(shape, depth=2, cached_batches=1, **batch), both(shape, depth=2, **batch))


@few
@given(shapes, batches, st.integers(0, 64))
def test_fewer_scored_tokens_never_cost_more(shape, batch, scored):
    [tokens] = batch["input_shape"]
    never_less(both(shape, depth=2, scored_tokens=min(scored, tokens), **batch), both(shape, depth=2, **batch))


@pytest.mark.parametrize("name", built_in_profiles())
def test_every_board_prices_llama_in_some_format(name):
    board = load_profile(name, Path())
    llama = decoder_shape("llama-7b")
    for number_format in board.processor().formats:
        assert seconds(board, llama, format=number_format) > 0
