"""What the role ``nvidia`` decides and refuses, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.artefacts import table
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_gpus import generation, generation_of_device, module_flavour
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_packages import distribution_packages, nvidia_packages, owners
from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_plan import nvidia_plan

KERNEL = "6.12.107+deb13-amd64"
DEBIAN13 = {"id": "debian", "version_id": "13", "name": "Debian GNU/Linux", "kernel": KERNEL, "architecture": "x86_64", "container": None}
DEBIAN12 = {**DEBIAN13, "version_id": "12", "kernel": "6.1.0-47-amd64"}
NOBLE = {**DEBIAN13, "id": "ubuntu", "version_id": "24.04", "name": "Ubuntu", "kernel": "6.8.0-111-generic"}
ROCKY9 = {**DEBIAN13, "id": "rocky", "version_id": "9.6", "name": "Rocky Linux", "kernel": "5.14.0-570.el9.x86_64"}
ROCKY10 = {**ROCKY9, "version_id": "10.1", "kernel": "6.12.0-55.el10.x86_64"}
AL2023 = {**ROCKY9, "id": "amzn", "version_id": "2023", "name": "Amazon Linux", "kernel": "6.12.40-63.114.amzn2023.x86_64"}
L4 = {"vendor_id": "0x10de", "device_id": "0x27b8", "class": "0x030200"}
V100 = {"vendor_id": "0x10de", "device_id": "0x1db1", "class": "0x030200"}
B200 = {"vendor_id": "10de", "device_id": "2901", "class": "0302"}
BARE: dict[str, Any] = {
    "os": DEBIAN13,
    "gpus": [],
    "nvidia": None,
    "pci_display": [L4],
    "nouveau": False,
    "secure_boot": False,
    "kernel_headers": False,
    "ec2": None,
}
WORKING = {"driver": "580.126.20", "working": True, "nvswitch": False}
GOOD: dict[str, Any] = {
    "branch": 580,
    "accepted_branches": [580, 595, 610, 615, 620],
    "source": "nvidia",
    "module": "auto",
    "image_for": "",
    "fabric_manager": "auto",
    "cuda_toolkit": "",
    "container_toolkit": False,
    "dcgm_exporter": False,
    "dcgm_exporter_address": "127.0.0.1:9400",
    "persistence": True,
    "hold": True,
    "allow_reboot": False,
    "secure_boot_enrolled": False,
    "keyring_sha256": "",
    "key_fingerprint": "",
    "container_key_sha256": "",
    "repository_url": "",
    "container_repository_url": "",
    "llm_source": "open",
    "mirror_url": "",
    "local": False,
}
NO_WSL = {"device": False, "libcuda": False, "smi": False}
EMPTY: dict[str, Any] = {"packages": {}, "runfile": False, "missing": [], "wsl": NO_WSL}
DEBIAN_DRIVER = {"libcuda1": {"version": "550.163.01-2", "maker": "Debian NVIDIA Maintainers <pkg-nvidia-devel@lists.alioth.debian.org>"}}
NVIDIA_DRIVER = {"libnvidia-compute-580": {"version": "580.126.20-1ubuntu1", "maker": "cudatools <cudatools@nvidia.com>"}}


def plan(host: dict[str, Any] | None = None, inputs: dict[str, Any] | None = None, probe: dict[str, Any] | None = None) -> dict[str, Any]:
    return nvidia_plan({**BARE, **(host or {})}, {**GOOD, **(inputs or {})}, {**EMPTY, **(probe or {})})


@pytest.mark.parametrize("driver", ["580.126.20", "595.91.07", "620.10"])
def test_a_working_driver_of_an_accepted_branch_is_left_alone(driver: str) -> None:
    made = plan({"nvidia": {**WORKING, "driver": driver}, "gpus": [{"vendor": "nvidia", "compute_capability": "8.9"}], "secure_boot": True})
    assert (made["action"], made["problems"], made["driver"], made["repositories"], made["services"]) == ("nothing", [], [], [], [])
    assert made["reason"] == f"Driver {driver} works and is left alone." and made["verify"]


@pytest.mark.parametrize("cards", [[], [{"vendor_id": "0x1002", "device_id": "0x74a1", "class": "0x030000"}]])
def test_a_host_without_gpu_needs_none(cards: list[dict[str, str]]) -> None:
    made = plan({"pci_display": cards}, {"dcgm_exporter": True, "container_toolkit": True})
    assert (made["action"], made["problems"], made["extras"], made["repositories"], made["verify"]) == ("nothing", [], [], [], False)


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


def test_a_container_has_the_kernel_of_its_machine() -> None:
    made = plan(
        {"os": {**DEBIAN13, "container": "docker"}, "nouveau": True, "secure_boot": True}, {"source": "distribution", "branch": 550}
    )
    assert (made["problems"], made["driver"], made["kernel"], made["reboot"], made["services"]) == (
        [],
        ["libcuda1", "nvidia-smi"],
        [],
        False,
        [],
    )
    assert "without a kernel module" in made["reason"] and not made["nouveau"]


def test_an_image_for_hosts_with_a_gpu_is_built_without_one() -> None:
    made = plan({"pci_display": [], "nouveau": True}, {"image_for": "hopper"})
    assert (made["action"], made["problems"], made["flavour"], made["verify"], made["reboot"], made["services"]) == (
        "install",
        [],
        "open",
        False,
        False,
        [],
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
    ("host", "inputs", "probe", "fabric", "services"),
    [
        ({"ec2": {"instance_type": "p5.48xlarge"}}, {}, {}, "nvidia-fabricmanager", ["nvidia-persistenced", "nvidia-fabricmanager"]),
        ({"ec2": {"instance_type": "p5.4xlarge"}}, {}, {}, "", ["nvidia-persistenced"]),
        ({}, {"fabric_manager": "always"}, {}, "nvidia-fabricmanager", ["nvidia-persistenced", "nvidia-fabricmanager"]),
        ({"nvidia": {**WORKING, "nvswitch": True}}, {}, {}, "nvidia-fabricmanager", ["nvidia-fabricmanager"]),
        ({"nvidia": {**WORKING, "nvswitch": True}}, {"fabric_manager": "never"}, {}, "", []),
        (
            {"os": NOBLE, "nvidia": {**WORKING, "driver": "595.91.07", "nvswitch": True}},
            {},
            {"packages": {"libnvidia-compute-595-server": {"version": "595.91.07-0ubuntu1", "maker": "Ubuntu Developers <u@ubuntu.com>"}}},
            "nvidia-fabricmanager-595",
            ["nvidia-fabricmanager"],
        ),
    ],
)
def test_nvswitch_needs_the_fabric_manager(
    host: dict[str, Any], inputs: dict[str, Any], probe: dict[str, Any], fabric: str, services: list[str]
) -> None:
    card = [{"vendor": "nvidia", "compute_capability": "9.0"}]
    made = plan({"gpus": card if (host.get("nvidia") or {}).get("working") else [], **host}, inputs, probe)
    assert (made["problems"], made["fabric_manager"], made["services"]) == ([], fabric, services)


def test_what_goes_with_a_driver() -> None:
    made = plan({}, {"cuda_toolkit": "13-0", "dcgm_exporter": True, "container_toolkit": True})
    assert made["extras"] == [
        "cuda-toolkit-13-0",
        "datacenter-gpu-manager-4-cuda13",
        "datacenter-gpu-manager-exporter",
        "nvidia-container-toolkit",
    ]
    assert [repository["name"] for repository in made["repositories"]] == ["cuda-debian13-x86_64", "nvidia-containers"]
    assert made["services"][1:] == ["nvidia-dcgm", "nvidia-dcgm-exporter"] and made["container_toolkit"] and made["exporter"]
    # Blackwell's NVSwitch has a subnet manager of its own besides.
    assert "nvlsm" in plan({"pci_display": [B200]}, {"fabric_manager": "always"})["extras"]


@pytest.mark.parametrize(
    ("os", "inputs", "expected"),
    [
        (
            DEBIAN13,
            {},
            {
                "kind": "apt",
                "url": "https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/",
                "key_url": "https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/cuda-keyring_1.1-1_all.deb",
                "sha256": "dd28f1f6ba0038180d6b23f846cefca1e3de4c9327751665241370bacea452a1",
            },
        ),
        (
            DEBIAN13,
            {"llm_source": "closed", "mirror_url": "https://mirror.example/"},
            {"url": "https://mirror.example/nvidia/cuda/debian13/x86_64/"},
        ),
        (DEBIAN13, {"repository_url": "https://cuda.example/repos/"}, {"url": "https://cuda.example/repos/debian13/x86_64/"}),
        (
            ROCKY9,
            {},
            {
                "kind": "dnf",
                "key_url": "https://developer.download.nvidia.com/compute/cuda/repos/rhel9/x86_64/D42D0685.pub",
                "fingerprint": "610C7B14E068A878070DA4E99CD0A493D42D0685",
                "signed": "packages",
            },
        ),
    ],
)
def test_where_it_comes_from(os: dict[str, Any], inputs: dict[str, Any], expected: dict[str, str]) -> None:
    (found,) = plan({"os": os}, inputs)["repositories"]
    assert found | expected == found


def test_the_container_toolkit_on_a_working_driver_adds_only_its_own_repository() -> None:
    card = [{"vendor": "nvidia", "compute_capability": "8.9"}]
    (found,) = plan({"os": AL2023, "nvidia": WORKING, "gpus": card}, {"container_toolkit": True})["repositories"]
    assert (found["url"], found["signed"]) == ("https://nvidia.github.io/libnvidia-container/stable/rpm/x86_64", "index")


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


def test_every_repository_of_the_table_has_a_digest_that_is_one() -> None:
    for name in ("nvidia-cuda", "nvidia-containers"):
        assert all(len(digest) == 64 and int(digest, 16) for digest in table()[name]["sha256"].values())


def on_wsl(wsl: int = 2, packages: dict[str, Any] | None = None, **found: bool) -> dict[str, Any]:
    return plan({"os": {**NOBLE, "wsl": wsl}}, {}, {"packages": packages or {}, "wsl": {**NO_WSL, **found}})


def test_wsl_gets_nothing_installed() -> None:
    made = on_wsl(device=True, libcuda=True, smi=True)
    assert (made["action"], made["problems"], made["driver"], made["extras"], made["repositories"], made["services"]) == (
        "libraries",
        [],
        [],
        [],
        [],
        [],
    )
    assert made["verify"] and not on_wsl()["verify"] and on_wsl()["problems"] == []
    # /dev/dxg is there for GPUs of other makers too.
    other = on_wsl(device=True)
    assert (other["action"], other["verify"], other["problems"]) == ("nothing", False, [])


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
