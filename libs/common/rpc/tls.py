"""Mutual TLS between services: certificate files that are renewed while the process runs.

A directory holds `tls.crt`, `tls.key` and `ca.crt`, as cert-manager writes them into a Secret. Files that changed count
from the next connection on; until they are whole and fit together, the last good ones stay in use.
"""

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from libs.common.process import logs

log = logs.get(__name__)

_NAMES = ("tls.crt", "tls.key", "ca.crt")
_READ_ATTEMPTS = 3

_Signature = tuple[tuple[int, int, int], ...]


class TlsError(OSError):
    """The certificate files cannot be used."""


@dataclass(frozen=True, slots=True)
class Material:
    """The contents of the files at one moment."""

    certificate: bytes
    """Our certificate, followed by the intermediate ones."""
    key: bytes
    """The key of our certificate."""
    authority: bytes
    """The trusted authorities."""

    def __repr__(self) -> str:
        return "Material()"


class Files:
    """The certificate files of one directory; may be used from any thread."""

    def __init__(self, directory: Path) -> None:
        """Reads the files; TlsError if one is missing or malformed, or does not match the others."""
        self._directory = directory
        self._lock = threading.Lock()
        self._seen: _Signature = ()
        self._complaint = ""
        self._material = self._read()

    @property
    def material(self) -> Material:
        """The present contents of the files, or the last valid ones while the present ones are not usable."""
        with self._lock:
            try:
                if self._signature() != self._seen:
                    self._material = self._read()
                    self._complaint = ""
                    log.info("tls.renewed", directory=str(self._directory))
            except TlsError as error:
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    log.warning("tls.not_renewed", detail=self._complaint, hint="the files of before stay in use")
            return self._material

    def _signature(self) -> _Signature:
        try:
            found = [(self._directory / name).stat() for name in _NAMES]
        except OSError as error:
            raise TlsError(f"{error.filename}: {error.strerror}") from None
        return tuple((status.st_mtime_ns, status.st_ino, status.st_size) for status in found)

    def _read(self) -> Material:
        """Reads files that did not change meanwhile; what it looked at is not looked at again until it changes."""
        for _ in range(_READ_ATTEMPTS):
            before = self._seen = self._signature()
            try:
                material = Material(*((self._directory / name).read_bytes() for name in _NAMES))
            except OSError as error:
                raise TlsError(f"{error.filename}: {error.strerror}") from None
            problem = self._problem(material)
            if self._signature() == before:
                if problem:
                    raise TlsError(problem)
                return material
        raise TlsError(f"{self._directory}: the files keep changing")

    def _problem(self, material: Material) -> str:
        """Returns what is wrong with the files, without their contents; empty if they are usable."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            # An encrypted key must fail here, not ask for its password on a terminal.
            context.load_cert_chain(self._directory / "tls.crt", self._directory / "tls.key", password=lambda: b"")
        except (ssl.SSLError, OSError):
            return f"{self._directory}: tls.crt and tls.key are no certificate and its unencrypted key, both in PEM"
        try:
            context.load_verify_locations(cadata=material.authority.decode("ascii"))
        except (ssl.SSLError, ValueError):
            return f"{self._directory}: ca.crt holds no certificates in PEM"
        return ""


def server_credentials(files: Files) -> grpc.ServerCredentials:
    """Returns credentials that take callers with a certificate of our authority only, by the files of the moment."""
    used = files.material

    def renewed() -> "grpc.ServerCertificateConfiguration | None":
        nonlocal used
        material = files.material
        if material is used:
            return None
        used = material
        return _configuration(material)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        renewed,  # type: ignore[arg-type]  # None says that nothing changed; the stubs do not know it
        require_client_authentication=True,
    )


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """Returns credentials for one channel; they are never renewed."""
    return grpc.ssl_channel_credentials(
        root_certificates=material.authority, private_key=material.key, certificate_chain=material.certificate
    )


def _configuration(material: Material) -> "grpc.ServerCertificateConfiguration":
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.certificate)], root_certificates=material.authority
    )
