"""What the role ``nvidia`` refuses, and what it does not, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.onprem.llm.tests.unit.helpers.nvidia_case import (
    B200,
    DEBIAN13,
    DEBIAN_DRIVER,
    KERNEL,
    L4,
    NOBLE,
    NVIDIA_DRIVER,
    ROCKY9,
    ROCKY10,
    V100,
    WORKING,
    on_wsl,
    plan,
)


@pytest.mark.parametrize(
    ("host", "inputs", "probe", "words"),
    [
        ({"pci_display": [V100]}, {"branch": 595}, {}, "volta works with branch 580 at most"),
        ({"pci_display": [B200]}, {"module": "proprietary"}, {}, "blackwell has the open module only"),
        ({"pci_display": [V100]}, {"module": "open"}, {}, "volta has the proprietary module only"),
        ({"pci_display": [V100, B200]}, {}, {}, "a kernel loads only one"),
        ({"pci_display": [B200]}, {"source": "distribution", "branch": 550}, {}, "blackwell needs branch 570 or newer"),
        ({}, {"module": "proprietary", "branch": 620}, {}, "branch 620 has no such module any more"),
        ({"pci_display": [{**L4, "device_id": "0x102d"}]}, {}, {}, "not known, or older than Maxwell"),
        ({}, {"image_for": "kepler"}, {}, "nvidia_image_for must be one of maxwell"),
        ({"nvidia": {**WORKING, "driver": "700.10"}}, {}, {}, "add 700 there to keep it"),
        ({}, {"source": "distribution"}, {}, "Debian 13 has driver branch 550 only"),
        ({"os": {**DEBIAN13, "version_id": ""}}, {"source": "distribution", "branch": 550}, {}, "use Debian 12 or 13"),
        ({"os": ROCKY9}, {"source": "distribution"}, {}, "only Debian and Ubuntu have a driver of their own"),
        ({}, {}, {"packages": DEBIAN_DRIVER}, "the host has packages of the distribution (libcuda1), and the two are never mixed"),
        (
            {"os": NOBLE},
            {"source": "distribution"},
            {"packages": NVIDIA_DRIVER},
            "the host has packages of NVIDIA's repository (libnvidia-compute-580)",
        ),
        ({}, {}, {"runfile": True}, "installed by NVIDIA's .run file"),
        ({}, {}, {"missing": [f"linux-headers-{KERNEL}"]}, "no package index of this host has linux-headers-6.12.107+deb13-amd64"),
        ({"secure_boot": True}, {}, {}, "turn Secure Boot off; or enrol the key"),
        ({"os": NOBLE, "secure_boot": True}, {}, {}, "set nvidia_source to distribution, whose modules Ubuntu signs"),
        ({"nouveau": True}, {}, {}, "The kernel has loaded nouveau, so the driver works only after the host was started anew"),
        ({"nvidia": {**WORKING, "driver": "550.163.01"}}, {}, {}, "The kernel has loaded module 550.163.01"),
        ({"nouveau": True}, {"allow_reboot": True, "local": True}, {}, "it is the machine that Ansible runs on"),
        ({"os": DEBIAN13}, {"source": "distribution", "branch": 550, "fabric_manager": "always"}, {}, "which Debian has no package of"),
        ({"os": NOBLE}, {"source": "distribution", "cuda_toolkit": "13-0"}, {}, "come from NVIDIA's repository, but the driver is the"),
        ({"os": {**DEBIAN13, "version_id": "14"}}, {}, {}, "NVIDIA has no repository for Debian GNU/Linux 14"),
        ({"os": {**DEBIAN13, "architecture": "riscv64"}}, {}, {}, "on riscv64"),
        ({"os": {**DEBIAN13, "architecture": "aarch64"}}, {}, {}, "No sha256 of cuda-keyring_1.1-1_all.deb for debian13/sbsa is known"),
        ({}, {"keyring_sha256": "123"}, {}, "nvidia_keyring_sha256 must be 64 hexadecimal digits"),
        ({"os": ROCKY10}, {}, {}, "set nvidia_key_fingerprint to the 40 digits"),
        ({"os": ROCKY10}, {"key_fingerprint": "xyz"}, {}, "nvidia_key_fingerprint must be 40 hexadecimal digits"),
        ({}, {"llm_source": "registries"}, {}, "llm_source 'registries' does not reach: set nvidia_repository_url"),
        ({}, {"llm_source": "mirror"}, {}, "llm_mirror_url is ''"),
    ],
)
def test_what_is_refused(host: dict[str, Any], inputs: dict[str, Any], probe: dict[str, Any], words: str) -> None:
    problems = plan(host, inputs, probe)["problems"]
    assert len(problems) == 1 and words in problems[0], problems


@pytest.mark.parametrize(
    ("host", "inputs", "probe"),
    [
        ({"os": NOBLE, "secure_boot": True}, {"source": "distribution"}, {}),
        ({"secure_boot": True}, {"secure_boot_enrolled": True}, {}),
        ({"nouveau": True}, {"allow_reboot": True}, {}),
        ({"kernel_headers": True}, {}, {"missing": [f"linux-headers-{KERNEL}"]}),
        ({}, {}, {"packages": {"cuda-keyring": {"version": "1.1-1", "maker": "cudatools <cudatools@nvidia.com>"}}}),
        ({}, {"keyring_sha256": "sha256:" + "AB" * 32}, {}),
        ({"pci_display": [{**L4, "device_id": "0xffff"}]}, {"module": "open"}, {}),
        ({}, {"llm_source": "registries", "repository_url": "https://mirror.example/cuda"}, {}),
        # What is left alone needs no repository.
        ({"nvidia": WORKING}, {"llm_source": "registries"}, {"packages": DEBIAN_DRIVER, "runfile": True}),
    ],
)
def test_what_works_is_not_refused(host: dict[str, Any], inputs: dict[str, Any], probe: dict[str, Any]) -> None:
    assert plan(host, inputs, probe)["problems"] == []


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (on_wsl(1), "wsl --set-version"),
        (on_wsl(packages=NVIDIA_DRIVER), "apt-get purge libnvidia-compute-580"),
        (on_wsl(packages=DEBIAN_DRIVER, device=True, libcuda=True, smi=True), "hides that of Windows"),
        (on_wsl(device=True, smi=True), "has no libcuda.so.1: install NVIDIA's driver 580 or newer in Windows"),
        (on_wsl(device=True, libcuda=True), "has no nvidia-smi"),
    ],
)
def test_what_wsl_refuses(made: dict[str, Any], words: str) -> None:
    assert len(made["problems"]) == 1 and words in made["problems"][0], made["problems"]
