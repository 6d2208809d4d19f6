"""What changes, what must not, and what is refused."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from conftest import Converge, log_entry, post, send
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from molecule_client import KEY, MODEL, Gateway, changed
from testinfra.host import Host

STATE = "find /etc/nginx /etc/systemd/system /etc/llm/tls -type f -exec sha256sum {} + | sort"
SECOND = "second-key-for-test-hosts-0123456789abcdef"
KEYS = [{"name": "tester", "key": KEY}, {"name": "second", "key": SECOND}]


def pair(folder: Path, key: ec.EllipticCurvePrivateKey | None = None) -> dict[str, str]:
    """Leave a self-signed certificate and a key in ``folder``; return them as inputs of the role."""
    own = ec.generate_private_key(ec.SECP256R1())
    name = "llm.example"
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9)).public_key(own.public_key())
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    (folder / "given.crt").write_bytes(builder.sign(own, hashes.SHA256()).public_bytes(Encoding.PEM))
    (folder / "given.key").write_bytes((key or own).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"gateway_tls_mode": "given", "gateway_tls_certificate": str(folder / "given.crt"), "gateway_tls_key": str(folder / "given.key")}


def served(gateway: Gateway, ca: str | None = None) -> x509.Certificate:
    """Return the certificate that the gateway shows."""
    address = gateway.url.removeprefix("https://")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((address, 443), ca_certs=ca).encode())


def words_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a run says, without the line breaks that the callback makes."""
    return re.sub(r"\s+", " ", done.stdout)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"gateway_keys": [{"name": "a", "key": KEY[:31]}]}, "The key of 'a' in gateway_keys must have at least 32"),
        ({"gateway_keys": "none"}, "gateway_keys"),
        ({"gateway_port": "https"}, "gateway_port"),
        ({"gateway_upstreams": [{"name": "x", "engine": "triton", "servers": ["127.0.0.1:1"]}]}, "the gateway knows ollama"),
        (
            {"gateway_upstreams": [{"name": "x", "engine": "ollama", "servers": ["127.0.0.1:1"], "models": ["nope"]}]},
            "Upstream 'x' has the model 'nope', but llm_models has no such name",
        ),
        ({"gateway_tls_mode": "acme"}, "gateway_tls_mode"),
    ],
    ids=["key", "keys", "port", "engine", "model", "mode"],
)
def test_bad_input_is_refused_before_anything_changes(host: Host, converge: Converge, inputs: dict[str, Any], words: str) -> None:
    before = host.check_output(STATE)
    done = converge(**inputs)
    assert done.returncode != 0
    assert words in words_of(done)
    assert KEY[:31] not in done.stdout
    assert "changed=0" in done.stdout
    assert host.check_output(STATE) == before


def test_a_port_in_use_is_refused(host: Host, converge: Converge) -> None:
    host.check_output("systemd-run --unit port-holder python3 -m http.server --bind 127.0.0.1 8443")
    try:
        host.check_output("for i in $(seq 50); do ss -Hltn | grep -q :8443 && exit 0; sleep 0.1; done; exit 1")
        done = converge(gateway_port=8443)
    finally:
        host.check_output("systemctl stop port-holder")
    assert re.search(r"should listen on 0\.0\.0\.0 port 8443, but 'python3' \(pid \d+\) listens on 127\.0\.0\.1 there", words_of(done))
    assert "changed=0" in done.stdout


def test_a_broken_extra_configuration_does_not_go_live(host: Host, gateway: Gateway, converge: Converge) -> None:
    before = host.check_output(STATE)
    done = converge(gateway_extra_config="no_such_directive on;", gateway_keys=KEYS)
    assert done.returncode != 0
    assert "put back" in words_of(done)
    assert 'unknown directive "no_such_directive" in /etc/nginx/conf.d/llm.conf' in words_of(done)
    assert host.check_output(STATE) == before
    assert send(gateway, "GET", "/v1/models").status == 200


def test_check_mode_tells_what_a_run_would_change_and_no_secret(host: Host, converge: Converge) -> None:
    before = host.check_output(STATE)
    done = converge("--check", "--diff", gateway_keys=KEYS, gateway_timeout=60, gateway_server_names=["other.example"])
    assert done.returncode == 0
    assert changed(done.stdout) > 0
    assert "+        proxy_read_timeout 60s;" in done.stdout
    assert "should be for DNS:onprem-llm-gateway" in words_of(done)
    assert SECOND not in done.stdout
    assert "clients" not in done.stdout
    assert host.check_output(STATE) == before


def test_a_key_comes_and_goes_without_a_restart(host: Host, gateway: Gateway, converge: Converge) -> None:
    master = host.check_output("cat /run/nginx.pid")
    assert send(gateway, "GET", "/v1/models", key=SECOND).status == 401
    done = converge("--diff", gateway_keys=KEYS)
    assert done.returncode == 0, done.stdout
    assert SECOND not in done.stdout
    reply = send(gateway, "GET", "/v1/models", key=SECOND)
    assert (reply.status, log_entry(host, reply)["client"]) == (200, "second")
    assert converge().returncode == 0
    assert send(gateway, "GET", "/v1/models", key=SECOND).status == 401
    assert host.check_output("cat /run/nginx.pid") == master


def test_anonymous_clients_where_they_may(gateway: Gateway, converge: Converge) -> None:
    assert converge(gateway_keys=[], gateway_allow_anonymous=True).returncode == 0
    assert send(gateway, "GET", "/v1/models", key=None).status == 200
    assert send(gateway, "GET", "/v1/models", key="unused").status == 200
    assert send(gateway, "GET", "/api/ps", key=None).status == 404


def test_limits_per_client(gateway: Gateway, converge: Converge) -> None:
    assert converge(gateway_rate=1, gateway_burst=1, gateway_connections=1, gateway_keys=KEYS).returncode == 0
    replies = [send(gateway, "GET", "/api/version") for dummy in range(4)]
    assert [reply.status for reply in replies][:2] == [200, 200]
    assert (replies[-1].status, replies[-1].error["code"], replies[-1].headers["retry-after"]) == (429, "rate_limit_exceeded", "1")
    assert send(gateway, "GET", "/api/version", key=SECOND).status == 200

    time.sleep(3)  # until the rate allows two more
    messages = [{"role": "user", "content": "Write a long story."}]
    stream = gateway.openai().chat.completions.create(model=MODEL, messages=messages, max_tokens=300, stream=True)  # type: ignore[call-overload]
    next(iter(stream))
    with pytest.raises(openai.RateLimitError):
        gateway.openai().models.list()
    assert gateway.openai(SECOND).models.list().data
    stream.close()


def test_a_certificate_is_renewed_by_the_same_ca(gateway: Gateway, converge: Converge) -> None:
    ca, before = gateway.ca.read_text(), served(gateway)
    # The one there is good for 397 days.
    inputs = {"gateway_tls_days": 500, "gateway_tls_renew_days": 450, "gateway_server_names": ["llm.example", "10.9.8.7"]}
    assert changed(converge(**inputs).stdout) > 0
    after = served(gateway, str(gateway.ca))
    assert after.not_valid_after_utc > before.not_valid_after_utc + timedelta(days=90)
    names = after.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.9.8.7" in [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert gateway.ca.read_text() == ca
    assert changed(converge(**inputs).stdout) == 0


def test_a_given_pair_that_does_not_fit(host: Host, converge: Converge, tmp_path: Path) -> None:
    before = host.check_output(STATE)
    done = converge(**pair(tmp_path, key=ec.generate_private_key(ec.SECP256R1())))
    assert "gateway_tls_key does not belong" in words_of(done)
    assert host.check_output(STATE) == before


def test_a_given_pair(host: Host, gateway: Gateway, converge: Converge, tmp_path: Path) -> None:
    inputs = pair(tmp_path)
    assert converge(**inputs).returncode == 0
    assert changed(converge(**inputs).stdout) == 0
    assert served(gateway) == x509.load_pem_x509_certificate((tmp_path / "given.crt").read_bytes())
    assert host.file("/etc/llm/tls/given.key").mode == 0o600
    with pytest.raises(ssl.SSLCertVerificationError):
        send(gateway, "GET", "/health")

    host.check_output("mkdir -p /etc/enrolled && cp /etc/llm/tls/given.crt /etc/llm/tls/given.key /etc/enrolled/")
    in_place = {
        "gateway_tls_mode": "given",
        "gateway_tls_remote_src": True,
        "gateway_tls_certificate": "/etc/enrolled/given.crt",
        "gateway_tls_key": "/etc/enrolled/given.key",
    }
    assert converge(**in_place).returncode == 0
    assert changed(converge(**in_place).stdout) == 0
    assert "ssl_certificate_key /etc/enrolled/given.key;" in host.file("/etc/nginx/conf.d/llm.conf").content_string
    host.check_output("openssl genpkey -algorithm ed25519 -out /etc/enrolled/given.key")
    assert "gateway_tls_key does not belong" in words_of(converge(**in_place))


def test_other_sites_are_left_alone_and_named(host: Host, converge: Converge) -> None:
    # The default site, edited, is somebody's.
    host.check_output(
        "echo 'server { listen 127.0.0.1:8081; }' > /etc/nginx/conf.d/other.conf; cd /etc/nginx/sites-available; "
        "cp -p default /root/; echo '# mine' >> default; ln -s $PWD/default ../sites-enabled/"
    )
    try:
        done = converge()
        assert "also has /etc/nginx/conf.d/other.conf, /etc/nginx/sites-enabled/default" in words_of(done)
        assert changed(done.stdout) == 0
        host.check_output("cp -p /root/default /etc/nginx/sites-available/")
        assert changed(converge().stdout) > 0
        assert not host.file("/etc/nginx/sites-enabled/default").exists
        assert host.file("/etc/nginx/conf.d/other.conf").exists
    finally:
        host.check_output(
            "cp -p /root/default /etc/nginx/sites-available/; rm -f /etc/nginx/conf.d/other.conf /etc/nginx/sites-enabled/default"
        )
        host.check_output("systemctl reload nginx")


# Not Ollama, but a stand-in that answers with what it was sent, or late: Ollama does not show that.
ECHO = """
import http.server, json, time
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if 'X-Late' in self.headers:
            time.sleep(3)
        body = json.dumps({'line': self.requestline, 'headers': dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(('127.0.0.1', 18080), Echo).serve_forever()
"""


def test_what_an_engine_is_sent(host: Host, gateway: Gateway, converge: Converge) -> None:
    upstreams = [
        {"name": "echo", "engine": "ollama", "servers": ["127.0.0.1:18080"]},
        {"name": "gpu", "engine": "vllm", "servers": ["127.0.0.1:18009", "127.0.0.1:18001"], "models": ["standin"]},
    ]
    assert converge(gateway_upstreams=upstreams, gateway_timeout=1).returncode == 0
    reply = send(gateway, "GET", "/api/version")
    assert (reply.status, reply.error["code"]) == (502, "upstream_unavailable")
    # Of two servers one is dead: the other one answers.
    for _round in range(4):
        assert post(gateway, "/v1/chat/completions", {"model": "standin", "messages": [{"role": "user", "content": "Hi"}]}).status == 200

    host.check_output(f'systemd-run --unit echo-engine python3 -c "{ECHO}"')
    try:
        host.check_output("for i in $(seq 50); do ss -Hltn | grep -q :18080 && exit 0; sleep 0.1; done; exit 1")
        seen = json.loads(send(gateway, "GET", "/api/version?a=b", Accept="x/y").body)
        assert seen["line"] == "GET /api/version HTTP/1.1"
        assert seen["headers"] == {"Host": "localhost:11434", "Accept": "x/y"}
        late = send(gateway, "GET", "/api/version", X_Late="yes")
        assert (late.status, late.error["code"]) == (504, "upstream_timeout")
    finally:
        host.check_output("systemctl stop echo-engine")


def test_a_model_comes_and_goes_without_a_restart(host: Host, gateway: Gateway, converge: Converge) -> None:
    master = host.check_output("cat /run/nginx.pid")
    only = [{"name": MODEL, "engine": "ollama", "source": "file:/srv/in/x.gguf"}]
    assert changed(converge(llm_models=only).stdout) > 0
    assert post(gateway, "/v1/completions", {"model": "standin", "prompt": "Hi"}).status == 404
    assert post(gateway, "/v1/completions", {"model": MODEL, "prompt": "Hi", "max_tokens": 1}).status == 200
    assert changed(converge().stdout) > 0
    assert post(gateway, "/v1/completions", {"model": "standin", "prompt": "Hi"}).status == 200
    assert host.check_output("cat /run/nginx.pid") == master


def test_removal(host: Host, gateway: Gateway, converge: Converge) -> None:
    key = host.check_output("sha256sum /etc/llm/tls/ca.key")
    done = converge(gateway_state="absent")
    assert done.returncode == 0, done.stdout
    for path in ("/etc/nginx/llm", "/etc/nginx/conf.d/llm.conf", "/etc/systemd/system/nginx.service.d/llm.conf"):
        assert not host.file(path).exists
    assert host.socket("tcp://127.0.0.1:443").is_listening is False
    assert host.service("nginx").is_running
    assert changed(converge(gateway_state="absent").stdout) == 0
    # Clients still trust the CA when the gateway comes back.
    assert converge().returncode == 0
    assert host.check_output("sha256sum /etc/llm/tls/ca.key") == key
    assert send(gateway, "GET", "/v1/models").status == 200
