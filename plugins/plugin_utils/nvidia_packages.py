# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the driver's packages, by distribution and by who made them: NVIDIA, or the distribution itself. Nothing of a desktop is in it.

Sources: NVIDIA's driver installation guide ("Compute-only systems", "Version locking", "Ubuntu 590 package renames"), and the archives of
Debian and Ubuntu.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# os-release id and version to the name of NVIDIA's repository; EL is what its rebuilds are.
REPOSITORIES = {
    ("debian", "12"): "debian12",
    ("debian", "13"): "debian13",
    ("ubuntu", "22.04"): "ubuntu2204",
    ("ubuntu", "24.04"): "ubuntu2404",
    ("ubuntu", "26.04"): "ubuntu2604",
    ("el", "9"): "rhel9",
    ("el", "10"): "rhel10",
    ("amzn", "2023"): "amzn2023",
}
EL = ("rhel", "almalinux", "rocky", "ol", "centos")
MACHINES = {"x86_64": "x86_64", "aarch64": "sbsa"}
# The branch in a Debian release's own archive (non-free), which its life long it keeps.
DEBIAN_BRANCHES = {"12": 535, "13": 550}
# Ubuntu's kernels of the release itself; a newer one is of the hardware enablement stack, whose packages have another suffix.
UBUNTU_KERNELS = {"22.04": "5.15", "24.04": "6.8", "26.04": "7.0"}
# From here on NVIDIA's packages for Ubuntu do not have the branch in their names ("Ubuntu 590 package renames").
UNSUFFIXED_BRANCH = 590
# Packages that NVIDIA makes and no distribution does.
ONLY_NVIDIA = re.compile(r"cuda-(?:keyring|drivers.*)|nvidia-(?:open.*|driver-pinning-.*|driver-cuda)")
# The driver itself: what of another source, and on WSL2 of any, may not be there.
DRIVER = re.compile(
    r"(?:lib)?cuda-drivers.*|libcuda1|libnvidia-(?:compute|ml|cfg)\S*|nvidia-(?:driver|headless|kernel|dkms|open|smi|utils|compute-utils|persistenced)"
    r"\S*|kmod-nvidia\S*|linux-modules-nvidia\S*|cuda"
)
NOT_DRIVER = re.compile(r"nvidia-driver-(?:pinning-\S*|assistant)|nvidia-kernel-common")


@dataclass(frozen=True)
class Packages:
    """What brings a driver: ``first`` before all (a pin), ``driver`` in one go, ``kernel`` what a module is built with, ``hold`` what "
    "stays."""

    first: list[str] = field(default_factory=list)
    driver: list[str] = field(default_factory=list)
    kernel: list[str] = field(default_factory=list)
    hold: list[str] = field(default_factory=list)
    dnf_module: str = ""
    versionlock: str = ""
    fabric_manager: str = ""
    built: bool = True


def family(os: Mapping[str, Any]) -> tuple[str, str]:
    """Return the distribution as the tables here name it, and its version."""
    version = str(os.get("version_id") or "")
    if os["id"] in EL:
        return "el", version.split(".", maxsplit=1)[0]
    return os["id"], version


def nvidia_packages(os: Mapping[str, Any], branch: int, flavour: str, with_module: bool) -> Packages:
    """Return NVIDIA's own packages for a distribution."""
    name, version = family(os)
    is_open = flavour == "open"
    if name == "debian":
        module = ["nvidia-kernel-open-dkms" if is_open else "nvidia-kernel-dkms"] if with_module else []
        driver = ["nvidia-driver-cuda", *(["nvidia-persistenced"] if with_module else []), *module]
        headers = [f"linux-headers-{os['kernel']}"] if with_module else []
        return Packages([f"nvidia-driver-pinning-{branch}"], driver, headers, fabric_manager="nvidia-fabricmanager")
    if name == "ubuntu":
        tail = "" if branch >= UNSUFFIXED_BRANCH else f"-{branch}"
        module = [f"nvidia-dkms{tail}{'-open' if is_open else ''}"] if with_module else []
        # The second has the persistence daemon.
        daemon = [f"nvidia-compute-utils{tail}" if tail else "nvidia-persistenced"] if with_module else []
        rest = [*([f"nvidia-utils{tail}"] if tail else []), *daemon]
        headers = [f"linux-headers-{os['kernel']}"] if with_module else []
        driver = [f"libnvidia-compute{tail}", *rest, *module]
        return Packages([f"nvidia-driver-pinning-{branch}"], driver, headers, fabric_manager="nvidia-fabricmanager")
    module = ["kmod-nvidia-open-dkms" if is_open else "kmod-nvidia-latest-dkms"] if with_module else []
    driver = ["nvidia-driver-cuda", *(["nvidia-persistenced"] if with_module else []), *module]
    kernel = list(_rpm_headers(name, os["kernel"])) if with_module else []
    if (name, version) == ("el", "10"):
        # It has no module streams: the branch is a pattern for dnf's plugin.
        return Packages(
            ["python3-dnf-plugin-versionlock"],
            driver,
            kernel,
            driver,
            versionlock=f"*nvidia*{branch}*",
            fabric_manager="nvidia-fabricmanager",
        )
    stream = f"nvidia-driver:{branch}-{'open' if is_open else 'dkms'}"
    return Packages(["python3-dnf-plugin-versionlock"], driver, kernel, driver, dnf_module=stream, fabric_manager="nvidia-fabricmanager")


def distribution_packages(os: Mapping[str, Any], branch: int, flavour: str, with_module: bool) -> Packages:
    """Return the packages of Debian's or Ubuntu's own archive."""
    name, version = family(os)
    is_open = flavour == "open"
    if name == "debian":
        module = ["nvidia-open-kernel-dkms" if is_open else "nvidia-kernel-dkms"] if with_module else []
        driver = ["libcuda1", "nvidia-smi", *(["nvidia-persistenced"] if with_module else []), *module]
        return Packages([], driver, [f"linux-headers-{os['kernel']}"] if with_module else [], driver)
    stem = f"{branch}-server{'-open' if is_open else ''}"
    if not with_module:
        driver = [f"libnvidia-compute-{branch}-server", f"nvidia-utils-{branch}-server"]
        return Packages([], driver, [], driver)
    # Built and signed by Ubuntu: for the kernel that runs, and the package that follows the kernel.
    signed = [f"linux-modules-nvidia-{stem}-{os['kernel']}", f"linux-modules-nvidia-{stem}-{_ubuntu_kernel(version, os['kernel'])}"]
    driver = [*signed, f"nvidia-headless-no-dkms-{stem}", f"nvidia-utils-{branch}-server"]
    # A kernel that moves on without its module leaves the GPU dark: they are held together.
    hold = [*driver[1:], f"linux-image-{_ubuntu_kernel(version, os['kernel'])}"]
    return Packages([], driver, [], hold, fabric_manager=f"nvidia-fabricmanager-{branch}", built=False)


def owners(installed: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the driver's packages that are installed, by their source (``nvidia`` or ``distribution``), which name and maintainer tell."""
    found: dict[str, list[str]] = {"nvidia": [], "distribution": []}
    for name, package in sorted(installed.items()):
        if DRIVER.fullmatch(name) and not NOT_DRIVER.fullmatch(name):
            ours = ONLY_NVIDIA.fullmatch(name) or "nvidia.com" in package["maker"].lower() or package["maker"].upper() == "NVIDIA"
            found["nvidia" if ours else "distribution"].append(name)
    return found


def _ubuntu_kernel(version: str, kernel: str) -> str:
    """Return the suffix of the packages that follow a kernel: ``generic``, ``generic-hwe-24.04``, ``aws`` ..."""
    kind = kernel.rpartition("-")[2]
    return f"generic-hwe-{version}" if kind == "generic" and not kernel.startswith(f"{UBUNTU_KERNELS.get(version)}.") else kind


def _rpm_headers(name: str, kernel: str) -> Iterator[str]:
    if name == "amzn":
        # Amazon Linux has packages of their own for each kernel line after 6.1 (kernel6.12, kernel6.18).
        line = ".".join(kernel.split(".")[:2])
        stem = "kernel" if line == "6.1" else f"kernel{line}"
        yield f"{stem}-devel-{_without_machine(kernel)}"
        yield f"{stem}-modules-extra-{_without_machine(kernel)}"
    else:
        yield f"kernel-devel-{_without_machine(kernel)}"
        yield f"kernel-headers-{_without_machine(kernel)}"
    yield "dkms"


def _without_machine(kernel: str) -> str:
    return re.sub(r"\.(?:x86_64|aarch64)$", "", kernel)


def source_in_words(source: str) -> str:
    """Return in words where the packages of a source (``nvidia`` or ``distribution``) come from."""
    return "NVIDIA's repository" if source == "nvidia" else "the distribution"


def branch_of(version: str) -> int:
    """Return the branch of a driver's version, or 0 where there is none."""
    head, _dot, _rest = str(version).partition(".")
    return int(head) if head.isdigit() else 0
