# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system that holds, or will hold, a path (proc_pid_mountinfo(5)), and the disk below it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host

# The kernel writes space, tab, newline and backslash as octal numbers.
ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of ``mountinfo``: where it is mounted, the number of its device, its kind, and what is mounted."""

    point: str
    number: str
    kind: str
    source: str


def disks(host: Host, paths: list[str]) -> list[dict[str, Any]]:
    """Return for each path ``path``, ``exists``, ``mount``, ``device``, ``filesystem``, ``size``, ``free`` and ``rotational``."""
    mounts = parse_mounts(host.text("/proc/self/mountinfo"))
    return [_disk(host, mounts, position, path) for position, path in enumerate(paths)]


def parse_mounts(text: str) -> list[Mount]:
    """Return the mounts in their order; a line that is none is left out."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if dash and len(fields) >= 5 and len(kind) >= 2:
            found.append(Mount(_unescaped(fields[4]), fields[2], kind[0], _unescaped(kind[1])))
    return found


def mount_of(path: str, mounts: list[Mount]) -> Mount | None:
    """Return what is mounted at ``path`` or nearest above; the last of several at one point hides the others."""
    holding = [mount for mount in mounts if path == mount.point or path.startswith(mount.point.rstrip("/") + "/")]
    return max(reversed(holding), key=lambda mount: len(mount.point), default=None)


def is_rotational(host: Host, number: str) -> bool | None:
    """Tell whether the device of that number (major:minor) turns; None where the kernel does not say."""
    folder = f"/sys/dev/block/{number}"
    # A partition has no queue of its own, its disk has: the folder above.
    said = host.text(f"{folder}/queue/rotational") or _above(host, folder)
    return {"0": False, "1": True}.get(said)


def _above(host: Host, folder: str) -> str:
    real = Path(os.path.realpath(host.at(folder)))
    try:
        return (real.parent / "queue" / "rotational").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _disk(host: Host, mounts: list[Mount], position: int, path: str) -> dict[str, Any]:
    real, exists = _nearest(host, path)
    mount = mount_of(real, mounts)
    found: dict[str, Any] = {
        "path": path,
        "exists": exists,
        "mount": mount.point if mount else None,
        "device": mount.source if mount else None,
        "filesystem": mount.kind if mount else None,
        "size": None,
        "free": None,
        "rotational": is_rotational(host, mount.number) if mount else None,
    }
    where = f"disks.{position}"
    if not mount:
        for key in ("mount", "device", "filesystem"):
            host.unknown(f"{where}.{key}", "/proc/self/mountinfo names no file system for it.")
    if found["rotational"] is None:
        host.unknown(f"{where}.rotational", f"The kernel tells no disk behind {found['device'] or real}.")
    try:
        state = os.statvfs(host.at(real))
    except OSError as exc:
        for key in ("size", "free"):
            host.unknown(f"{where}.{key}", f"The file system of {real} could not be asked: {exc.strerror}.")
        return found
    # What an ordinary user may still write, not what root may.
    return {**found, "size": state.f_blocks * state.f_frsize, "free": state.f_bavail * state.f_frsize}


def _nearest(host: Host, path: str) -> tuple[str, bool]:
    """Return the real path of ``path``, or of the nearest folder above that there is, and whether it is there itself."""
    looked = os.path.normpath("/" + path.lstrip("/"))
    exists = host.exists(looked)
    while looked != "/" and not host.exists(looked):
        looked = str(Path(looked).parent)
    below = os.path.relpath(os.path.realpath(host.at(looked)), os.path.realpath(host.root))
    return ("/" if below == "." else f"/{below}"), exists


def _unescaped(text: str) -> str:
    return ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
