"""What the test bed needs of this machine, and what it says before it uses sudo."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.testbed import clients, hosts, images, shell


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


@pytest.mark.parametrize("name", list(images.platforms()["hosts"]))
def test_hosts_have_images_and_networks(name: str) -> None:
    host = images.platforms()["hosts"][name]
    assert images.tag_of(host["image"])
    assert set(host.get("networks", [])) <= set(hosts.NETWORKS)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(shell.TestbedError, match="Known: open, closed"):
        hosts._network("attic")


@pytest.mark.parametrize("name", clients.names())
def test_clients_are_pinned_by_hash(name: str) -> None:
    requirements = clients.lock_of(name).read_text().split("\n\n")
    pins = [line for text in requirements for line in text.splitlines() if "==" in line]
    assert pins
    assert all(line.endswith("\\") for line in pins), "each pin goes on with its hashes"
    asked = clients.LOCKS / f"{name}.in"
    if asked.exists():
        wishes = {
            line.split("[")[0].split("==")[0]: line.rsplit("==")[1] for line in asked.read_text().splitlines() if not line.startswith("#")
        }
        locked = dict(line.split(" ")[0].split("==") for line in pins)
        assert wishes.items() <= {name.replace("-", "_"): version for name, version in locked.items()}.items()


def test_a_changed_lock_is_another_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "LOCKS", tmp_path)
    (tmp_path / "one.txt").write_text("a==1")
    before = clients.path_of("one")
    (tmp_path / "one.txt").write_text("a==2")
    assert clients.path_of("one") != before
    with pytest.raises(shell.TestbedError, match="'two' is unknown"):
        clients.lock_of("two")
