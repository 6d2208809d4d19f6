# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has room for, from what the module ``host_info`` told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import GIB, human

# The distribution, its services and the page cache that a model is read through. An estimate.
RESERVED_RAM = 2 * GIB
# Below this share of free memory a GPU is said to be in use by something else.
BUSY = 0.9


@dataclass(frozen=True)
class Gpu:
    """One GPU: how it is called, and its memory (bytes)."""

    index: int
    name: str
    total: int
    uuid: str = ""
    free: int | None = None
    capability: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Return what names this GPU for ever: its index may change with the next boot."""
        return self.uuid or str(self.index)

    @property
    def names(self) -> frozenset[str]:
        """Return what a person may call it."""
        return frozenset({self.key, str(self.index)})

    @property
    def is_busy(self) -> bool:
        """Tell whether something else is in its memory now."""
        return self.free is not None and self.free < BUSY * self.total


@dataclass(frozen=True)
class Room:
    """One host: its GPUs, and the RAM (bytes) that models may have. ``disk`` is what is free where models go; None if it is not known."""

    host: str
    gpus: tuple[Gpu, ...]
    ram: int
    disk: int | None = None
    nvlink: bool = False
    notes: tuple[str, ...] = ()
    # Why a GPU of NVIDIA, which the roles would use, cannot be planned with; empty if all can.
    unjudged: str = ""


def room_of(host: str, facts: Mapping[str, Any], data_dir: str = "") -> Room:
    """Return the room of a host from its facts (``host_info``); a GPU that no engine can use is left out, and a note says so."""
    gpus, notes = [], []
    unjudged = "Whether it fits the GPU is not known while its driver does not work." if facts.get("gpus", []) is None else ""
    for number, gpu in enumerate(facts.get("gpus") or []):
        if gpu["vendor"] != "nvidia":
            notes.append(
                f"{gpu['name'] or gpu['vendor']} is not planned with: only NVIDIA's GPUs are, so its models are planned on the CPU."
            )
        elif gpu.get("mig"):
            unjudged = f"{gpu['name']} is split by MIG, and its parts are not planned with: give models their parts by 'gpus'."
            notes.append(unjudged)
        elif not gpu["memory_total"]:
            unjudged = f"The memory of {gpu['name']} is not known, so it is not planned with: see what preflight.yml says of the driver."
            notes.append(unjudged)
        else:
            gpus.append(_gpu(number, gpu))
    notes += [
        f"{human(gpu.total - (gpu.free or 0))} of GPU {gpu.index} are in use now; the plan counts on all of it."
        for gpu in gpus
        if gpu.is_busy
    ]
    if not gpus and (reason := (facts.get("reasons") or {}).get("gpus")):
        notes.append(str(reason))
    if (facts.get("os") or {}).get("wsl"):
        notes.append("WSL2 shows the memory that .wslconfig gives it (half of Windows' by default), and the plan counts on no more.")
    total = (facts.get("memory") or {}).get("total") or 0
    free = [disk["free"] for disk in facts.get("disks") or [] if disk["path"] == data_dir and disk["free"] is not None]
    links = (facts.get("nvidia") or {}).get("nvlink") or []
    return Room(host, tuple(gpus), max(0, total - RESERVED_RAM), min(free) if free else None, bool(links), tuple(notes), unjudged)


def _gpu(number: int, gpu: Mapping[str, Any]) -> Gpu:
    index = number if gpu.get("index") is None else int(gpu["index"])
    capability = tuple(int(part) for part in str(gpu.get("compute_capability") or "").split(".") if part.isdigit())
    return Gpu(index, gpu["name"], int(gpu["memory_total"]), gpu.get("uuid") or "", gpu.get("memory_free"), capability)
