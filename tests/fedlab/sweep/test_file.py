import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlab.config.file import load_experiment
from fedlab.errors import UserError
from fedlab.sweep.file import load_sweep


@pytest.fixture
def written(tmp_path):
    """Write a sweep file and return its path."""

    def write(sweep, base="rounds = 3\n[client]\ndepth = 1\n", name="mine.toml"):
        path = tmp_path / name
        path.write_text(base + sweep)
        return path

    return write


def names(sweep):
    return [cell.name for cell in sweep.cells]


def refusal(act):
    with pytest.raises(UserError) as caught:
        act()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


VARIANTS = """
[[sweep.variants]]
name = "FT"
set = { "client.name" = "full", "rounds" = 9 }
[[sweep.variants]]
name = "LF"
set = { "client.name" = "full" }
grid = { "client.depth" = [1, 2] }
"""


def test_there_is_a_cell_for_each_combination_the_first_key_slowest(written):
    sweep = load_sweep(written('[sweep]\nseed = [0, 1]\n"link.options.bandwidth" = ["0.1MB/s", "1MB/s"]\n'))

    assert names(sweep) == [
        "seed-0-bandwidth-0.1MBs", "seed-0-bandwidth-1MBs", "seed-1-bandwidth-0.1MBs", "seed-1-bandwidth-1MBs",
    ]  # fmt: skip
    assert [cell.experiment.seed for cell in sweep.cells] == [0, 0, 1, 1]
    assert sweep.cells[1].experiment.link.options == {"bandwidth": "1MB/s"}


def test_keys_may_be_tables_as_well_as_quoted(written):
    quoted = load_sweep(written('[sweep]\n"link.options.bandwidth" = [1, 2]\n', name="a.toml"))
    tables = load_sweep(written("[sweep.link.options]\nbandwidth = [1, 2]\n", name="b.toml"))

    assert names(quoted) == names(tables) == ["bandwidth-1", "bandwidth-2"]


def test_variants_set_keys_name_the_method_and_vary_fastest(written):
    sweep = load_sweep(written("[sweep]\nseed = [0, 1]\n" + VARIANTS))

    assert names(sweep) == [
        "FT-seed-0", "LF-seed-0-depth-1", "LF-seed-0-depth-2", "FT-seed-1", "LF-seed-1-depth-1", "LF-seed-1-depth-2",
    ]  # fmt: skip
    first, second, third = (cell.experiment for cell in sweep.cells[:3])
    assert (first.label, first.client.name, first.client.depth, first.rounds) == ("FT", "full", 1, 9)
    assert (second.label, second.client.depth, third.client.depth, third.rounds) == ("LF", 1, 2, 3)


def test_values_may_be_lists_and_tables(written):
    sweep = load_sweep(
        written(
            '[sweep]\n"fleet.devices" = [{jetson-tx2 = 1}, {jetson-tx2 = 1, rpi-4b = 2}]\n"codec.up" = [[], ["int8"]]\n'
        )
    )

    assert names(sweep) == [
        "devices-jetson-tx2-up-none", "devices-jetson-tx2-up-int8",
        "devices-jetson-tx2+2rpi-4b-up-none", "devices-jetson-tx2+2rpi-4b-up-int8",
    ]  # fmt: skip
    assert sweep.cells[0].experiment.fleet.devices == {"jetson-tx2": 1.0}
    assert sweep.cells[1].experiment.codec.up == ["int8"]


def test_keys_of_the_same_end_are_told_apart_in_names(written):
    sweep = load_sweep(written('[sweep]\n"client.options.size" = [1]\n"strategy.options.size" = [2]\n'))

    assert names(sweep) == ["client.options.size-1-strategy.options.size-2"]


def test_values_that_would_have_the_same_name_have_a_digest_too(written):
    (first, second) = names(load_sweep(written('[sweep]\nlabel = ["a/b", "ab"]\n')))

    assert first.startswith("label-ab-")
    assert second.startswith("label-ab-")
    assert first != second


def test_a_cell_keeps_its_name_when_values_are_added(written):
    few = load_sweep(written("[sweep]\nseed = [1]\n" + VARIANTS, name="a.toml"))
    many = load_sweep(written("[sweep]\nseed = [0, 1, 2]\n" + VARIANTS, name="b.toml"))

    assert set(names(few)) < set(names(many))


def test_a_setting_changes_all_cells_and_outdoes_variants(written):
    sweep = load_sweep(written("[sweep]\nseed = [0, 1]\n" + VARIANTS), ["rounds=2"])

    assert {cell.experiment.rounds for cell in sweep.cells} == {2}


def test_a_setting_of_a_swept_key_fixes_it(written):
    sweep = load_sweep(written("[sweep]\nseed = [0, 1]\n" + VARIANTS), ["seed=5", "client.depth=4"])

    assert [(cell.name, cell.experiment.seed, cell.experiment.client.depth) for cell in sweep.cells] == [
        ("FT", 5, 4),
        ("LF", 5, 4),
    ]


def test_a_setting_of_a_table_fixes_what_is_swept_in_it(written):
    path = written('[sweep]\nseed = [0, 1]\n"link.options.bandwidth" = ["1MB/s", "2MB/s"]\n')

    sweep = load_sweep(path, ["link={name = 'constant'}"])

    assert names(sweep) == ["seed-0", "seed-1"]


def test_a_sweep_of_which_everything_is_fixed_is_refused(written):
    assert "has no values to vary" in refusal(lambda: load_sweep(written("[sweep]\nseed = [0]\n"), ["seed=1"]))


def test_a_setting_can_list_other_values(written):
    path = written('[sweep]\n"link.options.bandwidth" = ["1MB/s"]\n')

    sweep = load_sweep(path, ["sweep.link.options.bandwidth=['2MB/s', '3MB/s']", "sweep.seed=[7]"])

    assert names(sweep) == ["bandwidth-2MBs-seed-7", "bandwidth-3MBs-seed-7"]


def test_a_sweep_says_how_it_is_compared(written):
    path = written("[sweep]\nseed = [0]\n[sweep.compare]\nbaseline = 'FT'\noracle = 'client.depth'\n")

    comparison = load_sweep(path, ["sweep.compare.smooth=3"]).comparison

    assert (comparison.baseline, comparison.oracle, comparison.smooth) == ("FT", ("client.depth",), 3)


def test_a_cell_is_an_experiment_of_its_files_folder(written, tmp_path):
    (cell,) = load_sweep(written("[sweep]\nseed = [3]\n")).cells

    assert cell.experiment.name == "seed-3"
    assert cell.experiment.base_folder == str(tmp_path)


WRONG = {
    "[sweep]\n": "has no values to vary",
    "[sweep]\nseed = 3\n": "sweep.seed = 3: expected a list of values",
    "[sweep]\nseed = []\n": "sweep.seed = []: expected a list of values",
    "[sweep]\nsed = [1]\n": "unknown key sed: did you mean 'seed'?",
    "[sweep]\nrounds = [0]\n": "rounds = 0",
    "[sweep]\n'link.name' = ['constant']\nlink.name = ['uniform']\n": "sweep.link.name: given twice",
    "[sweep]\nvariants = 3\n": "expected [[sweep.variants]] tables",
    "[[sweep.variants]]\nset = {}\n": "sweep.variants[0]: expected a name",
    "[[sweep.variants]]\nname = 'A'\n[[sweep.variants]]\nname = 'A'\n": "several have the name 'A'",
    "[[sweep.variants]]\nname = 'A'\nsets = {}\n": "unknown key sets: did you mean 'set'?",
    "[[sweep.variants]]\nname = 'A'\nset = 3\n": "expected set and grid to be tables",
    "[[sweep.variants]]\nname = 'A'\nset = { client = { name = 'full' } }\n": "set.client is a whole table",
    "[sweep]\nseed = [0]\n[sweep.compare]\nbasline = 'FT'\n": "unknown key basline: did you mean 'baseline'?",
    "[[sweep.variants]]\nname = 'A'\nset = { 'rounds.x' = 1 }\n": "cell A: 'rounds' is a value, not a table",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_sweep_is_refused_in_one_line(written, text):
    assert WRONG[text] in refusal(lambda: load_sweep(written(text)))


def test_a_file_without_a_sweep_table_is_refused_with_the_command_for_it(written):
    assert "use fedlab run" in refusal(lambda: load_sweep(written("")))


def test_a_single_run_of_a_sweep_file_is_refused_with_the_command_for_it(written):
    path = written("[sweep]\nseed = [0]\n")

    assert refusal(lambda: load_experiment(path)) == (
        f"{path}: has a [sweep] table, so it describes several experiments: use fedlab sweep {path}"
    )


@pytest.fixture(scope="module")
def any_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "any.toml"
    path.write_text("rounds = 1\n[sweep]\nseed = [0]\n")
    return path


@given(values=st.lists(st.text(max_size=8), min_size=1, max_size=6, unique=True))
def test_cells_of_different_values_have_different_names_that_are_plain_file_names(any_file, values):
    try:
        found = names(load_sweep(any_file, [f"sweep.client.options.x={[ascii(value) for value in values]}"]))
    except UserError:
        return  # values that TOML cannot hold
    assert len(set(found)) == len(found)
    assert all(name == name.lstrip("./") and "/" not in name and len(name) < 200 for name in found)


def test_a_sweep_of_a_million_cells_is_refused_with_their_number(written):
    sweep = "[sweep]\n" + "".join(f"s{at} = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n" for at in range(6))
    assert refusal(lambda: load_sweep(written(sweep))).endswith(
        "the [sweep] table makes 1,000,000 cells, expected at most 10,000"
    )
