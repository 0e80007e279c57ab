"""The profiles hold exactly what was published, and a user's profile is read or refused in one line."""

import re
import tomllib
from pathlib import Path

import pytest

import fedlab.devices.profile
from fedlab.devices.profile import DeviceProfile, at_throughput, built_in_profiles, load_profile
from fedlab.devices.tables import FormatTables, Point
from fedlab.errors import UserError
from fedlab.workload.shape import ModelShape

GB = 10**9
HERE = Path()

# The published tables, typed once more: TX2 in seconds, memory in GB.
BERT_FULL = (0.5325, 0.612, 0.696, 0.791, 0.883, 0.9713, 1.064, 1.156, 1.2465, 1.33, 1.419, 1.51, 1.7)
BERT_ADAPTER = (0.57, 0.57, 0.63, 0.66, 0.71, 0.75, 0.79, 0.84, 0.89, 0.94, 0.99, 1.03, 1.08)
BERT_CACHED = (0.02, 0.09, 0.18, 0.27, 0.36, 0.45, 0.54, 0.63, 0.72, 0.81, 0.90, 0.99, 1.08)
RPI_DISTILBERT_UNCACHED = (5.28, 8.02, 9.63, 11.83, 13.12, 15.03, 18.27)
RPI_DISTILBERT_CACHED = (0.14, 2.88, 5.7, 8.04, 10.89, 14.2, 18.27)
MEMORY = {
    ("bert", "full"): (1.2, 1.5, 1.7, 2.0, 2.3, 2.8, 3.2, 3.5, 3.9, 4.1, 4.3, 4.7, 5.3),
    ("bert", "adapter"): (1.2, 1.3, 1.3, 1.6, 1.8, 2.1, 2.4, 2.5, 2.7, 3.1, 3.3, 3.5, 3.8),
    ("bert", "cached_adapter"): (0.72, 0.86, 0.9, 1.24, 1.48, 1.80, 2.16, 2.3, 2.54, 2.98, 3.22, 3.46, 3.8),
    ("distilbert", "full"): (1.0, 1.3, 1.6, 2.1, 2.4, 2.8, 3.0),
    ("distilbert", "adapter"): (1.0, 1.1, 1.5, 1.4, 1.8, 2.0, 2.1),
    ("distilbert", "cached_adapter"): (0.76, 0.81, 1.34, 1.28, 1.72, 1.96, 2.1),
}
OF_TX2 = {"jetson-tx2": 1, "jetson-nano": 2, "rpi-4b": 20}
OF_RPI = {"jetson-tx2": 1 / 20, "jetson-nano": 1 / 10, "rpi-4b": 1}

POWER = "memory_bytes = 1e9\ncomputing_watts = 5\ncommunicating_watts = 2\nidle_watts = 1\n"
BERT_ROW = "[" + ", ".join(str(depth + 1) for depth in range(13)) + "]"
MINIMAL = f"{POWER}[latency_seconds.bert]\nadapter = {BERT_ROW}\n"


def profile_of(folder: Path, text: str, name: str = "board.toml") -> DeviceProfile:
    (folder / name).write_text(text)
    return load_profile(name, folder)


def tables(profile: DeviceProfile) -> FormatTables:
    return profile.tables("default", "fp32")


def problem_of(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        profile_of(folder, text)
    assert "\n" not in str(caught.value)
    assert "board.toml" in str(caught.value)
    return str(caught.value)


def test_the_boards_of_the_paper_and_of_today_are_built_in():
    assert built_in_profiles() == (
        "galaxy-s24-ultra", "jetson-agx-orin", "jetson-nano", "jetson-orin-nano", "jetson-tx2", "jetson-xavier-nx",
        "orange-pi-5b", "pixel-7-pro", "rpi-4b", "rpi-5", "snapdragon-750g", "snapdragon-855",
        "snapdragon-855-full-clock", "snapdragon-865", "snapdragon-888", "xiaomi-mi9",
    )  # fmt: skip


@pytest.mark.parametrize("board", built_in_profiles())
def test_every_figure_of_a_built_in_board_has_a_source_and_what_is_assumed_says_so(board):
    profile = load_profile(board, HERE)
    known = [*profile.provenance.values(), *(each.watts_provenance for each in profile.processors.values())]
    for processor in profile.processors.values():
        rates = [
            processor.memory_bandwidth_bytes_per_second, processor.launch_seconds, processor.step_seconds,
            *(each.peak_operations_per_second for each in processor.formats.values()),
            *(each.efficiency for each in processor.formats.values()),
        ]  # fmt: skip
        assert all(rate is not None for rate in rates), processor.name  # so that nothing on the board has no price
        known += [rate.provenance for rate in rates]
    assert all(each.source for each in known)
    guessed = [each for each in known if re.search("assum|measurement found|quoted|reviews|little above", each.source)]
    assert {each.level for each in guessed} <= {"assumed"}


PHONES = ("snapdragon-750g", "snapdragon-855", "snapdragon-865", "snapdragon-888", "xiaomi-mi9")


@pytest.mark.parametrize("board", PHONES)
def test_a_phone_has_a_cpu_a_gpu_and_a_dsp_for_convolutional_networks_each_figure_with_its_source(board):
    processors = load_profile(board, HERE).convolutions
    assert {name: tuple(each.formats) for name, each in processors.items()} == {
        "cpu": ("fp32", "int8"), "gpu": ("fp32", "int8"), "dsp": ("int8",),
    }  # fmt: skip
    assert [name for name, each in processors.items() if each.offloading] == ["dsp"]
    for each in processors.values():
        offloading = vars(each.offloading).values() if each.offloading else ()
        rates = [figure for known in each.formats.values() for figure in vars(known).values()]
        figures = [each.launch_seconds, each.on_chip_bytes, each.runtime_bytes, *offloading, *rates]
        assert all(figure.value > 0 and figure.provenance.source for figure in figures)


CONV = """
memory_bytes = 1e9
computing_watts = 1
communicating_watts = 1
idle_watts = 1
[convolutions.cpu]
launch_seconds = 1e-4
on_chip_bytes = 1e6
runtime_bytes = 1e6
"""
CONV_RATES = "\n".join(
    f"{key} = 1e9"
    for key in ("operations_per_second", "depthwise_operations_per_second", "on_chip_bytes_per_second",
                "memory_bytes_per_second", "computing_watts")
)  # fmt: skip


def test_a_users_board_can_have_figures_for_convolutional_networks_alone(tmp_path):
    profile = profile_of(tmp_path, f"{CONV}[convolutions.cpu.fp32]\n{CONV_RATES}\n")
    assert profile.convolutions["cpu"].formats["fp32"].operations_per_second.value == 1e9
    assert profile.convolutions["cpu"].offloading is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONV, "convolutions.cpu: has no format, expected at least one of fp32, fp16, int8"),
        (CONV + "switch_seconds = 1\n", "convolutions.cpu: has switch_seconds, expected all of switch_seconds, prep"),
        (CONV + "cache = 1\n", "convolutions.cpu.cache: unknown key, expected one of unfolds, launch_seconds"),
        (
            CONV + "[convolutions.cpu.fp32]\nwatts = 1\n" + CONV_RATES,
            "fp32.watts: unknown key, expected one of operations_",
        ),
        (CONV + "[convolutions.cpu.fp32]\n", "convolutions.cpu.fp32.operations_per_second: missing, expected here"),
        (
            CONV
            + "[convolutions.cpu.fp32]\n"
            + CONV_RATES.replace("\nmemory_bytes_per_second = 1", "\nmemory_bytes_per_second = 2"),
            "on_chip_bytes_per_second: is below memory_bytes_per_second, expected at least as much",
        ),
    ],
)
def test_wrong_figures_for_convolutional_networks_are_refused_with_their_place(tmp_path, text, message):
    assert message in problem_of(tmp_path, text)


@pytest.mark.parametrize("board", OF_TX2)
@pytest.mark.parametrize(
    ("table", "published"), [("full", BERT_FULL), ("adapter", BERT_ADAPTER), ("cached_adapter", BERT_CACHED)]
)
def test_bert_latency_is_the_published_table_times_the_boards_factor(board, table, published):
    values = tables(load_profile(board, HERE)).latency_seconds["bert", table].values
    assert values == tuple(OF_TX2[board] * value for value in published)


@pytest.mark.parametrize("board", OF_RPI)
@pytest.mark.parametrize(
    ("table", "published"),
    [
        ("full", RPI_DISTILBERT_UNCACHED),  # the artifact measured layer freezing, and our reference has it for both
        ("adapter", RPI_DISTILBERT_UNCACHED),
        ("cached_adapter", RPI_DISTILBERT_CACHED),
    ],
)
def test_distilbert_latency_is_the_pis_table_times_the_boards_factor(board, table, published):
    values = tables(load_profile(board, HERE)).latency_seconds["distilbert", table].values
    assert values == pytest.approx([OF_RPI[board] * value for value in published], rel=1e-12)


@pytest.mark.parametrize("board", OF_TX2)
@pytest.mark.parametrize("key", MEMORY)
def test_peak_memory_is_the_published_table_on_every_board(board, key):
    assert tables(load_profile(board, HERE)).peak_memory_bytes[key].values == tuple(
        round(gb * GB) for gb in MEMORY[key]
    )


def test_power_and_memory_of_the_boards():
    tx2, nano, pi = (load_profile(name, HERE) for name in ("jetson-tx2", "jetson-nano", "rpi-4b"))
    assert (tx2.processor().computing_watts, tx2.communicating_watts) == (12, 4)
    assert [board.memory_bytes for board in (tx2, nano, pi)] == [8 * GB, 4 * GB, 8 * GB]
    assert tx2.processor().watts_provenance.level == "published"
    assert {board.processor().watts_provenance.level for board in (nano, pi)} == {"assumed"}


@pytest.mark.parametrize("board", OF_TX2)
def test_a_board_draws_least_when_idle_and_most_when_it_computes(board):
    profile = load_profile(board, HERE)
    assert 0 < profile.idle_watts < profile.communicating_watts < profile.processor().computing_watts
    assert profile.provenance["idle_watts"].level == "assumed"
    assert profile.provenance["idle_watts"].source.startswith("not in the paper")


# Table 1 (TX2, width 32 in every block) and Table 3 (DistilBERT's adapters), where they agree with the artifact ...
AGREEING = [
    ("jetson-tx2", "distilbert", "full", 0.91),
    ("rpi-4b", "distilbert", "adapter", 18.27),
    ("rpi-4b", "bert", "full", 34.02),
]
# ... and where they do not: board, family, table, and what the other source says.
DISAGREEING = [
    ("jetson-tx2", "bert", "full", "1.86"),
    ("jetson-tx2", "bert", "adapter", "1.14"),
    ("jetson-tx2", "distilbert", "adapter", "0.56"),
    ("jetson-tx2", "distilbert", "adapter", "0.88"),
    ("jetson-nano", "distilbert", "adapter", "1.89"),
]


@pytest.mark.parametrize(("board", "family", "table", "published"), AGREEING)
def test_cells_of_the_papers_tables_are_met_within_two_percent_where_sources_agree(board, family, table, published):
    values = tables(load_profile(board, HERE)).latency_seconds[family, table].values
    assert values[-1] == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize(("board", "family", "table", "other"), DISAGREEING)
def test_where_sources_disagree_the_artifact_stands_and_the_other_figure_is_told(board, family, table, other):
    found = tables(load_profile(board, HERE)).latency_seconds[family, table]
    assert found.values[-1] != pytest.approx(float(other), rel=0.02)
    assert re.search(rf"sources disagree.*\b{re.escape(other)}\b", found.provenance.source)


@pytest.mark.parametrize("board", OF_TX2)
def test_every_figure_says_where_it_comes_from(board):
    profile = load_profile(board, HERE)
    found = [*tables(profile).latency_seconds.values(), *tables(profile).peak_memory_bytes.values()]
    assert all(table.provenance.source for table in found)
    assert all(provenance.source for provenance in profile.provenance.values())
    assert profile.processor().watts_provenance.source


def test_a_published_number_stands_in_one_file_only():
    folder = Path(fedlab.devices.profile.__file__).parent / "profiles"
    files = [tomllib.loads(path.read_text()) for path in sorted(folder.glob("*.toml"))]
    rows = {
        (tuple(table["values"]), at)  # one row is of two tables of a board: what the sources say of neither alone
        for at, file in enumerate(files)
        for quantity in ("latency_seconds", "peak_memory_bytes")
        for family in file.get(quantity, {}).values()
        for table in family.values()
        if "values" in table
    }
    assert len(rows) == len({row for row, _ in rows}) == 11


def test_a_profile_with_one_table_has_memory_and_cached_latency_filled_in(tmp_path):
    profile = profile_of(tmp_path, MINIMAL)
    cached = tables(profile).latency_seconds["bert", "cached_adapter"]
    # The published tables store all of the forward pass but 0.02 of 0.57: the head alone still takes that.
    assert cached.values[0] == pytest.approx(0.02 / 0.57)
    assert cached.values[6] == pytest.approx(7 - (1 - 0.02 / 0.57) * 6 / 12)
    assert cached.values[12] == 13
    assert tables(profile).peak_memory_bytes["bert", "full"].values[12] == 5.3 * GB
    assert ("bert", "full") not in tables(profile).latency_seconds


def test_a_table_may_be_a_factor_of_another_profiles(tmp_path):
    profile_of(tmp_path, MINIMAL, "slow.toml")
    text = f"{POWER}[latency_seconds.bert]\nadapter = {{ of = 'slow.toml', factor = 0.5 }}"
    table = tables(profile_of(tmp_path, text)).latency_seconds["bert", "adapter"]
    assert table.values == tuple((depth + 1) / 2 for depth in range(13))
    assert table.provenance.source == "0.5 x slow.toml"


def test_a_profile_says_the_point_it_was_measured_at(tmp_path):
    table = tables(profile_of(tmp_path, MINIMAL + "[measured_at]\nbatch_size = 8\n")).latency_seconds["bert", "adapter"]
    assert table.point == Point(batch_size=8, sequence_length=256, width=32)


def test_the_shortest_profile_defaults_to_the_published_point(tmp_path):
    assert tables(profile_of(tmp_path, MINIMAL)).latency_seconds["bert", "adapter"].point == Point(
        batch_size=4, sequence_length=256, width=32
    )


SMALL = MINIMAL.replace(BERT_ROW, "[1, 2, 3]") + "[measured_at]\nblocks = 2\nhidden = 128\nintermediate = 512\n"


def test_a_profile_may_be_measured_with_an_encoder_of_another_size(tmp_path):
    table = tables(profile_of(tmp_path, SMALL)).latency_seconds["bert", "adapter"]
    assert table.shape == ModelShape(family="bert", blocks=2, hidden=128, intermediate=512)
    assert table.values == (1, 2, 3)


def test_a_table_scaled_from_another_profile_keeps_the_encoder_that_was_measured(tmp_path):
    profile_of(tmp_path, SMALL, "small.toml")
    text = f"{POWER}[latency_seconds.bert]\nadapter = {{ of = 'small.toml', factor = 3 }}"
    table = tables(profile_of(tmp_path, text)).latency_seconds["bert", "adapter"]
    assert (table.values, table.shape.blocks) == ((3, 6, 9), 2)


def test_the_fixed_part_of_a_peak_is_read_and_scaled_with_its_table(tmp_path):
    row = f"[peak_memory_bytes.bert.adapter]\nvalues = {BERT_ROW}\nfixed = 0.5\n"
    assert tables(profile_of(tmp_path, MINIMAL + row, "light.toml")).peak_memory_bytes["bert", "adapter"].fixed == 0.5
    heavy = "[peak_memory_bytes.bert.adapter]\nof = 'light.toml'\nfactor = 4\n"
    assert tables(profile_of(tmp_path, MINIMAL + heavy)).peak_memory_bytes["bert", "adapter"].fixed == 2


def test_no_derived_latency_is_zero_even_where_the_measured_ones_fall(tmp_path):
    text = MINIMAL.replace(BERT_ROW, "[2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]")
    assert min(tables(profile_of(tmp_path, text)).latency_seconds["bert", "cached_adapter"].values) > 0


def test_a_board_at_another_throughput_has_it_in_its_name_and_shares_its_tables():
    tx2 = load_profile("jetson-tx2", HERE)
    slow = at_throughput(tx2, 0.4549)
    assert (slow.name, slow.relative_throughput) == ("jetson-tx2 x0.45", 0.4549)
    assert tables(slow).latency_seconds is tables(tx2).latency_seconds
    assert slow.processor() is tx2.processor()


@pytest.mark.parametrize("key", ["memory_bytes", "computing_watts", "communicating_watts", "idle_watts"])
def test_a_missing_or_zero_figure_is_an_error_that_names_the_profile_and_the_figure(tmp_path, key):
    lines = {line.split(" = ")[0]: line for line in POWER.splitlines()}
    problem = problem_of(tmp_path, MINIMAL.replace(lines[key] + "\n", ""))
    assert f"board.toml: {key}: missing, expected here" in problem
    assert f"board.toml: {key}.value" in problem_of(tmp_path, MINIMAL.replace(lines[key], f"{key} = 0"))


def test_a_zero_latency_is_an_error_that_names_the_profile_and_the_entry(tmp_path):
    assert "board.toml: latency_seconds.bert.adapter.values.0" in problem_of(
        tmp_path, MINIMAL.replace("[1, 2", "[0, 2")
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (
            SMALL.replace("hidden = 128\n", ""),
            "measured_at: has blocks and intermediate of an encoder, expected all of",
        ),
        (SMALL.replace("hidden = 128", "hidden = 0"), "measured_at.hidden"),
        (
            SMALL.replace("blocks = 2", "blocks = 3"),
            "latency_seconds.bert.adapter: has 3 values, expected 4 (depth 0 to",
        ),
        (MINIMAL.replace("computing_watts = 5\n", ""), "computing_watts"),
        (MINIMAL.replace("= 5", "= -5"), "computing_watts.value"),
        (MINIMAL.replace("= 5", "= 'much'"), "computing_watts"),
        (MINIMAL.replace("= 5", "= inf"), "computing_watts.value"),
        (MINIMAL.replace("= 5", "= true"), "computing_watts.value"),
        (POWER, "latency_seconds"),
        (POWER + "[latency_seconds]", "latency_seconds: no table, expected at least one"),
        (f"{POWER}[latency_seconds.bert]\nadapter = 'x'", "latency_seconds.bert.adapter.values"),
        (f"{POWER}[latency_seconds.bert.full]\nof = 'tx2'", "latency_seconds.bert.full.of: unknown device 'tx2'"),
        (MINIMAL.replace("[1, 2,", "[1, 'two',"), "latency_seconds.bert.adapter.values.1"),
        (MINIMAL.replace("[1, 2,", "[2,"), "latency_seconds.bert.adapter: has 12 values, expected 13"),
        (MINIMAL.replace("adapter =", "adaptor ="), "latency_seconds.bert.adaptor"),
        (MINIMAL.replace(".bert", ".gpt"), "latency_seconds.gpt"),
        ("colour = 'red'\n" + MINIMAL, "colour: unknown key, expected one of description, measured_at"),
        (MINIMAL + "[measured_at]\nbatches = 3", "measured_at.batches: unknown key, expected one of batch_size"),
        (f"{POWER}[latency_seconds.bert.full]\nfactor = 2", "latency_seconds.bert.full"),
        (
            f"{POWER}[latency_seconds.bert.full]\nof = 'jetson-tx2'\nby = 2",
            "bert.full.by: unknown key, expected one of",
        ),
        (f"{POWER}[latency_seconds.bert.full]\nof = 'board.toml'", "latency_seconds.bert.full: is scaled from itself"),
        ("= 3", "not a TOML file"),
    ],
)
def test_a_wrong_profile_is_refused_naming_file_and_key(tmp_path, text, key):
    assert key in problem_of(tmp_path, text)


def test_a_table_scaled_from_one_that_is_missing_names_both_files(tmp_path):
    profile_of(tmp_path, MINIMAL, "slow.toml")
    problem = problem_of(tmp_path, f"{POWER}[latency_seconds.bert.full]\nof = 'slow.toml'")
    assert "slow.toml: latency_seconds.bert.full: missing" in problem


def test_an_unknown_name_lists_the_nearest_and_all():
    with pytest.raises(UserError, match=r"'jetson-tx', nearest is 'jetson-tx2': expected galaxy.*, jetson-tx2, "):
        load_profile("jetson-tx", HERE)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.toml: cannot be read"):
        load_profile("nowhere.toml", tmp_path)


def test_a_board_is_as_sure_of_several_figures_as_of_the_least_sure():
    tx2 = load_profile("jetson-tx2", HERE)
    assert tx2.provenance_level("communicating_watts") == "published"
    assert tx2.provenance_level("communicating_watts", "idle_watts") == "assumed"


@pytest.mark.parametrize(("known", "made"), [("assumed", "assumed"), ("measured", "scaled")])
def test_what_is_made_from_a_table_is_never_surer_than_it(tmp_path, known, made):
    table = f"adapter = {{ values = {[1.0] * 13}, provenance = '{known}' }}"
    origin = profile_of(tmp_path, f"{POWER}[latency_seconds.bert]\n{table}", "origin.toml")
    text = f"{POWER}[latency_seconds.bert]\nadapter = {{ of = 'origin.toml', factor = 2 }}"
    other = profile_of(tmp_path, text)

    assert tables(origin).latency_seconds["bert", "cached_adapter"].provenance.level == made
    assert tables(other).latency_seconds["bert", "adapter"].provenance.level == made


PHONE = (
    MINIMAL
    + f"""
[processors.dsp]
computing_watts = {{ value = 1.5, provenance = "measured", source = "a meter" }}
memory_bandwidth_bytes_per_second = 3e10
[processors.dsp.int8.latency_seconds.bert]
adapter = {{ values = {BERT_ROW}, provenance = "measured", source = "by us" }}
[processors.gpu]
computing_watts = 4
[processors.gpu.fp32.latency_seconds.bert]
adapter = {BERT_ROW}
[processors.default.int8.peak_memory_bytes.bert]
full = {BERT_ROW}
"""
)


RATES = (
    POWER
    + """
peak_operations_per_second = { value = 1e11, provenance = "published", source = "the maker" }
efficiency = 0.5
[processors.npu]
computing_watts = 2
forward_only = true
int8.peak_operations_per_second = 4e12
"""
)


def test_a_board_may_have_rates_in_place_of_tables(tmp_path):
    board = profile_of(tmp_path, RATES)
    known = board.tables("default", "fp32")
    assert (known.peak_operations_per_second.value, known.efficiency.value) == (1e11, 0.5)
    assert (known.peak_operations_per_second.provenance.source, dict(known.latency_seconds)) == ("the maker", {})
    assert (board.processor("npu").forward_only, board.processor().forward_only) == (True, False)
    assert board.tables("npu", "int8").efficiency is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (RATES.replace("= 0.5", "= 1.5"), "efficiency: is 1.5, expected a share of the peak, at most 1"),
        (RATES.replace("= 0.5", "= 0"), "efficiency.value"),
        (RATES + "int8.efficiency = 2", "processors.npu.int8: efficiency: is 2, expected a share"),
        (RATES + "fp16.efficiency = 0.5", "efficiency: is a share of peak_operations_per_second, which is missing"),
        (RATES.replace("= 4e12", "= 'much'"), "processors.npu.int8.peak_operations_per_second"),
        (RATES + "[processors.default]\nlaunch_seconds = 1", "launch_seconds: expected as launch_seconds at the top"),
        (RATES.replace("forward_only = true", "forward_only = 1"), "processors.npu.forward_only"),
        (MINIMAL.replace(".bert", ".llama"), "latency_seconds.llama"),
    ],
)
def test_a_wrong_rate_is_refused_naming_file_and_key(tmp_path, text, key):
    assert key in problem_of(tmp_path, text)


def test_the_profiles_of_the_paper_are_the_case_of_one_processor():
    tx2 = load_profile("jetson-tx2", HERE)
    assert list(tx2.processors) == ["default"]
    assert list(tx2.processor().formats) == ["fp32"]
    assert tx2.processor().memory_bandwidth_bytes_per_second.value == 59.7e9


def test_a_board_has_named_processors_each_with_its_watts_formats_and_tables(tmp_path):
    phone = profile_of(tmp_path, PHONE)
    dsp = phone.processor("dsp")
    assert list(phone.processors) == ["default", "dsp", "gpu"]
    assert (phone.processor().computing_watts, dsp.computing_watts, phone.processor("gpu").computing_watts) == (
        5,
        1.5,
        4,
    )
    assert (dsp.watts_provenance.level, dsp.memory_bandwidth_bytes_per_second.value) == ("measured", 3e10)
    assert (dsp.forward_only, dsp.launch_seconds, phone.processor("gpu").memory_bandwidth_bytes_per_second) == (
        False, None, None,
    )  # fmt: skip
    assert phone.tables("dsp", "int8").latency_seconds["bert", "adapter"].values[12] == 13
    assert set(phone.processor().formats) == {"fp32", "int8"}


def test_a_processors_table_may_be_a_factor_of_the_same_place_of_another_profile(tmp_path):
    profile_of(tmp_path, PHONE, "slow.toml")
    place = "processors.dsp.int8.latency_seconds.bert.adapter"
    text = f"{MINIMAL}[processors.dsp]\ncomputing_watts = 1\n[{place}]\nof = 'slow.toml'\nfactor = 0.5\n"
    assert profile_of(tmp_path, text).tables("dsp", "int8").latency_seconds["bert", "adapter"].values[12] == 6.5
    assert f"slow.toml: {place.replace('int8', 'bf16')}: missing" in problem_of(tmp_path, text.replace("int8", "bf16"))


def test_gaps_are_filled_in_for_fp32_alone(tmp_path):
    phone = profile_of(tmp_path, PHONE)
    gpu, dsp = phone.tables("gpu", "fp32"), phone.tables("dsp", "int8")
    assert ("bert", "cached_adapter") in gpu.latency_seconds
    assert gpu.peak_memory_bytes["bert", "full"].values[12] == 5.3 * GB
    assert set(dsp.latency_seconds) == {("bert", "adapter")}
    assert dsp.peak_memory_bytes == {}


def test_a_board_may_have_tables_for_a_named_processor_only(tmp_path):
    text = (
        f"{POWER}[processors.npu]\ncomputing_watts = 2\n[processors.npu.int8.latency_seconds.bert]\nfull = {BERT_ROW}"
    )
    board = profile_of(tmp_path, text)
    assert board.tables("npu", "int8").latency_seconds["bert", "full"].values[0] == 1
    assert tables(board).latency_seconds == {}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[processors.dsp]\n", "processors.dsp.computing_watts: missing, expected here"),
        ("[processors.dsp]\ncomputing_watts = 0\n", "processors.dsp.computing_watts.value"),
        ("[processors.dsp]\ncomputing_watts = true\n", "processors.dsp.computing_watts.value"),
        (
            "[processors.dsp]\ncolour = 1\n",
            "processors.dsp.colour: unknown key, expected one of computing_watts, memory_b",
        ),
        ("[processors.dsp.int7]\n", "processors.dsp.int7: unknown key, expected one of computing_watts"),
        ("[processors.dsp.int8.speed]\n", "dsp.int8.speed: unknown key, expected one of peak_operations_per_second"),
        (
            "[processors.dsp.computing_watts]\nvalue = 1\nunit = 'W'\n",
            "processors.dsp.computing_watts.unit: unknown key, expected one of value",
        ),
        (
            "[processors.dsp.int8.latency_seconds.bert]\nadapter = [1, 0]\n",
            "int8.latency_seconds.bert.adapter.values.1",
        ),
        ("[processors.dsp.int8.latency_seconds.gpt]\nadapter = [1]\n", "processors.dsp.int8.latency_seconds.gpt"),
        (
            "[processors.dsp]\ncomputing_watts = 1\n[processors.dsp.int8.latency_seconds.bert]\nadapter = [1, 2]\n",
            "processors.dsp.int8.latency_seconds.bert.adapter: has 2 values, expected 13",
        ),
        ("[processors.'a b']\ncomputing_watts = 1\n", "processors.a b"),
        (
            "[processors.default]\ncomputing_watts = 1\n",
            "processors.default.computing_watts: expected as computing_watts",
        ),
        (
            "[processors.default]\nswitch_seconds = 1\n",
            "default.switch_seconds: it has no other processor to switch to",
        ),
        (
            "[processors.default.fp32]\n",
            "processors.default.fp32: expected as latency_seconds and peak_memory_bytes at",
        ),
    ],
)
def test_a_wrong_processor_is_refused_naming_file_and_key(tmp_path, text, key):
    assert key in problem_of(tmp_path, MINIMAL + text)


def test_an_unknown_processor_or_format_names_the_board_and_what_it_has(tmp_path):
    phone = profile_of(tmp_path, PHONE)
    with pytest.raises(UserError, match=r"board\.toml: no processor 'npu', accepted: default, dsp, gpu"):
        phone.processor("npu")
    with pytest.raises(
        UserError, match=r"board\.toml: no tables or rates for bf16 on the processor 'dsp', accepted: int8"
    ):
        phone.tables("dsp", "bf16")
