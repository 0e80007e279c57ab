"""LLaMA-7B with LoRA on every board: which fit, what it costs, and what would fit where it does not."""

from pathlib import Path

import pytest

from fedlab.common.units import human_bytes, human_joules, human_seconds
from fedlab.devices.profile import built_in_profiles
from fedlab.errors import UserError
from fedlab.estimate.boards import OnBoard, on_every_board, plain_boards
from fedlab.estimate.named import Named, estimate_trajectory
from fedlab.estimate.trajectory import Segment

DOC = Path(__file__).parents[3] / "docs" / "concepts" / "cost-model.md"
TRAJECTORY = [Segment(20, 32, 8)]
LLAMA = Named(method="lora", backbone="llama-7b", format="fp16", batches=20, batch_size=8)
PHONES = [name for name in built_in_profiles() if name.startswith(("snapdragon-", "xiaomi-"))]
NO_FP16 = ("jetson-nano", "jetson-tx2", "rpi-4b", *PHONES)


@pytest.fixture(scope="module")
def boards() -> dict[str, OnBoard]:
    return {each.device: each for each in on_every_board(TRAJECTORY, LLAMA)}


def test_every_board_is_tried(boards):
    assert tuple(boards) == built_in_profiles()


def test_only_a_board_with_64_gb_has_room_for_llama_in_fp16(boards):
    assert [name for name, board in boards.items() if board.fits] == ["jetson-agx-orin"]
    assert boards["jetson-agx-orin"].remedies == ()


def test_a_board_without_the_format_says_so(boards):
    assert {name: board.problem[:30] for name, board in boards.items() if board.estimate is None} == dict.fromkeys(
        NO_FP16, "no tables or rates for fp16 on"
    )


def test_what_does_not_fit_says_by_how_much(boards):
    nano = boards["jetson-orin-nano"]
    assert nano.missing_bytes == nano.estimate.peak_memory_bytes - 8_000_000_000 > 19e9


def test_what_would_fit_does(boards):
    tried = {name: board for name, board in boards.items() if board.estimate and not board.fits}
    assert len(tried) == 6
    for board in tried.values():
        assert board.remedies
        assert all(each.estimate.peak_memory_bytes <= board.memory_bytes for each in board.remedies)


def test_a_small_board_needs_int4_and_one_more_change(boards):
    changes = [each.change for each in boards["jetson-orin-nano"].remedies]
    assert changes == ["int4 and checkpointing", "int4 and forward passes alone", "int4 and texts of 64 tokens"]


def test_one_change_is_enough_on_a_board_with_16_gb(boards):
    changes = [each.change for each in boards["orange-pi-5b"].remedies]
    assert changes == ["forward passes alone", "texts of 32 tokens"]


def test_boards_as_json_have_totals_and_remedies(boards):
    plain = plain_boards(list(boards.values()))["boards"]
    assert plain["jetson-agx-orin"]["fits"] is True
    assert plain["jetson-agx-orin"]["seconds"] > 0
    assert plain["rpi-5"]["remedies"][0].keys() >= {"change", "seconds", "joules", "peak_memory_bytes"}
    assert "no tables or rates" in plain["rpi-4b"]["problem"]


def test_what_no_board_can_price_is_refused():
    with pytest.raises(UserError, match="no projection 'dense'"):
        on_every_board(TRAJECTORY, Named(method="lora", backbone="llama-7b", targets=("dense",)))
    with pytest.raises(UserError, match="depth 33 up to round 20, expected 0 to 32: the decoder has 32 blocks"):
        on_every_board([Segment(20, 33, 8)], LLAMA)


def test_messages_of_lora_have_the_bytes_of_its_pairs():
    found = estimate_trajectory([Segment(1, 32, 8)], Named(**vars(LLAMA) | {"device": "jetson-agx-orin"}))
    assert found.bytes_down == pytest.approx(4 * 4_194_304, rel=0.01)  # FwdLLM: 16.8 MB
    assert found.by_segment[0].configuration == {"set": "lora", "depth": 32, "rank": 8, "targets": "q,v"}


def test_forward_passes_alone_need_the_memory_of_inference_and_send_the_same():
    trained, forward = (
        estimate_trajectory([Segment(1, 32, 8)], Named(**vars(LLAMA) | {"device": "jetson-agx-orin", "method": method}))
        for method in ("lora", "forward")
    )
    assert forward.bytes_up == trained.bytes_up
    assert forward.peak_memory_bytes < 15.5e9
    assert trained.peak_memory_bytes > 25e9


def cells(board: OnBoard) -> str:
    if board.estimate is None:
        return f"- | - | - | {board.problem}"
    needs = human_bytes(board.estimate.peak_memory_bytes)
    if board.fits:
        costs = f"{human_seconds(board.estimate.seconds)} | {human_joules(board.estimate.joules)}"
        return f"{needs} | {costs} | as it is"
    remedies = [
        f"{each.change}: {human_seconds(each.estimate.seconds)}, {human_joules(each.estimate.joules)}"
        for each in board.remedies
    ]
    return f"{needs} | - | - | {human_bytes(board.missing_bytes)} too large; {'; '.join(remedies)}"


def doc_lines(boards: dict[str, OnBoard]) -> list[str]:
    return [
        f"| {name} | {human_bytes(board.memory_bytes)} | {cells(board)} |"
        for name, board in boards.items()
        if name not in NO_FP16
    ]


def test_the_document_shows_every_board(boards):
    text = DOC.read_text(encoding="utf-8").splitlines()
    assert [line for line in doc_lines(boards) if line not in text] == []
