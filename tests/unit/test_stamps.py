"""What is remembered of files that were hashed, when it is believed, and how rot is found."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import stamps as stamps_module
from ansible_collections.onprem.llm.plugins.module_utils import store as store_module
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, StampBook, hash_file
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.unit.helpers.rot import rot
from tests.unit.helpers.stored import DATA, digest_of, link, source_file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_large_file_is_stamped_in_no_time(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    with path.open("wb") as stream:
        stream.truncate(40 << 30)
    started = time.process_time()
    assert Stamp.of(str(path)) == Stamp.of(str(path))
    assert time.process_time() - started < 1


@pytest.mark.parametrize("change", ["size", "time", "inode", "content with the same size, time and inode"])
def test_a_changed_file_is_not_recognised(tmp_path: Path, change: str) -> None:
    path, book = source_file(tmp_path), StampBook(str(tmp_path / "stamps"))
    book.hold(str(path), Memory(Stamp.of(str(path)), digest_of(DATA), {}))
    book.write(str(path), str(tmp_path))
    times = path.stat()
    if change == "size":
        path.write_bytes(DATA + b"!")
    elif change == "time":
        os.utime(path, (1, 1))
    elif change == "inode":
        shutil.copy2(path, tmp_path / "other")
        (tmp_path / "other").replace(path)
    else:
        path.write_bytes(b"X" + DATA[1:])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert StampBook(str(tmp_path / "stamps")).recall(str(path), Stamp.of(str(path))) is None


@pytest.mark.parametrize("page", ["", "[]", "{}", '{"digest": "../x", "stamp": {}, "facts": {}}', "\0"])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, page: str) -> None:
    path, book = source_file(tmp_path), StampBook(str(tmp_path / "stamps"))
    book.hold(str(path), Memory(Stamp.of(str(path)), digest_of(DATA), {}))
    book.write(str(path), str(tmp_path))
    next((tmp_path / "stamps").iterdir()).write_text(page)
    assert StampBook(str(tmp_path / "stamps")).recall(str(path), Stamp.of(str(path))) is None


def test_a_file_that_grows_while_it_is_hashed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source_file(tmp_path)
    original = Stamp.of_stream.__func__  # type: ignore[attr-defined]  # the method without its class
    calls: list[int] = []

    def growing(stream: object) -> Stamp:
        calls.append(1)
        if len(calls) == 2:
            with path.open("ab") as more:
                more.write(b"more")
        found: Stamp = original(Stamp, stream)
        return found

    monkeypatch.setattr(stamps_module.Stamp, "of_stream", growing)
    with pytest.raises(ModelError, match="changed while it was read"):
        hash_file(str(path))


@pytest.mark.parametrize(
    ("days", "age", "seen"),
    [(None, 1000, False), (30, 29, False), (30, 31, True), (0, 1, True), (30, -1, True), (30, None, True), (None, None, False)],
)
def test_rot_is_found_by_age_and_told(store: Store, tmp_path: Path, days: int | None, age: int | None, seen: bool) -> None:
    data = bytes(4 << 20)
    digest = link(store, source_file(tmp_path, data))
    blob = store.blob_path(digest)
    rot(blob)
    page = json.loads(page_of(store, blob).read_text())
    page["verified_at"] = int(time.time()) - 86400 * (age or 0)
    if age is None:
        del page["verified_at"]
    page_of(store, blob).write_text(json.dumps(page))
    again = Store(str(store.root), verify_days=days)
    assert again.holds(digest, len(data)) is not seen
    assert ["is damaged: it has the sha256" in sentence for sentence in again.damage] == [True] * seen
    assert not again.holds(digest, len(data), verify=True)
    assert len(again.damage) == 1


@pytest.mark.parametrize("days", [-1, -5])
def test_no_store_takes_a_negative_age(tmp_path: Path, days: int) -> None:
    with pytest.raises(ModelError, match=f"verify_days must be a whole number of days, 0 or more, but it is {days}: correct it"):
        Store(str(tmp_path), verify_days=days)


def page_of(store: Store, path: Path) -> Path:
    return store.root / "stamps" / f"{hashlib.sha256(str(path).encode()).hexdigest()}.json"


def test_a_page_of_the_first_version_is_still_believed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = link(store, source_file(tmp_path))
    page = json.loads(page_of(store, store.blob_path(digest)).read_text())
    del page["verified_at"]
    page_of(store, store.blob_path(digest)).write_text(json.dumps(page))
    old = Store(str(store.root))
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "hash_file", None)
        assert old.holds(digest, len(DATA))
    assert old.stamps.is_written(str(old.blob_path(digest)))
    aged = Store(str(store.root), verify_days=30)
    assert aged.holds(digest, len(DATA))
    assert not aged.stamps.is_written(str(aged.blob_path(digest)))
    aged.write_stamp(str(aged.blob_path(digest)))
    monkeypatch.setattr(store_module, "hash_file", None)
    assert Store(str(store.root), verify_days=30).holds(digest, len(DATA))


def test_a_copy_that_is_something_else_is_no_damage(store: Store, tmp_path: Path) -> None:
    path = source_file(tmp_path)
    store.stamps.hold(str(path), Memory(Stamp.of(str(path)), digest_of(DATA), {}))
    assert store.is_sound(path, digest_of(DATA), len(DATA))
    assert not store.is_sound(path, digest_of(b"other"), len(DATA))
    assert store.damage == []


def test_a_new_file_is_noted_for_later_runs(tmp_path: Path) -> None:
    path, folder = tmp_path / "blob", tmp_path / "stamps"
    path.write_bytes(DATA)
    memory = Memory(Stamp.of(str(path)), digest_of(DATA), {})
    # The first one makes the folder; one that was noted before is replaced.
    for _time in range(2):
        StampBook(str(folder)).note(str(path), memory, str(tmp_path))
    assert StampBook(str(folder)).recall(str(path), memory.stamp) == memory
    assert len(list(folder.iterdir())) == 1 and sorted(tmp_path.iterdir()) == [path, folder]
