# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requirements on the host itself: Python, distribution, WSL, init, architecture, C library, file systems, ports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host.system import parse_release, wsl_version
from ansible_collections.onprem.llm.plugins.plugin_utils.ollama_plan import no_arch, ollama_port_problem
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case, Finding, note, passes, refused, unknown
from ansible_collections.onprem.llm.plugins.plugin_utils.requirements_gpu import variant_of
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_plan import MACHINES, avx_problem, glibc_problem, vllm_port_problem
from ansible_collections.onprem.llm.plugins.plugin_utils.wsl import wsl_problems

# Modules of this collection are written for it, and so are those of ansible-core 2.19 and newer.
LEAST_PYTHON = (3, 9)
# The same as roles/common/vars/main.yml; a test compares them. Debian's testing has no number.
SUPPORTED = {"Debian": ("12", "13", "testing"), "Ubuntu": ("22.04", "24.04", "26.04"), "EL": ("9", "10"), "Amazon": ("2023",)}
DISTRIBUTIONS = {"debian": "Debian", "ubuntu": "Ubuntu", "amzn": "Amazon"}
DISTRIBUTIONS |= dict.fromkeys(("rhel", "centos", "rocky", "almalinux", "ol", "eurolinux", "cloudlinux", "miraclelinux"), "EL")
# The same words as roles/common/tasks/supported_os.yml; a test compares them.
NOT_SUPPORTED = (
    " is not supported. Expected Debian 12, 13 or testing, Ubuntu 22.04, 24.04 or 26.04, EL 9 or 10, or Amazon Linux 2023 "
    "(Amazon Linux 2 has reached its end of life). Use a host with one of these."
)
# File systems of Windows and of what it shows to Linux: no owners, no hard links, no locks that hold.
FOREIGN = ("9p", "v9fs", "drvfs", "vfat", "exfat", "ntfs", "ntfs3", "fuseblk")
VANISHING = ("tmpfs", "ramfs")
PYTHON_SAID = re.compile(r"^Python (\d+)\.(\d+)\S*", re.MULTILINE)
# Any kernel of WSL 1: what is said of it is the same for all.
WSL1_KERNEL = "4.4.0-Microsoft"
UNITS = {"ollama": "ollama.service", "gateway": "nginx.service"}


def python(case: Case) -> Iterator[Finding]:
    """Judge whether modules can run."""
    if case.host:
        yield passes(f"Python {case.host['python']['version']} at {case.host['python']['executable']}.")
        return
    found = sorted({(int(major), int(minor)) for major, minor in PYTHON_SAID.findall(case.words)})
    wanted = ".".join(map(str, LEAST_PYTHON))
    if not case.words:
        yield refused(f"The host could not be looked at ({case.failure}): see that Ansible reaches it.")
    elif not found or found[-1] < LEAST_PYTHON:
        told = f"Python {'.'.join(map(str, found[-1]))}" if found else "none"
        yield refused(
            f"Ansible's modules need Python {wanted} or newer, but the host has {told}: use a newer distribution, or install a newer "
            "Python beside it and set ansible_python_interpreter to its path."
        )
    else:
        newest = ".".join(map(str, found[-1]))
        yield refused(
            f"The host has Python {newest}, but the module host_info could not run in the one that Ansible chose ({case.failure}): "
            "set ansible_python_interpreter to one that works."
        )


def distribution(case: Case) -> Iterator[Finding]:
    """Judge whether the roles know the distribution."""
    if case.host:
        found = case.host["os"]
    elif "ID=" in case.words:
        release = parse_release(case.words)
        found = {"id": release.get("ID"), "version_id": release.get("VERSION_ID"), "name": release.get("PRETTY_NAME")}
    else:
        return
    if is_supported(found["id"], found["version_id"]):
        yield passes(f"{found['name']}.")
    else:
        yield refused(f"{found['name'] or found['id'] or 'A distribution without a name'}{NOT_SUPPORTED}")


def is_supported(name: str | None, version: str | None) -> bool:
    """Tell whether a distribution is supported, by ``ID`` and ``VERSION_ID`` of os-release(5)."""
    known = DISTRIBUTIONS.get(name or "", "")
    number = "testing" if known == "Debian" and version in {None, "14"} else version or ""
    return (number if known == "Ubuntu" else number.partition(".")[0]) in SUPPORTED.get(known, ())


def wsl(case: Case) -> Iterator[Finding]:
    """Judge Windows below."""
    kernels = [case.host["os"]["kernel"]] if case.host else case.words.splitlines()
    version = next((found for kernel in kernels if (found := wsl_version(kernel))), None)
    if version == 1:
        yield from (refused(problem) for problem in _wsl_problems(WSL1_KERNEL))
    elif version == 2:
        yield passes("WSL 2.")


def systemd(case: Case) -> Iterator[Finding]:
    """Judge who runs the services."""
    if not case.host:
        return
    if case.host["os"]["systemd"]:
        yield passes("systemd runs the host.")
    elif case.host["os"]["wsl"] == 2:
        yield from (refused(problem) for problem in _wsl_problems(case.host["os"]["kernel"], systemd=False))
    else:
        yield refused(
            "The engines are services of systemd, but it does not run this host: use a host, or a container, that systemd has booted."
        )


def _wsl_problems(kernel: str, systemd: bool = True, paths: Mapping[str, str] = MappingProxyType({}), mounts: str = "") -> list[str]:
    """Return what the role ``base`` would say of a WSL."""
    return wsl_problems({"kernel": kernel, "systemd": systemd, "paths": paths, "mounts": mounts})


def architecture(case: Case) -> Iterator[Finding]:
    """Judge the processor's kind."""
    if case.host and case.inputs["engines"]:
        machine = case.host["os"]["architecture"]
        yield passes(f"{machine}.") if machine in MACHINES else refused(no_arch(machine))


def c_library(case: Case) -> Iterator[Finding]:
    """Judge whether vLLM's wheels can be loaded."""
    if case.host and case.runs("vllm"):
        found = case.host["os"]["glibc"] or ""
        problem = glibc_problem(found)
        yield refused(problem) if problem else passes(f"GNU C library {found}.")


def instructions(case: Case) -> Iterator[Finding]:
    """Judge the instruction set where vLLM runs on the processor."""
    if not case.host or variant_of(case) != "cpu":
        return
    flags = [flag for flag, has in case.host["cpu"]["flags"].items() if has]
    problem = avx_problem(case.host["os"]["architecture"], flags)
    yield refused(problem) if problem else passes(f"{case.host['cpu']['model']} ({', '.join(flags) or 'no AVX, no x86'}).")


def file_systems(case: Case) -> Iterator[Finding]:
    """Judge what the models would lie on."""
    for engine in case.inputs["engines"]:
        path = case.inputs["directories"][engine]
        disk = case.disk(path) if case.host else None
        if not disk or disk["filesystem"] is None:
            continue
        where = f"{engine}_models_dir ({path})"
        mounts = f"{disk['device']} {disk['mount']} {disk['filesystem']}"
        of_windows = _wsl_problems(case.host["os"]["kernel"], paths={f"{engine}_models_dir": path}, mounts=mounts)
        if of_windows:
            yield refused(of_windows[0])
        elif disk["filesystem"] in FOREIGN:
            yield refused(
                f"{where} is on {disk['filesystem']} ({disk['mount']}), where Linux's owners, locks and hard links do not work: "
                "choose a directory on a file system of Linux, such as /var/lib/llm on ext4."
            )
        elif disk["filesystem"] in VANISHING:
            yield note(f"{where} is on {disk['filesystem']} ({disk['mount']}): what is there is gone after a restart of the host.")
        # Hypervisors say of any disk that it turns.
        elif disk["rotational"] and not case.host["os"]["vm"]:
            yield note(f"{where} is on a disk that turns ({disk['device']}): a large model takes minutes to load.")
        else:
            yield passes(f"{where} is on {disk['filesystem']}.")


def ports(case: Case) -> Iterator[Finding]:
    """Judge whether somebody else listens where an engine or the gateway should."""
    if not case.host:
        return
    wanted: dict[int, tuple[str, str]] = {}
    if case.runs("ollama"):
        wanted[int(case.inputs["ollama_port"])] = ("ollama", "")
    for model in case.models("vllm"):
        wanted[model["port"]] = ("vllm", model["name"])
    if case.inputs["gateway_port"]:
        wanted[int(case.inputs["gateway_port"])] = ("gateway", "")
    held = {one["port"]: one for one in case.host["listening"]}
    for port, (who, name) in wanted.items():
        if port not in held:
            yield passes(f"Port {port} is free.")
        elif held[port]["unit"] is None and held[port]["process"] is None:
            yield unknown(f"Port {port} is in use, and only root may see by whom: run this with --become.")
        elif _is_ours(held[port], who):
            yield passes(f"Port {port} is held by {held[port]['unit'] or held[port]['process']} already.")
        else:
            yield refused(_port_problem(held[port], who, port, name))


def _is_ours(holder: Mapping[str, Any], who: str) -> bool:
    unit = holder["unit"] or ""
    return unit.startswith("vllm@") if who == "vllm" else unit == UNITS[who] or (who == "gateway" and holder["process"] == "nginx")


def _port_problem(holder: Mapping[str, Any], who: str, port: int, model: str) -> str:
    if who == "vllm":
        return vllm_port_problem(port, holder["process"], holder["pid"], model)
    if who == "ollama":
        return ollama_port_problem(port, holder["process"], holder["pid"])
    return (
        f"The gateway should listen on port {port}, but '{holder['process']}' (pid {holder['pid']}) listens on {holder['address']} there: "
        "stop it, or set gateway_port or gateway_listen."
    )
