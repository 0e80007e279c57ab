import pytest

from fedlab.deploy.net import is_name, parse_address
from fedlab.errors import UserError


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("lab", "lab:8000"),
        ("lab.example.org:99", "lab.example.org:99"),
        ("super_link-0", "super_link-0:8000"),
        ("10.0.0.1", "10.0.0.1:8000"),
        ("::1", "[::1]:8000"),
        ("[::1]", "[::1]:8000"),
        ("[::1]:99", "[::1]:99"),
    ],
)
def test_an_address_is_a_host_with_a_port(said, meant):
    assert parse_address(said, option="--server", default_port=8000) == meant


@pytest.mark.parametrize(
    "said",
    [
        "",
        ":8000",
        "lab:",
        "http://lab:8000",
        "lab:0",
        "lab:99999",
        "lab:x",
        "a b",
        "a/b",
        "10.0.0.256",
        "[lab]:1",
        "a:b:1",
    ],
)
def test_anything_else_is_refused_with_what_is_expected(said):
    with pytest.raises(UserError, match=r"^--server .* expected HOST or HOST:PORT"):
        parse_address(said, option="--server", default_port=8000)


@pytest.mark.parametrize("said", ["nonsense", "[::1]", "::1"])
def test_without_a_default_the_port_has_to_be_there(said):
    with pytest.raises(UserError, match="expected HOST:PORT"):
        parse_address(said, option="--superlink")


def test_a_name_has_at_most_253_characters_and_63_between_two_dots():
    assert is_name(".".join(["a" * 63] * 3))
    assert not is_name(".".join(["a" * 63] * 4))
    assert not is_name("a" * 64)
