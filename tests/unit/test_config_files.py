"""A set of files goes in place as a whole, or not at all."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.config_files import apply, plan, plan_folders
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError


def satisfied() -> str:
    return ""


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, str]:
    return {str(tmp_path / "conf.d/site.conf"): "listen 443;\nserver;\n", str(tmp_path / "llm/keys.json"): '{"a": "b"}\n'}


def snapshot(root: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), path.read_text() if path.is_file() else "")
        for path in root.rglob("*")
    }


def test_the_second_run_has_nothing_to_do(tmp_path: Path, wanted: dict[str, str]) -> None:
    private = [str(tmp_path / "llm/keys.json")]
    apply(plan(wanted, private), satisfied)
    assert snapshot(tmp_path) == {
        "conf.d": (0o755, ""),
        "llm": (0o755, ""),
        "conf.d/site.conf": (0o644, "listen 443;\nserver;\n"),
        "llm/keys.json": (0o600, '{"a": "b"}\n'),
    }
    assert plan(wanted, private) == []


def test_a_drift_in_content_or_mode_is_a_change(tmp_path: Path, wanted: dict[str, str]) -> None:
    apply(plan(wanted, []), satisfied)
    (tmp_path / "conf.d/site.conf").write_text("listen 80;\nserver;\n")
    (tmp_path / "llm/keys.json").chmod(0o666)
    site, keys = plan(wanted, [])
    assert site.diff().splitlines()[2:] == ["@@ -1,2 +1,2 @@", "-listen 80;", "+listen 443;", " server;"]
    assert keys.diff().splitlines() == [f"{tmp_path}/llm/keys.json: mode 0666 -> 0644"]


def test_a_private_file_is_not_shown(tmp_path: Path, wanted: dict[str, str]) -> None:
    keys = plan(wanted, [str(tmp_path / "llm/keys.json")])[1]
    assert "not shown" in keys.diff()
    assert '"b"' not in keys.diff()


def test_what_the_test_refuses_is_taken_back(tmp_path: Path, wanted: dict[str, str]) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/site.conf").write_text("old\n")
    (tmp_path / "conf.d/site.conf").chmod(0o640)
    before = snapshot(tmp_path)
    seen = []

    def refuses() -> str:
        seen.append(snapshot(tmp_path))
        return "unknown directive"

    with pytest.raises(ModelError, match=r"put back\. The test said: unknown directive"):
        apply(plan(wanted, []), refuses)
    assert seen[0]["conf.d/site.conf"] == (0o644, "listen 443;\nserver;\n")
    assert snapshot(tmp_path) == before


def test_what_cannot_be_written_is_taken_back(tmp_path: Path, wanted: dict[str, str]) -> None:
    (tmp_path / "blocked").write_text("a file, not a folder\n")
    before = snapshot(tmp_path)
    changes = plan(wanted, []) + plan({str(tmp_path / "spare/x"): "x"}, [])
    (tmp_path / "spare").symlink_to(tmp_path / "blocked")
    with pytest.raises(ModelError, match=r"Cannot write .*/spare/x"):
        apply(changes, satisfied)
    (tmp_path / "spare").unlink()
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("contents", "private", "words"),
    [
        ({"etc/x": "x"}, [], "absolute"),
        ({"/etc/x": "x"}, ["/etc/y"], "'contents' does not hold"),
        ({"/etc": "x"}, [], "plain file"),
    ],
)
def test_what_is_refused(contents: dict[str, str], private: list[str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        plan(contents, private)


OTHERS = max(group.gr_gid for group in grp.getgrall())


def rights(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def folder(path: Path, **asked: str) -> dict[str, Any]:
    return {"path": str(path), "owner": None, "group": None, "mode": "0755", **asked}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_folders_and_what_a_group_may_read(tmp_path: Path) -> None:
    group, data = grp.getgrgid(OTHERS).gr_name, tmp_path / "data/models"
    secret = str(tmp_path / "etc/secret.env")
    folders = [folder(tmp_path / "etc", owner="root", group=group, mode="0750"), folder(data, owner="daemon", group=group)]
    asked = plan_folders(folders, check=False)
    apply(plan({secret: "x\n"}, [secret], group), satisfied, asked)
    assert rights(tmp_path / "etc") == (0o750, 0, OTHERS)
    # What was missing above it was made alike.
    assert rights(data) == rights(data.parent) == (0o755, data.stat().st_uid, OTHERS)
    assert data.stat().st_uid != 0
    assert rights(Path(secret)) == (0o640, 0, OTHERS)
    assert plan_folders(folders, check=False) == []
    assert plan({secret: "x\n"}, [secret], group) == []
    data.chmod(0o700)
    os.chown(data, 0, -1)
    (drift,) = plan_folders(folders, check=False)
    assert drift.diff() == f"{data}: mode 0700 -> 0755\n{data}: owner 0 -> {data.parent.stat().st_uid}\n"


def test_folders_are_taken_back_too(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o700)
    before = snapshot(tmp_path)
    folders = [folder(tmp_path / "old", mode="0755"), folder(tmp_path / "new/deep")]
    with pytest.raises(ModelError, match="no, thank you"):
        apply(plan({str(tmp_path / "new/x"): "x"}, []), lambda: "no, thank you", plan_folders(folders, check=False))
    assert snapshot(tmp_path) == before


def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "volume")
    assert plan_folders([folder(tmp_path / "data")], check=False) == []


def test_check_mode_knows_that_accounts_come_later(tmp_path: Path, wanted: dict[str, str]) -> None:
    nobody = folder(tmp_path, owner="no-such-user", group="no-such-group", mode=f"{rights(tmp_path)[0]:04o}")
    assert plan_folders([nobody], check=True) == []
    private = list(wanted)[:1]
    assert [change.path.name for change in plan(wanted, private, "no-such-group", check=True)] == ["site.conf", "keys.json"]
    with pytest.raises(ModelError, match="no-such-group"):
        plan(wanted, private, "no-such-group")
    with pytest.raises(ModelError, match="no-such-user"):
        plan_folders([nobody], check=False)


@pytest.mark.parametrize(
    ("path", "mode", "words"),
    [("srv/x", "0755", "absolute"), ("/srv/x", "u=rwx", "octal digits"), ("/proc/version", "0755", "should be a folder")],
)
def test_what_folder_is_refused(path: str, mode: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        plan_folders([folder(Path(path), mode=mode)], check=False)
