"""What the roles with a site in nginx conclude from their inputs, and from tasks that did not run, as a real ``ansible-playbook`` does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROXY = {"http": "http://p.example:1", "https": None, "no_proxy": "localhost,.example"}
AS_VARIABLES = {"http_proxy": "http://p.example:1", "https_proxy": "", "no_proxy": "localhost,.example"}


def play(role: str, name: str, expected: Any, facts: dict[str, Any] | None = None, **known: Any) -> dict[str, Any]:
    """Return a play that compares a variable of a role."""
    values = {f"{'' if key.startswith('base') else f'__{role}_'}{key}": value for key, value in known.items()}
    compare = {"that": f"__{role}_{name} == expected", "fail_msg": f"{{{{ __{role}_{name} }}}} where {expected} was expected"}
    return {
        "name": f"{role}, {values}",
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROOT / "roles" / role / part / "main.yml") for part in ("defaults", "vars")],
        "vars": {"expected": expected},
        # What a task registers goes before what a role says of itself.
        "tasks": [
            {"ansible.builtin.set_fact": {"os_family": "Debian", **(facts or {}), "cacheable": True}},
            *[{"ansible.builtin.set_fact": values}] * bool(values),
            {"ansible.builtin.assert": compare},
        ],
    }


def packages() -> list[dict[str, Any]]:
    confined = ["nginx", "python3-cryptography", "python3-libselinux", "python3-policycoreutils"]
    enabled = {"selinux": {"status": "enabled"}}
    return [
        play("mirror", "packages", confined[:2], {"os_family": "RedHat"}),
        play("mirror", "packages", confined[:2], {"os_family": "RedHat", "selinux": {"status": "disabled"}}),
        play("mirror", "packages", confined, {"os_family": "RedHat", **enabled}),
        play("mirror", "packages", confined[:2], enabled),
    ]


def sandbox(role: str, site: str) -> list[dict[str, Any]]:
    drop_in = f"/etc/systemd/system/nginx.service.d/{site}.conf"
    return [
        # --tags mirror_install on a fresh host, or mirror_service alone.
        play(role, "sandbox_changed", expected=False),
        play(role, "sandbox_changed", expected=False, sandbox_removed={"changed": False}, files_result={"changed_paths": []}),
        play(role, "sandbox_changed", expected=True, files_result={"changed_paths": [drop_in]}),
        play(role, "sandbox_changed", expected=True, sandbox_removed={"changed": True}),
    ]


@pytest.mark.parametrize(
    "plays",
    [
        pytest.param([play("mirror", "proxy", {}), play("mirror", "proxy", AS_VARIABLES, base_proxy=PROXY)], id="the proxy"),
        pytest.param(packages(), id="the packages that SELinux needs"),
        pytest.param(sandbox("mirror", "llm-mirror"), id="the sandbox of a mirror"),
        pytest.param(sandbox("gateway", "llm"), id="the sandbox of a gateway"),
    ],
)
def test_what_is_concluded(tmp_path: Path, plays: list[dict[str, Any]]) -> None:
    # Facts stay from play to play, so each may only add to those before.
    book = tmp_path / "play.yml"
    book.write_text(json.dumps(plays))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "ANSIBLE_NOCOLOR": "1"}
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local", str(book)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
