# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices on the PCI bus as sysfs shows them, with or without a driver (Documentation/ABI/testing/sysfs-bus-pci)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host

DEVICES = "/sys/bus/pci/devices"
NVIDIA, AMD, INTEL = "10de", "1002", "8086"
VENDORS = {NVIDIA: "nvidia", AMD: "amd", INTEL: "intel"}
# PCI classes (pci.ids): 03 display controllers; 0680 other bridges, which is what an NVSwitch is; 1200 accelerators (AMD's Instinct).
DISPLAY, BRIDGE, ACCELERATOR = "03", "0680", "1200"
HEX = re.compile(r"0x[0-9a-f]+")


@dataclass(frozen=True)
class Device:
    """One device: its address on the bus, and vendor, device and class as hexadecimal digits."""

    address: str
    vendor: str
    device: str
    kind: str

    @property
    def folder(self) -> str:
        """Return where sysfs keeps it."""
        return f"{DEVICES}/{self.address}"

    @property
    def is_gpu(self) -> bool:
        """Tell whether it is a card of a vendor that makes GPUs; a server's display chip is none."""
        return self.vendor in VENDORS and (self.kind.startswith(DISPLAY) or (self.vendor == AMD and self.kind.startswith(ACCELERATOR)))

    @property
    def is_nvswitch(self) -> bool:
        """Tell whether it joins NVIDIA's GPUs, so that the fabric manager is needed."""
        return self.vendor == NVIDIA and self.kind.startswith(BRIDGE)


def devices(host: Host) -> list[Device]:
    """Return the devices on the bus, in the order of their addresses."""
    found = []
    for address in host.names(DEVICES):
        vendor, device, kind = (_digits(host.text(f"{DEVICES}/{address}/{name}")) for name in ("vendor", "device", "class"))
        if vendor and kind:
            found.append(Device(address, vendor, device, kind))
    return found


def displays(found: list[Device]) -> list[dict[str, str]]:
    """Return what draws pictures or computes, as plain data: ``vendor_id``, ``device_id``, ``class`` and ``pci``."""
    return [
        {"vendor_id": one.vendor, "device_id": one.device, "class": one.kind, "pci": one.address}
        for one in found
        if one.kind.startswith((DISPLAY, ACCELERATOR))
    ]


def _digits(text: str) -> str:
    """Return the digits of a number that sysfs writes as ``0x10de``; empty if it is none."""
    return text[2:] if HEX.fullmatch(text) else ""
