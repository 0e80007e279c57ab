"""The published cells are exact, everything else follows the documented rules, and more work never costs less."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.devices import REFERENCE_SHAPES, built_in_profiles, load_profile
from fedlab.errors import UserError
from fedlab.scaling import compute_seconds, describe, peak_memory_bytes
from fedlab.workload import EncoderShape, Workload

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
[latency_seconds.bert]
adapter = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
"""


def seconds(shape: EncoderShape = BERT, profile=TX2, **changes) -> float:
    return compute_seconds(profile, replace(ONE, **changes), shape)


def memory(shape: EncoderShape = BERT, **changes) -> int:
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
    # 4 * 384^2 + 2 * 384 * 1536 is a quarter of 4 * 768^2 + 2 * 768 * 3072.
    small = EncoderShape(family="bert", blocks=12, hidden=384, intermediate=1536)
    assert seconds(small, depth=3) == 0.66 / 4
    assert seconds(small, depth=3, cached_batches=1) == 0.27 / 4
    assert seconds(small, method="full", depth=12) == 1.7 / 4


def test_fewer_blocks_take_a_shorter_forward_pass():
    half = replace(BERT, blocks=6)
    assert seconds(half, depth=2) == pytest.approx(0.57 / 2 + (0.63 - 0.57))
    assert seconds(half, depth=2, cached_batches=1) == 0.18  # what is stored is not computed, however long


def test_stored_activations_never_make_a_batch_dearer():
    half = replace(BERT, blocks=6)  # the cached table alone would say 0.54 at depth 6
    assert seconds(half, depth=6, cached_batches=1) == seconds(half, depth=6) == pytest.approx(0.57 / 2 + 0.79 - 0.57)


def test_a_depth_beyond_the_table_goes_on_with_its_last_step():
    large = replace(BERT, blocks=24)
    assert seconds(large, depth=24, cached_batches=1) == pytest.approx(1.08 + 12 * 0.09)
    assert seconds(large, depth=14) == pytest.approx(0.57 * 2 + (1.08 + 2 * 0.05 - 0.57))


def test_full_includes_the_embeddings_only_where_all_blocks_are_trained():
    half, large = replace(BERT, blocks=6), replace(BERT, blocks=24)
    embeddings = (1.7 - 1.51) - (1.51 - 1.419)
    assert seconds(half, method="full", depth=6) == pytest.approx(1.064 - 0.5325 / 2 + embeddings)
    assert seconds(large, method="freeze", depth=12) == pytest.approx(0.5325 + 1.51 + 0.091)
    assert seconds(large, method="full", depth=24) == pytest.approx(0.5325 + 1.51 + 13 * 0.091 + embeddings)


def test_width_adds_the_adapters_own_products():
    # 2 * 768 * 32 products more, of 7,077,888 a block, in blocks that take 1.08 - 0.02 s cached and 1.08 s uncached.
    share = 2 * 768 * 32 / 7_077_888
    assert seconds(depth=12, width=64) == pytest.approx(1.08 * (1 + share))
    assert seconds(depth=12, width=64, cached_batches=1) == pytest.approx(1.08 + 1.06 * share)
    assert seconds(depth=6, width=8, cached_batches=1) == pytest.approx(0.54 - 0.52 * share * 24 / 32)
    assert seconds(depth=0, width=64) == 0.57


def test_memory_is_the_weights_plus_what_grows_with_the_batch():
    weights = 12 * 7_077_888 * 4
    assert memory(depth=2, batch_size=8) == weights + 2 * (1_300_000_000 - weights)
    assert memory(depth=2, sequence_length=64) == weights + (1_300_000_000 - weights) / 4
    tiny = EncoderShape(family="bert", blocks=12, hidden=384, intermediate=1536)
    assert memory(tiny, depth=2) == weights // 4 + (1_300_000_000 - weights) // 2


def test_one_uncached_batch_makes_the_peak_the_uncached_one():
    assert memory(depth=2, batches=3, cached_batches=3) == 900_000_000
    assert memory(depth=2, batches=3, cached_batches=2) == 1_300_000_000


def test_a_profile_of_one_table_serves_that_work_and_refuses_other_work_by_name(tmp_path):
    (tmp_path / "board.toml").write_text(USERS_BOARD)
    board = load_profile("board.toml", tmp_path)
    assert seconds(profile=board, depth=2) == 3
    assert seconds(profile=board, depth=6, cached_batches=1) == 7 - 6 / 12
    assert seconds(DISTILBERT, profile=board, depth=0) == 0.5  # half of BERT's blocks
    with pytest.raises(
        UserError, match=r"board\.toml: latency_seconds\.bert\.full: missing.*latency_seconds\.bert\.ad"
    ):
        seconds(profile=board, method="freeze", depth=2)


def test_a_profile_is_described_by_depth_with_standings():
    rows = describe(TX2, BERT)
    assert [row.depth for row in rows] == list(range(13))
    cell = rows[2].cells["cached_adapter"]
    assert (cell.seconds, cell.memory_bytes, cell.seconds_standing) == (0.18, 900_000_000, "published")
    assert describe(BOARDS["jetson-nano"], BERT)[2].cells["full"].seconds_standing == "scaled"
    assert describe(TX2, replace(BERT, blocks=6))[2].cells["full"].seconds_standing == "scaled"


def test_a_description_leaves_out_tables_the_profile_lacks(tmp_path):
    (tmp_path / "board.toml").write_text(USERS_BOARD)
    row = describe(load_profile("board.toml", tmp_path), BERT)[0]
    assert set(row.cells) == {"adapter", "cached_adapter"}


shapes = st.builds(
    EncoderShape,
    family=st.sampled_from(["bert", "distilbert"]),
    blocks=st.integers(1, 30),
    hidden=st.sampled_from([32, 128, 384, 768, 1024]),
    intermediate=st.sampled_from([64, 512, 3072, 4096]),
)


@st.composite
def workloads(draw, shape: EncoderShape) -> Workload:
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


@given(st.data(), st.sampled_from(sorted(BOARDS)))
def test_more_depth_never_takes_less_time(data, board):
    shape = data.draw(shapes)
    workload = data.draw(workloads(shape))
    deeper = replace(workload, depth=data.draw(st.integers(workload.depth, shape.blocks)))
    assert 0 <= compute_seconds(BOARDS[board], workload, shape) <= compute_seconds(BOARDS[board], deeper, shape)


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
