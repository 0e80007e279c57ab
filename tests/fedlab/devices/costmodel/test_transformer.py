"""The published cells are exact, everything else follows the documented rules, and more work never costs less."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.devices.costmodel.base import compute_seconds, peak_memory_bytes, provenance, provenance_level
from fedlab.devices.profile import DeviceProfile, at_throughput, load_profile
from fedlab.errors import UserError
from fedlab.workload.passes import NOTHING, WHOLE, Pass, TrainedSpec, bottleneck
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape
from fedlab.workload.workload import Workload, forward_passes, training_passes

BERT, DISTILBERT = REFERENCE_SHAPES["bert"], REFERENCE_SHAPES["distilbert"]
BOARDS = {name: load_profile(name, Path()) for name in ("jetson-nano", "jetson-tx2", "rpi-4b")}  # those with tables
TX2 = BOARDS["jetson-tx2"]
USERS_BOARD = """
memory_bytes = 1e9
computing_watts = 5
communicating_watts = 2
idle_watts = 1
[latency_seconds.bert]
adapter = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
"""


def work(
    shape: ModelShape = BERT,
    *,
    trains: str = "adapter",
    depth: int = 0,
    width: int = 32,
    batches: int = 1,
    cached_batches: int = 0,
    batch_size: int = 4,
    sequence_length: int = 256,
    **on,
) -> Workload:
    """Return batches of training the top blocks: their `adapter`, `whole`, or the `head` alone; or a `forward` pass."""
    batch = {"batches": batches, "batch_size": batch_size, "input_shape": (sequence_length,), **on}
    if trains == "forward":
        return Workload(passes=forward_passes(model_blocks=shape.blocks, **batch), num_examples=4)
    trained = {"adapter": bottleneck(width), "whole": WHOLE, "head": NOTHING}[trains]
    passes = training_passes(
        model_blocks=shape.blocks, depth=depth, trained=trained, cached_batches=cached_batches, **batch
    )
    return Workload(passes=passes, num_examples=4)


def seconds(shape: ModelShape = BERT, profile=TX2, **changes) -> float:
    return compute_seconds(profile, work(shape, **changes), shape)


def memory(shape: ModelShape = BERT, **changes) -> int:
    return peak_memory_bytes(TX2, work(shape, **changes), shape)


def level(profile: DeviceProfile, shape: ModelShape = BERT, **changes) -> str:
    return provenance_level(profile, work(shape, **changes), shape)


BY_TABLE = {
    "full": {"trains": "whole"},
    "adapter": {"trains": "adapter"},
    "cached_adapter": {"trains": "adapter", "cached_batches": 1},
}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("shape", [BERT, DISTILBERT], ids=["bert", "distilbert"])
@pytest.mark.parametrize("table", ["full", "adapter", "cached_adapter"])
def test_every_cell_is_exact_at_the_measured_point(board, shape, table):
    profile = BOARDS[board]
    for depth in range(shape.blocks + 1):
        workload = work(shape, depth=depth, **BY_TABLE[table])
        key, tables = (shape.family, table), profile.tables("default", "fp32")
        assert compute_seconds(profile, workload, shape) == tables.latency_seconds[key].values[depth]
        assert peak_memory_bytes(profile, workload, shape) == tables.peak_memory_bytes[key].values[depth]


def test_cached_adapters_in_every_block_take_as_long_as_uncached_ones():
    assert seconds(depth=12, cached_batches=1) == seconds(depth=12) == 1.08


def test_whole_blocks_are_read_from_the_table_of_full():
    assert seconds(trains="whole", depth=2) == 0.696
    assert seconds(trains="whole", depth=12) == 1.7


def test_a_forward_pass_alone_is_that_of_the_adapter_table():
    assert seconds(trains="forward") == 0.57
    assert memory(trains="forward") == 1_200_000_000


def test_the_head_alone_takes_the_forward_pass_and_from_stored_activations_almost_nothing():
    assert seconds(trains="head") == seconds(depth=0) == 0.57
    assert seconds(trains="head", cached_batches=1) == seconds(depth=0, cached_batches=1) == 0.02
    assert seconds(trains="whole", depth=0) == 0.5325


def test_latency_is_linear_in_length_batch_size_and_batches():
    assert seconds(depth=2, sequence_length=64) == 0.63 / 4
    assert seconds(depth=2, batch_size=8) == 0.63 * 2
    assert seconds(trains="whole", depth=12, batches=29) == 29 * 1.7  # 49.3 s, a round of 20NEWS
    assert seconds(batches=0) == 0


def test_cached_and_uncached_batches_are_mixed():
    assert seconds(depth=2, batches=30, cached_batches=20) == pytest.approx(10 * 0.63 + 20 * 0.18)


def test_a_cached_batch_of_another_size_costs_its_share_of_tokens():
    # 0.18 s are for 4 texts of 256 tokens: 6 of 64 are 3/8 of that, in time and in what memory has beyond the weights.
    batch = {"depth": 2, "cached_batches": 1, "batch_size": 6, "sequence_length": 64}
    assert seconds(**batch) == pytest.approx(0.0675)
    weights = 12 * 7_077_888 * 4
    assert memory(**batch) == weights + (900_000_000 - weights) * 3 // 8


def test_a_block_of_another_size_costs_its_share_of_matrix_products():
    # 4 * 384^2 + 2 * 384 * 1536 is a quarter of 4 * 768^2 + 2 * 768 * 3072; of 32 units of adapter, 384 is a half.
    small = ModelShape(family="bert", blocks=12, hidden=384, intermediate=1536)
    trained = (7_077_888 / 4 + 2 * 384 * 32) / (7_077_888 + 2 * 768 * 32)
    frozen_seconds = 0.57 * 9 / 12
    assert seconds(small, depth=3) == pytest.approx(frozen_seconds / 4 + (0.66 - frozen_seconds) * trained)
    assert seconds(small, depth=3, cached_batches=1) == pytest.approx(0.02 / 4 + 0.25 * trained)
    assert seconds(small, trains="whole", depth=12) == 1.7 / 4


def test_fewer_blocks_take_a_shorter_forward_pass():
    half = replace(BERT, blocks=6)
    assert seconds(half, depth=2) == pytest.approx(0.57 / 2 + (0.63 - 0.57))
    assert seconds(half, depth=2, cached_batches=1) == 0.18  # what is stored is not computed, however long


def test_stored_activations_never_make_a_batch_dearer():
    half = replace(BERT, blocks=6)  # the cached table alone would say 0.54 at depth 6
    assert seconds(half, depth=6, cached_batches=1) == seconds(half, depth=6) == pytest.approx(0.57 / 2 + 0.79 - 0.57)


def test_a_depth_beyond_the_table_goes_on_with_its_mean_step():
    large = replace(BERT, blocks=24)
    assert seconds(large, depth=24, cached_batches=1) == pytest.approx(1.08 + 12 * 1.06 / 12)
    assert seconds(large, depth=14) == pytest.approx(0.57 * 2 + (1.08 + 2 * 0.51 / 12 - 0.57))


def test_full_includes_the_embeddings_only_where_all_blocks_are_trained():
    half, large = replace(BERT, blocks=6), replace(BERT, blocks=24)
    step = (1.51 - 0.5325) / 11
    embeddings = (1.7 - 1.51) - step
    assert seconds(half, trains="whole", depth=6) == pytest.approx(1.064 - 0.5325 / 2 + embeddings)
    assert seconds(large, trains="whole", depth=12) == pytest.approx(0.5325 + 1.51 + step)
    assert seconds(large, trains="whole", depth=24) == pytest.approx(0.5325 + 1.51 + 13 * step + embeddings)


def test_width_adds_the_adapters_own_products():
    # 2 * 768 * w of an adapter beside the 7,077,888 of its block; these take 1.08 s at depth 12, cached 1.08 - 0.02 s.
    narrow, wide = ((7_077_888 + 2 * 768 * width) / (7_077_888 + 2 * 768 * 32) for width in (8, 64))
    assert seconds(depth=12, width=64) == pytest.approx(1.08 * wide)
    assert seconds(depth=12, width=64, cached_batches=1) == pytest.approx(0.02 + 1.06 * wide)
    assert seconds(depth=6, width=8, cached_batches=1) == pytest.approx(0.02 + 0.52 * narrow)
    assert seconds(depth=0, width=64) == 0.57


def test_memory_is_the_weights_plus_what_grows_with_the_batch():
    weights = 12 * 7_077_888 * 4
    assert memory(depth=2, batch_size=8) == weights + 2 * (1_300_000_000 - weights)
    assert memory(depth=2, sequence_length=64) == weights + (1_300_000_000 - weights) / 4
    tiny = ModelShape(family="bert", blocks=12, hidden=384, intermediate=1536)
    assert memory(tiny, depth=2) == weights // 4 + (1_300_000_000 - weights) // 2


def test_one_uncached_batch_makes_the_peak_the_uncached_one():
    assert memory(depth=2, batches=3, cached_batches=3) == 900_000_000
    assert memory(depth=2, batches=3, cached_batches=2) == 1_300_000_000


def test_a_profile_of_one_table_serves_that_work_and_refuses_other_work_by_name(tmp_path):
    (tmp_path / "board.toml").write_text(USERS_BOARD)
    board = load_profile("board.toml", tmp_path)
    assert seconds(profile=board, depth=2) == 3
    assert seconds(profile=board, depth=6, cached_batches=1) == pytest.approx(7 - (1 - 0.02 / 0.57) * 6 / 12)
    assert seconds(DISTILBERT, profile=board, depth=0) == 0.5  # half of BERT's blocks
    with pytest.raises(
        UserError, match=r"board\.toml: latency_seconds\.bert\.full: missing.*latency_seconds\.bert\.ad"
    ):
        seconds(profile=board, trains="whole", depth=2)


def test_a_profile_of_whole_blocks_only_still_evaluates(tmp_path):
    text = USERS_BOARD.replace("adapter =", "full =")
    (tmp_path / "board.toml").write_text(text)
    assert seconds(profile=load_profile("board.toml", tmp_path), trains="forward", depth=3) == 1


MEASURED = """
memory_bytes = 4e9
computing_watts = 5
communicating_watts = 2
idle_watts = 1
measured_at = { batch_size = 8, sequence_length = 64, width = 16, blocks = 2, hidden = 128, intermediate = 512 }
[latency_seconds.bert.adapter]
values = [1, 2, 3]
provenance = "measured"
source = "by us"
[peak_memory_bytes.bert.adapter]
values = [5e6, 6e6, 7e6]
fixed = 4e6
"""


@pytest.fixture
def measured(tmp_path) -> DeviceProfile:
    """Return the profile of a board measured with an encoder of 2 blocks."""
    (tmp_path / "mine.toml").write_text(MEASURED)
    return load_profile("mine.toml", tmp_path)


OWN = ModelShape(family="bert", blocks=2, hidden=128, intermediate=512)
OWN_POINT = {"batch_size": 8, "sequence_length": 64, "width": 16}


def test_a_board_measured_with_another_encoder_is_exact_there_and_scaled_from_there(measured):
    assert [seconds(OWN, measured, depth=depth, **OWN_POINT) for depth in (0, 1, 2)] == [1, 2, 3]
    assert seconds(OWN, measured, depth=1, **OWN_POINT | {"sequence_length": 128}) == 4
    four = replace(OWN, blocks=4)
    assert seconds(four, measured, depth=2, **OWN_POINT) == 3 + 1  # two frozen blocks more, of half a second each
    twice = ModelShape(family="bert", blocks=2, hidden=256, intermediate=1024)
    assert seconds(twice, measured, depth=0, **OWN_POINT) == 4


def test_the_fixed_part_of_memory_grows_with_the_weights_alone(measured):
    def peak(shape: ModelShape = OWN, **changes) -> int:
        return peak_memory_bytes(measured, work(shape, depth=2, **OWN_POINT | changes), shape)

    weights = 2 * (4 * 128**2 + 2 * 128 * 512) * 4  # 1,572,864 of the 4,000,000
    assert peak() == 7_000_000
    assert peak(batch_size=16) == 4_000_000 + 2 * 3_000_000
    assert peak(replace(OWN, blocks=3)) == 7_000_000 + weights // 2


def test_a_faster_board_takes_less_time_and_as_much_memory():
    fast = at_throughput(TX2, 4.0)
    workload = work(depth=2, batches=3)
    assert compute_seconds(fast, workload, BERT) == pytest.approx(3 * 0.63 / 4)
    assert peak_memory_bytes(fast, workload, BERT) == peak_memory_bytes(TX2, workload, BERT)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"depth": 2}, "published"),
        ({"depth": 2, "cached_batches": 1}, "published"),
        ({"depth": 2, "batches": 2, "cached_batches": 1}, "published"),
        ({"trains": "whole", "depth": 12}, "published"),
        ({"trains": "forward"}, "published"),
        ({"depth": 0, "width": 8}, "published"),  # there is no adapter that could be wide
        ({"depth": 2, "width": 8}, "scaled"),
        ({"depth": 2, "batch_size": 8}, "scaled"),
        ({"depth": 2, "sequence_length": 64}, "scaled"),
    ],
)
def test_a_latency_is_as_sure_as_its_table_at_its_point_and_scaled_elsewhere(changes, known):
    assert level(TX2, **changes) == known


def test_a_latency_is_scaled_for_other_encoders_other_boards_and_other_throughputs():
    assert level(TX2, replace(BERT, blocks=6), depth=2) == "scaled"
    assert level(BOARDS["rpi-4b"], depth=2) == "scaled"
    assert level(at_throughput(TX2, 0.5), depth=2) == "scaled"
    assert level(TX2, DISTILBERT, depth=2) == "scaled"
    assert level(BOARDS["rpi-4b"], DISTILBERT, depth=2) == "published"


def test_a_figure_is_never_surer_than_the_one_it_is_scaled_from(tmp_path, measured):
    (tmp_path / "board.toml").write_text(USERS_BOARD)  # its table does not say where it comes from
    board = load_profile("board.toml", tmp_path)
    assert level(board, depth=2) == "assumed"
    assert level(board, depth=2, batch_size=8) == "assumed"
    assert level(measured, OWN, depth=2, **OWN_POINT) == "measured"
    # The table falls there, and more depth never takes less time.
    (tmp_path / "falling.toml").write_text(MEASURED.replace("[1, 2, 3]", "[1, 3, 2]"))
    falling = load_profile("falling.toml", tmp_path)
    assert [seconds(OWN, falling, depth=depth, **OWN_POINT) for depth in (1, 2)] == [3, 3]
    assert level(falling, OWN, depth=1, **OWN_POINT) == "measured"
    assert level(falling, OWN, depth=2, **OWN_POINT) == "scaled"
    # Of two tables the less sure one counts: the cached one is derived from the measured one.
    assert level(measured, OWN, depth=2, batches=2, cached_batches=1, **OWN_POINT) == "scaled"


def test_a_scaled_figure_names_the_point_it_was_scaled_from(measured):
    of_memory = provenance(TX2, work(depth=2, sequence_length=64), BERT, "peak_memory_bytes")
    assert of_memory.source == (
        "from peak_memory_bytes.bert.adapter at 12 blocks of 768 x 3072, batches of 4 x 256 tokens, width 32 "
        "(published: AdaFL artifact, adapters without the activation cache)"
    )
    at_half = provenance(at_throughput(measured, 0.5), work(OWN, depth=2, **OWN_POINT), OWN)
    assert at_half.source == (
        "from latency_seconds.bert.adapter at 2 blocks of 128 x 512, batches of 8 x 64 tokens, width 16, x0.5 as fast "
        "(measured: by us)"
    )


shapes = st.builds(
    ModelShape,
    family=st.sampled_from(["bert", "distilbert", "roberta", "albert"]),
    blocks=st.integers(1, 30),
    hidden=st.integers(1, 1200),
    intermediate=st.integers(1, 4096),
)


@st.composite
def counts(draw, shape: ModelShape) -> dict:
    """Draw what `work` takes: how much of what is trained."""
    trains = draw(st.sampled_from(["adapter", "whole", "head", "forward"]))
    batches = draw(st.integers(1, 40))
    caches = trains in ("adapter", "head")
    return {
        "trains": trains,
        "depth": 0 if trains in ("head", "forward") else draw(st.integers(0, shape.blocks)),
        "width": draw(st.integers(1, 256)),
        "batches": batches,
        "cached_batches": draw(st.integers(0, batches)) if caches else 0,
        "batch_size": draw(st.integers(1, 64)),
        "sequence_length": draw(st.integers(1, 512)),
    }


@given(
    st.data(), st.sampled_from(sorted(BOARDS)), st.sampled_from(["width", "batches", "batch_size", "sequence_length"])
)
def test_more_work_never_takes_less_time_or_memory(data, board, field):
    shape = data.draw(shapes)
    given_counts = data.draw(counts(shape))
    more = work(shape, **given_counts | {field: given_counts[field] + data.draw(st.integers(0, 100))})
    less = work(shape, **given_counts)
    assert compute_seconds(BOARDS[board], less, shape) <= compute_seconds(BOARDS[board], more, shape)
    assert peak_memory_bytes(BOARDS[board], less, shape) <= peak_memory_bytes(BOARDS[board], more, shape)


@given(st.data(), st.sampled_from(sorted(BOARDS)), st.sampled_from(["hidden", "intermediate", "blocks"]))
def test_a_larger_encoder_never_takes_less_time_or_memory(data, board, field):
    shape = data.draw(shapes)
    given_counts = data.draw(counts(shape))
    larger = replace(shape, **{field: getattr(shape, field) + data.draw(st.integers(0, 40))})
    more_counts = given_counts
    if given_counts["trains"] == "whole" and given_counts["depth"] == shape.blocks:
        more_counts = given_counts | {"depth": larger.blocks}  # all blocks, for the embeddings come with them
    less, more = (work(shape, **given_counts), shape), (work(larger, **more_counts), larger)
    assert compute_seconds(BOARDS[board], *less) <= compute_seconds(BOARDS[board], *more) * (1 + 1e-12)
    assert peak_memory_bytes(BOARDS[board], *less) <= peak_memory_bytes(BOARDS[board], *more)


@given(st.data(), st.sampled_from(sorted(BOARDS)))
def test_more_depth_never_takes_less_time(data, board):
    shape = data.draw(shapes)
    given_counts = data.draw(counts(shape))
    depth = data.draw(st.integers(given_counts["depth"], shape.blocks))
    if given_counts["trains"] == "head":
        depth = 0
    shallow, deep = work(shape, **given_counts), work(shape, **given_counts | {"depth": depth})
    assert 0 < compute_seconds(BOARDS[board], shallow, shape) <= compute_seconds(BOARDS[board], deep, shape)


@given(st.data())
def test_more_depth_never_takes_less_memory_by_berts_tables(data):
    shape = replace(data.draw(shapes), family="bert")
    given_counts = data.draw(counts(shape).filter(lambda each: each["trains"] != "head"))
    deeper = given_counts | {"depth": data.draw(st.integers(given_counts["depth"], shape.blocks))}
    assert memory(shape, **given_counts) <= memory(shape, **deeper)


def test_the_only_depth_that_takes_less_memory_is_where_the_published_figures_fall():
    falls = [
        (name, depth)
        for name in ("full", "adapter", "cached_adapter")
        for depth in range(6)
        if memory(DISTILBERT, depth=depth + 1, **BY_TABLE[name]) < memory(DISTILBERT, depth=depth, **BY_TABLE[name])
    ]
    assert falls == [("adapter", 2), ("cached_adapter", 2)]


@given(st.data())
def test_more_cached_batches_never_take_more_time(data):
    shape = data.draw(shapes)
    given_counts = data.draw(counts(shape))
    fewer = given_counts | {"cached_batches": data.draw(st.integers(0, given_counts["cached_batches"]))}
    assert seconds(shape, **given_counts) <= seconds(shape, **fewer) * (1 + 1e-12)


@given(st.data())
def test_memory_is_never_below_the_weights(data):
    shape = data.draw(shapes)
    blocks = 1 if shape.family == "albert" else shape.blocks
    weights = blocks * (4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate) * 4
    assert memory(shape, **data.draw(counts(shape))) >= weights


@given(st.data())
def test_seconds_add_up_over_passes_and_the_peak_is_the_largest(data):
    shape = data.draw(shapes)
    parts = [work(shape, **data.draw(counts(shape))) for _ in range(data.draw(st.integers(1, 4)))]
    whole = Workload(passes=tuple(each for part in parts for each in part.passes), num_examples=1)
    assert compute_seconds(TX2, whole, shape) == pytest.approx(sum(compute_seconds(TX2, each, shape) for each in parts))
    assert peak_memory_bytes(TX2, whole, shape) == max(peak_memory_bytes(TX2, each, shape) for each in parts)


def test_a_family_without_tables_of_its_own_takes_anothers_by_the_rule_and_says_so():
    roberta, albert = REFERENCE_SHAPES["roberta"], REFERENCE_SHAPES["albert"]
    assert seconds(roberta, depth=2) == seconds(albert, depth=2) == 0.63
    known = provenance(TX2, work(roberta, depth=2), roberta)
    assert known.level == "scaled"
    assert known.source.startswith("from latency_seconds.bert.adapter at 12 blocks of 768 x 3072, batches of 4 x 256")


def test_blocks_that_share_their_weights_hold_them_once():
    weights = 12 * 7_077_888 * 4
    assert memory(REFERENCE_SHAPES["roberta"], depth=2) == 1_300_000_000
    assert memory(REFERENCE_SHAPES["albert"], depth=2) == 1_300_000_000 - weights * 11 // 12


def without_rates(profile: DeviceProfile) -> DeviceProfile:
    """Return a board that has its tables alone, so that the roofline prices nothing."""
    tables = replace(profile.tables("default", "fp32"), peak_operations_per_second=None)
    return replace(profile, processors={"default": replace(profile.processor(), formats={"fp32": tables})})


def one(**changes) -> tuple[Pass, Pass]:
    """Return the two passes of a step that trains whole blocks 10 and 11, changed alike."""
    batch = {"count": 1, "batch_size": 4, "input_shape": (256,)} | changes
    trained = batch.pop("trained", WHOLE)
    runs, goes_back = batch.pop("runs", range(12)), batch.pop("goes_back", range(10, 12))
    cached = batch.pop("cached", False)
    return (
        Pass(kind="forward", blocks=runs, cached=cached, **batch),
        Pass(kind="backward", blocks=goes_back, trained=trained, **batch),
    )


NO_RULE = {
    "lora": ({"trained": TrainedSpec(kind="lora", rank=4, targets=("query",))}, "no table or rule for training 'lora'"),
    "biases": ({"trained": TrainedSpec(kind="bias")}, "no table or rule for training 'bias' in blocks 10 to 11 of 12"),
    "nothing in blocks": ({"trained": NOTHING}, "no table or rule for training 'none'"),
    "whole blocks from a cache": ({"cached": True, "runs": range(10, 12)}, "'whole' in .* from stored activations"),
    "middle blocks": ({"goes_back": range(4, 6)}, "no table or rule for training 'whole' in blocks 4 to 5 of 12"),
    "a cache below the trained blocks": (
        {"cached": True, "runs": range(6, 12), "trained": bottleneck(8)},
        "no table or rule for training 'bottleneck'",
    ),
    "not all blocks": ({"runs": range(11), "goes_back": range(10, 11)}, "no table or rule"),
    "images": ({"input_shape": (3, 32, 32)}, r"input_shape is \(3, 32, 32\), expected \(tokens,\) for a bert"),
    "another format": (
        {"format": "int8"},
        "jetson-tx2: no tables or rates for int8 on the processor 'default', accepted: fp32",
    ),
    "another processor": ({"processor": "dsp"}, "jetson-tx2: no processor 'dsp', accepted: default"),
    "blocks outside the model": (
        {"runs": range(14), "goes_back": range(12, 14)},
        "blocks is 0 to 13, expected some of",
    ),
}


@pytest.mark.parametrize("case", NO_RULE)
def test_what_no_table_or_rule_covers_is_refused_in_a_line_and_never_guessed(case):
    changes, problem = NO_RULE[case]
    workload = Workload(passes=one(**changes), num_examples=4)
    for price in (compute_seconds, peak_memory_bytes):
        with pytest.raises(UserError, match=problem) as caught:
            price(without_rates(TX2), workload, BERT)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("forward", [{"blocks": range(6)}, {"blocks": range(6, 12), "cached": True}])
def test_a_part_of_a_forward_pass_alone_has_no_rule(forward):
    lone = Pass(kind="forward", count=1, batch_size=4, input_shape=(256,), **forward)
    with pytest.raises(UserError, match=r"no table or rule for a forward pass.* through blocks"):
        compute_seconds(without_rates(TX2), Workload(passes=(lone,), num_examples=4), BERT)


@pytest.mark.parametrize("case", ["nothing in blocks", "middle blocks", "not all blocks", "images", "another format"])
def test_rates_do_not_price_what_makes_no_sense_or_is_of_another_format(case):
    changes, problem = NO_RULE[case]
    for price in (compute_seconds, peak_memory_bytes):
        with pytest.raises(UserError, match=problem):
            price(TX2, Workload(passes=one(**changes), num_examples=4), BERT)


PHONE = """
[processors.dsp]
computing_watts = 1.5
[processors.dsp.int8.latency_seconds.bert]
adapter = [0.1, 0.2, 0.3]
[processors.dsp.int8.peak_memory_bytes.bert]
adapter = [2e6, 3e6, 4e6]
"""


def test_each_processor_and_format_has_its_own_tables_and_gaps_stay_gaps(tmp_path):
    (tmp_path / "phone.toml").write_text(MEASURED + PHONE)
    phone, on = load_profile("phone.toml", tmp_path), {"processor": "dsp", "format": "int8"}
    here = work(OWN, depth=2, **OWN_POINT, **on)
    assert compute_seconds(phone, here, OWN) == 0.3
    assert peak_memory_bytes(phone, here, OWN) == 4_000_000
    scaled = provenance(phone, work(OWN, depth=2, **OWN_POINT | {"batch_size": 1}, **on), OWN)
    assert scaled.source.startswith("from processors.dsp.int8.latency_seconds.bert.adapter at 2 blocks of 128 x 512")
    with pytest.raises(
        UserError, match=r"phone\.toml: processors\.dsp\.int8\.latency_seconds\.bert\.cached_adapter: mis"
    ):
        compute_seconds(phone, work(OWN, depth=2, cached_batches=1, **OWN_POINT, **on), OWN)


def test_weights_of_a_format_count_with_its_bytes(tmp_path):
    (tmp_path / "phone.toml").write_text(MEASURED + PHONE)
    phone, on = load_profile("phone.toml", tmp_path), {"processor": "dsp", "format": "int8"}
    weights = 2 * (4 * 128**2 + 2 * 128 * 512)  # of int8: a byte each; no batch changes them
    twice = work(OWN, depth=0, **OWN_POINT | {"batch_size": 16}, **on)
    assert peak_memory_bytes(phone, twice, OWN) == weights + 2 * (2_000_000 - weights)
