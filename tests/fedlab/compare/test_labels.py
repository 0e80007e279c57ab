import pytest

from fedlab.compare.labels import choice_label, differing_keys, headings, method_labels, setting_value

FEDAVG = {"strategy.name": "fedavg", "client.name": "adapter", "client.depth": 2, "client.width": 8, "rounds": 10}
HERE = {"task.data": "20news"}


def labels(*methods, settings=None):
    return method_labels(methods, settings or [HERE] * len(methods))


def test_a_method_is_called_by_its_label_or_its_strategy():
    assert labels(FEDAVG, FEDAVG | {"label": "FT"}) == ["fedavg", "FT"]


def test_what_ran_on_real_machines_says_so_whatever_it_is_called():
    assert labels(FEDAVG | {"deployed": True}, FEDAVG) == ["fedavg (deployed)", "fedavg"]
    assert labels(FEDAVG | {"label": "FT", "deployed": True}) == ["FT (deployed)"]


def test_a_users_strategy_is_called_by_its_class():
    assert labels(FEDAVG | {"strategy.name": "mine.py:KeepTheBest"}) == ["KeepTheBest"]


def test_methods_of_one_strategy_are_told_apart_by_their_clients():
    assert labels(FEDAVG, FEDAVG | {"client.name": "full"}) == ["fedavg adapter", "fedavg full"]


def test_no_more_is_said_than_tells_apart():
    adafl = FEDAVG | {"strategy.name": "adafl", "strategy.options.base_seconds": 15, "client.depth": 0}

    assert labels(adafl, FEDAVG) == ["adafl", "fedavg"]


def test_depth_is_named_before_width_and_both_if_need_be():
    grid = [FEDAVG | {"client.depth": depth, "client.width": width} for depth in (1, 2) for width in (8, 16)]

    assert labels(*grid) == [
        "fedavg depth 1 width 8",
        "fedavg depth 1 width 16",
        "fedavg depth 2 width 8",
        "fedavg depth 2 width 16",
    ]


def test_a_codec_adds_its_name_and_none_adds_nothing():
    assert labels(FEDAVG | {"codec.up": []}, FEDAVG | {"codec.up": ["int8"]}) == ["fedavg", "fedavg int8"]


def test_any_other_key_tells_apart_by_its_last_part():
    rates = [FEDAVG | {"client.options.learning_rate": rate} for rate in (0.1, 0.01)]

    assert labels(*rates) == ["fedavg learning rate 0.1", "fedavg learning rate 0.01"]


def test_variants_with_a_grid_keep_their_label_in_front():
    assert labels(*(FEDAVG | {"label": "LF", "client.depth": depth} for depth in (1, 2))) == [
        "LF depth 1",
        "LF depth 2",
    ]


def test_methods_of_different_settings_may_have_the_same_label():
    elsewhere = {"task.data": "agnews"}

    assert labels(FEDAVG, FEDAVG | {"rounds": 20}, settings=[HERE, elsewhere]) == ["fedavg", "fedavg"]


def test_the_same_method_has_the_same_label_in_all_settings():
    full = FEDAVG | {"client.name": "full"}
    elsewhere = {"task.data": "agnews"}

    named = labels(FEDAVG, full, FEDAVG, settings=[HERE, HERE, elsewhere])

    assert named == ["fedavg adapter", "fedavg full", "fedavg adapter"]


def test_runs_that_nothing_else_tells_apart_are_named_by_their_folders():
    assert labels(FEDAVG | {"origin": "sim"}, FEDAVG | {"origin": "real"}) == ["fedavg (sim)", "fedavg (real)"]


def test_a_choice_is_named_by_what_was_to_choose():
    candidates = [FEDAVG | {"client.depth": depth, "client.width": width} for depth in (1, 2) for width in (8, 16)]

    assert choice_label(candidates, candidates[3]) == "depth 2, width 16"
    assert choice_label(candidates[:2], candidates[1]) == "width 16"


def test_differing_keys_are_those_that_are_not_the_same_everywhere():
    tables = [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 2, "c": 4}]

    assert differing_keys(tables) == ["b", "c"]
    assert differing_keys(tables[:1]) == []


def test_headings_are_the_shortest_ends_that_differ():
    keys = ["fleet.devices", "link.name", "link.options.bandwidth", "link.server_bandwidth_up"]

    assert headings(keys) == ["devices", "link", "bandwidth", "server bandwidth up"]
    assert headings(["task.options.size", "link.options.size"]) == ["task.options.size", "link.options.size"]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("fleet.devices", {"jetson-tx2": 1.0}, "jetson-tx2"),
        ("fleet.devices", {"jetson-tx2": 1.0, "rpi-4b": 1.0}, "jetson-tx2 + rpi-4b"),
        ("fleet.devices", {"jetson-tx2": 2.0, "rpi-4b": 1.0}, "2 jetson-tx2 + 1 rpi-4b"),
        ("task.data", "../../shared/data/20news", "20news"),
        ("link.name", "links.py:mobile", "mobile"),
        ("link.options.bandwidth", "0.1MB/s", "0.1MB/s"),
        ("link.options.bandwidth", None, "default"),
        ("task.partition.alpha", 0.5, "0.5"),
    ],
)
def test_values_of_settings_are_written_for_people(key, value, text):
    assert setting_value(key, value) == text
