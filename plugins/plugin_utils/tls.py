# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles decide about certificates. Runs on the controller, where ansible-core brings ``cryptography``."""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

# ansible-core brings it; ansible-test's import check looks at plugins without.
try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, load_pem_public_key
    from cryptography.utils import CryptographyDeprecationWarning
except ImportError as error:
    MISSING: ImportError | None = error
else:
    MISSING = None


def tls_sans(names: Sequence[str | None]) -> list[str]:
    """Return subject alternative names as ``DNS:name`` and ``IP:address`` (list of str), each once, in order."""
    entries = []
    for name in names:
        if name:
            address = _address(name)
            entries.append(f"IP:{address}" if address else f"DNS:{name.lower()}")
    return list(dict.fromkeys(entries))


def tls_certificate_plan(ca: str, server: str, sans: Sequence[str], renew_days: int, server_days: int) -> dict[str, str]:
    """Return why the CA's and the server's certificates (PEM, '' if there is none) must be made: ``{"ca": "", "server": ""}``.

    An empty reason (str) means that the certificate is good for another ``renew_days``. The CA's is made anew while a server
    certificate of ``server_days`` would outlive it, so clients have that long to learn the new one.
    """
    now = datetime.now(UTC)
    issuer, certificate = _load(ca), _load(server)
    why_ca = ""
    if issuer is None:
        why_ca = "there is no CA yet" if not ca.strip() else "the CA's certificate cannot be read"
    elif _not_after(issuer) < now + timedelta(days=server_days):
        why_ca = f"the CA ends on {_not_after(issuer):%Y-%m-%d}, before a new certificate would"
    why_server = ""
    if certificate is None:
        why_server = "there is no certificate yet" if not server.strip() else "the certificate cannot be read"
    elif _not_after(certificate) < now + timedelta(days=renew_days):
        why_server = f"the certificate ends on {_not_after(certificate):%Y-%m-%d}"
    elif set(_sans_of(certificate)) != set(sans):
        why_server = f"it should be for {', '.join(sans)}, but is for {', '.join(_sans_of(certificate))}"
    elif issuer is not None and not _is_issued_by(certificate, issuer):
        why_server = "it is from another CA"
    return {"ca": why_ca, "server": why_server or why_ca}


def tls_given_problems(certificate: str, key: str, names: Sequence[str], role: str = "gateway") -> list[str]:
    """Return one sentence (str) for each reason why a given certificate (PEM chain) cannot serve.

    ``key`` is the private key, or its public half, as PEM; ``names`` are what clients call the host, and ``role`` is whose
    inputs to name.
    """
    leaf = _load(certificate)
    if leaf is None:
        return [f"{role}_tls_certificate must be a readable PEM file, but it is not: correct the path, or convert DER with 'openssl x509'."]
    problems = []
    now = datetime.now(UTC)
    if _not_after(leaf) < now:
        problems.append(f"The given certificate ended on {_not_after(leaf):%Y-%m-%d}: get a new one.")
    if _not_before(leaf) > now:
        problems.append(f"The given certificate begins on {_not_before(leaf):%Y-%m-%d} only: wait, or correct the controller's clock.")
    try:
        public = _public_half(key)
    except (TypeError, ValueError):
        problems.append(
            f"{role}_tls_key must be a readable file with a private key in PEM and without a passphrase, but it is not: "
            "correct the path, or remove the passphrase with 'openssl pkey -in FILE'."
        )
    else:
        if public != leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
            problems.append(f"{role}_tls_key does not belong to {role}_tls_certificate (the first one, if it is a chain): give the pair.")
    missing = [name for name in names if not _covers(_sans_of(leaf), name)]
    if missing:
        problems.append(
            f"The given certificate is for {', '.join(_sans_of(leaf)) or 'no name'}, but {role}_server_names has {', '.join(missing)}: "
            "get one with all names, or correct the list."
        )
    return problems


def _load(text: str) -> x509.Certificate | None:
    if MISSING is not None:
        raise MISSING
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        return None


def _public_half(key: str) -> bytes:
    data = key.encode()
    public = load_pem_public_key(data) if "PUBLIC KEY" in key else load_pem_private_key(data, password=None).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sans_of(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *(f"DNS:{name.lower()}" for name in names.get_values_for_type(x509.DNSName)),
        *(f"IP:{address}" for address in names.get_values_for_type(x509.IPAddress)),
    ]


def _covers(sans: Sequence[str], name: str) -> bool:
    wanted = tls_sans([name])[0]
    wildcard = f"DNS:*.{name.lower().partition('.')[2]}"
    return wanted in sans or (wanted.startswith("DNS:") and wildcard in sans)


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _address(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return ""


# cryptography 42 has not_valid_after_utc; older ones, which ansible-core 2.19 accepts, warn about nothing.
def _not_after(certificate: x509.Certificate) -> datetime:
    return _utc(certificate, "not_valid_after")


def _not_before(certificate: x509.Certificate) -> datetime:
    return _utc(certificate, "not_valid_before")


def _utc(certificate: x509.Certificate, attribute: str) -> datetime:
    if hasattr(certificate, f"{attribute}_utc"):
        found: datetime = getattr(certificate, f"{attribute}_utc")
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        naive: datetime = getattr(certificate, attribute)
    return naive.replace(tzinfo=UTC)
