"""Which kernel module and which packages each GPU and each distribution gets, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_gpus import generation, generation_of_device, module_flavour
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_packages import distribution_packages, nvidia_packages, owners
from ansible_collections.onprem.llm.tests.unit.helpers.nvidia_case import (
    AL2023,
    DEBIAN12,
    DEBIAN13,
    DEBIAN_DRIVER,
    KERNEL,
    NOBLE,
    NVIDIA_DRIVER,
    ROCKY9,
    ROCKY10,
    V100,
    plan,
)


@pytest.mark.parametrize(
    ("os", "inputs", "driver", "kernel", "first"),
    [
        (
            DEBIAN13,
            {},
            ["nvidia-driver-cuda", "nvidia-persistenced", "nvidia-kernel-open-dkms"],
            [f"linux-headers-{KERNEL}"],
            ["nvidia-driver-pinning-580"],
        ),
        (
            NOBLE,
            {},
            ["libnvidia-compute-580", "nvidia-utils-580", "nvidia-compute-utils-580", "nvidia-dkms-580-open"],
            ["linux-headers-6.8.0-111-generic"],
            ["nvidia-driver-pinning-580"],
        ),
        (
            NOBLE,
            {"branch": "595"},
            ["libnvidia-compute", "nvidia-persistenced", "nvidia-dkms-open"],
            ["linux-headers-6.8.0-111-generic"],
            ["nvidia-driver-pinning-595"],
        ),
        (
            NOBLE,
            {"source": "distribution"},
            [
                "linux-modules-nvidia-580-server-open-6.8.0-111-generic",
                "linux-modules-nvidia-580-server-open-generic",
                "nvidia-headless-no-dkms-580-server-open",
                "nvidia-utils-580-server",
            ],
            [],
            [],
        ),
        (
            {**NOBLE, "kernel": "6.17.0-1019-generic"},
            {"source": "distribution", "module": "proprietary"},
            [
                "linux-modules-nvidia-580-server-6.17.0-1019-generic",
                "linux-modules-nvidia-580-server-generic-hwe-24.04",
                "nvidia-headless-no-dkms-580-server",
                "nvidia-utils-580-server",
            ],
            [],
            [],
        ),
        (
            DEBIAN13,
            {"source": "distribution", "branch": 550},
            ["libcuda1", "nvidia-smi", "nvidia-persistenced", "nvidia-kernel-dkms"],
            [f"linux-headers-{KERNEL}"],
            [],
        ),
        (
            DEBIAN12,
            {"source": "distribution", "branch": 535, "module": "open"},
            ["libcuda1", "nvidia-smi", "nvidia-persistenced", "nvidia-open-kernel-dkms"],
            ["linux-headers-6.1.0-47-amd64"],
            [],
        ),
        (
            ROCKY9,
            {},
            ["nvidia-driver-cuda", "nvidia-persistenced", "kmod-nvidia-open-dkms"],
            ["kernel-devel-5.14.0-570.el9", "kernel-headers-5.14.0-570.el9", "dkms"],
            ["python3-dnf-plugin-versionlock"],
        ),
        (
            AL2023,
            {"module": "proprietary"},
            ["nvidia-driver-cuda", "nvidia-persistenced", "kmod-nvidia-latest-dkms"],
            ["kernel6.12-devel-6.12.40-63.114.amzn2023", "kernel6.12-modules-extra-6.12.40-63.114.amzn2023", "dkms"],
            ["python3-dnf-plugin-versionlock"],
        ),
    ],
)
def test_packages_of_each_distribution(
    os: dict[str, Any], inputs: dict[str, Any], driver: list[str], kernel: list[str], first: list[str]
) -> None:
    made = plan({"os": os}, inputs)
    assert made["problems"] == []
    assert (made["action"], made["driver"], made["kernel"], made["first"]) == ("install", driver, kernel, first)
    assert made["services"] == ["nvidia-persistenced"] and made["verify"] and made["nouveau"] and not made["reboot"]


def test_branches_of_rpm_distributions() -> None:
    assert (plan({"os": ROCKY9})["dnf_module"], plan({"os": ROCKY9})["versionlock"]) == ("nvidia-driver:580-open", "")
    assert plan({"os": ROCKY9, "pci_display": [V100]})["dnf_module"] == "nvidia-driver:580-dkms"
    ten = plan({"os": ROCKY10}, {"key_fingerprint": "ab" * 20})
    assert (ten["dnf_module"], ten["versionlock"], ten["problems"]) == ("", "*nvidia*580*", [])


def test_what_is_held_and_what_is_not() -> None:
    assert plan()["hold"] == [] and "libnvidia-" in plan()["unattended"]  # apt's pin of NVIDIA's repository and a hold do not go together
    held = plan({"os": NOBLE}, {"source": "distribution"})["hold"]
    assert "linux-image-generic" in held and "linux-modules-nvidia-580-server-open-6.8.0-111-generic" not in held
    assert plan({"os": NOBLE}, {"source": "distribution", "hold": False})["hold"] == []


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("0x13c2", "maxwell"),  # GTX 970
        ("0x15f7", "pascal"),  # P100
        ("0x1b38", "pascal"),  # P40
        ("0x1db5", "volta"),  # V100 SXM2 32 GB
        ("0x1eb8", "turing"),  # T4
        ("0x2182", "turing"),  # GTX 1660 Ti
        ("0x20b2", "ampere"),  # A100 SXM4 80 GB
        ("0x2237", "ampere"),  # A10G
        ("0x2330", "hopper"),  # H100 SXM5
        ("0x2335", "hopper"),  # H200
        ("0x26b9", "ada"),  # L40S
        ("0x27b8", "ada"),  # L4
        ("0x2901", "blackwell"),  # B200
        ("0x2bb5", "blackwell"),  # RTX PRO 6000 Blackwell
        ("0x3182", "blackwell"),  # B300
        (0x27B8, "ada"),
        ("0x102d", ""),  # K80
        ("0x1af1", ""),  # NVSwitch of the A100
        ("rubbish", ""),
    ],
)
def test_generations_by_pci(device: Any, expected: str) -> None:
    assert generation_of_device(device) == expected


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("5.2", "maxwell"),
        ("6.1", "pascal"),
        ("7.0", "volta"),
        ("7.5", "turing"),
        ("8.6", "ampere"),
        ("8.9", "ada"),
        ("9.0", "hopper"),
        ("10.0", "blackwell"),
        ("12.1", "blackwell"),
        ("3.7", ""),
        ("[N/A]", ""),
        (None, ""),
    ],
)
def test_generations_by_capability(capability: str | None, expected: str) -> None:
    assert generation({"compute_capability": capability}) == expected


@pytest.mark.parametrize(
    ("found", "branch", "machine", "expected"),
    [
        (["maxwell"], 580, "x86_64", "proprietary"),
        (["turing", "volta"], 580, "x86_64", "proprietary"),
        (["turing"], 580, "x86_64", "open"),
        (["ada"], 550, "x86_64", "proprietary"),
        (["blackwell"], 580, "x86_64", "open"),
        (["hopper"], 580, "aarch64", "open"),
    ],
)
def test_the_module_of_each_generation(found: list[str], branch: int, machine: str, expected: str) -> None:
    assert module_flavour(found, branch, machine, "auto") == (expected, "")


def test_no_plan_ever_installs_a_meta_package_that_drifts_or_a_desktop() -> None:
    for os in (DEBIAN12, DEBIAN13, NOBLE, ROCKY9, ROCKY10, AL2023):
        for branch in (580, 595, 620):
            for flavour in ("open", "proprietary"):
                for packages in (nvidia_packages(os, branch, flavour, True), distribution_packages(os, branch, flavour, True)):
                    assert not {"cuda", "cuda-drivers", "nvidia-open", "nvidia-driver"} & {*packages.first, *packages.driver}


def test_who_made_a_package() -> None:
    installed = {
        **NVIDIA_DRIVER,
        **DEBIAN_DRIVER,
        "cuda-drivers-580": {"version": "1", "maker": ""},
        "kmod-nvidia-open-dkms": {"version": "1", "maker": "NVIDIA"},
        "nvidia-driver-pinning-580": {"version": "1", "maker": "cudatools <cudatools@nvidia.com>"},
        "nvidia-container-toolkit": {"version": "1", "maker": "NVIDIA CORPORATION <cudatools@nvidia.com>"},
        "nvidia-cuda-toolkit": {"version": "1", "maker": "Debian NVIDIA Maintainers"},
    }
    assert owners(installed) == {
        "nvidia": ["cuda-drivers-580", "kmod-nvidia-open-dkms", "libnvidia-compute-580"],
        "distribution": ["libcuda1"],
    }
