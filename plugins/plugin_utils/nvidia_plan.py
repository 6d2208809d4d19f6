# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role ``nvidia`` will do on a host, decided before anything changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils import nvidia_exporter
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_gpus import generations, module_flavour
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_packages import (
    Packages,
    branch_of,
    distribution_packages,
    family,
    nvidia_packages,
    owners,
    source_in_words,
)
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_problems import package_problems, reboot_problems, wish_problems
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_repositories import repositories, repository_problems
from ansible_collections.onprem.llm.plugins.plugin_utils.wsl import wsl_gpu_problems

# EC2 types whose GPUs are joined by NVSwitch, which pci_display does not show: needed before there is a driver to ask.
NVSWITCH_TYPES = ("p4d.", "p4de.", "p5.48", "p5e.", "p5en.", "p6-b200.", "p6-b300.")
# Names that unattended upgrades leave alone (regular expressions, matched at the beginning): a library that is newer than the loaded module
# fails every program with "Driver/library version mismatch" until the next start of the machine.
UNATTENDED = ["nvidia-", "libnvidia-", "libcuda1", "cuda-drivers", "kmod-nvidia", "linux-modules-nvidia-"]
NOTHING: dict[str, Any] = {
    "first": [],
    "driver": [],
    "kernel": [],
    "hold": [],
    "dnf_module": "",
    "versionlock": "",
    "built": False,
    "flavour": "",
    "with_module": False,
    "nouveau": False,
    "reboot": False,
    "services": [],
}


def nvidia_plan(host: Mapping[str, Any], inputs: Mapping[str, Any], probe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan for one host (dict).

    ``host`` is what the module ``host_info`` returned, ``inputs`` the role's inputs without their prefix plus ``llm_source``,
    ``mirror_url`` and ``local`` (bool: the host is the controller), ``probe`` what the role's probe found: ``packages`` (dict: name to
    ``version`` and ``maker``), ``runfile`` (bool), ``missing`` (packages of the kernel that no index has) and ``wsl`` (dict).

    Keys of the result: ``problems`` (list of sentences; empty if the plan can be carried out), ``action`` (``nothing``, ``install`` or
    ``libraries``), ``reason`` (a sentence), ``source``, ``branch``, ``flavour`` of the kernel module, lists of packages (``first``,
    ``kernel``, ``driver``, ``hold``, ``extras``), ``dnf_module``, ``versionlock``, ``built``, ``with_module``, ``nouveau``, ``reboot``,
    ``services``, ``exporter`` (bool), ``fabric_manager`` (name of its package, or empty), ``repositories`` (list of dict), ``unattended``,
    ``verify``.
    """
    inputs = {**inputs, "branch": int(inputs["branch"]), "accepted_branches": [int(branch) for branch in inputs["accepted_branches"]]}
    wsl = host["os"].get("wsl")
    if wsl:
        return _wsl_plan(wsl, inputs, probe)
    driver = (host.get("nvidia") or {}) if (host.get("nvidia") or {}).get("working") else {}
    found = [inputs["image_for"]] if inputs["image_for"] and not driver else generations(host)
    base = {**NOTHING, "branch": inputs["branch"], "source": inputs["source"], "unattended": UNATTENDED, "verify": bool(driver)}
    if driver and branch_of(driver["driver"]) in {*inputs["accepted_branches"], inputs["branch"]}:
        plan = {**base, "action": "nothing", "problems": [], "reason": f"Driver {driver['driver']} works and is left alone."}
    elif not found:
        plan = {**base, "action": "nothing", "problems": [], "reason": "The host has no NVIDIA GPU, so it needs no driver."}
    else:
        plan = _install_plan(base, host, inputs, probe, found)
    return _with_extras(plan, host, inputs, probe, found)


def _install_plan(
    base: dict[str, Any], host: Mapping[str, Any], inputs: Mapping[str, Any], probe: Mapping[str, Any], found: list[str]
) -> dict[str, Any]:
    os, branch = host["os"], inputs["branch"]
    # A container has the kernel of its machine: the module is loaded there.
    with_module = not os.get("container")
    flavour, problem = module_flavour(filter(None, found), branch, os["architecture"], inputs["module"])
    problems = [problem] if problem else []
    problems += wish_problems(host, inputs, probe, found)
    packages = Packages()
    if not problems:
        make = nvidia_packages if inputs["source"] == "nvidia" else distribution_packages
        packages = make(os, branch, flavour, with_module)
        problems += package_problems(host, inputs, probe, packages, with_module)
    loaded = host.get("nvidia") or {}
    # A module that is loaded stays until the machine starts anew, be it nouveau or another version of NVIDIA's.
    reboot = with_module and bool(host.get("nouveau") or loaded.get("driver"))
    if not problems:
        problems += reboot_problems(reboot, host, inputs)
    image = bool(inputs["image_for"])
    return {
        **base,
        "action": "install",
        "problems": problems,
        "reason": f"Driver branch {branch} is installed from {source_in_words(inputs['source'])}"
        + (f", with the {flavour} kernel module." if with_module else ", without a kernel module: the container has that of its machine."),
        "first": packages.first,
        "driver": packages.driver,
        "kernel": packages.kernel,
        "hold": packages.hold if inputs["hold"] else [],
        "dnf_module": packages.dnf_module,
        "versionlock": packages.versionlock,
        "built": packages.built,
        "flavour": flavour if with_module else "",
        "with_module": with_module,
        "nouveau": with_module,
        "reboot": reboot and not image,
        "services": ["nvidia-persistenced"] if inputs["persistence"] and with_module and not image else [],
        "verify": not image,
    }


def _with_extras(
    plan: dict[str, Any], host: Mapping[str, Any], inputs: Mapping[str, Any], probe: Mapping[str, Any], found: list[str]
) -> dict[str, Any]:
    """Add what goes with a driver: fabric manager, CUDA toolkit, container toolkit, DCGM, and the repositories that all of it needs."""
    owner = owners(probe["packages"])
    # Where a driver is left alone, its own source brings what must be equal to it.
    source = plan["source"] if plan["action"] == "install" else ("distribution" if owner["distribution"] else "nvidia")
    problems, extras = list(plan["problems"]), []
    nvswitch = bool(found) and _has_nvswitch(host, inputs) and not host["os"].get("container")
    fabric = ""
    if nvswitch:
        fabric = _fabric_manager(host, source, inputs["branch"], plan)
        if not fabric:
            problems.append(
                "The host's GPUs are joined by NVSwitch and need the fabric manager of the driver's version, which Debian has no package "
                "of: set nvidia_source to nvidia, or nvidia_fabric_manager to never where there is no NVSwitch."
            )
        extras += ["nvlsm"] if "blackwell" in found and source == "nvidia" else []
    if inputs["cuda_toolkit"]:
        extras.append(f"cuda-toolkit-{inputs['cuda_toolkit']}")
    exporter = bool(inputs["dcgm_exporter"] and found)
    if exporter:
        extras += nvidia_exporter.PACKAGES
        problems += nvidia_exporter.address_problems(inputs["dcgm_exporter_address"])
    containers = ["nvidia-container-toolkit"] if inputs["container_toolkit"] and found else []
    if extras and source == "distribution" and (inputs["cuda_toolkit"] or inputs["dcgm_exporter"]):
        problems.append(
            "nvidia_cuda_toolkit and nvidia_dcgm_exporter come from NVIDIA's repository, but the driver is the distribution's, and the two "
            "are never mixed: set nvidia_source to nvidia, or leave both out."
        )
    uses_nvidia = source == "nvidia" and bool(plan["driver"] or extras or (fabric and fabric not in probe["packages"]))
    wanted = {"driver": uses_nvidia, "containers": bool(containers)}
    if not problems:
        problems += repository_problems(host["os"], inputs, wanted)
    services = list(plan["services"])
    image = bool(inputs["image_for"])
    services += ["nvidia-fabricmanager"] if fabric and not image else []
    services += nvidia_exporter.SERVICES if exporter and not image else []
    return {
        **plan,
        "problems": problems,
        "extras": [*extras, *containers],
        "container_toolkit": bool(containers),
        "exporter": exporter,
        "fabric_manager": fabric,
        # The version that the fabric manager's must equal: the driver's, or that of a package which this plan installs.
        "fabric_version": str((host.get("nvidia") or {}).get("driver") or "") if plan["action"] == "nothing" else "",
        "fabric_like": _version_package(host["os"], plan) if fabric else "",
        "services": services,
        "repositories": [] if problems else repositories(host["os"], inputs, wanted),
    }


def _wsl_plan(wsl: int, inputs: Mapping[str, Any], probe: Mapping[str, Any]) -> dict[str, Any]:
    gpu = bool(probe["wsl"]["libcuda"] or probe["wsl"]["smi"])
    return {
        **NOTHING,
        "branch": inputs["branch"],
        "source": "windows",
        "unattended": [],
        "action": "libraries" if gpu else "nothing",
        "problems": wsl_gpu_problems(wsl, probe["wsl"], owners(probe["packages"])),
        "reason": "On WSL2 the driver is that of Windows: nothing is installed, "
        + ("only its libraries are made known." if gpu else "and Windows gives no GPU of NVIDIA."),
        "extras": [],
        "container_toolkit": False,
        "exporter": False,
        "fabric_manager": "",
        "fabric_version": "",
        "fabric_like": "",
        "repositories": [],
        "verify": gpu,
    }


def _has_nvswitch(host: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
    if inputs["fabric_manager"] != "auto":
        return bool(inputs["fabric_manager"] == "always")
    instance = str((host.get("ec2") or {}).get("instance_type") or "")
    return bool((host.get("nvidia") or {}).get("nvswitch")) or instance.startswith(NVSWITCH_TYPES)


def _fabric_manager(host: Mapping[str, Any], source: str, branch: int, plan: Mapping[str, Any]) -> str:
    if source == "nvidia":
        return "nvidia-fabricmanager"
    if family(host["os"])[0] != "ubuntu":
        return ""
    driver = (host.get("nvidia") or {}).get("driver")
    return f"nvidia-fabricmanager-{branch_of(driver) if driver and plan['action'] == 'nothing' else branch}"


def _version_package(os: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Return a package of the plan that has the driver's version."""
    if family(os)[0] != "ubuntu":
        return "nvidia-driver-cuda"
    return next((name for name in plan["driver"] if name.startswith(("libnvidia-compute", "nvidia-utils"))), "")
