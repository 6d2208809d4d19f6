"""A tree for apt: what clients are told, what is taken back, and one that was made elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.apt_tree import Suite, plan_apt
from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest
from ansible_collections.onprem.llm.plugins.module_utils.signing_key import SigningKey
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_shelf import CallModule, Shelf, shelf_of, use_stand_ins

DEB = "www/apt/pool/tool_1.0_amd64.deb"


@pytest.fixture
def carried(tmp_path: Path) -> Store:
    """Return a store with a tree that has one package, and lists that no key of this host has signed."""
    store, digest = Store(str(tmp_path / "mirror")), as_digest("a" * 64)
    for path in (store.blob_path(digest), store.root / DEB, store.root / "www/apt/dists/llm/InRelease"):
        path.parent.mkdir(parents=True, exist_ok=True)
    store.blob_path(digest).write_text("package")
    (store.root / DEB).hardlink_to(store.blob_path(digest))
    (store.root / "www/apt/dists/llm/InRelease").write_text("signed elsewhere")
    return store


def test_a_carried_tree_keeps_its_signature(carried: Store, tmp_path: Path) -> None:
    key = SigningKey(str(tmp_path / "no-key-here"))
    plan = plan_apt(carried, [], Suite("llm", "main", ("amd64",)), key, given_key="", purge=False)
    assert not plan.actions and not Path(key.home).exists()


def test_a_folder_with_packages_of_its_own_needs_the_key(carried: Store, tmp_path: Path) -> None:
    folder = tmp_path / "debs"
    folder.mkdir()
    plan = plan_apt(carried, [str(folder)], Suite("llm", "main", ("amd64",)), SigningKey(str(tmp_path / "no")), given_key="", purge=False)
    assert plan.make_key and plan.sign


@pytest.fixture
def shelf(tmp_path: Path, call_module: CallModule, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Return a folder of packages and the mirror that offers them."""
    use_stand_ins(monkeypatch)
    shelf = shelf_of("apt", tmp_path, call_module)
    shelf.fill(0o644)
    return shelf


LISTED = re.compile(r"^ ([0-9a-f]+) +[0-9]+ (\S+)/[^/\n]+$", re.MULTILINE)


def by_hash(suite: Path) -> list[Path]:
    """Return the files that apt asks for: each list that the signed file names, by each digest that it gives."""
    sections = re.split(r"^(\w+):$", (suite / "InRelease").read_text(), flags=re.MULTILINE)[1:]
    return [
        suite / folder / "by-hash" / section / digest
        for section, text in zip(sections[::2], sections[1::2], strict=True)
        for digest, folder in LISTED.findall(text)
    ]


def test_each_list_is_there_by_each_digest_that_is_told(shelf: Shelf) -> None:
    assert shelf.call()["changed"]
    suite = shelf.root / "www/apt/dists/llm"
    asked = by_hash(suite)
    assert len(asked) == 2 and [path.is_file() for path in asked] == [True, True]
    (shelf.source.parent / "more_1_amd64.deb").write_bytes(b"more")
    assert shelf.call()["changed"]
    assert [path.is_file() for path in [*asked, *by_hash(suite)]] == [True] * 4, "a client may have read the signed file before"


def test_a_tree_that_told_other_digests_is_made_anew_once(shelf: Shelf) -> None:
    shelf.call()
    suite = shelf.root / "www/apt/dists/llm"
    for name in ("InRelease", "Release"):
        with (suite / name).open("a") as stream:
            stream.write(f"SHA512:\n {'0' * 128} 1 main/binary-amd64/Packages\n")
    assert shelf.call()["actions"] == [f"write and sign {suite}"]
    assert all(path.is_file() for path in by_hash(suite))
    assert not shelf.call()["changed"]


def test_two_epochs_of_a_version_are_kept_apart(shelf: Shelf) -> None:
    bodies = {"x_2.0_all.deb": b"none", "x_1%3a2.0_all.deb": b"one", "x_2%3a2.0_all.deb": b"two"}
    for name, body in bodies.items():
        (shelf.source.parent / name).write_bytes(body)
    result = shelf.call(owner="role")
    pool = shelf.root / "www/apt/pool"
    offered = {str(path.relative_to(pool)): path.read_bytes() for path in pool.rglob("x_*")}
    # No '%' in a name: not every apt asks for one alike.
    assert offered == {"x_2.0_all.deb": b"none", "epoch-1/x_2.0_all.deb": b"one", "epoch-2/x_2.0_all.deb": b"two"}
    assert [name for name in result["packages"] if name.startswith("x_")] == ["x_1%3a2.0_all.deb", "x_2%3a2.0_all.deb", "x_2.0_all.deb"]
    told = (shelf.root / "www/apt/dists/llm/main/binary-amd64/Packages").read_text()
    assert all(f"Filename: pool/{place}\n" in told for place in offered)
    assert not shelf.call(owner="role")["changed"]
    (shelf.source.parent / "x_1%3a2.0_all.deb").unlink()
    assert shelf.call(owner="role")["changed"]
    assert {str(path.relative_to(pool)) for path in pool.rglob("*")} == {shelf.file, "x_2.0_all.deb", "epoch-2", "epoch-2/x_2.0_all.deb"}


def test_another_epoch_does_not_replace_what_stays(shelf: Shelf) -> None:
    old, new = (shelf.source.parent / name for name in ("x_2.0_all.deb", "x_1%3a2.0_all.deb"))
    old.write_bytes(b"none")
    shelf.call()
    old.unlink()
    new.write_bytes(b"one")
    assert shelf.call()["packages"] == [shelf.file, new.name, old.name]


def suites(shelf: Shelf) -> list[str]:
    """Return the suites that clients may name."""
    return sorted(path.name for path in (shelf.root / "www/apt/dists").iterdir())


def test_a_suite_that_was_renamed_is_not_served_any_more(shelf: Shelf) -> None:
    dists = shelf.root / "www/apt/dists"
    shelf.call(owner="role")
    for suite, before in (("stable", "llm"), ("llm", "stable")):
        checked = shelf.call(owner="role", suite=suite, check=True)
        assert suites(shelf) == [before]
        renamed = shelf.call(owner="role", suite=suite)
        assert renamed["actions"] == checked["actions"]
        assert renamed["actions"][-2:] == [f"write and sign {dists / suite}", f"remove {dists / before}"]
        assert suites(shelf) == [suite] and shelf.offered.is_file()
        assert not shelf.call(owner="role", suite=suite)["changed"]


def test_suites_of_others_stay(shelf: Shelf) -> None:
    shelf.call(owner="role")
    shelf.call(owner="other", suite="edge")
    shelf.call(suite="mine")
    assert suites(shelf) == ["edge", "llm", "mine"]
    shelf.call(owner="other", suite="stable")
    assert suites(shelf) == ["llm", "mine", "stable"]
    shelf.call(suite="stable", purge=True)
    assert suites(shelf) == ["stable"]
    assert not shelf.call(suite="stable", purge=True)["changed"]


def test_a_suite_of_an_earlier_version_that_noted_none_goes(shelf: Shelf) -> None:
    shelf.call(owner="role")
    record = shelf.root / "published/role/www.apt.json"
    record.write_text(json.dumps({"places": [f"pool/{shelf.file}"]}))
    shelf.call(owner="role", suite="stable")
    assert suites(shelf) == ["stable"]


def test_what_nobody_has_asked_for_is_not_noted(tmp_path: Path, call_module: CallModule, monkeypatch: pytest.MonkeyPatch) -> None:
    use_stand_ins(monkeypatch)
    shelf = shelf_of("apt", tmp_path, call_module)
    assert not shelf.call(owner="role", folders=[])["changed"]


def test_a_suite_without_packages_is_still_signed(shelf: Shelf) -> None:
    shelf.call(owner="role")
    shelf.call(owner="role", folders=[])
    assert suites(shelf) == ["llm"] and not shelf.offered.exists()
    assert not shelf.call(owner="role", folders=[])["changed"]
    shelf.call(owner="role", folders=[], suite="stable")
    assert suites(shelf) == ["stable"]
