# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generations of NVIDIA's GPUs, and the kernel modules and driver branches that serve them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

NVIDIA_VENDOR = 0x10DE
# PCI device ids, a generation for each block of 128 (pci.ids, vendor 10de, by the name of the chip: GM, GP, GV, TU, GA, AD, GH, GB).
BLOCKS = (
    (0x1340, 0x157F, "maxwell"),
    (0x1580, 0x15FF, "pascal"),
    (0x1600, 0x167F, "maxwell"),
    (0x1725, 0x172F, "pascal"),
    (0x1740, 0x17FF, "maxwell"),
    (0x1B00, 0x1D7F, "pascal"),
    (0x1D80, 0x1DFF, "volta"),
    (0x1E00, 0x1FFF, "turing"),
    (0x2080, 0x20FF, "ampere"),
    (0x2180, 0x21FF, "turing"),
    (0x2200, 0x227F, "ampere"),
    (0x2300, 0x23FF, "hopper"),
    (0x2400, 0x25FF, "ampere"),
    (0x2680, 0x28FF, "ada"),
    (0x2900, 0x33FF, "blackwell"),
)
# Compute capability to generation (NVIDIA, "CUDA GPU Compute Capability"); the last one whose number is not above the GPU's.
CAPABILITIES = (
    ((5, 0), "maxwell"),
    ((6, 0), "pascal"),
    ((7, 0), "volta"),
    ((7, 5), "turing"),
    ((8, 0), "ampere"),
    ((8, 9), "ada"),
    ((9, 0), "hopper"),
    ((10, 0), "blackwell"),
)
GENERATIONS = tuple(name for _number, name in CAPABILITIES)
# NVIDIA's driver installation guide, "Kernel modules": these have no GSP, which the open modules need; 580 is their last branch.
PROPRIETARY_ONLY = ("maxwell", "pascal", "volta")
OLD_GPUS_LAST_BRANCH = 580
# The same: open modules only, and the first branch that knows them (CUDA 12.8).
OPEN_ONLY = ("blackwell",)
OPEN_ONLY_FIRST_BRANCH = 570
# The same: recommended for all others since 560; the guide of 620 has no proprietary modules any more.
OPEN_RECOMMENDED_BRANCH = 560
NO_PROPRIETARY_BRANCH = 620


def generation(gpu: Mapping[str, Any]) -> str:
    """Return the generation of a GPU with a driver, by its ``compute_capability``; empty if it is not known or older than Maxwell."""
    parts = str(gpu.get("compute_capability") or "").split(".")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        return ""
    number = (int(parts[0]), int(parts[1]))
    return next((name for least, name in reversed(CAPABILITIES) if number >= least), "")


def generation_of_device(device_id: Any) -> str:
    """Return the generation of a PCI device id (number, or hexadecimal text); empty if pci.ids has none in its block."""
    number = _number(device_id)
    return next((name for first, last, name in BLOCKS if first <= number <= last), "")


def generations(host: Mapping[str, Any]) -> list[str]:
    """Return the generation of each NVIDIA GPU of a host, from the driver where it works and else from the PCI bus; ``""`` if unknown."""
    known = [generation(gpu) for gpu in host.get("gpus") or () if gpu.get("vendor") == "nvidia" and gpu.get("compute_capability")]
    if known:
        return known
    return [
        generation_of_device(card["device_id"]) for card in host.get("pci_display") or () if _number(card["vendor_id"]) == NVIDIA_VENDOR
    ]


def module_flavour(found: Iterable[str], branch: int, machine: str, wish: str) -> tuple[str, str]:
    """Return the kernel module for these generations (``open`` or ``proprietary``) and why it cannot be (a sentence, empty if it can)."""
    names = sorted(set(found))
    old = [name for name in names if name in PROPRIETARY_ONLY]
    # Grace Hopper is an ARM processor with a Hopper GPU; it has the open module only.
    new = [name for name in names if name in OPEN_ONLY or (name == "hopper" and machine == "aarch64")]
    if old and branch > OLD_GPUS_LAST_BRANCH:
        return "", (
            f"A GPU of the generation {old[0]} works with branch {OLD_GPUS_LAST_BRANCH} at most, but nvidia_branch is {branch}: "
            f"set it to {OLD_GPUS_LAST_BRANCH}."
        )
    if new and branch < OPEN_ONLY_FIRST_BRANCH:
        return "", (
            f"A GPU of the generation {new[0]} needs branch {OPEN_ONLY_FIRST_BRANCH} or newer, but nvidia_branch is {branch}: set it to "
            "580."
        )
    if old and new:
        return "", (
            f"The host has GPUs of the generations {old[0]} and {new[0]}: the first needs the proprietary kernel module, the second the "
            "open one, and a kernel loads only one. Take one of them out."
        )
    if wish != "auto":
        return wish, _wish_problem(wish, old, new, branch)
    if old:
        return "proprietary", ""
    return ("open" if new or branch >= OPEN_RECOMMENDED_BRANCH else "proprietary"), ""


def _wish_problem(wish: str, old: list[str], new: list[str], branch: int) -> str:
    if wish == "open" and old:
        return f"nvidia_module is open, but a GPU of the generation {old[0]} has the proprietary module only: set it to auto."
    if wish == "proprietary" and new:
        return f"nvidia_module is proprietary, but a GPU of the generation {new[0]} has the open module only: set it to auto."
    if wish == "proprietary" and branch >= NO_PROPRIETARY_BRANCH:
        return f"nvidia_module is proprietary, but branch {branch} has no such module any more: set it to auto, or nvidia_branch to 580."
    return ""


def _number(text: Any) -> int:
    if isinstance(text, int):
        return text
    try:
        return int(str(text), 16)
    except ValueError:
        return -1
