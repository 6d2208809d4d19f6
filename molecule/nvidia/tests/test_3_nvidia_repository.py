"""How NVIDIA's repository is added and its branch pinned, with a stand-in for the repository: the real one is not reached from here."""

from __future__ import annotations

import json
import subprocess

import pytest
import testinfra
from conftest import ONE, site, words
from molecule_client import ROOT, changed
from testinfra.host import Host

INPUTS = {
    "nvidia_source": "nvidia",
    "nvidia_branch": 580,
    "nvidia_repository_url": "http://127.0.0.1:8088",
    "nvidia_dcgm_exporter": True,
}
KEYRING = "/usr/share/keyrings/cuda-archive-keyring.gpg"


@pytest.fixture(scope="module")
def host() -> Host:
    """Take one host only."""
    return testinfra.get_host(f"docker://{ONE}")


@pytest.fixture(scope="module")
def digest(host: Host) -> str:
    """Take the distribution's driver away, and make the repository; return what its keyring must be."""
    drivers = "dpkg-query -W -f '${Package}\\n' | grep -E 'nvidia|^libcuda1' | grep -v nvidia-installer-cleanup"
    host.check_output(f"DEBIAN_FRONTEND=noninteractive dpkg --purge --force-hold $({drivers})")
    script = (ROOT / "molecule/nvidia/make-standin-repository.sh").read_text()
    done = subprocess.run(["docker", "exec", "-i", ONE, "sh", "-s"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def converge(sha256: str) -> subprocess.CompletedProcess[str]:
    """Run the site with the stand-in's repository."""
    return site("--limit", ONE, "--extra-vars", json.dumps({**INPUTS, "nvidia_keyring_sha256": sha256}))


def test_a_key_of_another_digest_is_not_trusted(host: Host, digest: str) -> None:
    run = converge("ab" * 32)
    assert run.returncode != 0 and "did not match" in words(run), run.stdout
    assert not host.file(KEYRING).exists and digest


def test_the_pinned_branch_is_installed_though_a_newer_one_is_there(host: Host, digest: str) -> None:
    run = converge(digest)
    assert run.returncode == 0, run.stdout
    assert host.package("nvidia-driver-cuda").version == "580.126.20-1"
    assert not host.package("cuda-keyring").is_installed


def test_its_source_names_the_key(host: Host) -> None:
    text = host.file("/etc/apt/sources.list.d/cuda-debian13-x86_64.sources").content_string
    assert "URIs: http://127.0.0.1:8088/debian13/x86_64/\n" in text and f"Signed-By: {KEYRING}\n" in text


def test_the_same_again_changes_nothing(digest: str) -> None:
    run = converge(digest)
    assert run.returncode == 0 and changed(run.stdout) == 0, run.stdout


def test_the_exporter_of_metrics_is_told_to_listen_on_loopback(host: Host, digest: str) -> None:
    assert host.package("datacenter-gpu-manager-exporter").is_installed
    settings = "/etc/default/llm-dcgm-exporter"
    assert host.check_output("systemctl show nvidia-dcgm-exporter -p EnvironmentFiles --value") == f"{settings} (ignore_errors=no)"
    assert "DCGM_EXPORTER_LISTEN=127.0.0.1:9400\n" in host.file(settings).content_string and digest


def test_an_address_that_is_none_is_refused_before_anything_changes(host: Host, digest: str) -> None:
    run = site(
        "--limit", ONE, "--extra-vars", json.dumps({**INPUTS, "nvidia_keyring_sha256": digest, "nvidia_dcgm_exporter_address": ":9400"})
    )
    assert run.returncode != 0 and "such as 127.0.0.1:9400" in words(run), run.stdout
    assert "127.0.0.1:9400" in host.file("/etc/default/llm-dcgm-exporter").content_string
