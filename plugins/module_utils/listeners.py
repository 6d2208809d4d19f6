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


def holder_of(port: int, unit: str, proc: Path = Path("/proc")) -> dict[str, Any] | None:
    """Return who listens on ``port``, or None: ``name`` (str), ``pid`` (int, 0 if not to be seen), ``ours`` (bool).

    It is ``ours`` if the process belongs to the systemd unit ``unit``.
    """
    inodes = set(_inodes(port, proc))
    if not inodes:
        return None
    for pid in sorted(int(path.name) for path in proc.iterdir() if path.name.isdigit()):
        if inodes & set(_sockets(proc / str(pid))):
            name = _text(proc / str(pid) / "comm").strip()
            return {"name": name, "pid": pid, "ours": f"/{unit}" in _text(proc / str(pid) / "cgroup")}
    return {"name": "a process that this user cannot see", "pid": 0, "ours": False}


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _text(proc / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _sockets(process: Path) -> Iterator[str]:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:  # The process has ended, or is not ours to look into.
        return
    for descriptor in descriptors:
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink()))
        except OSError:
            continue
        if found:
            yield found[1]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
