# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All facts of a host, in one go and without changing anything: see the module ``host_info`` for what they mean."""

from __future__ import annotations

from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host import cpu, disks, ec2, gpus, memory, pci, system
from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host
from ansible_collections.onprem.llm.plugins.module_utils.listeners import listening


def survey(host: Host, paths: list[str], ports: list[int]) -> dict[str, Any]:
    """Return the facts as plain data; what could not be learnt is None, and ``reasons`` has a sentence for it."""
    os_facts = system.system(host)
    bus = pci.devices(host)
    nvidia_gpus, nvidia = gpus.nvidia_facts(host, bus, os_facts["wsl"])
    others = gpus.other_gpus(host, bus)
    return {
        "os": os_facts,
        "python": system.python(),
        "cpu": cpu.processor(host),
        "memory": memory.memory(host),
        "disks": disks.disks(host, paths),
        "gpus": None if nvidia_gpus is None else number_gpus(host, nvidia_gpus + others),
        "nvidia": nvidia,
        "pci_display": pci.displays(bus),
        "nouveau": host.exists("/sys/module/nouveau"),
        "secure_boot": system.secure_boot(host),
        "kernel_headers": system.kernel_headers(host, os_facts["kernel"]),
        "listening": _listening(host, ports),
        "ec2": ec2.instance(host),
        "reasons": host.reasons,
    }


def number_gpus(host: Host, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give AMD's and Intel's GPUs a place in the list, by which their reasons are named."""
    for position, gpu in enumerate(found):
        if gpu["index"] is None:
            gpu["index"] = position
        for key in ("memory_total", "memory_free"):
            reason = host.reasons.pop(f"gpus.{gpu['pci']}.{key}", None)
            if reason:
                host.unknown(f"gpus.{position}.{key}", reason)
    return found


def _listening(host: Host, ports: list[int]) -> list[dict[str, Any]]:
    found = listening(ports, host.at("/proc"))
    for position, one in enumerate(found):
        if one["process"] is None:
            host.unknown(
                f"listening.{position}.process", f"The account of this task may not see who holds port {one['port']}: become root."
            )
    return found
