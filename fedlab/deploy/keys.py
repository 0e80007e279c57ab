"""The keys of a deployment: an authority of its own, the server's certificate, a key a node, superexec's secret."""

import ipaddress
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedlab.clock import days_from_now
from fedlab.errors import UserError
from fedlab.files import replacing

LOCAL_HOSTS = ("localhost", "127.0.0.1", "superlink", "gateway")  # this machine, and the services of docker-compose.yml
_CURVE = ec.SECP384R1  # what Flower takes for nodes
_SECRET_BYTES = 32
_YESTERDAY = -1  # for machines whose clocks are behind


@dataclass(frozen=True, kw_only=True)
class Written:
    """What `make_keys` wrote: files that were missing, and the hosts that a certificate there was issued anew for."""

    made: list[Path]
    added: list[str]


def make_keys(folder: Path, *, hosts: Sequence[str], nodes: int, days: int) -> Written:
    """Make what is missing of a deployment's keys, readable by their owner alone.

    `ca.pem` and `ca.key` are the authority, `server.pem` and `server.key` the certificate of the server under its
    `hosts`, `superexec.secret` what the app's process shows the SuperLink, `node-0` and `node-0.pub`, ... the nodes'.
    What is there stays, but for a `server.pem` that lacks some of the hosts: it is issued anew for those it has and
    these, on the same key, so that nodes notice nothing. Only that, and a first `server.pem`, take `ca.key`.

    Raises:
        UserError: the folder cannot be written, holds one half of a pair, or lacks the `ca.key` that is needed.
    """
    names = {host: _host(host) for host in hosts}
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = _make_authority(folder, days)
        if _both_there(folder / "server.pem", folder / "server.key"):
            added = _add_hosts(folder, names, days)
        else:
            made, added = [*made, *_make_server(folder, names, days)], []
        made += _make_secret(folder)
        made += [path for number in range(nodes) for path in _make_node(folder, number)]
    except OSError as error:
        raise UserError(f"{folder}: cannot write keys: {error.strerror}") from error
    return Written(made=made, added=added)


def _make_authority(folder: Path, days: int) -> list[Path]:
    if (folder / "ca.pem").exists() or _both_there(folder / "ca.pem", folder / "ca.key"):
        return []  # its key may be elsewhere, offline
    key = ec.generate_private_key(_CURVE())
    name = _name("fedlab deployment")
    builder = _certificate(name, name, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _write_pair(folder / "ca.pem", folder / "ca.key", builder.sign(key, hashes.SHA384()), key)


def _make_server(folder: Path, hosts: Mapping[str, x509.GeneralName], days: int) -> list[Path]:
    key = ec.generate_private_key(_CURVE())
    certificate = _certify(folder, key.public_key(), _name(next(iter(hosts))), list(hosts.values()), days)
    return _write_pair(folder / "server.pem", folder / "server.key", certificate, key)


def _add_hosts(folder: Path, hosts: Mapping[str, x509.GeneralName], days: int) -> list[str]:
    """Issue the server's certificate anew if it lacks some of these hosts; return those."""
    path = folder / "server.pem"
    old = x509.load_pem_x509_certificate(path.read_bytes())
    names = list(old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    added = [host for host, name in hosts.items() if name not in names]
    if added:
        key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        certificate = _certify(folder, key, old.subject, [*names, *(hosts[host] for host in added)], days)
        with replacing(path) as partial:
            partial.unlink(missing_ok=True)
            _write(partial, certificate.public_bytes(serialization.Encoding.PEM))
    return added


def _certify(
    folder: Path, key: ec.EllipticCurvePublicKey, subject: x509.Name, names: list[x509.GeneralName], days: int
) -> x509.Certificate:
    """Return a certificate of a server's key under these names, signed by the authority."""
    if not (folder / "ca.key").exists():
        raise UserError(f"{folder / 'ca.key'} is not there, and a certificate takes it: put it back for as long")
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    builder = _certificate(subject, authority.subject, key, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(issuer, critical=False).sign(signer, hashes.SHA384())


def _make_secret(folder: Path) -> list[Path]:
    path = folder / "superexec.secret"
    return [] if path.exists() else [_write(path, secrets.token_hex(_SECRET_BYTES).encode())]


def _make_node(folder: Path, number: int) -> list[Path]:
    private, public = folder / f"node-{number}", folder / f"node-{number}.pub"
    if _both_there(private, public):
        return []
    key = ec.generate_private_key(_CURVE())
    openssh = serialization.PrivateFormat.OpenSSH
    text = key.private_bytes(serialization.Encoding.PEM, openssh, serialization.NoEncryption())
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return [_write(private, text), _write(public, line + b"\n")]


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(days_from_now(_YESTERDAY))
        .not_valid_after(days_from_now(days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    never = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        decipher_only=False,
        **never,
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if not text.isascii() or not text or ":" in text:
            raise UserError(f"host {text!r}: expected a name or an address, without a port") from None
        return x509.DNSName(text)


def _both_there(one: Path, other: Path) -> bool:
    if one.exists() != other.exists():
        there, missing = (one, other) if one.exists() else (other, one)
        raise UserError(f"{there} is there and {missing.name} is not: put it back, or remove the one that is")
    return one.exists()


def _write_pair(
    path: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> list[Path]:
    pkcs8 = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
    return [_write(path, certificate.public_bytes(serialization.Encoding.PEM)), _write(key_path, text)]


def _write(path: Path, content: bytes) -> Path:
    """Write a new file that only its owner may read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path
