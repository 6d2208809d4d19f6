# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs of a host. NVIDIA's are asked of its driver; AMD's and Intel's are read from sysfs, which their drivers in the kernel fill."""

from __future__ import annotations

from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils import nvidia
from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host, ask_all
from ansible_collections.onprem.llm.plugins.module_utils.host.pci import AMD, INTEL, NVIDIA, VENDORS, Device

# Files that are there where NVIDIA's GPU is though the bus shows none: WSL2's, where Windows has loaded the driver for it.
WSL_DEVICE = "/dev/dxg"
WSL_PROGRAM = "/usr/lib/wsl/lib/nvidia-smi"
NVSWITCH_DEVICE = "/dev/nvidia-nvswitchctl"
# amdgpu (Documentation/gpu/amdgpu/driver-misc.rst), xe (Documentation/ABI/testing/sysfs-driver-intel-xe) and i915.
MEMORY_FILES = {AMD: ("mem_info_vram_total",), INTEL: ("tile0/physical_vram_size_bytes", "drm/card0/lmem_total_bytes")}
USED_FILES = {AMD: "mem_info_vram_used"}


def nvidia_facts(host: Host, bus: list[Device], wsl: int | None) -> tuple[list[dict[str, Any]] | None, dict[str, Any] | None]:
    """Return the GPUs of NVIDIA and what the contract calls ``nvidia``; GPUs are None where there are some that nobody can ask."""
    present = any(device.is_gpu and device.vendor == NVIDIA for device in bus) or (wsl == 2 and host.exists(WSL_PROGRAM))
    program = host.program("nvidia-smi", nvidia.FOLDERS)
    flavour, version = nvidia.parse_module(host.text("/proc/driver/nvidia/version"))
    if not (present or version or program):
        return [], None
    driver, gpus, problem = nvidia.ask(program, host.timeout) if program else ("", [], "there is no nvidia-smi")
    if not (present or version or gpus):
        # What an earlier card has left behind.
        return [], None
    facts: dict[str, Any] = {
        "driver": driver or version or host.text("/sys/module/nvidia/version") or None,
        "cuda": None,
        "module": flavour,
        "nvlink": [],
        "processes": [],
        "nvswitch": any(device.is_nvswitch for device in bus) or host.exists(NVSWITCH_DEVICE),
        "working": not problem,
    }
    if problem:
        _tell_problem(host, facts, problem)
        return None, facts
    _ask_more(host, facts, program, several=len(gpus) > 1)
    if flavour is None and not wsl:
        host.unknown("nvidia.module", "/proc/driver/nvidia/version does not name the module, as in a container that was not given it.")
    return [_nvidia_gpu(host, position, gpu) for position, gpu in enumerate(gpus)], facts


def other_gpus(host: Host, bus: list[Device]) -> list[dict[str, Any]]:
    """Return the GPUs of AMD and Intel, with the memory that their drivers tell."""
    return [_other_gpu(host, device) for device in bus if device.is_gpu and device.vendor != NVIDIA]


def _tell_problem(host: Host, facts: dict[str, Any], problem: str) -> None:
    sentence = f"The host has an NVIDIA GPU, but its driver does not work: {problem}."
    for path in ("gpus", "nvidia", "nvidia.cuda", *(f"nvidia.{key}" for key in ("driver", "module") if facts[key] is None)):
        host.unknown(path, sentence)


def _ask_more(host: Host, facts: dict[str, Any], program: str, several: bool) -> None:
    """Add what takes questions of its own, all asked at the same time."""
    commands = [[program, "--version"], nvidia.process_command(program)] + ([[program, "topo", "-m"]] if several else [])
    version, processes, *topology = ask_all(commands, host.timeout)
    # Drivers before 530 do not know --version; the heading of the table tells it too.
    facts["cuda"] = nvidia.parse_cuda(version.text) or nvidia.parse_cuda(host.ask(program).text)
    if facts["cuda"] is None:
        host.unknown("nvidia.cuda", f"nvidia-smi does not tell the version of CUDA{': ' + version.problem if version.problem else ''}.")
    facts["processes"] = None if processes.problem else nvidia.parse_processes(processes.text)
    if processes.problem:
        host.unknown("nvidia.processes", f"The programs on the GPUs are not known: {processes.problem}.")
    if topology:
        facts["nvlink"] = None if topology[0].problem else nvidia.parse_topology(topology[0].text)
        if topology[0].problem:
            host.unknown("nvidia.nvlink", f"How the GPUs are joined is not known: {topology[0].problem}.")


def _nvidia_gpu(host: Host, position: int, gpu: dict[str, Any]) -> dict[str, Any]:
    for key in (key for key, value in gpu.items() if value is None):
        host.unknown(f"gpus.{position}.{key}", "nvidia-smi does not tell it for this GPU and driver.")
    return {"vendor": "nvidia", **gpu}


def _other_gpu(host: Host, device: Device) -> dict[str, Any]:
    total = next((size for name in MEMORY_FILES[device.vendor] if (size := _number(host, device, name)) is not None), None)
    used = _number(host, device, USED_FILES[device.vendor]) if device.vendor in USED_FILES else None
    found = {
        "vendor": VENDORS[device.vendor],
        "index": None,
        "name": host.text(f"{device.folder}/product_name") or f"PCI {device.vendor}:{device.device}",
        "uuid": host.text(f"{device.folder}/unique_id") or None,
        "pci": device.address,
        "memory_total": total,
        "memory_free": total - used if total is not None and used is not None else None,
        "compute_capability": None,
        "mig": False,
        "ecc": False,
    }
    if total is None:
        host.unknown(f"gpus.{device.address}.memory_total", f"The kernel's driver does not tell the memory of {found['name']}.")
    return found


def _number(host: Host, device: Device, name: str) -> int | None:
    text = host.text(f"{device.folder}/{name}")
    return int(text, 0) if text.isdigit() or text.startswith("0x") else None
