# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``nvidia-smi`` says of the driver and the GPUs. It may be missing, hang, or print what nobody expects: then a reason is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

# The second is where WSL2 has it: Windows brings it, and root's PATH may not know.
PROGRAMS = ("/usr/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi", "/usr/local/bin/nvidia-smi", "/opt/bin/nvidia-smi")
FIELDS = ("driver_version", "compute_cap", "memory.total", "name")
# A driver that is loaded but does not answer makes nvidia-smi wait for ever.
TIMEOUT_S = 20
# Files that are there where a GPU is: of the driver, and of WSL2.
DEVICES = ("/dev/nvidiactl", "/dev/dxg")
PCI = Path("/sys/bus/pci/devices")
NVIDIA_VENDOR = "0x10de"
# PCI classes of display controllers (VGA, 3D): class code 0x03xxxx.
DISPLAY_CLASS = "0x03"


def survey(programs: tuple[str, ...] = PROGRAMS, pci: Path = PCI) -> dict[str, Any]:
    """Return ``present`` (bool: there is a GPU), ``driver`` (str), ``gpus`` (list of dict) and ``problem`` (str, why nothing is known)."""
    program = next((path for path in programs if os.access(path, os.X_OK)), "")
    present = any(Path(device).exists() for device in DEVICES) or has_gpu(pci)
    if not program:
        return {"present": present, "driver": "", "gpus": [], "problem": "there is no nvidia-smi" if present else ""}
    driver, gpus, problem = ask(program)
    return {"present": present or bool(gpus), "driver": driver, "gpus": gpus, "problem": problem if present or gpus else ""}


def ask(program: str, timeout: float = TIMEOUT_S) -> tuple[str, list[dict[str, Any]], str]:
    """Return the driver's version, the GPUs and why nothing is known (empty if it is), as ``program`` tells."""
    try:
        done = subprocess.run(
            [program, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", [], f"nvidia-smi did not answer within {timeout:g} s"
    except OSError as exc:
        return "", [], f"nvidia-smi could not be run: {exc.strerror or exc}"
    if done.returncode != 0:
        return (
            "",
            [],
            f"nvidia-smi ended with status {done.returncode}: {first_line(done.stdout) or first_line(done.stderr) or 'without a word'}",
        )
    return parse(done.stdout)


def parse(text: str) -> tuple[str, list[dict[str, Any]], str]:
    """Return driver, GPUs and problem from the lines ``driver, compute capability, MiB, name``."""
    gpus = []
    driver = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        parts = [part.strip() for part in line.split(",", len(FIELDS) - 1)]
        if len(parts) != len(FIELDS) or not is_version(parts[0]) or not is_version(parts[1]):
            return "", [], f"nvidia-smi said what is not understood: {first_line(line)}"
        driver = parts[0]
        gpus.append({"compute_capability": parts[1], "memory_mib": int(parts[2]) if parts[2].isdigit() else 0, "name": parts[3]})
    return driver, gpus, "" if gpus else "nvidia-smi sees no GPU"


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


def first_line(text: str) -> str:
    """Return the first line that says something, short and printable."""
    line = next(filter(None, map(str.strip, text.splitlines())), "")
    return "".join(c for c in line if c.isprintable())[:200]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
