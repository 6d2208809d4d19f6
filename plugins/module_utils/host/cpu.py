# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processor: model, cores, and the instruction sets that engines look for (proc_cpuinfo(5), cputopology.rst of the kernel)."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host

# vLLM on the CPU needs AVX2, and is fast with AVX-512 and AMX; llama.cpp chooses its build by the same flags.
FLAGS = ("avx2", "avx512f", "amx_tile")
TOPOLOGY = "/sys/devices/system/cpu"
CPU = re.compile(r"cpu\d+")
NODE = re.compile(r"node\d+")


def processor(host: Host) -> dict[str, Any]:
    """Return ``model``, ``cores``, ``threads``, ``flags`` and ``numa_nodes``."""
    found = parse(host.text("/proc/cpuinfo"))
    names = [name for name in host.names(TOPOLOGY) if CPU.fullmatch(name)]
    siblings = {host.text(f"{TOPOLOGY}/{name}/topology/thread_siblings_list") for name in names} - {""}
    nodes = [name for name in host.names("/sys/devices/system/node") if NODE.fullmatch(name)]
    found["cores"] = len(siblings) or found["cores"]
    # A kernel without NUMA has no such folder: then all memory is one node.
    found["numa_nodes"] = len(nodes) or 1
    if found["model"] is None:
        host.unknown("cpu.model", "/proc/cpuinfo names no model.")
    if not found["threads"]:
        found["threads"] = found["cores"] = None
        host.unknown("cpu.threads", "/proc/cpuinfo could not be read.")
        host.unknown("cpu.cores", "/proc/cpuinfo could not be read.")
    return found


def parse(text: str) -> dict[str, Any]:
    """Return what ``/proc/cpuinfo`` tells; where it says nothing of cores (on ARM), each thread counts as one."""
    blocks = [dict(map(_pair, block.splitlines())) for block in text.split("\n\n")]
    threads = [block for block in blocks if "processor" in block]
    first = threads[0] if threads else {}
    cores = {(block["physical id"], block["core id"]) for block in threads if "core id" in block and "physical id" in block}
    flags = set(first.get("flags", first.get("Features", "")).split())
    return {
        "model": _model(first, blocks),
        "cores": len(cores) or len(threads),
        "threads": len(threads),
        "flags": {flag: flag in flags for flag in FLAGS},
    }


def _model(first: dict[str, str], blocks: list[dict[str, str]]) -> str | None:
    named = first.get("model name") or next((block["Model"] for block in blocks if block.get("Model")), "")
    if not named and "CPU implementer" in first:
        named = f"ARM implementer {first['CPU implementer']} part {first.get('CPU part', 'unknown')}"
    return named or None


def _pair(line: str) -> tuple[str, str]:
    key, _colon, value = line.partition(":")
    return key.strip(), value.strip()
