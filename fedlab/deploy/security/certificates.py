"""Certificates of a deployment and their keys: made, and read with what can be wrong with them."""

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedlab.common.clock import days_from_now
from fedlab.deploy.net import is_name
from fedlab.errors import UserError

AUTHORITY_DAYS = 3650  # nodes are given it once
_CURVE = ec.SECP384R1  # what Flower takes for nodes
_YESTERDAY = -1  # for machines whose clocks are behind
# Nodes go by the names beside it: this one says what the certificate is, and has room for 64 characters.
_SERVER = "fedlab server"


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key."""
    return ec.generate_private_key(_CURVE())


def certify_authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return a certificate of an authority's key, signed by itself."""
    name = _name("fedlab deployment")
    builder = _builder(name, name, key.public_key()).not_valid_after(days_from_now(AUTHORITY_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return builder.sign(key, hashes.SHA384())


def certify_server(
    key: ec.EllipticCurvePublicKey,
    hosts: Sequence[x509.GeneralName],
    *,
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.Certificate:
    """Return a certificate of a server's key under its hosts; it lasts so many days, or as long as the authority."""
    ends = min(days_from_now(days), authority.not_valid_after_utc)
    builder = _builder(_name(_SERVER), authority.subject, key).not_valid_after(ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(issuer, critical=False).sign(signer, hashes.SHA384())


def host_name(text: str) -> x509.GeneralName:
    """Return a host as it stands in a certificate.

    Raises:
        UserError: it is neither a name nor an address.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if not is_name(text):
            raise UserError(f"host {text!r}: expected a name or an address, without a port") from None
        return x509.DNSName(text)


def hosts_of(certificate: x509.Certificate, path: Path) -> list[x509.GeneralName]:
    """Return the hosts a server is certified under. Raises UserError, naming the file, if there are none."""
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise UserError(f"{path}: not the certificate of a server: it names no hosts") from error


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate. Raises UserError, naming the file, if it is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not a certificate; put back what was there, or remove it with its key") from error


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the key of a certificate. Raises UserError, naming the file, if it is none of an elliptic curve."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(f"{path}: not a private key of the kind that is made here, without a passphrase")
    return key


def check_pair(path: Path, key_path: Path) -> None:
    """Raise a UserError, naming both, if a certificate and a key are not of each other."""
    if read_certificate(path).public_key() != read_key(key_path).public_key():
        raise UserError(f"{key_path} is not the key of {path}: put back the one that belongs to it")


def check_issued(path: Path, authority_path: Path) -> None:
    """Raise a UserError, naming both, if a certificate is not of an authority: no node would accept it."""
    try:
        read_certificate(path).verify_directly_issued_by(read_certificate(authority_path))
    except (ValueError, TypeError, InvalidSignature) as error:
        raise UserError(
            f"{path} is not of the authority {authority_path}: put back the one it is of, or remove {path.name} and"
            f" {path.with_suffix('.key').name}, which are then made anew"
        ) from error


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(days_from_now(_YESTERDAY))
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
