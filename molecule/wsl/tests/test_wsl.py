"""What a person on WSL2 gets, and what is refused there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from molecule_client import KEY, MODEL, QUESTION, ROOT, changed, listeners_off_loopback, playbook
from testinfra.host import Host

SITE = str(ROOT / "site.yml")
NAME = "onprem-llm-wsl"
BARE = f"{NAME}-without-systemd"


def words(run: subprocess.CompletedProcess[str]) -> str:
    """Return what a run said on one line, as a wrapped message is found in."""
    return " ".join(run.stdout.split())


def test_the_right_answer_at_the_address_that_windows_reaches(host: Host) -> None:
    body = json.dumps({"model": MODEL, "temperature": 0, "messages": [{"role": "user", "content": QUESTION}]})
    ask = "curl -sS --fail-with-body --max-time 60 --cacert /etc/llm/tls/ca.crt https://localhost:8443/v1/chat/completions"
    answer = host.check_output(f"{ask} -H 'Authorization: Bearer {KEY}' -H 'Content-Type: application/json' -d '{body}'")
    assert "Paris" in json.loads(answer)["choices"][0]["message"]["content"]
    assert host.run(f"{ask} -d '{body}'").rc != 0


def test_nothing_is_reached_from_elsewhere(host: Host) -> None:
    assert listeners_off_loopback(host) == set()


def test_no_driver_was_ever_installed(host: Host) -> None:
    log = host.check_output("cat /var/log/dpkg.log")
    assert " install ollama" not in log and " install nginx" in log
    found = [line for line in log.splitlines() if any(word in line for word in ("nvidia", "cuda", "libnv"))]
    assert found == []
    assert not host.file("/usr/bin/nvidia-smi").exists


def test_shells_and_the_loader_know_windows_libraries(host: Host) -> None:
    assert host.check_output("sh -lc 'command -v nvidia-smi'") == "/usr/lib/wsl/lib/nvidia-smi"
    assert "libcuda.so.1 (libc6,x86-64) => /usr/lib/wsl/lib/libcuda.so.1" in host.check_output("ldconfig -p")


def test_the_playbook_says_what_a_person_should_know() -> None:
    run = playbook("--check", SITE)
    assert run.returncode == 0 and changed(run.stdout) == 0, run.stdout
    said = words(run)
    for part in (
        "vmIdleTimeout=-1",
        "https://localhost:8443",
        "the driver is that of Windows",
        "NVIDIA L4, 580.126.20; CUDA 13.0, 1 device(s).",
    ):
        assert part in said, run.stdout


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"base_data_dir": "/mnt/c/llm"}, "base_data_dir is /mnt/c/llm, on a drive of Windows"),
        ({"llm_store_dir": "/mnt/d/store"}, "llm_store_dir is /mnt/d/store, on a drive of Windows"),
    ],
)
def test_a_drive_of_windows_is_refused(inputs: dict[str, str], said: str) -> None:
    run = playbook(SITE, "--extra-vars", json.dumps(inputs))
    assert run.returncode != 0 and said in words(run) and changed(run.stdout) == 0, run.stdout


def test_windows_without_a_driver_is_refused(host: Host) -> None:
    host.check_output("mv /usr/lib/wsl/lib/libcuda.so.1 /root/")
    try:
        run = playbook(SITE)
        assert run.returncode != 0 and "install NVIDIA's driver 580 or newer in Windows" in words(run), run.stdout
        assert changed(run.stdout) == 0
    finally:
        host.check_output("mv /root/libcuda.so.1 /usr/lib/wsl/lib/")


@pytest.fixture
def without_systemd() -> Iterator[str]:
    """Start the same system with another first process, and carry the stand-ins over."""
    image = subprocess.run(
        ["docker", "inspect", "-f", "{{.Config.Image}}", NAME], capture_output=True, text=True, check=True
    ).stdout.strip()
    first = ["sh", "-c", "cp /bin/sleep /root/init && exec /root/init 600"]
    subprocess.run(["docker", "run", "--detach", "--name", BARE, "--entrypoint", first[0], image, *first[1:]], check=True)
    packed = subprocess.run(["docker", "cp", f"{NAME}:/opt/stand-in", "-"], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["docker", "cp", "-", f"{BARE}:/opt"], input=packed, check=True)
    yield BARE
    subprocess.run(["docker", "rm", "--force", "--volumes", BARE], check=True)


def test_a_wsl_without_systemd_is_refused_with_the_lines(without_systemd: str) -> None:
    run = playbook("--inventory", str(ROOT / "molecule/wsl/inventory/without-systemd.yml"), "--limit", without_systemd, SITE)
    assert run.returncode != 0 and "put the lines '[boot]' 'systemd=true' into /etc/wsl.conf" in words(run), run.stdout
    assert changed(run.stdout) == 0
