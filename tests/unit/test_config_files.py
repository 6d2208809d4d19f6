"""A set of files goes in place as a whole, or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.config_files import apply, plan
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
