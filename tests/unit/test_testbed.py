"""What the test bed needs of this machine, and what it says before it uses sudo."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.testbed import images, shell


@pytest.mark.parametrize(
    ("program", "keyring", "missing"),
    [
        (True, True, []),
        (False, True, ["mmdebstrap"]),
        (True, False, ["debian-archive-keyring"]),
        (False, False, ["mmdebstrap", "debian-archive-keyring"]),
    ],
)
def test_what_images_are_built_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: bool, keyring: bool, missing: list[str]
) -> None:
    for name, there in (("mmdebstrap", program), ("keyring.gpg", keyring)):
        if there:
            (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(images, "KEYRING", tmp_path / "keyring.gpg")
    assert images.missing_packages() == missing


@pytest.mark.parametrize(("uid", "words"), [(0, ""), (1000, " with sudo")])
def test_sudo_is_named_beforehand(monkeypatch: pytest.MonkeyPatch, uid: int, words: str) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    assert shell.with_sudo() == words
