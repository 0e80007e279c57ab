"""`fedlab deploy keys`, as it is called by hand and by docker/up."""

import json

from cryptography import x509


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
        f"{tmp_path}: issued server.pem anew, for lab.example as well; restart what uses it\n",
        f"{tmp_path}: nothing to make\n",
    ]
    out = fedlab(*command, "--host", "10.0.0.1", "--json")[1]
    assert json.loads(out) == {"folder": str(tmp_path), "made": [], "added_hosts": ["10.0.0.1"]}
