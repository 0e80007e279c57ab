"""`fedlab deploy` and `fedlab client`, as they are called by hand and by docker/up."""

import json
import socket

import pytest
from cryptography import x509

NOTHING_ELSE = {"renewed": "", "closed": [], "warnings": []}


def hosts(path):
    names = x509.load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return {str(each.value) for each in names.value}


def test_hosts_come_beside_those_of_this_machine_and_of_containers(fedlab, tmp_path):
    code, out, _ = fedlab("deploy", "keys", str(tmp_path / "keys"), "--host", "lab.example", "--host", "127.0.0.1")
    assert code == 0
    assert "made ca.pem, ca.key, server.pem" in out
    assert hosts(tmp_path / "keys/server.pem") == {"lab.example", "127.0.0.1", "localhost", "superlink", "gateway"}


def test_adding_a_host_is_said(fedlab, tmp_path):
    command = ("deploy", "keys", str(tmp_path), "--nodes", "1")
    fedlab(*command)
    said = [fedlab(*command, "--host", "lab.example")[1] for _ in range(2)]
    assert said == [
        f"{tmp_path}: renewed server.pem, for lab.example as well; restart the services that use it\n",
        f"{tmp_path}: nothing to make\n",
    ]
    out = fedlab(*command, "--host", "10.0.0.1", "--json")[1]
    assert json.loads(out) == {"folder": str(tmp_path), "made": [], "added_hosts": ["10.0.0.1"]} | NOTHING_ELSE


def test_keys_that_were_open_to_others_are_told(fedlab, tmp_path):
    command = ("deploy", "keys", tmp_path / "keys", "--nodes", "0")
    fedlab(*command)
    (tmp_path / "keys/ca.key").chmod(0o640)
    said = "made private, because others could read or write them: ca.key"
    assert fedlab(*command).out == f"{tmp_path / 'keys'}: {said}\n"


def test_an_empty_folder_is_not_the_one_one_is_in(fedlab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = fedlab("deploy", "keys", "")
    assert (code, err) == (2, "fedlab: FOLDER is empty: expected the folder of the keys, such as keys\n")
    assert list(tmp_path.iterdir()) == []


CLIENT = ("client", "--insecure", "--partition", "0/2")
BAD = [
    ("deploy", "keys", "keys", "--host", "a" * 300),
    ("deploy", "keys", "keys", "--host", "a b"),
    ("deploy", "keys", "keys", "--days", "99999999"),
    ("deploy", "gateway", "--superlink", "nonsense", "--insecure"),
    (*CLIENT, "--server", "http://localhost:8402"),
    (*CLIENT, "--server", ""),
    (*CLIENT, "--server", "localhost:99999"),
    (*CLIENT, "--server", "lab", "--board", "nonesuch"),
    (*CLIENT, "--server", "lab", "--state", "file"),
]


@pytest.mark.parametrize("words", BAD, ids=lambda words: " ".join(words)[:60])
def test_what_is_wrong_is_said_in_one_line_and_leaves_nothing_behind(fedlab, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    code, out, err = fedlab(*words)
    assert (code, out) == (2, "")
    assert err.startswith("fedlab: ")
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_gateways_port_that_is_taken_is_told_in_one_line(fedlab):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = fedlab("deploy", "gateway", "--superlink", "lab:8000", "--insecure", "--port", port)
    assert (code, err) == (1, f"fedlab: 127.0.0.1:{port}: the gateway cannot listen there: Address already in use\n")
