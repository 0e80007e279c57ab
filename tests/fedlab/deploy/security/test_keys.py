import datetime
import ipaddress
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key, load_ssh_public_key

from fedlab.deploy.security import certificates
from fedlab.deploy.security.keys import make_keys
from fedlab.errors import UserError


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    make_keys(folder, hosts=["lab.example", "10.0.0.1"], nodes=2, days=60)
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
    assert lasts.days == 61  # from yesterday on


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
    written = make_keys(keys, hosts=["10.0.0.1"], nodes=3, days=60)
    assert ([path.name for path in written.made], written.added) == (["node-2", "node-2.pub"], [])
    assert {name: (keys / name).read_bytes() for name in before} == before


def test_a_host_is_added_by_a_renewed_certificate_with_the_same_key(keys):
    before = contents(keys)
    written = make_keys(keys, hosts=["lab.example", "elsewhere", "::1"], nodes=2, days=60)
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
    assert len(make_keys(keys, hosts=["lab.example"], nodes=3, days=60).made) == 2
    before = contents(keys)
    with pytest.raises(UserError, match=r"ca\.key is missing, and is needed to issue a certificate"):
        make_keys(keys, hosts=["elsewhere"], nodes=3, days=60)
    assert contents(keys) == before


def test_half_a_pair_is_refused(keys):
    (keys / "server.key").unlink()
    with pytest.raises(UserError, match=r"server\.pem exists but server\.key is missing"):
        make_keys(keys, hosts=["lab.example"], nodes=0, days=60)


HOSTS = ["", "lab.example:8443", "größe.example", "a b", "a/b", "10.0.0.256", "a" * 300, ".".join(["a" * 60] * 5)]


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_no_host_is_refused_before_anything_is_written(tmp_path, host):
    with pytest.raises(UserError, match="expected a name or an address"):
        make_keys(tmp_path / "keys", hosts=[host], nodes=0, days=60)
    assert not (tmp_path / "keys").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write keys"):
        make_keys(tmp_path / "file" / "keys", hosts=["lab.example"], nodes=0, days=60)


def test_a_name_longer_than_what_a_subject_holds_is_a_host_like_any_other(tmp_path):
    host = ".".join(["a" * 60, "b" * 60, "example"])
    make_keys(tmp_path / "keys", hosts=[host], nodes=0, days=60)
    names = certificate(tmp_path / "keys/server.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == [host]


@pytest.mark.parametrize("days", [0, 3651, 99_999_999])
def test_days_are_those_for_which_an_authority_can_vouch(tmp_path, days):
    with pytest.raises(UserError, match=f"--days {days}: expected 1 to 3650"):
        make_keys(tmp_path / "keys", hosts=["lab.example"], nodes=0, days=days)
    assert not (tmp_path / "keys").exists()


@pytest.fixture
def strangers(tmp_path):
    folder = tmp_path / "strangers"
    make_keys(folder, hosts=["lab.example"], nodes=0, days=60)
    return folder


def refused(keys, reason, **changes):
    """Assert that nothing is written where something is wrong."""
    before = contents(keys)
    with pytest.raises(UserError, match=reason):
        make_keys(keys, **{"hosts": ["elsewhere"], "nodes": 3, "days": 60} | changes)
    assert contents(keys) == before


@pytest.mark.parametrize("half", ["ca", "server"])
def test_a_key_that_is_not_that_of_its_certificate_signs_nothing(keys, strangers, half):
    shutil.copy(strangers / f"{half}.key", keys)
    refused(keys, rf"{half}\.key is not the key of .*{half}\.pem")


def test_a_certificate_of_another_authority_is_not_built_upon(keys, strangers):
    for half in ("pem", "key"):
        shutil.copy(strangers / f"ca.{half}", keys)
    refused(keys, r"server\.pem was not issued by the authority .*ca\.pem")


def test_a_new_authority_is_not_put_beside_a_certificate_of_the_old(keys):
    for half in ("pem", "key"):
        (keys / f"ca.{half}").unlink()
    refused(keys, r"server\.pem exists but ca\.pem is missing")


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "ca.key", "server.key"])
def test_what_cannot_be_read_is_named(keys, name):
    (keys / name).write_text("garbage")
    refused(keys, rf"{name}: not a ")


def at_day(monkeypatch, day):
    """Let certificates be issued as if it were so many days from now."""
    later = lambda days: datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=day + days)  # noqa: E731
    monkeypatch.setattr(certificates, "days_from_now", later)


def days_left(path):
    return round((certificate(path).not_valid_after_utc - datetime.datetime.now(datetime.UTC)).total_seconds() / 86400)


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Return a function that makes keys for a year, so many days ago."""

    def make(age):
        with monkeypatch.context() as patch:
            at_day(patch, -age)
            make_keys(tmp_path / "old", hosts=["lab.example"], nodes=1, days=365)
        return tmp_path / "old"

    return make


def test_an_authority_outlives_the_certificates_it_signs(keys):
    assert (days_left(keys / "ca.pem"), days_left(keys / "server.pem")) == (3650, 60)


@pytest.mark.parametrize(("age", "said"), [(340, "the old one expires on"), (400, "the old one expired on")])
def test_a_certificate_near_its_end_is_renewed_with_the_same_key(old, age, said):
    keys = old(age)
    before = contents(keys)
    written = make_keys(keys, hosts=["lab.example"], nodes=1, days=365)
    assert written.renewed.startswith(said)
    assert {name for name, content in contents(keys).items() if content != before[name]} == {"server.pem"}
    assert days_left(keys / "server.pem") == 365
    assert (
        certificate(keys / "server.pem").public_key() == load_pem_private_key(before["server.key"], None).public_key()
    )


def test_a_certificate_that_is_good_for_long_or_was_meant_to_be_short_stays(old, tmp_path):
    keys = old(300)
    for folder, days in ((keys, 365), (tmp_path / "short", 20), (tmp_path / "short", 20)):
        written = make_keys(folder, hosts=["lab.example"], nodes=1, days=days)
        assert (written.renewed, written.warnings) == ("", [])


def test_without_the_authoritys_key_a_certificate_near_its_end_is_warned_of_and_an_expired_one_refused(
    old, monkeypatch
):
    keys = old(340)
    (keys / "ca.key").unlink()
    (warning,) = make_keys(keys, hosts=["lab.example"], nodes=1, days=365).warnings
    assert "restore ca.key" in warning
    shutil.rmtree(keys)
    keys = old(400)
    (keys / "ca.key").unlink()
    refused(keys, r"ca\.key is missing", hosts=["lab.example"], nodes=1)


def test_an_authority_near_its_end_is_warned_of_and_gives_no_more_time_than_it_has(old):
    keys = old(3650 - 20)
    written = make_keys(keys, hosts=["lab.example"], nodes=1, days=365)
    assert days_left(keys / "server.pem") == 20
    assert any("ca.pem expires on" in line for line in written.warnings)


def test_an_authority_that_has_expired_is_refused(old):
    refused(old(3651), r"ca\.pem has expired", nodes=1)


def test_private_keys_that_others_could_read_are_closed_to_them(keys):
    for name in ("ca.key", "superexec.secret", "node-1", "node-1.pub", "ca.pem"):
        (keys / name).chmod(0o644)
    written = make_keys(keys, hosts=["lab.example"], nodes=0, days=60)
    assert [path.name for path in written.closed] == ["ca.key", "superexec.secret", "node-1"]
    assert {(keys / name).stat().st_mode & 0o777 for name in ("ca.key", "superexec.secret", "node-1")} == {0o600}
    assert (keys / "ca.pem").stat().st_mode & 0o777 == 0o644
