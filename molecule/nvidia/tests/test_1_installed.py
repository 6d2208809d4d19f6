"""What the distribution's driver looks like where it was installed, and what it says without a GPU."""

from __future__ import annotations

import shlex

import pytest
from conftest import BRANCHES, CUDA_CHECK
from testinfra.host import Host

from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_packages import DEBIAN_BRANCHES, distribution_packages


@pytest.fixture
def branch(host: Host) -> int:
    return BRANCHES[host.check_output("hostname")]


def test_the_branch_is_the_one_that_the_collection_knows(host: Host, branch: int) -> None:
    release = host.check_output("sed -n 's/^VERSION_ID=\"\\(.*\\)\"/\\1/p' /etc/os-release")
    assert DEBIAN_BRANCHES[release] == branch
    for name in ("libcuda1", "nvidia-smi"):
        assert host.package(name).version.startswith(f"{branch}.")


def test_nothing_of_a_desktop_and_no_module_came_along(host: Host) -> None:
    installed = host.check_output("dpkg-query -W -f '${Package}\\n'").splitlines()
    assert not [
        name for name in installed if name.startswith(("xserver-", "libgl1", "nvidia-driver", "nvidia-kernel-dkms", "linux-headers"))
    ]


def test_it_is_held(host: Host) -> None:
    assert set(host.check_output("apt-mark showhold").split()) == {"libcuda1", "nvidia-smi"}
    assert '"libnvidia-";' in host.check_output("apt-config dump Unattended-Upgrade; cat /etc/apt/apt.conf.d/52llm-nvidia")


def test_the_real_library_says_that_there_is_no_gpu(host: Host) -> None:
    done = host.run(f"python3 -c {shlex.quote(CUDA_CHECK)}")
    assert done.rc == 1 and done.stderr.startswith("cuInit failed with CUDA error 100: no GPU is seen"), done.stderr


def test_the_real_nvidia_smi_misses_the_driver(host: Host) -> None:
    done = host.run("nvidia-smi")
    assert done.rc != 0 and "Failed to initialize NVML" in done.stdout


@pytest.mark.parametrize("flavour", ["open", "proprietary"])
def test_the_packages_of_a_machine_with_a_kernel_of_its_own_resolve(host: Host, branch: int, flavour: str) -> None:
    os = {"id": "debian", "version_id": "", "kernel": "amd64"}
    packages = distribution_packages(os, branch, flavour, with_module=True)
    said = host.check_output("apt-get --simulate --no-install-recommends --allow-change-held-packages install " + " ".join(packages.driver))
    wanted = {line.split()[1] for line in said.splitlines() if line.startswith("Inst ")}
    assert {packages.driver[-1], "nvidia-persistenced", "dkms"} <= wanted
    assert not [name for name in wanted if name.startswith("xserver-")]
