# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``nvidia-smi`` says of the driver and the GPUs. It may be missing, hang, or print what nobody expects: then a reason is told."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import ask_all, first_line

# Where packages put it. The second is where WSL2 has it: Windows brings it, and root's PATH may not know.
FOLDERS = ("/usr/bin", "/usr/lib/wsl/lib", "/usr/local/bin", "/opt/bin")
PROGRAMS = tuple(f"{folder}/nvidia-smi" for folder in FOLDERS)
# nvidia-smi --help-query-gpu. The name is last, so that a comma in it does no harm.
FIELDS: tuple[str, ...] = ("driver_version", "compute_cap", "memory.total", "memory.free", "index", "uuid", "pci.bus_id")
FIELDS += ("mig.mode.current", "ecc.mode.current", "name")
# What old drivers do not know (compute_cap came with 510, mig.mode with 450) and is not worth a refusal.
OPTIONAL = ("compute_cap", "mig.mode.current", "ecc.mode.current")
PROCESS_FIELDS = ("gpu_uuid", "pid", "used_gpu_memory", "process_name")
INVALID_FIELD = re.compile(r'Field "(?P<name>[^"]+)" is not a valid field to query')
# Drivers from 610 write 'CUDA UMD Version' (of the user-mode driver).
CUDA_VERSION = re.compile(r"CUDA(?: \w+)? Version\s*:\s*(\d+\.\d+)")
LINKS = re.compile(r"NV(\d+)")
GPU_NAME = re.compile(r"GPU(\d+)")
# Windows puts it there with its driver, and only then.
WSL_PROGRAM = "/usr/lib/wsl/lib/nvidia-smi"
MIB = 1 << 20
# A driver that is loaded but does not answer makes nvidia-smi wait for ever.
TIMEOUT_S = 20
# A file that is there where the driver is. /dev/dxg of WSL2 tells nothing: it is there for GPUs of other makers too.
DEVICES = ("/dev/nvidiactl",)
PCI = Path("/sys/bus/pci/devices")
NVIDIA_VENDOR = "0x10de"
# PCI classes of display controllers (VGA, 3D): class code 0x03xxxx.
DISPLAY_CLASS = "0x03"


def survey(programs: tuple[str, ...] = PROGRAMS, pci: Path = PCI) -> dict[str, Any]:
    """Return ``present`` (bool: there is a GPU), ``driver`` (str), ``gpus`` (list of dict) and ``problem`` (str, why nothing is known)."""
    program = next((path for path in programs if os.access(path, os.X_OK)), "")
    present = any(Path(device).exists() for device in DEVICES) or has_gpu(pci) or program == WSL_PROGRAM
    if not program:
        return {"present": present, "driver": "", "gpus": [], "problem": "there is no nvidia-smi" if present else ""}
    driver, gpus, problem = ask(program)
    return {"present": present or bool(gpus), "driver": driver, "gpus": gpus, "problem": problem if present or gpus else ""}


def ask(program: str, timeout: float = TIMEOUT_S) -> tuple[str, list[dict[str, Any]], str]:
    """Return the driver's version, the GPUs and why nothing is known (empty if it is), as ``program`` tells."""
    fields = FIELDS
    for _attempt in range(1 + len(OPTIONAL)):
        (said,) = ask_all([gpu_command(program, fields)], timeout)
        refused = INVALID_FIELD.search(said.text)
        if not refused or refused["name"] not in OPTIONAL:
            break
        fields = tuple(name for name in fields if name != refused["name"])
    return ("", [], said.problem) if said.problem else parse(said.text, fields)


def gpu_command(program: str, fields: Sequence[str] = FIELDS) -> list[str]:
    """Return the command that lists the GPUs."""
    return [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]


def process_command(program: str) -> list[str]:
    """Return the command that lists the programs on the GPUs."""
    return [program, f"--query-compute-apps={','.join(PROCESS_FIELDS)}", "--format=csv,noheader,nounits"]


def parse(text: str, fields: Sequence[str] = FIELDS) -> tuple[str, list[dict[str, Any]], str]:
    """Return driver, GPUs and problem from the lines of ``--query-gpu``, whose columns are ``fields``."""
    gpus = []
    driver = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        parts = [part.strip() for part in line.split(",", len(fields) - 1)]
        row = dict(zip(fields, parts))
        if len(parts) != len(fields) or not is_version(row["driver_version"]) or not is_version(row.get("compute_cap", "0.0")):
            return "", [], f"nvidia-smi said what is not understood: {first_line(line)}"
        driver = row["driver_version"]
        gpus.append(_gpu(row))
    return driver, gpus, "" if gpus else "nvidia-smi sees no GPU"


def _gpu(row: dict[str, str]) -> dict[str, Any]:
    return {
        "index": int(row["index"]) if row["index"].isdigit() else None,
        "name": row["name"],
        "uuid": row["uuid"],
        "pci": row["pci.bus_id"].lower(),
        "memory_total": _bytes(row["memory.total"]),
        "memory_free": _bytes(row["memory.free"]),
        "compute_capability": row.get("compute_cap"),
        # Cards that cannot do it say [N/A].
        "mig": row.get("mig.mode.current") == "Enabled",
        "ecc": row.get("ecc.mode.current") == "Enabled",
    }


def parse_processes(text: str) -> list[dict[str, Any]]:
    """Return the programs on the GPUs from the lines of ``--query-compute-apps``; a line that is not understood is left out."""
    rows = (line.split(",", len(PROCESS_FIELDS) - 1) for line in text.splitlines())
    named = (dict(zip(PROCESS_FIELDS, map(str.strip, row))) for row in rows if len(row) == len(PROCESS_FIELDS))
    return [
        {"gpu_uuid": row["gpu_uuid"], "pid": int(row["pid"]), "name": row["process_name"], "memory": _bytes(row["used_gpu_memory"])}
        for row in named
        if row["pid"].isdigit()
    ]


def parse_topology(text: str) -> list[dict[str, int]]:
    """Return the pairs of GPUs that NVLink joins, from the matrix of ``nvidia-smi topo -m``: ``a``, ``b`` and ``links``."""
    # Some versions underline the heading.
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in text.splitlines()]
    heading = next((words for words in lines if words and all(map(GPU_NAME.fullmatch, words[:1]))), [])
    columns = [int(found[1]) for found in map(GPU_NAME.fullmatch, heading) if found]
    pairs = []
    for words in (words for words in lines if words is not heading and words and GPU_NAME.fullmatch(words[0])):
        row = int(words[0][3:])
        for column, cell in zip(columns, words[1:]):
            found = LINKS.fullmatch(cell)
            if found and row < column:
                pairs.append({"a": row, "b": column, "links": int(found[1])})
    return pairs


def parse_cuda(text: str) -> str | None:
    """Return the newest CUDA that the driver can do, from ``nvidia-smi --version`` or the heading of ``nvidia-smi``."""
    found = CUDA_VERSION.search(text)
    return found[1] if found else None


def parse_module(text: str) -> tuple[str | None, str | None]:
    """Return the flavour of the loaded kernel module (``open`` or ``proprietary``) and its version from ``/proc/driver/nvidia/version``."""
    line = next((line for line in text.splitlines() if line.startswith("NVRM version:")), "")
    version = next((word for word in line.split() if is_version(word)), None)
    return ("open" if "Open Kernel Module" in line else "proprietary") if line else None, version


def is_version(text: str) -> bool:
    """Tell whether ``text`` is numbers with dots between."""
    parts = text.split(".")
    return len(parts) > 1 and all(part.isdigit() and part.isascii() for part in parts)


def has_gpu(pci: Path) -> bool:
    """Tell whether a display controller of NVIDIA is on the PCI bus, driver or not."""
    return any(
        _text(device / "vendor").strip() == NVIDIA_VENDOR and _text(device / "class").startswith(DISPLAY_CLASS)
        for device in (pci.iterdir() if pci.is_dir() else ())
    )


def _bytes(mib: str) -> int | None:
    """Return a number of MiB in bytes; None for what is not one, such as [N/A] where a GPU shares the memory of the host."""
    return int(mib) * MIB if mib.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
