"""What a host lacks of the base, asked of this machine's own package manager and accounts."""

from __future__ import annotations

import grp
import pwd
import shutil
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import base_host, host_files

SAID = "curl installed\npython3-venv installed\ngit config-files\ntar half-configured\n"


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["curl", "python3-venv"], []),
        (["curl", "zstd"], ["zstd"]),
        # Removed, but its configuration is still there; unpacked, but not set up.
        (["git", "tar"], ["git", "tar"]),
        # A pattern is answered for with the names it matches.
        (["python3-*"], ["python3-*"]),
        (["curl=8.0-1"], ["curl=8.0-1"]),
        ([], []),
    ],
)
def test_missing_of_dpkg(names: list[str], missing: list[str]) -> None:
    assert base_host.missing_of_dpkg(names, SAID) == missing


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="this machine has no dpkg-query")
def test_dpkg_itself_answers() -> None:
    assert base_host.missing_packages(["dpkg", "no-such-package", "--help"], "apt") == ["no-such-package", "--help"]


def test_where_the_package_manager_cannot_be_asked_everything_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert base_host.missing_packages(["curl"], "apt") == ["curl"]
    assert base_host.missing_packages(["curl"], "dnf") == ["curl"]


def test_rpm_is_asked_for_what_is_provided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin = tmp_path / "rpm"
    standin.write_text('#!/bin/sh\ntest "$6" = /usr/bin/curl && echo curl-minimal\n')
    standin.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert base_host.missing_packages(["/usr/bin/curl", "zstd"], "dnf") == ["zstd"]


def test_the_account_must_be_as_it_is_wanted() -> None:
    root = pwd.getpwuid(0)
    group = grp.getgrgid(root.pw_gid).gr_name
    assert host_files.has_group(group)
    assert not host_files.has_group("no-such-group")
    assert base_host.has_account("root", group, root.pw_dir, root.pw_shell)
    assert not base_host.has_account("root", group, root.pw_dir, "/bin/other")
    assert not base_host.has_account("root", group, "/elsewhere", root.pw_shell)
    assert not base_host.has_account("root", "no-such-group", root.pw_dir, root.pw_shell)
    assert not base_host.has_account("no-such-user", group, root.pw_dir, root.pw_shell)
