# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles that put a site into nginx share: what they refuse, and what their probe found. Decided on the controller."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST_NAME = re.compile(r"(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")
PLAIN_PATH = re.compile(r"/[^\s;{}\"'$]+")
# Whose content nginx does not see in its sandbox.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  compared, not used


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


def nginx_probe(text: str) -> dict[str, Any]:
    """Return what the probe of the role ``common`` found: its sections by name, some of them as lists of lines."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = sections.setdefault(line[3:], [])
        else:
            lines.append(line)
    found: dict[str, Any] = {name: "\n".join(part) for name, part in sections.items()}
    return found | {name: sections.get(name, []) for name in ("installed", "listeners", "service", "sites")}


def nginx_host_problems(probe: Mapping[str, Any], listen: Sequence[str], port: int, role: str = "gateway") -> list[str]:
    """Return one sentence (str) for each address of ``listen`` that another program than nginx holds; ``role`` is whose inputs to name."""
    problems = []
    for listener in map(_listener, probe["listeners"]):
        for address in listen:
            if listener.process != "nginx" and listener.collides_with(address):
                holder = f"'{listener.process}' (pid {listener.pid})" if listener.process else "another program"
                problems.append(
                    f"The {role} should listen on {address} port {port}, but {holder} listens on {listener.address} there: "
                    f"stop it, or set {role}_port or {role}_listen."
                )
                break
    return problems


def is_hidden(path: str) -> bool:
    """Tell whether nginx does not see a path of the host in its sandbox."""
    plain = posixpath.normpath("/" + path.lstrip("/"))
    return any(plain == hidden or plain.startswith(f"{hidden}/") for hidden in HIDDEN)


def list_problems(role: str, inputs: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Say which of the named inputs are no lists of texts; Ansible itself takes a text for a list of its letters."""
    for name in names:
        value = inputs[name]
        if isinstance(value, str) or not isinstance(value, Sequence):
            yield f"{role}_{name} must be a list, but it is {value!r}: write it as a list."
            continue
        for entry in value:
            if not isinstance(entry, str):
                yield f"{role}_{name} has {entry!r}, but each entry must be a text: correct it, or put it in quotes."


def texts_of(value: Any) -> list[str]:
    """Return the texts of a list; of what is none, which ``list_problems`` tells, nothing."""
    return [] if isinstance(value, str) or not isinstance(value, Sequence) else [entry for entry in value if isinstance(entry, str)]


def address_problems(role: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with where the site shall listen, and how it shall be called."""
    if not 0 < inputs["port"] < 65536:
        yield f"{role}_port must be from 1 to 65535, but it is {inputs['port']}: choose another, such as 443."
    yield from list_problems(role, inputs, ("listen", "server_names"))
    if not inputs["listen"]:
        yield f"{role}_listen is empty, so nobody could reach the {role}: name addresses, such as 0.0.0.0 for all."
    for address in texts_of(inputs["listen"]):
        if not is_ip(address):
            yield f"{role}_listen has {address!r}, but it must be an IP address of the host, 0.0.0.0 or '::': correct it."
    for name in texts_of(inputs["server_names"]):
        if not is_ip(name) and not HOST_NAME.fullmatch(name):
            yield f"{role}_server_names has {name!r}, but it must be a host name (in punycode) or an IP address: correct it."


def tls_problems(role: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with a given certificate's place, or with the life of those that the role makes."""
    if inputs["tls_mode"] == "private_ca":
        yield from _lifetime_problems(role, inputs)
    elif inputs["tls_mode"] == "given":
        for key in ("tls_certificate", "tls_key"):
            path, where = inputs[key], "host" if inputs["tls_remote_src"] else "controller"
            if not path:
                yield f"{role}_{key} is empty, but {role}_tls_mode is 'given': name a PEM file, or let the role make a private CA."
            elif not PLAIN_PATH.fullmatch(path):
                yield f"{role}_{key} is {path!r}, but it must be an absolute path on the {where} without spaces and quotes: correct it."
            elif not inputs["tls_remote_src"] and not Path(path).is_file():
                yield f"{role}_{key} is {path!r}, but there is no such file on the controller: correct it, or set {role}_tls_remote_src."
    if inputs["harden"]:
        yield from _hidden_problems(role, inputs)


def _hidden_problems(role: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    in_place = inputs["tls_mode"] == "given" and inputs["tls_remote_src"]
    read = ["tls_certificate", "tls_key"] if in_place else []
    # What the role makes or copies lies in its folder.
    if inputs.get("client_ca") or not (in_place or inputs["tls_mode"] == "none"):
        read.append("tls_dir")
    for key in read:
        if is_hidden(inputs[key]):
            yield (
                f"{role}_{key} is {inputs[key]!r}, which nginx does not see in its sandbox: choose another place, such as one below /etc, "
                f"or set {role}_harden: false."
            )


def _lifetime_problems(role: str, inputs: Mapping[str, Any]) -> Iterator[str]:
    export = inputs["ca_export"]
    if export and not (Path(export).is_absolute() and Path(export).parent.is_dir()):
        yield f"{role}_ca_export must be an absolute path in an existing folder of the controller, but it is {export!r}: correct it."
    for name, lowest in {"tls_renew_days": 1, "tls_days": 2, "ca_days": 3}.items():
        if inputs[name] < lowest:
            yield f"{role}_{name} must be at least {lowest}, but it is {inputs[name]}: raise it."
    if inputs["tls_renew_days"] >= inputs["tls_days"]:
        yield f"{role}_tls_renew_days must be smaller than {role}_tls_days, or every run would make a new certificate: lower it."
    if inputs["tls_days"] >= inputs["ca_days"]:
        yield f"{role}_tls_days must be smaller than {role}_ca_days, because no certificate outlives its CA: lower it."


def _listener(line: str) -> Listener:
    """Read a line of ``ss --no-header --listening --tcp --numeric --processes`` (iproute2)."""
    fields = line.split(None, 5)
    holder = re.search(r'\(\("([^"]+)",pid=(\d+)', line)
    return Listener(fields[3].rpartition(":")[0], *(holder.groups() if holder else ("", "")))


def _host(address: str) -> str:
    return address.strip("[]").split("%")[0]


def is_ip(text: str) -> bool:
    """Tell whether it is an IP address, in brackets or not."""
    try:
        ipaddress.ip_address(_host(text))
    except ValueError:
        return False
    return True


def is_host(text: str) -> bool:
    """Tell whether it is an IP address (IPv6 in brackets) or a host name."""
    if ":" in text:
        return text.startswith("[") and text.endswith("]") and is_ip(text)
    return is_ip(text) or bool(HOST_NAME.fullmatch(text))
