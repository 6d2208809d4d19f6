# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``gateway`` refuses, and what it tells nginx; decided on the controller before a host is touched."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.gateway_routes import gateway_upstreams, model_problems

KEY_LENGTH = 32
# What an Authorization header can carry after "Bearer" (RFC 6750, section 2.1).
KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
CLIENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UPSTREAM_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
HOST_NAME = re.compile(r"(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
PLAIN_PATH = re.compile(r"/[^\s;{}\"'$]+")
RESERVED_NAME = "anonymous"


@dataclass(frozen=True)
class Listener:
    """A TCP socket that listens on the host, and who holds it ('' where ss does not tell)."""

    address: str
    process: str
    pid: str

    def collides_with(self, address: str) -> bool:
        """Tell whether nobody else can listen on ``address`` at the same port."""
        mine, theirs = _host(self.address), _host(address)
        if mine == theirs or {mine, theirs} & {"*", "::"}:
            return True
        return ":" not in mine + theirs and "0.0.0.0" in {mine, theirs}  # noqa: S104  compared, not bound


def gateway_problems(inputs: Mapping[str, Any]) -> list[str]:
    """Return one sentence (str) for each input that cannot work. No sentence repeats a key.

    ``inputs`` holds the role's inputs without their prefix, ``system`` (dict of os_family, distribution, version) and
    ``engines`` (the engines that the role knows) and ``models`` (the list ``llm_models``).
    """
    return [
        *_system_problems(inputs["system"]),
        *_key_problems(inputs["keys"], inputs["allow_anonymous"]),
        *_upstream_problems(inputs),
        *_model_problems(inputs),
        *_address_problems(inputs),
        *_tls_problems(inputs),
        *_number_problems(inputs),
    ]


def gateway_probe(text: str) -> dict[str, Any]:
    """Return what ``files/probe.sh`` found: its sections by name, some of them as lists of lines."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = sections.setdefault(line[3:], [])
        else:
            lines.append(line)
    found: dict[str, Any] = {name: "\n".join(part) for name, part in sections.items()}
    return found | {name: sections.get(name, []) for name in ("installed", "listeners", "service", "sites")}


def gateway_host_problems(probe: Mapping[str, Any], listen: Sequence[str], port: int) -> list[str]:
    """Return one sentence (str) for each address of ``listen`` that another program than nginx holds."""
    problems = []
    for listener in map(_listener, probe["listeners"]):
        for address in listen:
            if listener.process != "nginx" and listener.collides_with(address):
                holder = f"'{listener.process}' (pid {listener.pid})" if listener.process else "another program"
                problems.append(
                    f"The gateway should listen on {address} port {port}, but {holder} listens on {listener.address} there: "
                    "stop it, or set gateway_port or gateway_listen."
                )
                break
    return problems


def _system_problems(system: Mapping[str, str]) -> Iterator[str]:
    if system["os_family"] != "Debian":
        yield (
            "The gateway needs nginx's Lua module as a distribution package, which Debian 12 and newer and Ubuntu 22.04 and newer have, "
            f"but this host runs {system['distribution']} {system['version']}: put the gateway on one of those."
        )


def _key_problems(entries: Sequence[Mapping[str, str]], allow_anonymous: bool) -> Iterator[str]:
    if not entries and not allow_anonymous:
        yield (
            "gateway_keys is empty, so nobody could use the gateway: add {name: CLIENT, key: KEY} with a key such as "
            "'openssl rand -hex 32' makes, or set gateway_allow_anonymous: true to let everybody in."
        )
    seen: dict[str, str] = {}
    for number, entry in enumerate(entries, start=1):
        name, key = str(entry.get("name", "")), str(entry.get("key", ""))
        if not CLIENT_NAME.fullmatch(name) or name == RESERVED_NAME:
            yield (
                f"Entry {number} of gateway_keys has a name that is written to logs and must be 1 to 64 letters, digits, '.', '_', '-', "
                f"but not '{RESERVED_NAME}': rename it."
            )
            name = f"number {number}"
        if len(key) < KEY_LENGTH:
            yield (
                f"The key of '{name}' in gateway_keys must have at least {KEY_LENGTH} characters, but it has {len(key)}: "
                "make a new one with 'openssl rand -hex 32'."
            )
        elif not KEY.fullmatch(key):
            yield (
                f"The key of '{name}' in gateway_keys has characters that an Authorization header cannot carry: "
                "use letters, digits and '-._~+/', such as 'openssl rand -hex 32' makes."
            )
        if key and key in seen:
            yield f"'{name}' and '{seen[key]}' have the same key in gateway_keys, so the log could not tell them apart: give each its own."
        seen.setdefault(key, name)


def _upstream_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    upstreams, engines = inputs["upstreams"], inputs["engines"]
    names = [upstream["name"] for upstream in upstreams]
    if len(set(names)) < len(names):
        yield "gateway_upstreams has a name twice: give each upstream its own."
    for upstream in upstreams:
        name, engine = upstream["name"], upstream["engine"]
        if not UPSTREAM_NAME.fullmatch(name):
            yield f"gateway_upstreams has a name {name!r}, but it must be 1 to 64 lower-case letters, digits, '.', '_', '-': rename it."
        if engine not in engines:
            yield f"Upstream '{name}' has the engine {engine!r}, but the gateway knows {', '.join(engines)}: choose one of these."
        if not upstream["servers"]:
            yield f"Upstream '{name}' has no servers: add at least one, such as 127.0.0.1:11434."
        for server in upstream["servers"]:
            host, colon, port = server.rpartition(":")
            if not colon or not _is_host(host) or not port.isdecimal() or not 0 < int(port) < 65536:
                yield f"Upstream '{name}' has a server {server!r}, but it must be HOST:PORT, such as 127.0.0.1:11434: correct it."


def _model_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    ports = [inputs["ollama_port"], inputs["vllm_port"]]
    for name, port in zip(("ollama", "vllm"), ports, strict=True):
        if not 0 < int(port) < 65536:
            yield f"gateway_{name}_port must be from 1 to 65535, but it is {port}: correct it, or {name}_port, which it follows."
    try:
        yield from model_problems(gateway_upstreams(inputs["upstreams"], inputs["models"], *ports), inputs["models"])
    except ModelError as exc:
        yield str(exc)


def _address_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    if not 0 < inputs["port"] < 65536:
        yield f"gateway_port must be from 1 to 65535, but it is {inputs['port']}: choose another, such as 443."
    if not inputs["listen"]:
        yield "gateway_listen is empty, so nobody could reach the gateway: name addresses, such as 0.0.0.0 for all."
    for address in inputs["listen"]:
        if not _is_ip(address):
            yield f"gateway_listen has {address!r}, but it must be an IP address of the host, 0.0.0.0 or '::': correct it."
    for name in inputs["server_names"]:
        if not _is_ip(name) and not HOST_NAME.fullmatch(name):
            yield f"gateway_server_names has {name!r}, but it must be a host name (in punycode) or an IP address: correct it."


def _tls_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs["tls_mode"] == "given":
        for key in ("tls_certificate", "tls_key"):
            path, where = inputs[key], "host" if inputs["tls_remote_src"] else "controller"
            if not path:
                yield f"gateway_{key} is empty, but gateway_tls_mode is 'given': name a PEM file, or let the role make a private CA."
            elif not PLAIN_PATH.fullmatch(path):
                yield f"gateway_{key} is {path!r}, but it must be an absolute path on the {where} without spaces and quotes: correct it."
            elif not inputs["tls_remote_src"] and not Path(path).is_file():
                yield f"gateway_{key} is {path!r}, but there is no such file on the controller: correct it, or set gateway_tls_remote_src."
        return
    export = inputs["ca_export"]
    if export and not (Path(export).is_absolute() and Path(export).parent.is_dir()):
        yield f"gateway_ca_export must be an absolute path in an existing folder of the controller, but it is {export!r}: correct it."


def _number_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    least = {"timeout": 1, "rate": 0, "burst": 0, "connections": 0, "hsts": 0, "tls_renew_days": 1, "tls_days": 2, "ca_days": 3}
    for name, lowest in least.items():
        if inputs[name] < lowest:
            yield f"gateway_{name} must be at least {lowest}, but it is {inputs[name]}: raise it."
    if inputs["tls_renew_days"] >= inputs["tls_days"]:
        yield "gateway_tls_renew_days must be smaller than gateway_tls_days, or every run would make a new certificate: lower it."
    if inputs["tls_days"] >= inputs["ca_days"]:
        yield "gateway_tls_days must be smaller than gateway_ca_days, because no certificate outlives its CA: lower it."
    if not re.fullmatch(r"[1-9][0-9]*[kmg]?", inputs["body_limit"]):
        yield f"gateway_body_limit must be a size such as 32m, but it is {inputs['body_limit']!r}: correct it."


def _listener(line: str) -> Listener:
    """Read a line of ``ss --no-header --listening --tcp --numeric --processes`` (iproute2)."""
    fields = line.split(None, 5)
    holder = re.search(r'\(\("([^"]+)",pid=(\d+)', line)
    return Listener(fields[3].rpartition(":")[0], *(holder.groups() if holder else ("", "")))


def _host(address: str) -> str:
    return address.strip("[]").split("%")[0]


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(_host(text))
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    if ":" in text:
        return text.startswith("[") and text.endswith("]") and _is_ip(text)
    return _is_ip(text) or bool(HOST_NAME.fullmatch(text))
