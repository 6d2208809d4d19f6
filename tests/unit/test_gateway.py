"""What the role ``gateway`` refuses, and what it tells nginx, as tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.plugin_utils.gateway import gateway_problems
from ansible_collections.onprem.llm.plugins.plugin_utils.nginx_site import nginx_host_problems, nginx_probe

ROLE = Path(__file__).parents[2] / "roles" / "gateway"
KEY = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
MODELS = [
    {"name": "llama", "source": "file:/m.gguf"},
    {"name": "opt", "engine": "vllm", "source": "file:/opt"},
    {"name": "bert", "engine": "vllm", "source": "file:/bert"},
    {"name": "gone", "engine": "vllm", "state": "absent"},
]
OLLAMA = {"name": "ollama", "engine": "ollama", "servers": ["127.0.0.1:11434"]}
VLLM = {"name": "vllm", "engine": "vllm", "servers": ["10.0.0.2:8000"]}
GOOD: dict[str, Any] = {
    **{name.removeprefix("gateway_"): value for name, value in yaml.safe_load((ROLE / "defaults/main.yml").read_text()).items()},
    "system": {"os_family": "Debian", "distribution": "Debian", "version": "12"},
    "engines": ["ollama", "vllm"],
    "models": MODELS,
    "ollama_port": 11434,
    "vllm_port": 8000,
    "keys": [{"name": "tester", "key": KEY}],
}


def test_defaults_with_a_key_are_accepted() -> None:
    assert gateway_problems(GOOD) == []


@pytest.mark.parametrize(
    "change",
    [
        {"keys": [{"name": "a", "key": KEY}, {"name": "a", "key": OTHER}]},
        {"keys": [], "allow_anonymous": True},
        {"listen": ["0.0.0.0", "::", "10.0.0.2", "[fd00::1]"]},  # noqa: S104  a value to judge
        {"server_names": ["llm.example", "*.llm.example", "10.0.0.2", "fd00::1", "xn--bcher-kva.example"]},
        {"upstreams": [{**OLLAMA, "servers": ["10.0.0.2:11434", "[fd00::1]:11434", "gpu1.example:80"]}, VLLM]},
        {"upstreams": [OLLAMA, {**VLLM, "models": ["opt"]}, {**VLLM, "name": "vllm2"}]},
        {"upstreams": [OLLAMA, VLLM], "models": []},
        {"models": []},
        {"body_limit": "1g"},
        {"tls_mode": "given", "tls_certificate": "/etc/c", "tls_key": "/root/k", "tls_remote_src": True, "harden": False},
    ],
)
def test_what_is_accepted(change: dict[str, Any]) -> None:
    assert gateway_problems(GOOD | change) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"system": {"os_family": "RedHat", "distribution": "Rocky", "version": "9.4"}}, "Debian 12 and newer .* runs Rocky 9.4"),
        ({"keys": []}, "gateway_keys is empty"),
        ({"keys": [{"name": "a", "key": KEY[1:]}]}, "'a' .* at least 32 characters, but it has 31"),
        ({"keys": [{"name": "a", "key": ""}]}, "at least 32 characters, but it has 0"),
        ({"keys": [{"name": "a", "key": KEY + " x"}]}, "cannot carry"),
        ({"keys": [{"name": "a", "key": KEY + "é"}]}, "cannot carry"),
        ({"keys": [{"name": "a", "key": KEY + "\n"}]}, "cannot carry"),
        ({"keys": [{"name": "a", "key": KEY}, {"name": "b", "key": KEY}]}, "'b' and 'a' have the same key"),
        ({"keys": [{"name": "a b", "key": KEY}]}, "Entry 1 .* rename"),
        ({"keys": [{"name": "", "key": KEY}]}, "Entry 1 .* rename"),
        ({"keys": [{"name": "anonymous", "key": KEY}]}, "not 'anonymous'"),
        ({"keys": [{"name": KEY * 3, "key": KEY}]}, "Entry 1"),
        ({"upstreams": [OLLAMA, OLLAMA]}, "a name twice"),
        ({"upstreams": [{**OLLAMA, "name": "a;b"}]}, "has a name 'a;b'"),
        ({"upstreams": [{**OLLAMA, "engine": "triton"}]}, "knows ollama, vllm"),
        ({"upstreams": [{**OLLAMA, "servers": []}]}, "no servers"),
        ({"upstreams": [OLLAMA]}, "model 'opt' of llm_models has no upstream: add one of the engine 'vllm'"),
        ({"upstreams": [OLLAMA, {**VLLM, "models": ["opt"]}]}, "model 'bert' of llm_models has no upstream"),
        ({"upstreams": [OLLAMA, {**VLLM, "models": ["opt", "nope"]}]}, "has the model 'nope', but llm_models has no such name"),
        ({"upstreams": [OLLAMA, {**VLLM, "models": ["gone"]}]}, "'gone', but llm_models has no such name that is present"),
        ({"upstreams": [{**OLLAMA, "models": ["opt"]}, VLLM]}, "'ollama' has the engine 'ollama', but its model 'opt' runs on 'vllm'"),
        ({"upstreams": [OLLAMA, VLLM, {**VLLM, "name": "more"}]}, "'vllm' and 'more' both have the model 'opt'"),
        ({"models": "all"}, "llm_models must be a list"),
        ({"models": [*MODELS, {"name": "LLAMA:latest", "source": "file:/x"}]}, "which is the same name"),
        ({"vllm_port": 65535}, "would listen on port 65536"),
        ({"ollama_port": 0}, "gateway_ollama_port must be from 1 to 65535"),
        *[
            ({"upstreams": [{**OLLAMA, "servers": [server]}]}, "must be HOST:PORT")
            for server in (
                "127.0.0.1",
                "127.0.0.1:0",
                "127.0.0.1:65536",
                "a b:80",
                "x;y:80",
                "unix:/run/x",
                "fd00::1:80",
                "http://a:80",
                ":80",
            )
        ],
        ({"listen": []}, "gateway_listen is empty"),
        ({"listen": ["eth0"]}, "must be an IP address"),
        ({"port": 0}, "1 to 65535"),
        ({"port": 65536}, "1 to 65535"),
        ({"server_names": ["a;b"]}, "must be a host name"),
        ({"server_names": ["a b"]}, "must be a host name"),
        ({"server_names": ["bücher.example"]}, "punycode"),
        ({"tls_mode": "given"}, "gateway_tls_certificate is empty"),
        ({"tls_mode": "given", "tls_certificate": "llm.crt"}, "absolute path on the controller"),
        ({"tls_mode": "given", "tls_certificate": "/nowhere/llm.crt"}, "no such file on the controller"),
        ({"tls_mode": "given", "tls_key": "/a;b", "tls_remote_src": True}, "absolute path on the host"),
        ({"tls_mode": "given", "tls_certificate": "/etc/c", "tls_key": "/root/k", "tls_remote_src": True}, "does not see in its sandbox"),
        ({"tls_dir": "/home/llm/tls"}, "gateway_tls_dir is '/home/llm/tls', which nginx does not see in its sandbox"),
        ({"listen": "0.0.0.0"}, "gateway_listen must be a list"),  # noqa: S104  a value to judge
        ({"server_names": "llm.example"}, "gateway_server_names must be a list"),
        ({"ca_export": "ca.pem"}, "absolute path"),
        ({"ca_export": "/nowhere/ca.pem"}, "existing folder"),
        ({"timeout": 0}, "gateway_timeout must be at least 1"),
        ({"rate": -1}, "gateway_rate must be at least 0"),
        ({"tls_renew_days": 397}, "smaller than gateway_tls_days"),
        ({"tls_days": 3650}, "smaller than gateway_ca_days"),
        ({"body_limit": "32 MB"}, "such as 32m"),
    ],
)
def test_what_is_refused(change: dict[str, Any], words: str) -> None:
    problems = gateway_problems(GOOD | change)
    assert any(re.search(words, problem) for problem in problems), problems
    assert not any(KEY[1:] in problem for problem in problems), "a sentence repeats a key"


PROBE = """\
== nginx
/usr/sbin/nginx
== service
active
enabled
== listeners
LISTEN 0      511          0.0.0.0:443       0.0.0.0:*    users:(("nginx",pid=7,fd=5),("nginx",pid=6,fd=5))
LISTEN 0      511             [::]:443          [::]:*    users:(("apache2",pid=9,fd=4))
== sites
/etc/nginx/conf.d/llm.conf
== default_site
untouched
== ca
-----BEGIN CERTIFICATE-----
AAAA
-----END CERTIFICATE-----
== server
== installed
nginx
"""


def test_the_probe_is_read() -> None:
    found = nginx_probe(PROBE)
    assert found["nginx"] == "/usr/sbin/nginx"
    assert found["service"] == ["active", "enabled"]
    assert found["default_site"] == "untouched"
    assert found["ca"] == "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    assert found["server"] == ""
    assert (found["sites"], found["installed"]) == (["/etc/nginx/conf.d/llm.conf"], ["nginx"])


@pytest.mark.parametrize(
    ("held", "wanted", "taken"),
    [
        ("0.0.0.0", "0.0.0.0", True),  # noqa: S104  values to judge, not to bind
        ("0.0.0.0", "10.0.0.2", True),  # noqa: S104
        ("10.0.0.2", "0.0.0.0", True),  # noqa: S104
        ("*", "10.0.0.2", True),
        ("[::]", "10.0.0.2", True),
        ("10.0.0.2", "::", True),
        ("[fd00::1]", "fd00::1", True),
        ("10.0.0.2%eth0", "10.0.0.2", True),
        ("127.0.0.1", "10.0.0.2", False),
        ("[::1]", "0.0.0.0", False),  # noqa: S104
    ],
)
def test_who_holds_the_port(held: str, wanted: str, taken: bool) -> None:
    line = f'LISTEN 0 511 {held}:443 0.0.0.0:* users:(("apache2",pid=9,fd=4))'
    problems = nginx_host_problems({"listeners": [line]}, [wanted], 443)
    assert bool(problems) == taken
    assert all("'apache2' (pid 9)" in problem for problem in problems)
    assert nginx_host_problems({"listeners": [line.replace("apache2", "nginx")]}, [wanted], 443) == []


def test_a_holder_that_ss_does_not_name() -> None:
    problems = nginx_host_problems({"listeners": ["LISTEN 0 128 0.0.0.0:443 0.0.0.0:*"]}, ["10.0.0.2"], 443)
    assert "another program listens on 0.0.0.0" in problems[0]
