# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of vLLM fits a host: decided from what its driver says, never by hope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# vLLM from 0.20 on PyPI is a CUDA 13 build; CUDA 13 needs this driver, and its compilers know no older GPU than Turing.
CUDA_DRIVER = 580
CUDA_CAPABILITY = (7, 5)
# The oldest driver that runs a CUDA 12 build.
CUDA12_DRIVER = 525
CUDA12_VERSION = "0.32.0+cu129"
CUDA12_INDEX = "https://wheels.vllm.ai/0.32.0/cu129"


def resolve_variant(nvidia: Mapping[str, Any], wish: str, own_lock: bool = False) -> tuple[str, str]:
    """Return the variant (``cuda`` or ``cpu``) and why it cannot be (a sentence, empty if it can).

    ``nvidia`` is what the module ``vllm_info`` tells of driver and GPUs, ``wish`` is ``auto``, ``cuda`` or ``cpu``. ``own_lock`` says that
    a person has chosen the build, which may be one for CUDA 12.
    """
    if wish == "cpu" or (wish == "auto" and not nvidia["present"]):
        return "cpu", ""
    if not nvidia["present"]:
        return "cuda", "vllm_variant is cuda, but the host has no NVIDIA GPU: set vllm_variant to auto or cpu, or use a host with one."
    return "cuda", _gpu_problem(nvidia, CUDA12_DRIVER if own_lock else CUDA_DRIVER)


def _gpu_problem(nvidia: Mapping[str, Any], least: int) -> str:
    return (broken_problem(nvidia) if nvidia["problem"] else "") or capability_problem(nvidia) or driver_problem(nvidia, least)


def broken_problem(nvidia: Mapping[str, Any]) -> str:
    """Say that the driver does not work."""
    return (
        f"The host has an NVIDIA GPU, but its driver does not work ({nvidia['problem']}): install driver {CUDA_DRIVER} or newer "
        "(on WSL2 that of Windows), or set vllm_variant to cpu to leave the GPU alone."
    )


def capability_problem(nvidia: Mapping[str, Any]) -> str:
    """Return why a GPU is too old for vLLM; empty if none is."""
    # A driver that is so old that it does not tell the capability is refused below.
    old = [gpu for gpu in nvidia["gpus"] if gpu["compute_capability"] and _numbers(gpu["compute_capability"])[:2] < CUDA_CAPABILITY]
    if not old:
        return ""
    wanted = ".".join(map(str, CUDA_CAPABILITY))
    return (
        f"vLLM needs compute capability {wanted} or newer, but the {old[0]['name']} has {old[0]['compute_capability']}: "
        "use the engine ollama on this host, or set vllm_variant to cpu."
    )


def driver_problem(nvidia: Mapping[str, Any], least: int = CUDA_DRIVER) -> str:
    """Return why the driver is too old for the chosen build; empty if it is not."""
    driver = nvidia["driver"]
    if _numbers(driver)[0] >= least:
        return ""
    sentence = f"vLLM from PyPI is built for CUDA 13 and needs the NVIDIA driver {CUDA_DRIVER} or newer, but the host has {driver}: "
    upgrade = f"upgrade the driver to {CUDA_DRIVER} and reboot"
    if _numbers(driver)[0] < CUDA12_DRIVER:
        return f"{sentence}{upgrade} (no build of today fits a driver older than {CUDA12_DRIVER}), or set vllm_variant to cpu."
    return (
        f"{sentence}{upgrade}; or keep the driver and take the last build for CUDA 12, vllm {CUDA12_VERSION} of {CUDA12_INDEX} with torch "
        "for cu129, by a lock of your own (vllm_lock, with vllm_torch_index_url for the index); or set vllm_variant to cpu."
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
