"""The published cells are exact, everything else follows the documented rules, and more work never costs less."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.devices.costmodel.transformer import compute_seconds, peak_memory_bytes, provenance, standing
from fedlab.devices.profile import DeviceProfile, at_throughput, built_in_profiles, load_profile
from fedlab.errors import UserError
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape
from fedlab.workload.workload import Workload

BERT, DISTILBERT = REFERENCE_SHAPES["bert"], REFERENCE_SHAPES["distilbert"]
BOARDS = {name: load_profile(name, Path()) for name in built_in_profiles()}
TX2 = BOARDS["jetson-tx2"]
ONE = Workload(
    method="adapter",
    depth=0,
    width=32,
    batches=1,
    cached_batches=0,
    batch_size=4,
    sequence_length=256,
    num_examples=4,
)
USERS_BOARD = """
memory_bytes = 1e9
computing_watts = 5
communicating_watts = 2
idle_watts = 1
[latency_seconds.bert]
adapter = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
"""


def seconds(shape: ModelShape = BERT, profile=TX2, **changes) -> float:
    return compute_seconds(profile, replace(ONE, **changes), shape)


def memory(shape: ModelShape = BERT, **changes) -> int:
    return peak_memory_bytes(TX2, replace(ONE, **changes), shape)


def work(table: str) -> dict:
    return {
        "full": {"method": "full"},
        "adapter": {"method": "adapter"},
        "cached_adapter": {"method": "adapter", "cached_batches": 1},
    }[table]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("shape", [BERT, DISTILBERT], ids=["bert", "distilbert"])
@pytest.mark.parametrize("table", ["full", "adapter", "cached_adapter"])
def test_every_cell_is_exact_at_the_measured_point(board, shape, table):
    profile = BOARDS[board]
    for depth in range(shape.blocks + 1):
        workload = replace(ONE, depth=depth, **work(table))
        key = (shape.family, table)
        assert compute_seconds(profile, workload, shape) == profile.latency_seconds[key].values[depth]
        assert peak_memory_bytes(profile, workload, shape) == profile.peak_memory_bytes[key].values[depth]


def test_cached_adapters_in_every_block_take_as_long_as_uncached_ones():
    assert seconds(depth=12, cached_batches=1) == seconds(depth=12) == 1.08


def test_freezing_is_read_from_the_same_table_as_full():
    assert seconds(method="freeze", depth=2) == 0.696
    assert seconds(method="freeze", depth=12) == seconds(method="full", depth=12) == 1.7


def test_evaluation_is_the_uncached_forward_pass_at_any_depth_and_width():
    assert seconds(method="evaluate", depth=5, width=64) == 0.57
    assert memory(method="evaluate", depth=5, width=64) == 1_200_000_000


def test_latency_is_linear_in_length_batch_size_and_batches():
    assert seconds(depth=2, sequence_length=64) == 0.63 / 4
    assert seconds(depth=2, batch_size=8) == 0.63 * 2
    assert seconds(method="full", depth=12, batches=29) == 29 * 1.7  # 49.3 s, a round of 20NEWS
    assert seconds(batches=0) == 0


def test_cached_and_uncached_batches_are_mixed():
    assert seconds(depth=2, batches=30, cached_batches=20) == pytest.approx(10 * 0.63 + 20 * 0.18)


def test_only_adapters_start_from_stored_activations():
    assert seconds(method="freeze", depth=2, cached_batches=1) == 0.696
    assert seconds(method="evaluate", cached_batches=1) == 0.57


def test_a_block_of_another_size_costs_its_share_of_matrix_products():
    # 4 * 384^2 + 2 * 384 * 1536 is a quarter of 4 * 768^2 + 2 * 768 * 3072; of 32 units of adapter, 384 is a half.
    small = ModelShape(family="bert", blocks=12, hidden=384, intermediate=1536)
    trained = (7_077_888 / 4 + 2 * 384 * 32) / (7_077_888 + 2 * 768 * 32)
    frozen_seconds = 0.57 * 9 / 12
    assert seconds(small, depth=3) == pytest.approx(frozen_seconds / 4 + (0.66 - frozen_seconds) * trained)
    assert seconds(small, depth=3, cached_batches=1) == pytest.approx(0.02 / 4 + 0.25 * trained)
    assert seconds(small, method="full", depth=12) == 1.7 / 4


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
    assert seconds(half, method="full", depth=6) == pytest.approx(1.064 - 0.5325 / 2 + embeddings)
    assert seconds(large, method="freeze", depth=12) == pytest.approx(0.5325 + 1.51 + step)
    assert seconds(large, method="full", depth=24) == pytest.approx(0.5325 + 1.51 + 13 * step + embeddings)


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
        seconds(profile=board, method="freeze", depth=2)


def test_a_profile_of_whole_blocks_only_still_evaluates(tmp_path):
    text = USERS_BOARD.replace("adapter =", "full =")
    (tmp_path / "board.toml").write_text(text)
    assert seconds(profile=load_profile("board.toml", tmp_path), method="evaluate", depth=3) == 1


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
        return peak_memory_bytes(measured, replace(ONE, depth=2, **OWN_POINT | changes), shape)

    weights = 2 * (4 * 128**2 + 2 * 128 * 512) * 4  # 1,572,864 of the 4,000,000
    assert peak() == 7_000_000
    assert peak(batch_size=16) == 4_000_000 + 2 * 3_000_000
    assert peak(replace(OWN, blocks=3)) == 7_000_000 + weights // 2


def test_a_faster_board_takes_less_time_and_as_much_memory():
    fast = at_throughput(TX2, 4.0)
    workload = replace(ONE, depth=2, batches=3)
    assert compute_seconds(fast, workload, BERT) == pytest.approx(3 * 0.63 / 4)
    assert peak_memory_bytes(fast, workload, BERT) == peak_memory_bytes(TX2, workload, BERT)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({"depth": 2}, "published"),
        ({"depth": 2, "cached_batches": 1}, "published"),
        ({"depth": 2, "batches": 2, "cached_batches": 1}, "published"),
        ({"method": "full", "depth": 12, "width": 1}, "published"),
        ({"method": "evaluate", "depth": 2, "width": 8}, "published"),
        ({"depth": 0, "width": 8}, "published"),  # there is no adapter that could be wide
        ({"depth": 2, "width": 8}, "scaled"),
        ({"depth": 2, "batch_size": 8}, "scaled"),
        ({"depth": 2, "sequence_length": 64}, "scaled"),
        ({"depth": 2, "batches": 0}, "published"),
    ],
)
def test_the_standing_of_a_latency_is_the_tables_at_its_point_and_scaled_elsewhere(changes, known):
    assert standing(TX2, replace(ONE, **changes), BERT) == known


def test_a_latency_is_scaled_for_other_encoders_other_boards_and_other_throughputs():
    assert standing(TX2, replace(ONE, depth=2), replace(BERT, blocks=6)) == "scaled"
    assert standing(BOARDS["rpi-4b"], replace(ONE, depth=2), BERT) == "scaled"
    assert standing(at_throughput(TX2, 0.5), replace(ONE, depth=2), BERT) == "scaled"
    assert standing(TX2, replace(ONE, depth=2), DISTILBERT) == "scaled"
    assert standing(BOARDS["rpi-4b"], replace(ONE, depth=2), DISTILBERT) == "published"


def test_a_figure_is_never_surer_than_the_one_it_is_scaled_from(tmp_path, measured):
    (tmp_path / "board.toml").write_text(USERS_BOARD)  # its table does not say where it comes from
    board = load_profile("board.toml", tmp_path)
    assert standing(board, replace(ONE, depth=2), BERT) == "assumed"
    assert standing(board, replace(ONE, depth=2, batch_size=8), BERT) == "assumed"
    assert standing(measured, replace(ONE, depth=2, **OWN_POINT), OWN) == "measured"
    # The table falls there, and more depth never takes less time.
    (tmp_path / "falling.toml").write_text(MEASURED.replace("[1, 2, 3]", "[1, 3, 2]"))
    falling = load_profile("falling.toml", tmp_path)
    assert [seconds(OWN, falling, depth=depth, **OWN_POINT) for depth in (1, 2)] == [3, 3]
    assert standing(falling, replace(ONE, depth=1, **OWN_POINT), OWN) == "measured"
    assert standing(falling, replace(ONE, depth=2, **OWN_POINT), OWN) == "scaled"
    # Of two tables the less sure one counts: the cached one is derived from the measured one.
    assert standing(measured, replace(ONE, depth=2, batches=2, cached_batches=1, **OWN_POINT), OWN) == "scaled"


def test_a_scaled_figure_names_the_point_it_was_scaled_from(measured):
    of_memory = provenance(TX2, replace(ONE, depth=2, sequence_length=64), BERT, "peak_memory_bytes")
    assert of_memory.source == (
        "from peak_memory_bytes.bert.adapter at 12 blocks of 768 x 3072, batches of 4 x 256 tokens, width 32 "
        "(published: AdaFL artifact, adapters without the activation cache)"
    )
    at_half = provenance(at_throughput(measured, 0.5), replace(ONE, depth=2, **OWN_POINT), OWN)
    assert at_half.source == (
        "from latency_seconds.bert.adapter at 2 blocks of 128 x 512, batches of 8 x 64 tokens, width 16, x0.5 as fast "
        "(measured: by us)"
    )


shapes = st.builds(
    ModelShape,
    family=st.sampled_from(["bert", "distilbert"]),
    blocks=st.integers(1, 30),
    hidden=st.integers(1, 1200),
    intermediate=st.integers(1, 4096),
)


@st.composite
def workloads(draw, shape: ModelShape) -> Workload:
    batches = draw(st.integers(0, 40))
    return Workload(
        method=draw(st.sampled_from(["adapter", "full", "freeze", "evaluate"])),
        depth=draw(st.integers(0, shape.blocks)),
        width=draw(st.integers(1, 256)),
        batches=batches,
        cached_batches=draw(st.integers(0, batches)),
        batch_size=draw(st.integers(1, 64)),
        sequence_length=draw(st.integers(1, 512)),
        num_examples=batches,
    )


@given(
    st.data(), st.sampled_from(sorted(BOARDS)), st.sampled_from(["width", "batches", "batch_size", "sequence_length"])
)
def test_more_work_never_takes_less_time_or_memory(data, board, field):
    shape = data.draw(shapes)
    workload = data.draw(workloads(shape))
    more = replace(workload, **{field: getattr(workload, field) + data.draw(st.integers(0, 100))})
    assert compute_seconds(BOARDS[board], workload, shape) <= compute_seconds(BOARDS[board], more, shape)
    assert peak_memory_bytes(BOARDS[board], workload, shape) <= peak_memory_bytes(BOARDS[board], more, shape)


@given(st.data(), st.sampled_from(sorted(BOARDS)), st.sampled_from(["hidden", "intermediate", "blocks"]))
def test_a_larger_encoder_never_takes_less_time_or_memory(data, board, field):
    shape = data.draw(shapes)
    workload = data.draw(workloads(shape))
    larger = replace(shape, **{field: getattr(shape, field) + data.draw(st.integers(0, 40))})
    if field == "blocks" and workload.method in ("full", "freeze") and workload.depth == shape.blocks:
        workload_of_larger = replace(workload, depth=larger.blocks)  # all blocks, for the embeddings come with them
    else:
        workload_of_larger = workload
    less, more = (workload, shape), (workload_of_larger, larger)
    assert compute_seconds(BOARDS[board], *less) <= compute_seconds(BOARDS[board], *more) * (1 + 1e-12)
    assert peak_memory_bytes(BOARDS[board], *less) <= peak_memory_bytes(BOARDS[board], *more)


@given(st.data(), st.sampled_from(sorted(BOARDS)))
def test_more_depth_never_takes_less_time(data, board):
    shape = data.draw(shapes)
    workload = data.draw(workloads(shape))
    deeper = replace(workload, depth=data.draw(st.integers(workload.depth, shape.blocks)))
    assert 0 <= compute_seconds(BOARDS[board], workload, shape) <= compute_seconds(BOARDS[board], deeper, shape)


@given(st.data())
def test_more_depth_never_takes_less_memory_by_berts_tables(data):
    shape = replace(data.draw(shapes), family="bert")
    workload = data.draw(workloads(shape))
    deeper = replace(workload, depth=data.draw(st.integers(workload.depth, shape.blocks)))
    assert peak_memory_bytes(TX2, workload, shape) <= peak_memory_bytes(TX2, deeper, shape)


def test_the_only_depth_that_takes_less_memory_is_where_the_published_figures_fall():
    falls = [
        (name, depth)
        for name in ("full", "adapter", "cached_adapter")
        for depth in range(6)
        if memory(DISTILBERT, depth=depth + 1, **work(name)) < memory(DISTILBERT, depth=depth, **work(name))
    ]
    assert falls == [("adapter", 2), ("cached_adapter", 2)]


@given(st.data())
def test_more_cached_batches_never_take_more_time(data):
    shape = data.draw(shapes)
    workload = data.draw(workloads(shape))
    fewer = replace(workload, cached_batches=data.draw(st.integers(0, workload.cached_batches)))
    assert compute_seconds(TX2, workload, shape) <= compute_seconds(TX2, fewer, shape) * (1 + 1e-12)


@given(st.data())
def test_memory_is_never_below_the_weights(data):
    shape = data.draw(shapes)
    weights = shape.blocks * (4 * shape.hidden**2 + 2 * shape.hidden * shape.intermediate) * 4
    assert peak_memory_bytes(TX2, data.draw(workloads(shape)), shape) >= weights


def test_a_cached_batch_is_scaled_to_its_own_batch_size_and_length():
    # The published cached batch of 4 x 256 tokens takes 0.18 s at depth 2, an uncached one 0.63 s.
    assert seconds(depth=2, cached_batches=1) == 0.18
    assert seconds(depth=2, cached_batches=1, batch_size=8) == pytest.approx(2 * 0.18)
    assert seconds(depth=2, cached_batches=1, batch_size=1) == pytest.approx(0.18 / 4)
    assert seconds(depth=2, cached_batches=1, sequence_length=64) == pytest.approx(0.18 / 4)
    assert seconds(depth=2, batches=3, cached_batches=3, batch_size=2, sequence_length=64) == pytest.approx(
        3 * 0.18 / 8
    )
    assert seconds(depth=2, batches=2, cached_batches=1, batch_size=8) == pytest.approx(2 * 0.18 + 2 * 0.63)
