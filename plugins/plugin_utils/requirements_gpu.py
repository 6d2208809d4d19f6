# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirements on the GPUs of NVIDIA: driver, compute capability, Secure Boot, nouveau."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case, Finding, note, passes, refused, unknown
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_variant import (
    CUDA12_DRIVER,
    CUDA_DRIVER,
    broken_problem,
    capability_problem,
    driver_problem,
    resolve_variant,
)

# Ollama's docs/gpu.mdx at v0.32: its libraries for CUDA 12 need this driver; those for CUDA 13 need the one that vLLM needs too.
OLLAMA_DRIVER = 550
BY_ROLE = "the role nvidia installs one."


def variant_of(case: Case) -> str:
    """Return which build of vLLM the role would choose, ``cuda`` or ``cpu``; empty where the host runs none."""
    return resolve_variant(as_survey(case), case.inputs["vllm_variant"], bool(case.inputs["vllm_lock"]))[0] if case.runs("vllm") else ""


def as_survey(case: Case) -> dict[str, Any]:
    """Return what ``host_info`` found in the words of ``vllm_info``, which the rules of the role ``vllm`` are written in."""
    facts = case.host["nvidia"]
    if facts is None:
        return {"present": False, "driver": "", "gpus": [], "problem": ""}
    gpus = [gpu for gpu in case.host["gpus"] or [] if gpu["vendor"] == "nvidia"]
    reason = str(case.host["reasons"].get("nvidia", "nobody knows why")).rpartition("does not work: ")[2].rstrip(".")
    return {"present": True, "driver": facts["driver"] or "", "gpus": gpus, "problem": "" if facts["working"] else reason}


def installs_driver(case: Case) -> bool:
    """Tell whether the role nvidia installs a driver on the host; in WSL it is that of Windows."""
    return bool(case.inputs["installs_driver"]) and not case.host["os"]["wsl"]


def driver(case: Case) -> Iterator[Finding]:
    """Judge the driver against the build that would be installed."""
    if not case.host or not case.inputs["engines"]:
        return
    found, variant = as_survey(case), variant_of(case)
    if variant == "cuda" and not found["present"]:
        yield refused(resolve_variant(found, case.inputs["vllm_variant"])[1])
    elif not found["present"]:
        yield passes("No GPU of NVIDIA, so no driver is needed.")
    elif variant == "cuda":
        least = CUDA12_DRIVER if case.inputs["vllm_lock"] else CUDA_DRIVER
        problem = broken_problem(found) if found["problem"] else driver_problem(found, least)
        if problem and installs_driver(case):
            yield passes(f"{_told(found)}: {BY_ROLE}")
        else:
            yield refused(problem) if problem else passes(f"Driver {found['driver']}.")
    elif _uses_gpu_by_ollama(case):
        yield from _for_ollama(case, found)


def capability(case: Case) -> Iterator[Finding]:
    """Judge whether vLLM has code for the GPUs."""
    if not case.host or variant_of(case) != "cuda":
        return
    found = as_survey(case)
    if not found["gpus"]:
        yield unknown("The compute capability of the GPU is not known while its driver does not work.")
        return
    problem = capability_problem(found)
    yield refused(problem) if problem else passes(", ".join(_described(gpu) for gpu in found["gpus"]) + ".")


def secure_boot(case: Case) -> Iterator[Finding]:
    """Judge whether the kernel may load the module of a driver that does not work yet."""
    if not _waits_for_driver(case) or installs_driver(case) or not case.host["secure_boot"]:
        return
    text = "Secure Boot is on, and no NVIDIA module is loaded: the kernel refuses one whose signature the firmware does not know"
    yield _refused_or_note(
        case,
        f"{text}. Install modules that the distribution signs (on Ubuntu linux-modules-nvidia-580-server-open-generic), enrol the key of "
        "the module at the console (mokutil --import), or turn Secure Boot off.",
    )


def nouveau(case: Case) -> Iterator[Finding]:
    """Judge whether the free driver holds the GPU."""
    if not case.host or not case.host["nouveau"] or not as_survey(case)["present"] or installs_driver(case):
        return
    yield _refused_or_note(
        case,
        "The kernel has loaded nouveau, which holds the GPU of NVIDIA and computes nothing on it: install NVIDIA's driver, which keeps "
        "nouveau out, and start the host anew.",
    )


def _refused_or_note(case: Case, text: str) -> Finding:
    """Refuse where vLLM needs the GPU; Ollama uses the processor then."""
    return refused(text) if variant_of(case) == "cuda" else note(f"{text} Until then Ollama uses the processor.")


def _waits_for_driver(case: Case) -> bool:
    """Tell whether there is a GPU whose driver does not work, on a host whose kernel is its own."""
    if not case.host or not (variant_of(case) == "cuda" or _uses_gpu_by_ollama(case)):
        return False
    found = as_survey(case)
    return bool(found["present"] and found["problem"] and not case.host["os"]["wsl"] and not case.host["os"]["container"])


def _uses_gpu_by_ollama(case: Case) -> bool:
    return case.runs("ollama") and case.inputs["ollama_gpu"] != "none"


def _for_ollama(case: Case, found: Mapping[str, Any]) -> Iterator[Finding]:
    if not found["problem"] and int(found["driver"].partition(".")[0]) >= OLLAMA_DRIVER:
        yield passes(f"Driver {found['driver']}.")
    elif installs_driver(case):
        yield passes(f"{_told(found)}: {BY_ROLE}")
    elif found["problem"]:
        yield note(f"{_told(found)}: Ollama will use the processor. Install driver {CUDA_DRIVER}, or set ollama_gpu to none.")
    else:
        yield note(
            f"Ollama needs the NVIDIA driver {OLLAMA_DRIVER} or newer, but the host has {found['driver']}: it will use the processor. "
            f"Install driver {CUDA_DRIVER}, or set ollama_gpu to none."
        )


def _told(found: Mapping[str, Any]) -> str:
    return (
        f"The driver of the NVIDIA GPU does not work ({found['problem']})" if found["problem"] else f"Driver {found['driver']} is too old"
    )


def _described(gpu: Mapping[str, Any]) -> str:
    return f"{gpu['name']} has {gpu['compute_capability'] or 'a compute capability that is not told'}"
