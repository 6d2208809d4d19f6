"""A host with a GPU and nothing installed, and what is changed of it for each case of the role ``nvidia``."""

from __future__ import annotations

from typing import Any

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


def on_wsl(wsl: int = 2, packages: dict[str, Any] | None = None, **found: bool) -> dict[str, Any]:
    return plan({"os": {**NOBLE, "wsl": wsl}}, {}, {"packages": packages or {}, "wsl": {**NO_WSL, **found}})
