# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``nvidia`` refuses to install, and why: each problem is a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_gpus import GENERATIONS
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_packages import (
    DEBIAN_BRANCHES,
    Packages,
    branch_of,
    family,
    owners,
    source_in_words,
)


def wish_problems(host: Mapping[str, Any], inputs: Mapping[str, Any], probe: Mapping[str, Any], found: list[str]) -> Iterator[str]:
    """Yield what stands against a driver as it is asked for, before its packages are known; ``found`` are the generations of the GPUs."""
    yield from _gpu_problems(found, inputs)
    yield from _driver_problems(host, inputs)
    yield from _source_problems(host["os"], inputs)
    yield from _mix_problems(inputs, probe)


def package_problems(
    host: Mapping[str, Any], inputs: Mapping[str, Any], probe: Mapping[str, Any], packages: Packages, with_module: bool
) -> Iterator[str]:
    """Yield what stands against these packages on the kernel that runs."""
    yield from _kernel_problems(host, packages, probe)
    yield from _secure_boot_problems(host, inputs, packages, with_module)


def _gpu_problems(found: list[str], inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs["image_for"] and inputs["image_for"] not in GENERATIONS:
        yield f"nvidia_image_for must be one of {', '.join(GENERATIONS)}, but it is {inputs['image_for']!r}: correct it."
    elif "" in found and inputs["module"] == "auto":
        yield (
            "The generation of an NVIDIA GPU of this host is not known, or older than Maxwell, which driver 580 does not serve any more: "
            "for a newer GPU set nvidia_module to open, or take the old one out."
        )


def _driver_problems(host: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[str]:
    driver = (host.get("nvidia") or {}).get("driver")
    if driver and branch_of(driver) > inputs["branch"]:
        yield (
            f"The host has driver {driver}, whose branch nvidia_accepted_branches does not list, and a role does not go back by itself: "
            f"add {branch_of(driver)} there to keep it, or remove it and run this again."
        )


def _source_problems(os: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[str]:
    name, version = family(os)
    if inputs["source"] == "nvidia":
        return
    if name == "debian":
        own = DEBIAN_BRANCHES.get(version)
        if own is None:
            yield f"Which driver branch Debian {version or 'testing'} has is not known to this role: use Debian 12 or 13."
        elif own != inputs["branch"]:
            yield (
                f"Debian {version} has driver branch {own} only, but nvidia_branch is {inputs['branch']}: set nvidia_source to nvidia, or "
                f"nvidia_branch to {own} (enough for Ollama; vLLM from PyPI needs 580)."
            )
    elif name != "ubuntu":
        yield "nvidia_source is distribution, but only Debian and Ubuntu have a driver of their own: set it to nvidia."


def _mix_problems(inputs: Mapping[str, Any], probe: Mapping[str, Any]) -> Iterator[str]:
    owner = owners(probe["packages"])
    other = "distribution" if inputs["source"] == "nvidia" else "nvidia"
    if probe["runfile"]:
        yield (
            "A driver was installed by NVIDIA's .run file (there is /usr/bin/nvidia-uninstall), which packages would overwrite: run "
            "nvidia-uninstall, or repair that driver; the role leaves alone one that works."
        )
    if owner[other]:
        yield (
            f"nvidia_source is {inputs['source']}, but the host has packages of {source_in_words(other)} "
            f"({', '.join(owner[other][:4])}), and the two are never mixed: set nvidia_source to {other}, or remove them."
        )


def _kernel_problems(host: Mapping[str, Any], packages: Packages, probe: Mapping[str, Any]) -> Iterator[str]:
    missing = [name for name in probe["missing"] if name in (*packages.kernel, *packages.driver)]
    if missing and not (host.get("kernel_headers") and missing == packages.kernel):
        yield (
            f"The kernel that runs is {host['os']['kernel']}, and no package index of this host has {', '.join(missing)}, which its module "
            "is built with: upgrade the kernel and start the host anew, or add the index that the kernel came from."
        )


def _secure_boot_problems(host: Mapping[str, Any], inputs: Mapping[str, Any], packages: Packages, with_module: bool) -> Iterator[str]:
    if with_module and host.get("secure_boot") and packages.built and not inputs["secure_boot_enrolled"]:
        way = (
            "set nvidia_source to distribution, whose modules Ubuntu signs" if family(host["os"])[0] == "ubuntu" else "turn Secure Boot off"
        )
        yield (
            "Secure Boot is on, and the kernel module would be built on the host and signed with its own key, which must be enrolled at "
            f"the console: {way}; or enrol the key (mokutil --import) and set nvidia_secure_boot_enrolled to true."
        )


def reboot_problems(reboot: bool, host: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[str]:
    """Yield what stands against starting the host anew, where that is what the driver needs."""
    if not reboot or inputs["image_for"]:
        return
    loaded = "nouveau" if host.get("nouveau") else f"module {host['nvidia']['driver']}"
    if not inputs["allow_reboot"]:
        yield (
            f"The kernel has loaded {loaded}, so the driver works only after the host was started anew: set nvidia_allow_reboot to true, "
            "and the role does it."
        )
    elif inputs["local"]:
        yield (
            f"The kernel has loaded {loaded}, so the host must be started anew, but it is the machine that Ansible runs on: run the "
            "playbook from another one."
        )
