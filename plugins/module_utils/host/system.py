# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system: distribution, kernel, C library, WSL, container, virtual machine, init."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host.looking import Host
from ansible_collections.onprem.llm.plugins.module_utils.ollama_host import glibc

# WSL1 names a kernel that it pretends to have 4.4.0-19041-Microsoft, with nothing behind it. Those of WSL2, also those that a person
# builds, are called 5.15.153.1-microsoft-standard-WSL2, and without the last word before 5.10.
WSL1 = re.compile(r"-Microsoft$")
WSL = re.compile(r"microsoft", re.IGNORECASE)
# What a hypervisor writes into the tables of the firmware, and what systemd-detect-virt(1) calls it.
HYPERVISORS = {
    "Amazon EC2": "amazon",
    "QEMU": "kvm",
    "KVM": "kvm",
    "VMware": "vmware",
    "innotek GmbH": "oracle",
    "Xen": "xen",
    "Microsoft Corporation": "microsoft",
    "Google": "google",
    "Parallels": "parallels",
}
DMI = "/sys/class/dmi/id"


def system(host: Host) -> dict[str, Any]:
    """Return what the contract calls ``os``."""
    release = parse_release(host.text("/etc/os-release") or host.text("/usr/lib/os-release"))
    kernel = platform.release() if host.root == Path("/") else host.text("/proc/sys/kernel/osrelease")
    found: dict[str, Any] = {
        "id": release.get("ID"),
        "version_id": release.get("VERSION_ID"),
        "name": release.get("PRETTY_NAME") or release.get("NAME"),
        "kernel": kernel,
        "architecture": platform.machine(),
        "glibc": glibc() or None,
        "wsl": wsl_version(kernel),
        # How systemd itself tells, sd_booted(3).
        "systemd": host.exists("/run/systemd/system"),
        "container": container(host),
        "vm": virtual_machine(host),
    }
    for key in ("id", "version_id", "name"):
        if found[key] is None:
            host.unknown(f"os.{key}", "The file os-release does not say it, which a distribution without numbers may leave out.")
    if found["glibc"] is None:
        host.unknown("os.glibc", "Python was built for another C library than GNU's.")
    return found


def python() -> dict[str, str]:
    """Return the interpreter that this runs in: ``version`` and ``executable``."""
    return {"version": platform.python_version(), "executable": sys.executable}


def parse_release(text: str) -> dict[str, str]:
    """Return the assignments of os-release(5)."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            try:
                found[key] = "".join(shlex.split(value))
            except ValueError:  # A quote without its pair.
                found[key] = value
    return found


def wsl_version(kernel: str) -> int | None:
    """Return 1 or 2 where Windows runs this Linux, from the release of the kernel (uname -r)."""
    if WSL1.search(kernel):
        return 1
    return 2 if WSL.search(kernel) else None


def container(host: Host) -> str | None:
    """Return the kind of container that this is, as systemd calls it; None if it is none."""
    # systemd and podman leave a note; Docker an empty file.
    said = host.text("/run/systemd/container")
    if not said:
        settings = dict(one.partition("=")[::2] for one in host.text("/proc/1/environ").split("\0"))
        said = settings.get("container", "")
    if not said and host.exists("/run/.containerenv"):
        said = "podman"
    if not said and host.exists("/.dockerenv"):
        said = "docker"
    return said if said and said != "wsl" else None


def virtual_machine(host: Host) -> str | None:
    """Return the kind of virtual machine that this is, as systemd-detect-virt(1) calls it; None if it is none."""
    program = host.program("systemd-detect-virt")
    said = host.ask(program, "--vm").text.strip() if program else ""
    if re.fullmatch(r"[a-z0-9-]+", said):
        return said if said != "none" else None
    vendor = f"{host.text(DMI + '/sys_vendor')} {host.text(DMI + '/bios_vendor')} {host.text(DMI + '/product_name')}"
    # Surface is Microsoft's too, and no virtual machine.
    named = next((kind for word, kind in HYPERVISORS.items() if word in vendor), None)
    if "hypervisor" in host.text("/proc/cpuinfo").partition("\n\n")[0].split():
        return named or "other"
    return named if named == "amazon" and "metal" not in vendor else None


def kernel_headers(host: Host, kernel: str) -> bool:
    """Tell whether a module can be built for the running kernel."""
    places = (f"/lib/modules/{kernel}/build", f"/usr/src/linux-headers-{kernel}", f"/usr/src/kernels/{kernel}")
    return any(host.exists(f"{place}/Makefile") for place in places)


def secure_boot(host: Host) -> bool | None:
    """Tell whether the firmware lets signed kernels only start (UEFI specification, variable SecureBoot)."""
    folder = "/sys/firmware/efi"
    if not host.exists(folder):
        if container(host):
            host.unknown("secure_boot", "A container does not see the firmware.")
            return None
        return False
    name = next((name for name in host.names(f"{folder}/efivars") if name.startswith("SecureBoot-")), "")
    try:
        content = host.at(f"{folder}/efivars/{name}").read_bytes() if name else b""
    except OSError as exc:
        host.unknown("secure_boot", f"{folder}/efivars/{name} could not be read: {exc.strerror}.")
        return None
    # Four bytes of attributes, then the value.
    if len(content) != 5:
        host.unknown("secure_boot", f"{folder}/efivars has no variable SecureBoot that is understood: it may not be mounted.")
        return None
    return content[4] == 1
