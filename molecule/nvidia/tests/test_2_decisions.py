"""What is refused on these hosts, and what is left alone; nothing of it changes them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import testinfra
from conftest import ONE, site, words
from molecule_client import EPHEMERAL, ROOT, changed
from testinfra.host import Host

STANDIN = ROOT / "molecule/shared/standin/nvidia_smi_from_documented_output.py"
# A package of NVIDIA's repository by its name and maker; it is empty.
FOREIGN = """mkdir -p /root/foreign/DEBIAN && cat > /root/foreign/DEBIAN/control <<'END'
Package: libnvidia-compute-580
Version: 580.126.20-1ubuntu1
Architecture: all
Maintainer: cudatools <cudatools@nvidia.com>
Description: an empty stand-in
END
dpkg-deb --build /root/foreign /root/foreign.deb && dpkg -i /root/foreign.deb"""


@pytest.fixture(scope="module")
def host() -> Host:
    """Take one host only."""
    return testinfra.get_host(f"docker://{ONE}")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"nvidia_branch": 580}, "has driver branch"),
        ({"nvidia_image_for": "blackwell"}, "blackwell needs branch 570 or newer"),
        ({"nvidia_source": "nvidia", "nvidia_branch": 580}, "never mixed: set nvidia_source to distribution"),
        ({"nvidia_module": "closed"}, "value of nvidia_module must be one of: auto, open, proprietary"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_changes(inputs: dict[str, object], said: str) -> None:
    run = site("--limit", ONE, "--extra-vars", json.dumps(inputs))
    assert run.returncode != 0 and said in words(run), run.stdout
    assert changed(run.stdout) == 0


def test_packages_of_nvidia_are_not_mixed_with_these(host: Host) -> None:
    host.check_output(FOREIGN)
    try:
        run = site("--limit", ONE)
        assert run.returncode != 0 and "the host has packages of NVIDIA's repository (libnvidia-compute-580)" in words(run), run.stdout
    finally:
        host.check_output("dpkg --purge libnvidia-compute-580")


@pytest.fixture
def working_driver(host: Host) -> Iterator[None]:
    """Let a stand-in for nvidia-smi answer first, as a driver that works would, and a stand-in for libcuda."""
    host.check_output("mkdir -p /opt/stand-in")
    for path, target in ((STANDIN, "nvidia-smi"), (EPHEMERAL / "libcuda.so.1", "libcuda.so.1")):
        host.backend.run_local(f"docker cp --quiet {path} {ONE}:/opt/stand-in/{target}")
    host.check_output(
        "sed -i '1i #!/usr/bin/python3' /opt/stand-in/nvidia-smi && chmod 0755 /opt/stand-in/nvidia-smi && "
        "mount --bind /opt/stand-in/nvidia-smi $(readlink -f /usr/bin/nvidia-smi) && "
        "echo /opt/stand-in > /etc/ld.so.conf.d/000-stand-in.conf && ldconfig"
    )
    yield
    host.check_output("umount $(readlink -f /usr/bin/nvidia-smi) && rm /etc/ld.so.conf.d/000-stand-in.conf && ldconfig")


def test_a_driver_that_works_is_left_alone(working_driver: None) -> None:
    run = site("--limit", ONE, "--extra-vars", json.dumps({"nvidia_source": "nvidia", "nvidia_branch": 580}))
    assert run.returncode == 0 and changed(run.stdout) == 0, run.stdout
    assert "Driver 580.126.20 works and is left alone." in words(run)
    assert "NVIDIA L4, 580.126.20; CUDA 13.0, 1 device(s)." in words(run)
