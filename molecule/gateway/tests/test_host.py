"""What an administrator finds on the host."""

from __future__ import annotations

import hashlib
import json

import pytest
from conftest import log_entry, post, send
from molecule_client import KEY, MODEL, Gateway, exposure, listeners_off_loopback
from testinfra.host import Host


def test_nothing_but_the_gateway_listens_off_loopback(host: Host) -> None:
    assert listeners_off_loopback(host) == {443}


def test_the_sandbox(host: Host) -> None:
    assert exposure(host, "nginx.service") <= 3.0


def test_the_key_is_nowhere(host: Host, gateway: Gateway) -> None:
    send(gateway, "GET", f"/v1/models?x={KEY}")
    send(gateway, "POST", "/api/chat", body=f'{{"model": "{KEY}"}}'.encode())
    places = "/etc /home /opt /root /tmp /var"
    found = host.run(f"grep --recursive --files-with-matches --binary-files=text --no-messages --fixed-strings '{KEY}' {places}")
    assert found.stdout == ""
    assert KEY not in host.check_output("journalctl --no-pager --output cat")


def test_keys_are_kept_as_digests(host: Host) -> None:
    table = host.file("/etc/nginx/llm/keys.json")
    assert (table.mode, table.user, table.group) == (0o600, "root", "root")
    assert json.loads(table.content) == {"anonymous": False, "clients": {hashlib.sha256(KEY.encode()).hexdigest(): "tester"}}


@pytest.mark.parametrize("name", ["ca.key", "server.key"])
def test_private_keys_are_private(host: Host, name: str) -> None:
    key = host.file(f"/etc/llm/tls/{name}")
    assert (key.mode, key.user, host.file("/etc/llm/tls").mode) == (0o600, "root", 0o700)


def test_the_access_log(host: Host, gateway: Gateway) -> None:
    reply = post(gateway, "/v1/completions?secret=1", {"model": f"{MODEL}:latest", "prompt": "Hi", "max_tokens": 2})
    entry = log_entry(host, reply)
    assert {name: entry[name] for name in ("client", "model", "method", "path", "status", "upstream")} == {
        "client": "tester",
        "model": MODEL,
        "method": "POST",
        "path": "/v1/completions",
        "status": 200,
        "upstream": "llm_ollama",
    }
    assert float(entry["first_byte_seconds"]) <= float(entry["seconds"]) + 0.0015
    assert "secret" not in json.dumps(entry)


def test_a_hostile_path_cannot_forge_a_log_entry(host: Host, gateway: Gateway) -> None:
    entry = log_entry(host, send(gateway, "GET", '/x%22,%22client%22:%22root%22%0a{"a":1}'))
    assert (entry["client"], entry["status"]) == ("", 404)


def test_a_hostile_model_reaches_no_log_and_no_header(host: Host, gateway: Gateway) -> None:
    reply = post(gateway, "/v1/completions", {"model": 'evil"\r\nX-Evil: yes\n{"client":"root"}'})
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert b"vil" not in reply.body
    assert "x-evil" not in reply.headers
    assert log_entry(host, reply)["model"] == ""
    assert host.run("grep --recursive --ignore-case evil /var/log/nginx").stdout == ""


def test_nobody_reloads_a_broken_configuration(host: Host, gateway: Gateway) -> None:
    host.check_output("echo 'no_such_directive;' > /etc/nginx/conf.d/broken.conf")
    try:
        assert host.run("systemctl reload nginx").rc != 0
        assert send(gateway, "GET", "/v1/models").status == 200
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
    host.check_output("systemctl reload nginx")
