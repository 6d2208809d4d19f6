"""What the roles ``gateway`` and ``mirror`` decide about certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from ansible_collections.onprem.llm.plugins.plugin_utils.tls import tls_certificate_plan, tls_given_problems, tls_sans

CA_KEY, OTHER_KEY, SERVER_KEY = (ec.generate_private_key(ec.SECP256R1()) for dummy in range(3))
NAMES = ["llm.example", "10.0.0.2"]


def pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def certificate(days: float, names: list[str], signer: ec.EllipticCurvePrivateKey = CA_KEY, begins: float = -1) -> str:
    """Return a certificate of SERVER_KEY that ends in ``days``; without names, the CA's own."""
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(issuer).issuer_name(issuer).serial_number(1)
    builder = builder.not_valid_before(now + timedelta(days=begins)).not_valid_after(now + timedelta(days=days))
    builder = builder.public_key((SERVER_KEY if names else signer).public_key())
    if names:
        sans = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


CA = certificate(3650, [])
SANS = tls_sans(NAMES)
GOOD = certificate(397, NAMES)


def test_names_and_addresses_are_told_apart() -> None:
    names = ["LLM.example", "", None, "10.0.0.2", "fd00:0:0::1", "llm.example"]
    assert tls_sans(names) == ["DNS:llm.example", "IP:10.0.0.2", "IP:fd00::1"]


@pytest.mark.parametrize(
    ("ca", "server", "why_ca", "why_server"),
    [
        (CA, GOOD, "", ""),
        (CA, certificate(31, NAMES), "", ""),
        (CA, certificate(397, NAMES[::-1]), "", ""),
        ("", "", "there is no CA yet", "there is no certificate yet"),
        (CA, "", "", "there is no certificate yet"),
        (CA, "junk", "", "cannot be read"),
        (CA, certificate(29, NAMES), "", "ends on"),
        (CA, certificate(397, ["llm.example"]), "", "should be for DNS:llm.example, IP:10.0.0.2"),
        (CA, certificate(397, [*NAMES, "old.example"]), "", "but is for"),
        (CA, certificate(397, NAMES, OTHER_KEY), "", "another CA"),
        ("junk", GOOD, "cannot be read", "cannot be read"),
        (certificate(396, []), GOOD, "the CA ends on", "the CA ends on"),
    ],
)
def test_why_certificates_are_made(ca: str, server: str, why_ca: str, why_server: str) -> None:
    plan = tls_certificate_plan(ca, server, SANS, 30, 397)
    for reason, words in ((plan["ca"], why_ca), (plan["server"], why_server)):
        assert words in reason if words else reason == "", plan


PUBLIC = SERVER_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("given", "key", "names"),
    [
        (GOOD, pem(SERVER_KEY), NAMES),
        (GOOD, PUBLIC, []),
        (GOOD + CA, pem(SERVER_KEY), ["LLM.example"]),
        (certificate(9, ["*.llm.example"]), pem(SERVER_KEY), ["a.llm.example", "*.llm.example"]),
    ],
)
def test_a_pair_that_can_serve(given: str, key: str, names: list[str]) -> None:
    assert tls_given_problems(given, key, names) == []


@pytest.mark.parametrize(
    ("given", "key", "names", "words"),
    [
        ("", "", [], "must be a readable PEM file"),
        ("junk", pem(SERVER_KEY), [], "must be a readable PEM file"),
        (GOOD, "", [], "must be a readable file with a private key"),
        (GOOD, "junk", [], "must be a readable file with a private key"),
        (GOOD, pem(SERVER_KEY, b"secret"), [], "without a passphrase"),
        (GOOD, pem(OTHER_KEY), [], "does not belong"),
        (CA + GOOD, pem(SERVER_KEY), [], "the first one, if it is a chain"),
        (certificate(-0.5, NAMES), pem(SERVER_KEY), [], "ended on"),
        (certificate(9, NAMES, begins=1), pem(SERVER_KEY), [], "begins on"),
        (GOOD, pem(SERVER_KEY), ["b.example"], "gateway_server_names has b.example"),
        (certificate(9, ["*.llm.example"]), pem(SERVER_KEY), ["a.b.llm.example"], "gateway_server_names"),
        (certificate(9, ["*.llm.example"]), pem(SERVER_KEY), ["10.0.0.2"], "gateway_server_names"),
    ],
)
def test_a_pair_that_cannot_serve(given: str, key: str, names: list[str], words: str) -> None:
    problems = tls_given_problems(given, key, names)
    assert any(words in problem for problem in problems), problems
    assert not any("PRIVATE KEY-----" in problem for problem in problems)
