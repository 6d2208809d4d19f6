# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on a TCP port of this host, read from ``/proc`` (proc_net_tcp.rst and proc(5) describe the formats)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LISTEN = "0A"
SOCKET = re.compile(r"socket:\[(\d+)\]")


def holder_of(port: int, unit: str, proc: Path = Path("/proc")) -> dict[str, Any] | None:
    """Return who listens on ``port``, or None: ``name`` (str), ``pid`` (int, 0 if not to be seen), ``ours`` (bool).

    It is ``ours`` if the process belongs to the systemd unit ``unit``. In some containers root may not look into the
    processes of others: then those of the account that owns the socket are asked, the unit's own first.
    """
    owners = dict(_sockets_on(port, proc))
    if not owners:
        return None
    hidden = []
    for process in sorted((path for path in proc.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)):
        inodes = _inodes_of(process)
        if inodes is None:
            hidden.append(process)
        elif inodes & set(owners):
            return _described(process, unit)
    uids = set(owners.values())
    suspects = [_described(process, unit) for process in hidden if _uid(process) in uids]
    return next(
        (suspect for suspect in suspects if suspect["ours"]),
        suspects[0] if len(suspects) == 1 else {"name": f"a program of the account number {min(uids)}", "pid": 0, "ours": False},
    )


def _described(process: Path, unit: str) -> dict[str, Any]:
    return {"name": _text(process / "comm").strip(), "pid": int(process.name), "ours": f"/{unit}" in _text(process / "cgroup")}


def _sockets_on(port: int, proc: Path) -> Iterator[tuple[str, int]]:
    """Yield inode and owner of each socket that listens on ``port``."""
    for table in ("tcp", "tcp6"):
        for line in _text(proc / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9], int(fields[7])


def _inodes_of(process: Path) -> set[str] | None:
    """Return the sockets that a process has open; None if this user may not know."""
    try:
        targets = [str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()]
    except PermissionError:
        return None
    except OSError:  # It has ended.
        return set()
    return {found[1] for found in map(SOCKET.fullmatch, targets) if found}


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
