"""What the role ``nvidia`` decides, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.plugin_utils.artefacts import table
from ansible_collections.onprem.llm.tests.unit.helpers.nvidia_case import AL2023, B200, DEBIAN13, NOBLE, ROCKY9, WORKING, on_wsl, plan


@pytest.mark.parametrize("driver", ["580.126.20", "595.91.07", "620.10"])
def test_a_working_driver_of_an_accepted_branch_is_left_alone(driver: str) -> None:
    made = plan({"nvidia": {**WORKING, "driver": driver}, "gpus": [{"vendor": "nvidia", "compute_capability": "8.9"}], "secure_boot": True})
    assert (made["action"], made["problems"], made["driver"], made["repositories"], made["services"]) == ("nothing", [], [], [], [])
    assert made["reason"] == f"Driver {driver} works and is left alone." and made["verify"]


@pytest.mark.parametrize("cards", [[], [{"vendor_id": "0x1002", "device_id": "0x74a1", "class": "0x030000"}]])
def test_a_host_without_gpu_needs_none(cards: list[dict[str, str]]) -> None:
    made = plan({"pci_display": cards}, {"dcgm_exporter": True, "container_toolkit": True})
    assert (made["action"], made["problems"], made["extras"], made["repositories"], made["verify"]) == ("nothing", [], [], [], False)


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


def test_every_repository_of_the_table_has_a_digest_that_is_one() -> None:
    for name in ("nvidia-cuda", "nvidia-containers"):
        assert all(len(digest) == 64 and int(digest, 16) for digest in table()[name]["sha256"].values())


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
