"""What cannot work is refused in one sentence, before anything on the host changes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import NAME, SCENARIO, Engine
from molecule_client import EPHEMERAL, ROOT
from testinfra.host import Host

CASES: dict[str, Any] = yaml.safe_load((SCENARIO / "inventory" / "refusals.yml").read_text())["refusals"]["hosts"]


def everything(host: Host) -> str:
    """Return a listing of all that the role could change, and the process of the service; /srv/python belongs to other test hosts too."""
    listing = (
        "find /etc /opt /srv /usr/local /var/lib/llm /var/lib/systemd -path /srv/python -prune -o -printf '%p %s %T@ %m %u %l\\n' | sort"
    )
    return host.check_output(listing) + host.check_output("systemctl show ollama -p MainPID")


@pytest.fixture(scope="module")
def errors(host: Host) -> Iterator[dict[str, list[str]]]:
    """Try all that cannot work at once; yield the errors by case."""
    host.check_output(
        "mkdir -p /srv/bad /srv/small /srv/closed/models && chmod 700 /srv/closed && "
        "mount -t tmpfs -o size=40m,mode=755 small /srv/small && "
        "head -c 50000000 /srv/in/SmolLM2-135M-Instruct.Q4_1.gguf > /srv/bad/truncated.gguf"
    )
    host.check_output("systemd-run --quiet --unit port-holder python3 -m http.server --bind 127.0.0.1 8099")
    before = everything(host)
    run = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            str(EPHEMERAL / "inventory"),
            "-i",
            str(SCENARIO / "inventory" / "refusals.yml"),
            str(SCENARIO / "refuse.yml"),
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(run.stdout[run.stdout.index("{") :])
    assert everything(host) == before
    assert all(state["changed"] == 0 for state in said["stats"].values())
    found: dict[str, list[str]] = {case: [] for case in CASES}
    for play in said["plays"]:
        for task in play["tasks"]:
            for case, result in task["hosts"].items():
                if result.get("failed"):
                    parts = [part for part in result.get("results", []) if part.get("failed")] or [result]
                    found[case] += [str(part["msg"]) for part in parts]
    yield found
    host.check_output("systemctl stop port-holder && umount /srv/small && rm -r /srv/bad /srv/small /srv/closed")


@pytest.mark.parametrize("case", CASES)
def test_one_clear_error(errors: dict[str, list[str]], case: str) -> None:
    assert len(errors[case]) == 1, errors[case]
    assert CASES[case]["words"] in errors[case][0]


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("Debian GNU/Linux", "11", "Debian 11.11 is not supported"),
        ("Amazon Linux", "2", "Amazon Linux 2 has reached its end of life"),
    ],
)
def test_another_system(host: Host, engine: Engine, name: str, version: str, words: str) -> None:
    identity = {"Debian GNU/Linux": "debian", "Amazon Linux": "amzn"}[name]
    host.check_output("cp -P /etc/os-release /root/os-release && rm /etc/os-release")
    try:
        host.check_output(
            f'printf \'NAME="{name}"\\nPRETTY_NAME="{name} {version}"\\nID={identity}\\nVERSION="{version}"\\nVERSION_ID="{version}"\\n\''
            " > /etc/os-release"
        )
        if identity == "debian":
            host.check_output("cp /etc/debian_version /root/ && echo 11.11 > /etc/debian_version")
        before = everything(host)
        run = engine.attempt()
        assert run.returncode != 0 and words in " ".join(run.stdout.split()), run.stdout
        assert everything(host) == before
    finally:
        host.check_output("rm /etc/os-release && mv /root/os-release /etc/os-release")
        if identity == "debian":
            host.check_output("mv /root/debian_version /etc/")


def test_the_host_has_the_expected_name(host: Host) -> None:
    assert host.check_output("hostname") == NAME
