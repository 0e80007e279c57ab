"""The keys of a deployment: an authority of its own, the server's certificate, a key a node, superexec's secret."""

import ipaddress
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedlab.clock import days_from_now
from fedlab.errors import UserError

_CURVE = ec.SECP384R1  # what Flower takes for nodes
_SECRET_BYTES = 32
_YESTERDAY = -1  # for machines whose clocks are behind


def make_keys(folder: Path, *, hosts: Sequence[str], nodes: int, days: int) -> list[Path]:
    """Make what is missing of a deployment's keys, readable by their owner alone; return the files that were made.

    `ca.pem` and `ca.key` are the authority, `server.pem` and `server.key` the certificate of the server under its
    `hosts`, `superexec.secret` what the app's process shows the SuperLink, `node-0` and `node-0.pub`, ... the nodes'.

    Raises:
        UserError: the folder cannot be written, or holds one half of a pair.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = [*_make_authority(folder, days), *_make_server(folder, hosts, days), *_make_secret(folder)]
        return [*made, *(path for number in range(nodes) for path in _make_node(folder, number))]
    except OSError as error:
        raise UserError(f"{folder}: cannot write keys: {error.strerror}") from error


def _make_authority(folder: Path, days: int) -> list[Path]:
    if _both_there(folder / "ca.pem", folder / "ca.key"):
        return []
    key = ec.generate_private_key(_CURVE())
    name = _name("fedlab deployment")
    builder = _certificate(name, name, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return _write_pair(folder / "ca.pem", folder / "ca.key", builder.sign(key, hashes.SHA384()), key)


def _make_server(folder: Path, hosts: Sequence[str], days: int) -> list[Path]:
    if _both_there(folder / "server.pem", folder / "server.key"):
        return []
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(_CURVE())
    builder = _certificate(_name(hosts[0]), authority.subject, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(issuer, critical=False)
    return _write_pair(folder / "server.pem", folder / "server.key", builder.sign(signer, hashes.SHA384()), key)


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
