"""What a command line names becomes a slot and its rules, and the names are said in the title."""

import pytest

from fedlab.errors import UserError
from fedlab.estimate.named import Named, estimate_named


@pytest.fixture
def trajectory(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("round,depth,width\n171,2,8\n")
    return path


def hours(path, **named) -> float:
    return estimate_named(path, Named(**named)).seconds / 3600


def test_published_and_exact_rules_are_told_apart(trajectory):
    published = hours(trajectory, published=True)
    assert published == pytest.approx(171 * (29 * 0.18 + 0.36) / 3600)
    assert hours(trajectory) > published - 0.01  # fewer parameters, but a first pass


def test_backbones_are_those_of_an_experiment_file(trajectory, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 6, "hidden_size": 384}')
    assert hours(trajectory, backbone=str(tmp_path / "mine")) < hours(trajectory)
    assert hours(trajectory, backbone="bert-base-uncased") == hours(trajectory)


def test_the_artifacts_tables_are_for_base_models(trajectory):
    with pytest.raises(UserError, match=r"--published: .*bert-base and distilbert-base, bert-tiny is neither"):
        estimate_named(trajectory, Named(backbone="bert-tiny", published=True))


def test_a_depth_beyond_the_encoders_blocks_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("round,depth,width\n10,7,8\n")
    with pytest.raises(UserError, match=r"depth 7 up to round 10, expected 0 to 6: the encoder has 6 blocks"):
        estimate_named(path, Named(backbone="distilbert-base"))


@pytest.mark.parametrize(
    ("bandwidth", "same"), [("1MB/s", "1e6"), ("8Mbit/s", "1000000"), ("100kB/s", " 0.1MB/s "), ("1GB/s", "1e9")]
)
def test_a_bare_bandwidth_is_bytes_per_second(trajectory, bandwidth, same):
    assert hours(trajectory, bandwidth=bandwidth) == hours(trajectory, bandwidth=same)


@pytest.mark.parametrize("bandwidth", ["fast", "0", "-1MB/s", "nan", "inf", "1 MB", ""])
def test_a_bandwidth_that_cannot_be_is_refused(trajectory, bandwidth):
    with pytest.raises(UserError, match=r"bandwidth .* is not usable"):
        estimate_named(trajectory, Named(bandwidth=bandwidth))


def test_a_board_can_be_a_profile_of_ones_own(trajectory, tmp_path):
    board = tmp_path / "phone.toml"
    latency = ", ".join(["2.0"] * 13)
    board.write_text(
        "memory_bytes = 6e9\ncomputing_watts = 5\ncommunicating_watts = 2\nidle_watts = 1\n"
        f"[latency_seconds.bert]\nadapter = [{latency}]\n"
    )
    found = estimate_named(trajectory, Named(device=str(board), method="adapter-nocache", published=True))
    assert found.seconds == pytest.approx(171 * (58 + 0.36))
    assert found.joules == pytest.approx(171 * (5 * 58 + 2 * 0.36))


def test_labels_change_the_head_alone(trajectory):
    few, many = (estimate_named(trajectory, Named(labels=labels)) for labels in (2, 1002))
    assert many.bytes_up - few.bytes_up == pytest.approx(171 * 4 * 1000 * 769, rel=1e-4)
    assert many.peak_memory_bytes == few.peak_memory_bytes


def test_the_title_says_all_that_was_assumed():
    said = str(Named(codec="int8", method="full"))
    for word in ("full", "int8", "bert-base", "jetson-tx2", "1MB/s", "29 batches of 4 x 256", "20 labels"):
        assert word in said
