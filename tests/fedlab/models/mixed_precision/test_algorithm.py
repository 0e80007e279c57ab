"""Files of algorithms: the built-in ones, a user's own, and what is refused."""

import pytest

from fedlab.errors import UserError
from fedlab.models.integer.network import CURRENT, FIRST
from fedlab.models.mixed_precision.algorithm import (
    algorithm_named,
    builtin_algorithms,
    check_runs_on,
    parse_algorithm,
    read_algorithm,
)


def test_the_six_algorithms_are_there_niti_in_both_its_versions():
    assert builtin_algorithms() == (
        "adaptive-fixed-point", "chunk-fp8", "mls", "niti", "niti-current", "octo", "wageubn",
    )  # fmt: skip


@pytest.mark.parametrize("name", builtin_algorithms())
def test_every_file_reads_and_says_where_it_comes_from(name):
    algorithm = read_algorithm(name)
    assert algorithm.source
    assert algorithm.description


@pytest.mark.parametrize("name", [name for name in builtin_algorithms() if name != "niti"])
def test_what_is_not_confirmed_is_marked(name):
    assert read_algorithm(name).unconfirmed


def test_nitis_files_are_the_rules_of_its_versions():
    assert read_algorithm("niti").integer_rules == FIRST
    assert read_algorithm("niti-current").integer_rules == CURRENT
    schedule = read_algorithm("niti-current").update.mu_schedule
    assert [schedule.at(epoch) for epoch in (0, 100, 150)] == [5, 4, 3]


def test_only_the_floats_of_fp8_do_not_run_on_a_dsp():
    for name in builtin_algorithms():
        if name != "chunk-fp8":
            check_runs_on(read_algorithm(name), ["int8"], "x")
    said = r"^client: weights are floats of 8 bits, and the processor has int8 alone; expected an algorithm of integers"
    with pytest.raises(UserError, match=said):
        check_runs_on(read_algorithm("chunk-fp8"), ["int8"], "client")
    check_runs_on(read_algorithm("chunk-fp8"), ["fp32", "int8"], "client")


@pytest.mark.parametrize(
    ("activations", "billed"),
    [({"kind": "integer", "bits": 4}, "int8"), ({"kind": "integer", "bits": 16}, "fp32"), ({}, "fp32")],
)
def test_work_is_billed_in_int8_where_all_operands_of_products_are(activations, billed):
    narrow = {"kind": "integer", "bits": 8}
    mine = parse_algorithm({"weights": narrow, "activations": activations, "errors": narrow}, "x")
    assert mine.billed_in == billed


def test_another_learning_rate_leaves_the_rest_as_it_is():
    octo = read_algorithm("octo")
    fast = octo.with_learning_rate([[0, 0.1], [5, 0.01]], "x")
    assert [fast.update.learning_rate_at(epoch) for epoch in (0, 4, 5)] == [0.1, 0.1, 0.01]
    assert fast.with_learning_rate(0.001, "x") == octo
    with pytest.raises(UserError, match=r"^x: update\.learning_rate"):
        octo.with_learning_rate(-1.0, "x")


def test_a_file_of_ones_own_is_found_from_the_experiments_folder(tmp_path):
    (tmp_path / "mine.toml").write_text("loss_scale = 8.0")
    assert algorithm_named("mine.toml", tmp_path).loss_scale == 8
    assert algorithm_named("octo", tmp_path) == read_algorithm("octo")


def test_a_users_own_file_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "[weights]\nkind = 'integer'\nbits = 4\ngroup = 'channel'\n[update]\nlearning_rate = [[0, 0.1], [5, 0.01]]\n"
    )
    mine = read_algorithm(str(path))
    assert (mine.weights.bits, mine.weights.group) == (4, "channel")
    assert [mine.update.learning_rate_at(epoch) for epoch in (0, 4, 5)] == [0.1, 0.1, 0.01]
    assert mine.update.last_epoch == 5
    assert not mine.is_integer


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weight = 1", r"weight: unknown key"),
        ("[weights]\nbits = 8", r"weights: bits: a format of kind = 'float' has none"),
        ("[update]\nmu = 1", r"update: mu: rule = 'sgd' has none"),
        ("[update]\nrule = 'integer'\nmu = [[1, 2]]", r"mu: epochs \[1\], expected rising ones that begin with 0"),
        ("[update]\nrule = 'integer'\nmu = 9", r"update.mu"),
        ("[update]\nrule = 'integer'", r"weights: update.rule = 'integer' takes kind = 'integer', bits = 8"),
        ("[update]\nlearning_rate = -1.0", r"update.learning_rate"),
        ("[weights", r"not a TOML file"),
    ],
)
def test_a_wrong_file_gets_one_line_with_file_and_key(tmp_path, text, said):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as refused:
        read_algorithm(str(path))
    assert str(refused.value).startswith(f"algorithm {path}: ")
    assert "\n" not in str(refused.value)


def test_a_name_or_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        UserError, match=r"^algorithm 'nity': expected one of adaptive-fixed-point, .*, or a \.toml file"
    ):
        read_algorithm("nity")
    with pytest.raises(UserError, match=r"^algorithm .*gone\.toml: "):
        read_algorithm(str(tmp_path / "gone.toml"))


def test_wide_weights_ask_for_16_stored_bits():
    integer = {"kind": "integer", "bits": 8, "scale": "power-of-two"}
    table = {name: integer for name in ("weights", "activations", "errors", "gradients")}
    table |= {"stored_weights": integer | {"bits": 16}, "update": {"rule": "integer", "wide_weights": True}}
    assert parse_algorithm(table, "x").integer_rules.wide_weights
    with pytest.raises(UserError, match="stored_weights: expected kind = 'integer' and bits = 16"):
        parse_algorithm(table | {"stored_weights": integer}, "x")
