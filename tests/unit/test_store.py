"""The store with real files: links, copies, other file systems, who uses what, and names in git."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import store as store_module
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, hash_file
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import same_mount
from tests.unit.helpers.stored import DATA, digest_of, link, source_file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_link_is_no_second_copy(store: Store, tmp_path: Path) -> None:
    path = source_file(tmp_path)
    digest = link(store, path)
    assert store.blob_path(digest).stat().st_ino == path.stat().st_ino
    assert store.blob_path(digest).parts[-3:] == ("sha256", digest[:2], digest)
    assert list(store.temp.iterdir()) == []


def test_linking_again_leaves_no_temporary_name(store: Store, tmp_path: Path) -> None:
    path = source_file(tmp_path)
    link(store, path)
    link(store, path)
    assert path.stat().st_nlink == 2


def test_a_copy_is_read_only_and_its_own_file(store: Store, tmp_path: Path) -> None:
    path = source_file(tmp_path)
    assert store.copy(path.open("rb"), str(path), digest_of(DATA)) == len(DATA)
    blob = store.blob_path(digest_of(DATA))
    assert (blob.read_bytes(), blob.stat().st_mode & 0o777) == (DATA, 0o444)
    assert blob.stat().st_ino != path.stat().st_ino
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_copy_with_another_digest_leaves_nothing(store: Store, tmp_path: Path) -> None:
    path = source_file(tmp_path)
    with pytest.raises(ModelError, match="was expected"):
        store.copy(path.open("rb"), str(path), digest_of(b"other"))
    assert [found for found in store.root.rglob("*") if found.is_file()] == []


@pytest.mark.parametrize(
    ("mode", "allowed"), [(0o644, True), (0o444, True), (0o755, True), (0o664, False), (0o646, False), (0o640, False), (0o600, False)]
)
def test_only_what_no_other_user_can_edit_and_all_can_read_is_linked(store: Store, tmp_path: Path, mode: int, allowed: bool) -> None:
    assert store.can_link(str(source_file(tmp_path, mode=mode))) is allowed


def test_a_file_of_another_user_is_not_linked(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source_file(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert not store.can_link(str(path))


def test_another_file_system_is_not_linked(store: Store, elsewhere: Path) -> None:
    path = source_file(elsewhere)
    assert not store.can_link(str(path))
    assert not same_mount(str(path), str(store.root))
    digest, stamp = hash_file(str(path))
    assert not store.link(str(path), digest, stamp)
    assert not store.blob_path(digest).exists()


def test_a_file_that_changed_after_it_was_hashed_is_not_linked(store: Store, tmp_path: Path) -> None:
    path = source_file(tmp_path)
    digest, stamp = hash_file(str(path))
    path.write_bytes(DATA + b"more")
    with pytest.raises(ModelError, match="changed while it was read"):
        store.link(str(path), digest, stamp)
    assert not store.blob_path(digest).exists()


@pytest.mark.parametrize("damage", ["missing", "shorter", "edited", "edited with its time put back"])
def test_a_blob_counts_only_if_it_is_what_its_name_says(store: Store, tmp_path: Path, damage: str) -> None:
    path = source_file(tmp_path)
    digest = link(store, path)
    assert store.holds(digest, len(DATA))
    before = path.stat()
    if damage == "missing":
        store.blob_path(digest).unlink()
    elif damage == "shorter":
        path.write_bytes(DATA[:-1])
    else:
        path.write_bytes(b"X" + DATA[1:])
        if damage != "edited":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not Store(str(store.root)).holds(digest, len(DATA))


def test_a_touched_blob_is_hashed_once_more_and_believed(store: Store, tmp_path: Path) -> None:
    path = source_file(tmp_path)
    digest = link(store, path)
    os.utime(path, (1, 1))
    again = Store(str(store.root))
    assert again.holds(digest, len(DATA))
    assert not again.stamps.is_written(str(again.blob_path(digest)))
    again.write_stamp(str(again.blob_path(digest)))
    assert again.stamps.is_written(str(again.blob_path(digest)))


def test_what_was_hashed_is_not_read_again(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = link(store, source_file(tmp_path))

    def refuse(path: str) -> tuple[Digest, Stamp]:
        raise AssertionError(f"{path} was read as a whole")

    monkeypatch.setattr(store_module, "hash_file", refuse)
    assert Store(str(store.root)).holds(digest, len(DATA))


def test_blobs_stay_while_any_name_uses_them(store: Store, tmp_path: Path) -> None:
    digest = link(store, source_file(tmp_path))
    store.set_ref("ollama", "a", [digest])
    store.set_ref("hub", "b", [digest])
    assert store.unused([digest], ("ollama", "a")) == []
    store.set_ref("hub", "b", [])
    assert store.unused([digest], ("ollama", "a")) == [digest]
    assert store.ref("ollama", "a") == {digest}
    store.remove([digest])
    assert not store.blob_path(digest).exists()


def test_a_damaged_ref_stops_every_removal(store: Store, tmp_path: Path) -> None:
    digest = link(store, source_file(tmp_path))
    store.set_ref("ollama", "a", [digest])
    next((store.root / "refs" / "ollama").iterdir()).write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        store.unused([digest], ("hub", "b"))


GIT_NAME = hashlib.sha1(b"blob %d\0" % len(DATA) + DATA, usedforsecurity=False).hexdigest()


def test_a_blob_is_found_by_its_name_in_git_without_a_second_copy(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = link(store, source_file(tmp_path))
    assert store.git_digest(GIT_NAME, len(DATA)) is None
    for _again in range(2):
        with store.locked():
            store.hold_git(GIT_NAME, digest)
    assert store.git_path(GIT_NAME).samefile(store.blob_path(digest))
    assert store.git_path(GIT_NAME).parts[-2:] == ("git", GIT_NAME)
    assert store.git_digest(GIT_NAME, len(DATA)) == digest
    monkeypatch.setattr(store_module, "git_hash_file", None)
    assert Store(str(store.root)).git_digest(GIT_NAME, len(DATA)) == digest
    assert store.git_digest(GIT_NAME, len(DATA) + 1) is None
    store.blob_path(digest).unlink()
    assert store.git_digest(GIT_NAME, len(DATA)) is None


def test_what_is_remembered_of_a_blob_serves_both_its_names_until_one_is_forgotten(store: Store, tmp_path: Path) -> None:
    digest = link(store, source_file(tmp_path))
    store.hold_git(GIT_NAME, digest)
    of_blob, of_name = str(store.blob_path(digest)), str(store.git_path(GIT_NAME))
    pages = [path for path in (store.root / "stamps").iterdir() if json.loads(path.read_text())["key"] == of_blob]
    assert len(pages) == 2 and pages[0].samefile(pages[1])
    # What is learned of one name is not told of the other.
    store.stamps.note(of_name, Memory(Stamp.of(of_name), digest, {"learned": True}), str(store.temp))
    store.stamps.forget(of_blob)
    known = Store(str(store.root)).stamps
    assert known.recall(of_name, Stamp.of(of_name)) and known.recall(of_blob, Stamp.of(of_blob)) is None


def test_a_name_in_git_is_found_out_again_where_nothing_is_remembered(store: Store, tmp_path: Path) -> None:
    digest = link(store, source_file(tmp_path))
    for name in (GIT_NAME, "0" * 40):
        store.hold_git(name, digest)
        store.stamps.forget(str(store.git_path(name)))
    assert store.git_digest(GIT_NAME, len(DATA)) == digest
    assert store.git_digest("0" * 40, len(DATA)) is None
    assert [GIT_NAME in sentence for sentence in store.damage] == [True]


def test_where_links_do_not_work_the_name_in_git_is_a_copy(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = link(store, source_file(tmp_path))
    monkeypatch.setattr(os, "link", refuse_links)
    store.hold_git(GIT_NAME, digest)
    assert not store.git_path(GIT_NAME).samefile(store.blob_path(digest))
    assert store.git_digest(GIT_NAME, len(DATA)) == digest


def refuse_links(source: str, target: str) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("name", ["sha256", "git"])
def test_what_goes_right_after_the_look_at_it_is_missing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    digest = link(store, source_file(tmp_path))
    store.hold_git(GIT_NAME, digest)
    gone = {"sha256": store.blob_path(digest), "git": store.git_path(GIT_NAME)}[name]
    is_file = Path.is_file

    def is_file_then_gone(path: Path) -> bool:
        there = is_file(path)
        if path == gone:
            path.unlink(missing_ok=True)
        return there

    monkeypatch.setattr(Path, "is_file", is_file_then_gone)
    assert store.git_digest(GIT_NAME, len(DATA)) is None
    assert store.holds(digest, len(DATA)) == (name == "git")


def test_a_folder_among_unfinished_files_is_swept_and_a_link_not_followed(store: Store, tmp_path: Path) -> None:
    (store.temp / "folder" / "more").mkdir(parents=True)
    (tmp_path / "precious").mkdir()
    (store.temp / "link").symlink_to(tmp_path / "precious")
    with store.locked():
        assert list(store.temp.iterdir()) == []
    assert (tmp_path / "precious").is_dir()


def test_what_fails_under_the_lock_is_no_failure_to_lock(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"^Cannot use {tmp_path / 'none'}: No such file or directory\.$"), store.locked():
        (tmp_path / "none").read_bytes()
    (store.root / "lock").unlink()
    (store.root / "lock").mkdir()
    with pytest.raises(ModelError, match=rf"^Cannot lock {store.root}: Is a directory\.$"), store.locked():
        pass
