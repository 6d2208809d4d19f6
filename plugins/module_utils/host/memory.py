# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and swap in bytes (proc_meminfo(5)); in a container that has a limit, the limit (Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host

FIELDS = {"total": "MemTotal", "available": "MemAvailable", "swap_total": "SwapTotal", "swap_free": "SwapFree"}
# The limit of the group that a container lives in, and what it uses, as seen from inside: of cgroup version 2, then 1.
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def memory(host: Host) -> dict[str, int | None]:
    """Return ``total``, ``available``, ``swap_total`` and ``swap_free``."""
    read = parse(host.text("/proc/meminfo"))
    found: dict[str, int | None] = {key: read.get(name) for key, name in FIELDS.items()}
    for key, value in found.items():
        if value is None:
            host.unknown(f"memory.{key}", f"/proc/meminfo does not tell {FIELDS[key]}.")
    for limit, used in LIMITS:
        most = host.text(limit)
        # A group without a limit says 'max', or in version 1 a number larger than any memory.
        if most.isdigit() and found["total"] is not None and int(most) < found["total"]:
            found["total"] = int(most)
            left = int(most) - int(host.text(used) or 0)
            found["available"] = max(0, left if found["available"] is None else min(left, found["available"]))
    return found


def parse(text: str) -> dict[str, int]:
    """Return each line of ``/proc/meminfo`` in bytes; the kernel's kB are 1024 bytes."""
    found = {}
    for line in text.splitlines():
        key, _colon, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            found[key] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found
