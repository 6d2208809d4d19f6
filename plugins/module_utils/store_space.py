# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Free space, asked for all that is about to be written before its first byte."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.store_files import existing_parent, unless_gone

# Left free besides the files themselves, for folders, manifests and stamps.
HEADROOM = 1 << 20


@dataclass(frozen=True)
class Need:
    """Bytes that are about to be written below a folder."""

    folder: str
    # Less than 0: what becomes free before the first byte is written.
    size: int
    # What is written (a digest), for two that need the same need it once; empty for what nobody else writes.
    content: str = ""


def swept(folder: Path, leftovers: Iterable[Path]) -> list[Need]:
    """Return as a need what a run frees below ``folder`` before it writes: files and folders that one which broke off has left."""
    size = sum(_freed(path) for leftover in leftovers if not leftover.is_symlink() for path in (leftover, *leftover.rglob("*")))
    return [Need(str(folder), -size, f"swept {folder}")] if size else []


def _freed(path: Path) -> int:
    with unless_gone():
        status = path.lstat()
        # What has another name stays.
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            return status.st_blocks * 512
    return 0


def check_space(needs: Sequence[Need]) -> None:
    """Refuse, before anything is written, what all in all does not fit its file systems."""
    freed = {need.content: need for need in needs if need.size < 0}
    totals: dict[int, tuple[str, int, int]] = {}
    free: dict[int, int] = {}
    for need in (*freed.values(), *(need for need in needs if need.size >= 0)):
        folder = existing_parent(need.folder)
        with explained(f"read the free space of {folder}"):
            space, device = os.statvfs(folder), Path(folder).stat().st_dev
        _folder, total, more = totals.get(device, (folder, 0, 0))
        totals[device] = (folder, total + max(need.size, 0), more + max(-need.size, 0))
        free[device] = space.f_bavail * space.f_frsize
    for device, (folder, total, more) in totals.items():
        available = free[device] + more
        if total and total + HEADROOM > available:
            raise ModelError(
                f"{folder} has {available} bytes free, but {total + HEADROOM} are needed: free space there or choose another volume."
            )


def measured(needs: Sequence[Need]) -> list[dict[str, Any]]:
    """Return the needs as plain data with the file system (``device``) and its free bytes, to be summed with those of others."""
    found = []
    for need in needs:
        folder = existing_parent(need.folder)
        with explained(f"read the free space of {folder}"):
            space, device = os.statvfs(folder), Path(folder).stat().st_dev
        free = space.f_bavail * space.f_frsize
        found.append({"folder": need.folder, "size": need.size, "content": need.content, "device": device, "free": free})
    return [need for need in found if need["size"]]
