"""A certificate authority for one machine: what `make run TLS=1` and the tests know their services by.

Its key stays in a file beside what it signed, so it is good for trying things out and for nothing else.
"""

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = dt.timedelta(days=1)
_LIFE = 30 * _DAY


class Authority:
    """Signs certificates; each comes as a directory of `tls.crt`, `tls.key` and `ca.crt`."""

    def __init__(self, name: str = "Clicktrace on this machine") -> None:
        """Makes a new key, and a certificate for it that is good for a year."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        now = dt.datetime.now(dt.UTC)
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key(), now - _DAY, now + 365 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The certificate of the authority itself."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, directory: Path, *names: str, life: dt.timedelta = _LIFE, trusting: bytes | None = None) -> Path:
        """Writes a key and a certificate for these names: DNS names, IP addresses, or URIs such as SPIFFE ids.

        The owner is to trust this authority, or those of `trusting`. Files that are there already are replaced, each at
        once. A negative life gives a certificate that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        certificate = (
            _builder(_common_name(names[0]), self._name, key.public_key(), now - 2 * _LIFE, now + life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _replace(directory / "tls.key", private)
        _replace(directory / "ca.crt", trusting or self.pem)
        _replace(directory / "tls.crt", certificate.public_bytes(serialization.Encoding.PEM))
        return directory


def issue_all(directory: Path, identities: Sequence[str]) -> None:
    """Makes an authority that is forgotten at once, and a directory for each identity, named after it."""
    authority = Authority()
    for identity in identities:
        authority.issue(directory / identity, identity, "localhost", "127.0.0.1")


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begin: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _general_name(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - its mode
        file.write(content)
    unfinished.rename(path)
