"""A board's table shows each figure, how it is known and where it comes from."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from fedlab.cli.device_table import describe, device_as_json, render_device, shape_from
from fedlab.devices.profile import load_profile
from fedlab.devices.tables import Point
from fedlab.errors import UserError
from fedlab.workload.shape import REFERENCE_SHAPES, ModelShape

BERT = REFERENCE_SHAPES["bert"]
TX2, PI = (load_profile(name, Path()) for name in ("jetson-tx2", "rpi-4b"))
ONE_TABLE = """
memory_bytes = 1e9
computing_watts = 5
communicating_watts = 2
idle_watts = 1
latency_seconds.bert.adapter = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
"""


def text_of(board=TX2, backbone: str = "bert-base", shape: ModelShape = BERT, columns: int = 100, **point) -> str:
    output = io.StringIO()
    Console(file=output, width=columns).print(render_device(board, backbone, shape, Point(**point)))
    return output.getvalue()


def row(text: str, depth: int) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [str(depth)])


def test_a_board_is_described_by_depth_with_figures_and_provenance():
    rows = describe(TX2, BERT, Point())
    assert [each.depth for each in rows] == list(range(13))
    cell = rows[2].cells["cached_adapter"]
    assert (cell.seconds, cell.memory_bytes) == (0.18, 900_000_000)
    assert cell.seconds_provenance.level == cell.memory_provenance.level == "published"
    assert rows[12].cells["full"].seconds == 1.7


def test_a_description_leaves_out_tables_the_profile_lacks(tmp_path):
    (tmp_path / "board.toml").write_text(ONE_TABLE)
    first = describe(load_profile("board.toml", tmp_path), BERT, Point())[0]
    assert set(first.cells) == {"adapter", "cached_adapter"}


def test_the_table_shows_published_figures_digit_for_digit_and_marked_as_such():
    assert row(text_of(), 8) == ["8", "1.2465", "p", "3.9", "p", "0.89", "p", "2.7", "p", "0.72", "p", "2.54", "p"]


def test_other_sizes_are_marked_as_scaled_and_name_the_point_they_are_scaled_from():
    text = text_of(sequence_length=64)
    assert row(text, 2)[1:3] == ["0.174", "~"]
    assert "from latency_seconds.bert.full at 12 blocks of 768 x 3072" in text


def test_depths_of_different_provenance_are_named_apart():
    text = text_of(width=8)  # the head alone has no adapter that could be narrower
    assert "adapter, seconds at depth 0 " in text
    assert "adapter, seconds at depth 1 to 12 " in text


@pytest.mark.parametrize("columns", [80, 120])
def test_no_figure_is_cut_off_in_a_terminal(columns):
    text = text_of(PI, columns=columns, sequence_length=64, width=8)
    assert "…" not in text
    assert all(len(row(text, depth)) == 13 for depth in range(13))


def test_power_and_memory_of_the_board_stand_below_with_their_sources():
    words = " ".join(text_of().split())
    assert "memory 8.00 GB assumed" in words
    assert "computing 12 W published AdaFL" in words
    assert "communicating 4 W published" in words
    assert "idle 2 W assumed not in the paper" in words


def test_the_same_as_json():
    table = json.loads(json.dumps(device_as_json(TX2, "bert-base", BERT, Point(width=8))))
    assert table["idle_watts"] == {"value": 2.0, "level": "assumed", "source": table["idle_watts"]["source"]}
    assert (table["width"], table["shape"]["blocks"]) == (8, 12)
    cell = table["by_depth"][12]["full"]
    assert (cell["latency_seconds"]["value"], cell["latency_seconds"]["level"]) == (1.7, "published")
    assert cell["peak_memory_bytes"]["value"] == 5_300_000_000


def test_a_backbone_is_named_as_in_an_experiment_or_by_its_sizes(tmp_path):
    assert shape_from("distilbert-base") == REFERENCE_SHAPES["distilbert"]
    mini = ModelShape(family="bert", blocks=6, hidden=384, intermediate=1536)
    assert shape_from("6x384x1536") == mini
    sizes = {"num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    assert shape_from(str(tmp_path)) == mini


@pytest.mark.parametrize(
    "name", ["./nowhere", "0x384x1536", "9999999x1x1", "6x99999999x1", "package:no_such_package/model"]
)
def test_no_such_backbone_is_told_in_one_line(name):
    with pytest.raises(UserError) as caught:
        shape_from(name)
    assert str(caught.value).startswith("--backbone")
    assert "\n" not in str(caught.value)


TWO_PROCESSORS = (
    ONE_TABLE
    + """
[processors.dsp]
computing_watts = { value = 1.5, provenance = "measured", source = "a meter" }
[processors.dsp.int8]
latency_seconds = { bert = { adapter = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13] } }
peak_memory_bytes = { bert = { adapter = [1e8, 2e8, 3e8, 4e8, 5e8, 6e8, 7e8, 8e8, 9e8, 1e9, 2e9, 3e9, 4e9] } }
"""
)


def test_each_processor_and_format_has_a_table_of_its_own(tmp_path):
    (tmp_path / "board.toml").write_text(TWO_PROCESSORS)
    board = load_profile("board.toml", tmp_path)
    text = text_of(board)
    first, second = text.index("cached adapter"), text.index("processor dsp, int8")
    assert first < second
    assert "computing, dsp" in text
    assert "1.5 W" in text
    assert row(text[second:], 12) == ["12", "13", "?", "4", "?"]


def test_processors_are_listed_in_json_too(tmp_path):
    (tmp_path / "board.toml").write_text(TWO_PROCESSORS)
    table = json.loads(json.dumps(device_as_json(load_profile("board.toml", tmp_path), "bert-base", BERT, Point())))
    dsp = table["processors"]["dsp"]
    assert dsp["computing_watts"] == {"value": 1.5, "level": "measured", "source": "a meter"}
    assert dsp["formats"]["int8"][12]["adapter"]["latency_seconds"]["value"] == 13
    assert table["processors"]["default"]["formats"]["fp32"] == table["by_depth"]
    assert table["computing_watts"]["value"] == 5.0


def test_a_board_without_tables_shows_what_the_roofline_says_and_its_rates():
    orin = load_profile("jetson-orin-nano", Path())
    text = text_of(orin, columns=160)
    assert row(text, 12)[2::2] == ["?", "~"] * 3
    assert "peak, default int4" in text
    assert "efficiency, default fp16" in text
    assert re.search(r"bandwidth, default +102 GB/s +published", text)
    plain = device_as_json(orin, "bert-base", BERT, Point())
    assert set(plain["processors"]["default"]["formats"]) == {"fp32", "fp16", "bf16", "int8", "int4"}


def test_a_decoder_is_shown_on_a_board_with_tables_and_rates():
    shape = shape_from("smollm2-135m")
    assert row(text_of(backbone="smollm2-135m", shape=shape, sequence_length=64), 30)[2] == "?"


def test_a_processor_for_forward_passes_alone_has_no_table_of_training():
    pixel = load_profile("pixel-7-pro", Path())
    plain = device_as_json(pixel, "bert-base", BERT, Point())
    assert plain["processors"]["npu"]["formats"] == {}
    assert "efficiency, npu int8" in text_of(pixel, columns=160)
