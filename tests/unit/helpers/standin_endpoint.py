"""A stand-in for an endpoint: a server on loopback that replays captured or scripted bytes, over TLS if wished."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FIXTURES = Path(__file__).parents[1] / "fixtures" / "endpoint"
# What is sent for one request: bytes, and seconds to wait in between.
Script = Sequence[bytes | float]


def captured(name: str) -> bytes:
    """Return an answer of the real Ollama 0.34.4, byte for byte."""
    return (FIXTURES / f"{name}.http.bin").read_bytes()


def scripted(status: int, body: Any = b"", kind: str = "application/json", **headers: str) -> bytes:
    """Return an answer that is made up here; the connection's end is the body's end."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Stand-in", f"Content-Type: {kind}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + data


@dataclass
class StandIn:
    """Serves one script after the other, the last one again and again; keeps what was asked."""

    scripts: list[Script]
    context: ssl.SSLContext | None = None
    reset: bool = False
    port: int = 0
    requests: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Listen and serve in a thread."""
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)

    @property
    def url(self) -> str:
        """Return the base address."""
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    def body(self, number: int = -1) -> dict[str, Any]:
        """Return the JSON that was asked."""
        asked: dict[str, Any] = json.loads(self.requests[number].partition(b"\r\n\r\n")[2])
        return asked

    def _serve(self) -> None:
        while True:
            try:
                sock, _peer = self.listener.accept()
            except OSError:
                return
            with suppress(OSError), sock:
                self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        sock.settimeout(5)
        if self.context:
            sock = self.context.wrap_socket(sock, server_side=True)
        with sock:
            request = self._request(sock)
            if not request:
                return
            if request.startswith(b"POST"):
                self.requests.append(request)
            for part in self.scripts[min(max(len(self.requests), 1), len(self.scripts)) - 1]:
                if isinstance(part, bytes):
                    sock.sendall(part)
                else:
                    time.sleep(part)
            if self.reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def _request(self, sock: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more or more[:1] == b"\x16":
                # A TLS hello to a server of plain HTTP.
                sock.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" if more else b"")
                return b""
            data += more
        head, _blank, body = data.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length:
            body += sock.recv(65536)
        return head + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Authority:
    """A certificate authority made for the tests."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        """Make the authority and its file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = _builder(subject, subject, key, 0, 1).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        made = cls(folder, name, key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()))
        made.file.write_text(made.pem)
        return made

    @property
    def pem(self) -> str:
        """Return the certificate as text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def file(self) -> Path:
        """Return the file with the certificate."""
        return self.folder / f"{self.name}.pem"

    def context(self, name: str = "127.0.0.1", *, first_day: int = 0, last_day: int = 1) -> ssl.SSLContext:
        """Return what a server with a certificate for ``name`` needs; days are counted from today."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
        builder = _builder(subject, self.certificate.subject, key, first_day, last_day)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = builder.add_extension(authority, critical=False).sign(self.key, hashes.SHA256())
        pair = self.folder / f"server-{key.private_numbers().private_value % 10**12}.pem"
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        pair.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, first_day: int, last_day: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now + dt.timedelta(days=first_day, hours=-1))
    return builder.not_valid_after(now + dt.timedelta(days=last_day))
