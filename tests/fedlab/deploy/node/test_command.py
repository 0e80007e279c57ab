from dataclasses import replace
from pathlib import Path

import pytest
from flwr.common.config import parse_config_args

from fedlab.deploy.node.command import NodeSettings, address_of, check, command, environment, number_of
from fedlab.deploy.security.keys import make_keys
from fedlab.errors import UserError


@pytest.fixture
def settings(tmp_path):
    data, keys = tmp_path / "texts.csv", tmp_path / "keys"
    data.touch()
    make_keys(keys, hosts=["lab"], nodes=1, days=60)
    return NodeSettings(
        server="lab:8000", state=tmp_path / "state", number=7, data=data, key=keys / "node-0", ca=keys / "ca.pem"
    )


def config_of(words):
    return parse_config_args([words[words.index("--node-config") + 1]])


def test_a_node_is_started_with_its_data_key_and_authority(settings):
    check(settings)
    words = command(settings, port=4321)
    assert words[words.index("--superlink") + 1] == "lab:8000"
    assert words[words.index("--port") + 1] == "4321"
    assert words[words.index("--auth-supernode-private-key") + 1] == str(settings.key)
    assert words[words.index("--root-certificates") + 1] == str(settings.ca)
    assert "--insecure" not in words
    assert config_of(words) == {
        "partition-id": 7,
        "data-path": str(settings.data),
        "state-path": str(settings.state),
        "journal-path": str(settings.state / "journal.json"),
    }


def test_a_node_can_hold_a_partition_and_be_a_board_with_a_slow_link(settings):
    part = replace(settings, data=None, partition=(1, 3), number=1, board="rpi-4b", up_bytes_per_second=1e6)
    words = command(part, port=1)
    assert words[words.index("--up") + 1] == "1000000.0"
    assert words.index("--up") < words.index("--") < words.index("--port")
    config = config_of(words)
    assert (config["partition-id"], config["num-partitions"], config["board"]) == (1, 3, "rpi-4b")


def test_nothing_calls_home_unless_asked_to(settings):
    plain = environment(settings, {"PATH": "/bin"})
    assert (plain["FLWR_TELEMETRY_ENABLED"], plain["FLWR_DISABLE_UPDATE_CHECK"]) == ("0", "1")
    assert plain["FEDLAB_CACHE"] == str(settings.state / "cache")
    assert plain["PATH"].endswith(":/bin")
    assert environment(settings, {"FLWR_TELEMETRY_ENABLED": "1"})["FLWR_TELEMETRY_ENABLED"] == "1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": None}, "give --data PATH"),
        ({"partition": (0, 2)}, "give --data PATH"),
        ({"data": Path("/nowhere/texts.csv")}, "no such file or folder"),
        ({"key": None}, "--key KEY is missing"),
        ({"key": Path("/nowhere/key")}, "--key /nowhere/key: no such file"),
        ({"insecure": True}, "--insecure is for a server without TLS"),
    ],
)
def test_what_cannot_work_or_is_not_safe_is_refused(settings, changes, reason):
    with pytest.raises(UserError, match=reason):
        check(replace(settings, **changes))


@pytest.mark.parametrize(
    ("option", "name", "reason"),
    [
        ("key", "texts.csv", r"--key .*texts\.csv: not a node's private key; `fedlab deploy keys`"),
        ("key", "keys/node-0.pub", r"--key .*node-0\.pub: .* the public half: give .*node-0$"),
        ("key", "keys/server.key", r"--key .*server\.key: not a node's private key"),
        ("ca", "texts.csv", r"--ca .*texts\.csv: not a certificate"),
        ("ca", "keys/ca.key", r"--ca .*ca\.key: not a certificate"),
    ],
)
def test_a_key_and_an_authority_are_read_before_anything_is_started(settings, tmp_path, option, name, reason):
    with pytest.raises(UserError, match=reason):
        check(replace(settings, **{option: tmp_path / name}))


def test_a_board_is_one_of_those_there_are(settings):
    check(replace(settings, board="rpi-4b"))
    with pytest.raises(UserError, match="--board 'rpi-4': no such board; did you mean 'rpi-4b'"):
        check(replace(settings, board="rpi-4"))


def test_without_tls_is_a_word_that_has_to_be_said(settings):
    check(replace(settings, key=None, ca=None, insecure=True))


@pytest.mark.parametrize(
    ("said", "meant"),
    [("lab", "lab:8000"), ("lab:99", "lab:99"), ("10.0.0.1", "10.0.0.1:8000"), ("[::1]:99", "[::1]:99")],
)
def test_a_server_has_flowers_port_if_none_is_said(said, meant):
    assert address_of(said) == meant


def test_a_node_keeps_its_number_and_shares_it_with_no_other(tmp_path):
    numbers = [number_of(tmp_path / name) for name in ("a", "a", "b")]
    assert numbers[0] == numbers[1] != numbers[2]
    assert all(0 <= number < 2**31 for number in numbers)
