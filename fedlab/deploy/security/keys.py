"""The keys of a deployment: an authority, the server's certificate, a key for each node, the superexec secret."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedlab.common.clock import days_until
from fedlab.common.files import replacing
from fedlab.deploy.security.certificates import (
    AUTHORITY_DAYS,
    certify_authority,
    certify_server,
    check_issued,
    check_pair,
    host_name,
    hosts_of,
    new_key,
    read_certificate,
    read_key,
)
from fedlab.errors import UserError

LOCAL_HOSTS = ("localhost", "127.0.0.1", "superlink", "gateway")  # this machine, and the services of docker-compose.yml
_SECRET_BYTES = 32
_RENEW_DAYS = 30  # a certificate is renewed this many days before it expires
_OTHERS = 0o077  # the permissions of all but the owner


@dataclass(frozen=True, kw_only=True)
class KeyChanges:
    """What `make_keys` did: files made, hosts added to the certificate, why it was renewed, keys made private.

    `warnings` are lines that say what expires soon, and what to do.
    """

    made: list[Path] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    renewed: str = ""
    closed: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def make_keys(folder: Path, *, hosts: Sequence[str], nodes: int, days: int) -> KeyChanges:
    """Make the missing keys of a deployment, readable by their owner only.

    `ca.pem` and `ca.key` are the authority; `server.pem` and `server.key` are the server's certificate for its `hosts`,
    valid for `days`; `superexec.secret` authenticates the app's process to the SuperLink; `node-0` and `node-0.pub`,
    ... are the keys of nodes. Existing files are kept, except a `server.pem` that lacks some of the hosts or expires
    soon: it is renewed with the same key, so nodes are not affected. Only a new or renewed `server.pem` needs `ca.key`.
    Private keys that others could read are made private.

    Raises:
        UserError: the folder cannot be written, its files do not belong together, the authority has expired, or the
            required `ca.key` is missing. Nothing has been written then.
    """
    if not 1 <= days <= AUTHORITY_DAYS:
        raise UserError(f"--days {days}: expected 1 to {AUTHORITY_DAYS}, for which a new authority is valid")
    names = {host: host_name(host) for host in hosts}
    try:
        _check(folder, nodes)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = _make_authority(folder)
        if (folder / "server.pem").exists():
            issued = _renew_server(folder, names, days)
        else:
            made += _make_server(folder, names, days)
            issued = KeyChanges()
        made += _make_secret(folder)
        made += [path for number in range(nodes) for path in _make_node(folder, number)]
        closed = [path for path in _private(folder) if _close(path)]
    except OSError as error:
        raise UserError(f"{folder}: cannot write keys: {error.strerror}") from error
    warnings = [*issued.warnings, *_authority_warnings(folder / "ca.pem")]
    return KeyChanges(made=made, added=issued.added, renewed=issued.renewed, closed=closed, warnings=warnings)


def _check(folder: Path, nodes: int) -> None:
    """Raise a UserError if the existing files do not belong together, before anything is written."""
    ca, ca_key, server, server_key = (folder / name for name in ("ca.pem", "ca.key", "server.pem", "server.key"))
    if not ca.exists():
        _both_there(ca, ca_key)  # ca.key may be missing: it can be kept elsewhere, offline
    for number in range(nodes):
        _both_there(folder / f"node-{number}", folder / f"node-{number}.pub")
    if ca.exists() and days_until(read_certificate(ca).not_valid_after_utc) <= 0:
        raise UserError(
            f"{ca} has expired, and all certificates with it: move it, ca.key, server.pem and server.key away,"
            " repeat this command, and give the new ca.pem to all nodes"
        )
    if ca_key.exists():
        check_pair(ca, ca_key)
    if _both_there(server, server_key):
        if not ca.exists():
            raise UserError(f"{server} exists but ca.pem is missing: restore it, or remove server.pem and server.key")
        check_pair(server, server_key)
        check_issued(server, ca)


def _make_authority(folder: Path) -> list[Path]:
    if (folder / "ca.pem").exists():
        return []
    key = new_key()
    return _write_pair(folder / "ca.pem", folder / "ca.key", certify_authority(key), key)


def _make_server(folder: Path, hosts: Mapping[str, x509.GeneralName], days: int) -> list[Path]:
    key = new_key()
    certificate = _certify(folder, key.public_key(), list(hosts.values()), days)
    return _write_pair(folder / "server.pem", folder / "server.key", certificate, key)


def _renew_server(folder: Path, hosts: Mapping[str, x509.GeneralName], days: int) -> KeyChanges:
    """Renew the server's certificate if it lacks some of these hosts, or expires soon and can be prolonged."""
    path = folder / "server.pem"
    old = read_certificate(path)
    names = hosts_of(old, path)
    added = [host for host, name in hosts.items() if name not in names]
    left, authority_left = (days_until(each.not_valid_after_utc) for each in (old, read_certificate(folder / "ca.pem")))
    # A certificate for a few days only is not renewed each time, as that would gain nothing.
    expiring = left < _RENEW_DAYS and min(days, authority_left) - left >= 1
    if not (added or expiring):
        return KeyChanges()
    ends = f"{old.not_valid_after_utc:%Y-%m-%d}"
    if not added and left > 0 and not (folder / "ca.key").exists():  # it is still valid
        return KeyChanges(warnings=[f"{path} expires on {ends}: restore ca.key and repeat this command before then"])
    certificate = _certify(folder, _public(old), [*names, *(hosts[host] for host in added)], days)
    with replacing(path) as partial:
        partial.unlink(missing_ok=True)
        _write(partial, certificate.public_bytes(serialization.Encoding.PEM))
    was = f"the old one {'expires' if left > 0 else 'expired'} on {ends}"
    return KeyChanges(added=added, renewed=was if expiring else "")


def _public(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)  # like its private key, with which it has been compared
    return key


def _certify(
    folder: Path, key: ec.EllipticCurvePublicKey, hosts: list[x509.GeneralName], days: int
) -> x509.Certificate:
    """Return a server's certificate for these hosts, issued by the authority."""
    if not (folder / "ca.key").exists():
        raise UserError(
            f"{folder / 'ca.key'} is missing, and is needed to issue a certificate: restore it for this command"
        )
    authority, signer = read_certificate(folder / "ca.pem"), read_key(folder / "ca.key")
    return certify_server(key, hosts, authority=authority, signer=signer, days=days)


def _authority_warnings(path: Path) -> list[str]:
    ends = read_certificate(path).not_valid_after_utc
    if days_until(ends) >= _RENEW_DAYS:
        return []
    return [f"{path} expires on {ends:%Y-%m-%d}, and all certificates with it: see docs/deployment/keys.md, Renewal"]


def _make_secret(folder: Path) -> list[Path]:
    path = folder / "superexec.secret"
    return [] if path.exists() else [_write(path, secrets.token_hex(_SECRET_BYTES).encode())]


def _make_node(folder: Path, number: int) -> list[Path]:
    private, public = folder / f"node-{number}", folder / f"node-{number}.pub"
    if private.exists():
        return []
    key = new_key()
    openssh = serialization.PrivateFormat.OpenSSH
    text = key.private_bytes(serialization.Encoding.PEM, openssh, serialization.NoEncryption())
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return [_write(private, text), _write(public, line + b"\n")]


def _private(folder: Path) -> list[Path]:
    named = [folder / name for name in ("ca.key", "server.key", "superexec.secret")]
    nodes = sorted(path for path in folder.glob("node-*") if path.suffix != ".pub")
    return [path for path in (*named, *nodes) if path.is_file()]


def _close(path: Path) -> bool:
    """Make a file private to its owner; tell whether it was not."""
    mode = path.stat().st_mode
    if mode & _OTHERS:
        path.chmod(mode & 0o777 & ~_OTHERS)
    return bool(mode & _OTHERS)


def _both_there(one: Path, other: Path) -> bool:
    if one.exists() != other.exists():
        there, missing = (one, other) if one.exists() else (other, one)
        raise UserError(f"{there} exists but {missing.name} is missing: restore it, or remove the other")
    return one.exists()


def _write_pair(
    path: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> list[Path]:
    pkcs8 = serialization.PrivateFormat.PKCS8
    text = key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
    return [_write(path, certificate.public_bytes(serialization.Encoding.PEM)), _write(key_path, text)]


def _write(path: Path, content: bytes) -> Path:
    """Write a new file that only its owner can read, from the first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path
