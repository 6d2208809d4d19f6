"""What a disk has spoilt of a mirror's artefacts, wheels and packages: found when it is read again, and taken again from its source."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.onprem.llm.plugins.module_utils import store as store_module
from ansible_collections.onprem.llm.plugins.modules import mirror_files
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_shelf import BODY, CallModule, Shelf, shelf_of, use_stand_ins
from ansible_collections.onprem.llm.tests.unit.helpers.rot import SEEN, UNSEEN, grow_old, rot

COPIED, LINKED = 0o666, 0o644
TASKS = Path(__file__).resolve().parents[2] / "roles" / "mirror" / "tasks"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return use_stand_ins(monkeypatch)


@pytest.fixture(params=["files", "wheels", "apt", "rpm"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path, call_module: CallModule, tools: list[str]) -> Shelf:
    return shelf_of(request.param, tmp_path, call_module)


def test_rot_is_found_by_age_and_mended(shelf: Shelf, tools: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.fill(COPIED)
    assert shelf.call()["changed"] and shelf.offered.samefile(shelf.blob)
    rot(shelf.blob)
    grow_old(shelf.root, 31)
    tools.clear()
    spoilt = shelf.offered.read_bytes()
    for days in (None, 32):
        assert not shelf.call(verify_days=days)["changed"] and shelf.offered.read_bytes() == spoilt != shelf.data
    checked = shelf.call(verify_days=30, check=True)
    assert checked["changed"] and shelf.offered.read_bytes() == spoilt
    assert checked["actions"] == [f"copy {shelf.source} into the store", f"publish {shelf.offered}"]
    mended = shelf.call(verify_days=30)
    checked.pop("needs")
    assert mended == checked and any("is damaged: it has the sha256" in warning for warning in mended["warnings"])
    assert shelf.offered.read_bytes() == shelf.data and shelf.offered.samefile(shelf.blob)
    # Neither lists nor signatures are made anew, for the content is the same.
    assert tools == []
    monkeypatch.setattr(store_module, "hash_file", None)
    again = shelf.call(verify_days=30)
    assert not again["changed"] and again["actions"] == [] and again["warnings"] == []


def test_what_is_sound_is_read_once_and_nothing_is_told(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.fill(COPIED)
    shelf.call()
    grow_old(shelf.root, 31)
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "hash_file", None)
        with pytest.raises(TypeError, match="not callable"):
            shelf.call(verify_days=30)
    assert not shelf.call(verify_days=30, check=True)["changed"]
    assert not shelf.call(verify_days=30)["changed"]
    monkeypatch.setattr(store_module, "hash_file", None)
    assert not shelf.call(verify_days=30)["changed"]


@pytest.mark.parametrize("offset", [UNSEEN, SEEN])
def test_a_source_that_rotted_with_its_blob_is_named(shelf: Shelf, offset: int) -> None:
    shelf.fill(LINKED)
    shelf.call()
    assert shelf.blob.samefile(shelf.source)
    rot(shelf.source, offset)
    grow_old(shelf.root, 31)
    before = {path: path.lstat().st_ctime_ns for path in shelf.root.rglob("*") if path.is_file() and path.name != "lock"}
    for check in (True, False):
        refused = shelf.call(verify_days=30, check=check)
        assert refused["failed"] and f"{shelf.source} is damaged, as its blob in the store is" in refused["msg"]
    assert {path: path.lstat().st_ctime_ns for path in before} == before
    shelf.fill(LINKED)
    mended = shelf.call(verify_days=30)
    assert mended["changed"] and mended["actions"][0] == f"link {shelf.source} into the store"
    assert shelf.offered.read_bytes() == shelf.data and not shelf.call(verify_days=30)["changed"]


def test_a_copy_that_rotted_at_both_ends_is_named(shelf: Shelf) -> None:
    shelf.fill(COPIED)
    shelf.call()
    rot(shelf.source)
    rot(shelf.blob)
    grow_old(shelf.root, 31)
    for check in (True, False):
        assert f"{shelf.source} is damaged, as its blob in the store is" in shelf.call(verify_days=30, check=check)["msg"]


def test_rot_without_a_source_is_told(shelf: Shelf) -> None:
    shelf.fill(COPIED)
    shelf.call()
    shelf.source.unlink()
    rot(shelf.blob)
    grow_old(shelf.root, 31)
    options: dict[str, Any] = {"files": []} if shelf.module is mirror_files else {}
    assert not shelf.call(**options)["changed"]
    for check in (True, False):
        refused = shelf.call(verify_days=30, check=check, **options)
        assert refused["failed"] and "is damaged" in refused["msg"] and shelf.file in refused["msg"] and "set purge" in refused["msg"]
    assert shelf.call(verify_days=30, purge=True, **options)["changed"] and not shelf.offered.exists()


def test_a_source_that_is_gone_is_told_with_the_damage(tmp_path: Path, call_module: CallModule) -> None:
    shelf = shelf_of("files", tmp_path, call_module)
    shelf.fill(COPIED)
    wish = {**shelf.options["files"][0], "sha256": hashlib.sha256(BODY).hexdigest()}
    shelf.call(files=[wish])
    shelf.source.unlink()
    grow_old(shelf.root, 31)
    assert not shelf.call(files=[wish], verify_days=30)["changed"]
    rot(shelf.blob)
    grow_old(shelf.root, 31)
    refused = shelf.call(files=[wish], verify_days=30)
    assert f"There is no file {shelf.source}" in refused["msg"] and f"{shelf.blob} is damaged: it has the sha256" in refused["msg"]


def test_every_name_of_a_damaged_file_is_mended(tmp_path: Path, call_module: CallModule, tools: list[str]) -> None:
    shelf = shelf_of("rpm", tmp_path, call_module)
    shelf.fill(COPIED)
    both = [{**shelf.options["repositories"][0], "name": name} for name in ("el8", "el9")]
    shelf.call(repositories=both)
    assert not shelf.call(repositories=both)["changed"]
    places = [shelf.root / "www" / "rpm" / name / shelf.file for name in ("el8", "el9")]
    rot(shelf.blob)
    grow_old(shelf.root, 31)
    checked = shelf.call(verify_days=30, check=True)
    assert [f"publish {place}" in checked["actions"] for place in places] == [True, True]
    assert shelf.call(verify_days=30)["actions"] == checked["actions"]
    assert [place.samefile(shelf.blob) and place.read_bytes() == shelf.data for place in places] == [True, True]
    assert not shelf.call(repositories=both, verify_days=30)["changed"]


def test_a_place_that_is_only_kept_is_mended_too(tmp_path: Path, call_module: CallModule) -> None:
    shelf = shelf_of("files", tmp_path, call_module)
    shelf.fill(COPIED)
    shelf.call(files=[{**shelf.options["files"][0], "file": name} for name in ("tool.bin", "twin.bin")])
    rot(shelf.blob)
    grow_old(shelf.root, 31)
    assert shelf.call(verify_days=30)["changed"]
    assert shelf.offered.with_name("twin.bin").read_bytes() == shelf.data == shelf.offered.read_bytes()
    assert len(shelf.offered.with_name("SHA256SUMS").read_text().splitlines()) == 2
    assert not shelf.call(verify_days=30)["changed"]


APT_LISTS = ["Packages", "Packages.gz", "by-hash/SHA256/*"]


@pytest.mark.parametrize("kind", ["apt", "rpm"])
def test_a_list_that_rotted_is_made_anew(kind: str, tmp_path: Path, call_module: CallModule, tools: list[str]) -> None:
    shelf = shelf_of(kind, tmp_path, call_module)
    shelf.fill(COPIED)
    shelf.call()
    suite = shelf.root / "www/apt/dists/llm"
    lists = (
        [path for name in APT_LISTS for path in sorted(suite.glob(f"main/binary-amd64/{name}"))] + [suite / "Release.gpg"]
        if kind == "apt"
        else sorted((shelf.offered.parent / "repodata").iterdir())
    )
    assert len(lists) == (5 if kind == "apt" else 4)
    for path in lists:
        right = path.read_bytes()
        rot(path, len(right) // 2)
        assert shelf.call(check=True)["changed"] and path.read_bytes() != right
        tools.clear()
        assert shelf.call()["changed"] and path.read_bytes() == right and tools
        assert not shelf.call()["changed"]


def test_a_list_of_the_generation_before_goes_when_it_rotted(tmp_path: Path, call_module: CallModule, tools: list[str]) -> None:
    shelf = shelf_of("apt", tmp_path, call_module)
    shelf.fill(COPIED)
    shelf.call()
    by_hash = shelf.root / "www/apt/dists/llm/main/binary-amd64/by-hash/SHA256"
    before = sorted(by_hash.iterdir())
    (shelf.source.parent / "more_1_amd64.deb").write_bytes(b"more")
    assert shelf.call()["changed"] and all(path.exists() for path in before)
    rot(before[0], 0)
    assert shelf.call()["changed"] and not before[0].exists() and before[1].exists()
    assert not shelf.call()["changed"] and tools


def test_createrepo_takes_nothing_from_rotten_lists(tmp_path: Path, call_module: CallModule, tools: list[str]) -> None:
    shelf = shelf_of("rpm", tmp_path, call_module)
    shelf.fill(COPIED)
    shelf.call()
    (shelf.source.parent / "more-1.noarch.rpm").write_bytes(b"more")
    shelf.call()
    rot(shelf.offered.parent / "repodata" / "other.xml.gz", 20)
    shelf.call()
    assert ["--update" in line for line in tools] == [False, True, False]


@pytest.mark.parametrize("name", ["models", "artefacts", "wheels", "apt", "rpm", "plan"])
def test_the_role_lets_every_module_look(name: str) -> None:
    tasks = yaml.safe_load((TASKS / f"{name}.yml").read_text())
    called = [task[module] for task in tasks for module in task if module.startswith("onprem.llm.mirror_")]
    assert len(called) == (5 if name == "plan" else 1)
    assert {options["verify_days"] for options in called} == {"{{ mirror_verify_days if mirror_verify_days | int else omit }}"}
