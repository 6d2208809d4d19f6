# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Free space, asked for all that is about to be written before its first byte."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.store_files import existing_parent

# Left free besides the files themselves, for folders, manifests and stamps.
HEADROOM = 1 << 20


@dataclass(frozen=True)
class Need:
    """Bytes that are about to be written below a folder."""

    folder: str
    size: int
    # What is written (a digest), for two that need the same need it once; empty for what nobody else writes.
    content: str = ""


def check_space(needs: Sequence[Need]) -> None:
    """Refuse, before anything is written, what all in all does not fit its file systems."""
    totals: dict[int, tuple[str, int, int]] = {}
    for need in needs:
        folder = existing_parent(need.folder)
        with explained(f"read the free space of {folder}"):
            space, device = os.statvfs(folder), Path(folder).stat().st_dev
        total = totals[device][1] if device in totals else 0
        totals[device] = (folder, total + need.size, space.f_bavail * space.f_frsize)
    for folder, total, free in totals.values():
        if total and total + HEADROOM > free:
            raise ModelError(
                f"{folder} has {free} bytes free, but {total + HEADROOM} are needed: free space there or choose another volume."
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
