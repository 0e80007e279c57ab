import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key, load_ssh_public_key

from fedlab.deploy.keys import make_keys
from fedlab.errors import UserError


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    make_keys(folder, hosts=["lab.example", "10.0.0.1"], nodes=2, days=30)
    return folder


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_all_files_are_there_and_for_their_owner_alone(keys):
    names = {"ca.pem", "ca.key", "server.pem", "server.key", "superexec.secret"}
    assert {path.name for path in keys.iterdir()} == names | {"node-0", "node-0.pub", "node-1", "node-1.pub"}
    assert {oct(path.stat().st_mode & 0o777) for path in keys.iterdir()} == {"0o600"}


def test_the_server_is_certified_by_the_authority_under_all_its_hosts(keys):
    authority, server = certificate(keys / "ca.pem"), certificate(keys / "server.pem")
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["lab.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1")]
    key = load_pem_private_key((keys / "server.key").read_bytes(), None)
    assert key.public_key() == server.public_key()
    lasts = server.not_valid_after_utc - server.not_valid_before_utc
    assert lasts.days == 31  # from yesterday on


def test_the_authority_can_certify_servers_only_and_a_server_nobody(keys):
    constraints = [
        certificate(keys / name).extensions.get_extension_for_class(x509.BasicConstraints).value
        for name in ("ca.pem", "server.pem")
    ]
    assert [(each.ca, each.path_length) for each in constraints] == [(True, 0), (False, None)]


def test_a_node_has_a_key_that_flower_takes(keys):
    private = load_ssh_private_key((keys / "node-1").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == load_ssh_public_key((keys / "node-1.pub").read_bytes())


def contents(keys):
    return {path.name: path.read_bytes() for path in keys.iterdir()}


def test_what_is_there_stays_and_what_is_missing_is_made(keys):
    before = contents(keys)
    written = make_keys(keys, hosts=["10.0.0.1"], nodes=3, days=30)
    assert ([path.name for path in written.made], written.added) == (["node-2", "node-2.pub"], [])
    assert {name: (keys / name).read_bytes() for name in before} == before


def test_a_host_is_added_by_a_certificate_issued_anew_on_the_same_key(keys):
    before = contents(keys)
    written = make_keys(keys, hosts=["lab.example", "elsewhere", "::1"], nodes=2, days=30)
    assert (written.made, written.added) == ([], ["elsewhere", "::1"])
    after = contents(keys)
    assert {name for name in after if after[name] != before.get(name)} == {"server.pem"}
    server = certificate(keys / "server.pem")
    server.verify_directly_issued_by(certificate(keys / "ca.pem"))
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["lab.example", "elsewhere"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "::1"]
    assert load_pem_private_key((keys / "server.key").read_bytes(), None).public_key() == server.public_key()
    assert (keys / "server.pem").stat().st_mode & 0o777 == 0o600


def test_only_a_certificate_takes_the_key_of_the_authority(keys):
    (keys / "ca.key").unlink()  # kept offline
    assert len(make_keys(keys, hosts=["lab.example"], nodes=3, days=30).made) == 2
    before = contents(keys)
    with pytest.raises(UserError, match=r"ca\.key is not there, and a certificate takes it"):
        make_keys(keys, hosts=["elsewhere"], nodes=3, days=30)
    assert contents(keys) == before


def test_half_a_pair_is_refused(keys):
    (keys / "server.key").unlink()
    with pytest.raises(UserError, match=r"server\.pem is there and server\.key is not"):
        make_keys(keys, hosts=["lab.example"], nodes=0, days=30)


@pytest.mark.parametrize("host", ["", "lab.example:8443", "größe.example"])
def test_what_is_no_host_is_refused_before_anything_is_written(tmp_path, host):
    with pytest.raises(UserError, match="expected a name or an address"):
        make_keys(tmp_path / "keys", hosts=[host], nodes=0, days=30)
    assert not (tmp_path / "keys").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write keys"):
        make_keys(tmp_path / "file" / "keys", hosts=["lab.example"], nodes=0, days=30)
