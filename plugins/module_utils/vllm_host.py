# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a host has of vLLM, in one go and without changing anything."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils import nvidia
from ansible_collections.onprem.llm.plugins.module_utils.host_files import blocking_parents, free_bytes, unit_owner
from ansible_collections.onprem.llm.plugins.module_utils.listeners import holder_of
from ansible_collections.onprem.llm.plugins.module_utils.ollama_host import glibc, link_name, process_start

UNIT = Path("/etc/systemd/system/vllm@.service")
# The copy of the lock that is put into a build when all of it is there.
LOCK = "lock.txt"
PYTHONS = ("/usr/bin/python3", *(f"{folder}/python3.{minor}" for minor in range(11, 15) for folder in ("/usr/bin", "/usr/local/bin")))
ASK_PYTHON = "import sys, importlib.util as u; print('%d.%d' % sys.version_info[:2], int(bool(u.find_spec('ensurepip'))))"
INSTANCE = re.compile(r"vllm@(?P<name>.+)\.service")
PROPERTIES = "Id,ActiveState,SubState,MainPID"
# <version>-<variant>-<start of the lock's digest>
BUILD = re.compile(r"\d[\w.+]*-(?:cpu|cuda)-[0-9a-f]{8}")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Places:
    """Where the role keeps things on this host, and the models it shall serve by instance and port."""

    prefix: Path
    config_dir: Path
    models_dir: Path
    user: str
    python: str
    ports: Mapping[str, int]


def survey(places: Places, unit: Path = UNIT) -> dict[str, Any]:
    """Return what the host has, as plain data (dict); see the module ``vllm_info`` for its keys."""
    return {
        "pythons": pythons((places.python,) if places.python else PYTHONS),
        "nvidia": nvidia.survey(),
        "wsl": Path("/dev/dxg").exists(),
        "cpu_flags": cpu_flags(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "glibc": glibc(),
        "libnuma": has_library("libnuma.so.1"),
        "free_bytes": {"prefix": free_bytes(places.prefix), "models": free_bytes(places.models_dir)},
        "uv": uv_version(places.prefix),
        "builds": builds(places.prefix),
        "current": link_name(places.prefix / "current", BUILD),
        "previous": link_name(places.prefix / "previous", BUILD),
        "unit_owner": unit_owner(unit)[0],
        "instances": instances(places, unit),
        "port_holders": {name: found for name, port in places.ports.items() if (found := port_holder(port))},
        "blocking_parents": blocking_parents(places.models_dir, places.user),
    }


def pythons(paths: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the interpreters among ``paths``: ``path`` and ``version`` (str), ``venv`` (bool: it can make a virtual environment)."""
    found = []
    for path in (path for path in paths if os.access(path, os.X_OK)):
        done = subprocess.run([path, "-I", "-c", ASK_PYTHON], capture_output=True, text=True, check=False)
        words = done.stdout.split()
        if done.returncode == 0 and len(words) == 2:
            found.append({"path": path, "version": words[0], "venv": words[1] == "1"})
    return found


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return which of the instruction sets that vLLM cares about the processor has."""
    for line in cpuinfo.read_text(errors="replace").splitlines():
        if line.startswith("flags"):
            return [flag for flag in FLAGS if flag in line.split()]
    return []


def has_library(name: str) -> bool:
    """Tell whether the loader finds a library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def uv_version(prefix: Path) -> str:
    """Return the version of the uv that the role has installed; empty if there is none that runs."""
    try:
        done = subprocess.run([prefix / "uv" / "bin" / "uv", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    words = done.stdout.split()
    return words[1] if done.returncode == 0 and len(words) > 1 else ""


def builds(prefix: Path) -> list[str]:
    """Return the builds below ``prefix`` that are whole: the lock was put there last, and the interpreter is still there."""
    whole = (path.parent for path in prefix.glob(f"*/{LOCK}") if not path.parent.is_symlink())
    return sorted(folder.name for folder in whole if (folder / "bin" / "python").exists() and BUILD.fullmatch(folder.name))


def instances(places: Places, unit: Path) -> dict[str, dict[str, bool]]:
    """Return the instances that the host knows, by name.

    Of each is told whether it is ``configured``, has ``extra`` environment, is ``enabled``, ``active`` and ``stale``.
    An instance is stale if it started before the newest of what it has read was written: an earlier run was cut off.
    """
    wants = unit.parent / "multi-user.target.wants"
    enabled = {found["name"] for path in wants.glob("vllm@*.service") if (found := INSTANCE.fullmatch(path.name))}
    configured = {path.stem for path in places.config_dir.glob("*.yaml")}
    states = unit_states()
    return {
        name: {
            "configured": name in configured,
            "extra": (places.config_dir / f"{name}.env").exists(),
            "enabled": name in enabled,
            "active": states.get(name, {}).get("ActiveState") in ("active", "activating"),
            "stale": is_stale(states.get(name, {}), read_files(name, places, unit)),
        }
        for name in sorted(configured | enabled | set(states))
    }


def unit_states() -> dict[str, dict[str, str]]:
    """Return what systemd tells of the instances that it has loaded, by name."""
    done = subprocess.run(["systemctl", "show", "--property", PROPERTIES, "vllm@*.service"], capture_output=True, text=True, check=False)
    blocks = (dict(line.partition("=")[::2] for line in block.splitlines()) for block in done.stdout.split("\n\n"))
    named = ((INSTANCE.fullmatch(block.get("Id", "")), block) for block in blocks)
    return {found["name"]: block for found, block in named if found and block.get("ActiveState") != "inactive"}


def read_files(name: str, places: Places, unit: Path) -> list[Path]:
    """Return what an instance reads when it starts."""
    return [
        unit,
        places.prefix / "current",
        places.config_dir / f"{name}.yaml",
        places.config_dir / f"{name}.env",
        places.models_dir / name,
    ]


def is_stale(state: Mapping[str, str], files: list[Path]) -> bool:
    """Tell whether a running service started before the newest of ``files`` was written or put there."""
    start = process_start(state.get("MainPID", "0")) if state.get("ActiveState") == "active" else None
    if start is None:
        return False
    stats = [path.lstat() for path in files if path.is_symlink() or path.exists()]
    # The kernel tells when it booted in whole seconds: what is of the same second was written before the start.
    # A folder that was moved has a new ctime only.
    return any(max(stat.st_mtime, stat.st_ctime) >= start + 1 for stat in stats)


def port_holder(port: int, proc: Path = Path("/proc")) -> dict[str, Any] | None:
    """Return who listens on ``port``, or None: ``name``, ``pid``, and ``instance`` (str, empty if it is none of ours)."""
    found = holder_of(port, "vllm@", proc)
    if not found:
        return None
    return {"name": found["name"], "pid": found["pid"], "instance": _instance_of(proc / str(found["pid"])) if found["ours"] else ""}


def _instance_of(process: Path) -> str:
    try:
        found = INSTANCE.search((process / "cgroup").read_text(errors="replace").rpartition("/")[2])
    except OSError:
        return ""
    return found["name"] if found else ""
