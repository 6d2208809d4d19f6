# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``gateway`` refuses, and what it tells nginx; decided on the controller before a host is touched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.gateway_routes import gateway_upstreams, model_problems
from ansible_collections.onprem.llm.plugins.plugin_utils.nginx_site import address_problems, is_host, tls_problems

KEY_LENGTH = 32
# What an Authorization header can carry after "Bearer" (RFC 6750, section 2.1).
KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
CLIENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UPSTREAM_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
RESERVED_NAME = "anonymous"


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
        *address_problems("gateway", inputs),
        *tls_problems("gateway", inputs),
        *_number_problems(inputs),
    ]


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
            if not colon or not is_host(host) or not port.isdecimal() or not 0 < int(port) < 65536:
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


def _number_problems(inputs: Mapping[str, Any]) -> Iterator[str]:
    least = {"timeout": 1, "rate": 0, "burst": 0, "connections": 0, "hsts": 0}
    for name, lowest in least.items():
        if inputs[name] < lowest:
            yield f"gateway_{name} must be at least {lowest}, but it is {inputs[name]}: raise it."
    if not re.fullmatch(r"[1-9][0-9]*[kmg]?", inputs["body_limit"]):
        yield f"gateway_body_limit must be a size such as 32m, but it is {inputs['body_limit']!r}: correct it."
