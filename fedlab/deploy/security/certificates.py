"""Certificates of a deployment and their keys: issued, read and checked."""

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

AUTHORITY_DAYS = 3650  # long, because nodes are given the authority's certificate once
_CURVE = ec.SECP384R1  # the curve that Flower requires for nodes
_YESTERDAY = -1  # for machines whose clocks are behind
# The common name, at most 64 characters: it only describes the certificate, nodes check the alternative names.
_SERVER = "fedlab server"


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key."""
    return ec.generate_private_key(_CURVE())


def certify_authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return a self-signed certificate of an authority."""
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
    """Return a server's certificate for its hosts, valid for `days` or as long as the authority's."""
    ends = min(days_from_now(days), authority.not_valid_after_utc)
    builder = _builder(_name(_SERVER), authority.subject, key).not_valid_after(ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(issuer, critical=False).sign(signer, hashes.SHA384())


def host_name(text: str) -> x509.GeneralName:
    """Return a host as an alternative name of a certificate.

    Raises:
        UserError: the text is neither a name nor an address.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if not is_name(text):
            raise UserError(f"host {text!r}: expected a name or an address, without a port") from None
        return x509.DNSName(text)


def hosts_of(certificate: x509.Certificate, path: Path) -> list[x509.GeneralName]:
    """Return the hosts of a server's certificate. Raises UserError, with the file, if it has none."""
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise UserError(f"{path}: not the certificate of a server: it names no hosts") from error


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate. Raises UserError, with the file, if the file is not a certificate."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise UserError(
            f"{path}: not a certificate; restore the original file, or remove it together with its key"
        ) from error


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the private key of a certificate. Raises UserError, with the file, unless it is an elliptic-curve key."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(
            f"{path}: not a private key as `fedlab deploy keys` makes them: elliptic curve, without a passphrase"
        )
    return key


def check_pair(path: Path, key_path: Path) -> None:
    """Raise a UserError, with both files, if a key does not belong to a certificate."""
    if read_certificate(path).public_key() != read_key(key_path).public_key():
        raise UserError(f"{key_path} is not the key of {path}: restore the key that belongs to it")


def check_issued(path: Path, authority_path: Path) -> None:
    """Raise a UserError, with both files, if an authority did not issue a certificate: nodes would not accept it."""
    try:
        read_certificate(path).verify_directly_issued_by(read_certificate(authority_path))
    except (ValueError, TypeError, InvalidSignature) as error:
        raise UserError(
            f"{path} was not issued by the authority {authority_path}: restore its authority, or remove {path.name} and"
            f" {path.with_suffix('.key').name}, and new ones are made"
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
