# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on a TCP port of this host, read from ``/proc`` (proc_net_tcp.rst and proc(5) describe the formats)."""

from __future__ import annotations

import pwd
import re
import socket as sockets
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LISTEN = "0A"
SOCKET = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True)
class Socket:
    """A socket that listens: its port and address, its inode, and the number of the account that owns it."""

    port: int
    address: str
    inode: str
    uid: int


def holder_of(port: int, unit: str, proc: Path = Path("/proc")) -> dict[str, Any] | None:
    """Return who listens on ``port``, or None: ``name`` (str), ``pid`` (int, 0 if not to be seen), ``ours`` (bool).

    It is ``ours`` if the process belongs to the systemd unit ``unit``. In some containers root may not look into the
    processes of others: then those of the account that owns the socket are asked, the unit's own first.
    """
    owners = dict(_sockets_on(port, proc))
    if not owners:
        return None
    holders, hidden = _holders(set(owners), proc)
    if holders:
        return _described(min(holders.values(), key=_number), unit)
    uids = set(owners.values())
    suspects = [_described(process, unit) for process in hidden if _uid(process) in uids]
    return next(
        (suspect for suspect in suspects if suspect["ours"]),
        suspects[0] if len(suspects) == 1 else {"name": f"a program of the account number {min(uids)}", "pid": 0, "ours": False},
    )


def listening(ports: Iterable[int], proc: Path = Path("/proc")) -> list[dict[str, Any]]:
    """Return who listens on ``ports``: ``port``, ``address``, ``process``, ``pid``, ``unit`` (of systemd) and ``account``.

    Process, pid and unit are None where this account may not look into the process, and for a socket of the kernel's own.
    """
    sockets = [socket for table in ("tcp", "tcp6") for socket in parse_sockets(_text(proc / "net" / table)) if socket.port in set(ports)]
    holders, hidden = _holders({socket.inode for socket in sockets}, proc) if sockets else ({}, [])
    found = []
    for socket in sorted(sockets, key=lambda socket: (socket.port, socket.address)):
        holder = holders.get(socket.inode) or _suspect(hidden, socket.uid)
        found.append(
            {
                "port": socket.port,
                "address": socket.address,
                "process": _text(holder / "comm").strip() or None if holder else None,
                "pid": int(holder.name) if holder else None,
                "unit": unit_of(_text(holder / "cgroup")) if holder else None,
                "account": _account(socket.uid),
            }
        )
    return found


def parse_sockets(text: str) -> list[Socket]:
    """Return the sockets of ``/proc/net/tcp`` or ``tcp6`` that listen; a line that is not understood is left out."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        address, _colon, port = fields[1].rpartition(":") if len(fields) > 9 else ("", "", "")
        if port and fields[3] == LISTEN:
            found.append(Socket(int(port, 16), _address(address), fields[9], int(fields[7])))
    return found


def unit_of(cgroup: str) -> str | None:
    """Return the systemd unit of a process from its ``/proc/<pid>/cgroup``; None if it is of none."""
    return next((part for line in cgroup.splitlines() for part in reversed(line.split("/")) if part.endswith(".service")), None)


def _address(digits: str) -> str:
    """Return an address as people write it. The kernel prints words of four bytes in the order of the processor."""
    words = [bytes.fromhex(digits[start : start + 8]) for start in range(0, len(digits), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return sockets.inet_ntop(sockets.AF_INET if len(raw) == 4 else sockets.AF_INET6, raw)


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _holders(inodes: set[str], proc: Path) -> tuple[dict[str, Path], list[Path]]:
    """Return the first process that has each of these sockets open, and the processes that this account may not look into."""
    found: dict[str, Path] = {}
    hidden = []
    for process in sorted((path for path in proc.iterdir() if path.name.isdigit()), key=_number):
        opened = _inodes_of(process)
        if opened is None:
            hidden.append(process)
            continue
        for inode in inodes & opened:
            found.setdefault(inode, process)
        if len(found) == len(inodes):
            break
    return found, hidden


def _suspect(hidden: list[Path], uid: int) -> Path | None:
    """Return the process of an account that may not be looked into, if there is one only, or all are of one unit."""
    suspects = [process for process in hidden if _uid(process) == uid]
    units = {unit_of(_text(process / "cgroup")) for process in suspects}
    return suspects[0] if len(suspects) == 1 or (len(units) == 1 and units != {None}) else None


def _number(process: Path) -> int:
    return int(process.name)


def _described(process: Path, unit: str) -> dict[str, Any]:
    return {"name": _text(process / "comm").strip(), "pid": int(process.name), "ours": f"/{unit}" in _text(process / "cgroup")}


def _sockets_on(port: int, proc: Path) -> Iterator[tuple[str, int]]:
    """Yield inode and owner of each socket that listens on ``port``."""
    for table in ("tcp", "tcp6"):
        for socket in parse_sockets(_text(proc / "net" / table)):
            if socket.port == port:
                yield socket.inode, socket.uid


def _inodes_of(process: Path) -> set[str] | None:
    """Return the sockets that a process has open; None if this user may not know."""
    try:
        targets = [_target(descriptor) for descriptor in (process / "fd").iterdir()]
    except PermissionError:
        return None
    except OSError:  # It has ended.
        return set()
    return {found[1] for found in map(SOCKET.fullmatch, targets) if found}


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # It was closed meanwhile, as that of the listing itself is.
        return ""


def _uid(process: Path) -> int:
    try:
        return process.stat().st_uid
    except OSError:
        return -1


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
