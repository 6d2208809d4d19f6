"""Garbage collection on real stores: what goes, and above all what stays."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import DAY, Store
from ansible_collections.onprem.llm.plugins.module_utils.store_garbage import Garbage, plan_collect
from tests.unit.helpers.hub_repo import git_sha1, sha256
from tests.unit.helpers.stored import common_folder, common_user, run_python

ONE, TWO, THREE = b"one" * 3000, b"two" * 3000, b"three" * 3000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store with three blobs, one of which a name uses; all have a name in git."""
    store = Store(str(tmp_path / "store"))
    with store.locked():
        for data in (ONE, TWO, THREE):
            put(store, data)
        store.set_ref("hub", "somewhere", [sha256(ONE)])
    return store


def put(store: Store, data: bytes) -> Digest:
    store.copy(io.BytesIO(data), "a stream", sha256(data))
    store.hold_git(git_sha1(data), sha256(data))
    return sha256(data)


def collect(store: Store, *, min_age: float = 0, partial_age: float = 14 * DAY) -> Garbage:
    with store.locked():
        garbage = plan_collect(store, min_age=min_age, partial_age=partial_age)
        garbage.apply()
    assert plan_collect(store, min_age=min_age, partial_age=partial_age).actions == []
    return garbage


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def age(path: Path, days: float) -> None:
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - days * DAY))


def test_only_what_no_name_uses_goes(store: Store) -> None:
    shown = plan_collect(store, min_age=0)
    garbage = collect(store)
    assert shown.actions == garbage.actions
    assert garbage.blobs == sorted([sha256(TWO), sha256(THREE)])
    assert garbage.size >= len(TWO) + len(THREE)
    assert store.holds(sha256(ONE), len(ONE)) and store.git_digest(git_sha1(ONE), len(ONE)) == sha256(ONE)
    assert [path.name for path in (store.root / "blobs" / "git").iterdir()] == [git_sha1(ONE)]
    assert len(list((store.root / "stamps").iterdir())) == 2


def test_what_came_lately_stays(store: Store) -> None:
    assert collect(store, min_age=DAY).actions == []


def test_an_old_file_that_was_linked_lately_stays(store: Store) -> None:
    age(store.blob_path(sha256(TWO)), 100)
    assert collect(store, min_age=DAY).actions == []


def test_what_is_linked_to_from_elsewhere_stays(store: Store, tmp_path: Path) -> None:
    os.link(store.blob_path(sha256(TWO)), tmp_path / "elsewhere")
    garbage = collect(store)
    assert garbage.blobs == [sha256(THREE)] and garbage.linked == [sha256(TWO)]
    (tmp_path / "elsewhere").unlink()
    assert collect(store).blobs == [sha256(TWO)]


def test_a_damaged_note_stops_everything(store: Store) -> None:
    next((store.root / "refs" / "hub").iterdir()).write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        plan_collect(store, min_age=0)


def test_foreign_files_among_the_blobs_stay(store: Store) -> None:
    foreign = write(store.root / "blobs" / "sha256" / "ab" / "README")
    collect(store)
    assert foreign.exists()


def test_what_belongs_to_a_blob_goes_with_it(store: Store) -> None:
    pieces = [write(store.root / "chunks" / f"{sha256(data)}.json") for data in (ONE, TWO)]
    blobs = {name: {"manifest": {"blobs": [{"sha256": sha256(data), "git_sha1": ""}]}} for name, data in (("a", ONE), ("b", TWO))}
    manifests = [write(store.root / "manifests" / "hf" / f"{name}.json", json.dumps(page)) for name, page in blobs.items()]
    collect(store)
    assert [path.exists() for path in (*pieces, *manifests)] == [True, False, True, False]


def test_a_file_on_a_medium_that_is_away_is_remembered_for_a_while(store: Store, tmp_path: Path) -> None:
    medium = write(tmp_path / "medium" / "model.gguf", "GGUF")
    store.stamps.hold(str(medium), Memory(Stamp.of(str(medium)), sha256(b"GGUF"), {}))
    store.write_stamp(str(medium))
    medium.unlink()
    pages = len(list((store.root / "stamps").iterdir()))
    assert collect(store, min_age=DAY).stamps == []
    assert len(collect(store, min_age=DAY, partial_age=0).stamps) == 1
    assert len(list((store.root / "stamps").iterdir())) == pages - 1


def test_only_old_downloads_that_nobody_is_at_go(store: Store) -> None:
    folder = store.root / "partial"
    old, busy, young = (write(folder / f"{name}.data", "half") for name in "abc")
    journal = write(folder / "a.journal")
    for path in (old, busy):
        age(path, 20)
    with busy.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert collect(store, min_age=DAY).partials == [old]
    assert sorted(folder.iterdir()) == sorted([busy, young])
    assert not journal.exists()
    assert collect(store, min_age=DAY).partials == [busy]


def test_a_journal_that_was_left_of_a_file_that_became_a_blob_goes_when_it_is_old(store: Store) -> None:
    folder = store.root / "partial"
    old, young, begun = (write(folder / f"{name}.journal", "pieces") for name in "abc")
    for path in (old, begun):
        age(path, 20)
    garbage = plan_collect(store, min_age=DAY)
    assert garbage.partials == [old, begun] and garbage.size > 0
    write(folder / "c.data", "more")
    garbage.apply()
    assert sorted(path.name for path in folder.iterdir()) == ["b.journal", "c.data", "c.journal"]
    assert collect(store, min_age=DAY).partials == []
    assert young.exists()


COLLECT = """
import os, sys
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_garbage import plan_collect
store = Store(sys.argv[1])
(store.root / "partial").mkdir()
path = store.root / "partial" / "a.data"
path.write_text("sealed")
path.chmod(0o444)
garbage = plan_collect(store, partial_age=0)
assert garbage.partials == [path] and path.stat().st_mode & 0o777 == 0o444
garbage.apply()
assert not path.exists()
"""


def test_a_sealed_download_of_another_user_than_root_goes(tmp_path: Path) -> None:
    run = run_python(COLLECT, str(common_folder(tmp_path / "own")), before=common_user())
    assert run.communicate(timeout=60)[1] == "" and run.returncode == 0


def test_a_store_that_is_not_there_has_no_garbage(tmp_path: Path) -> None:
    assert plan_collect(Store(str(tmp_path / "none"))).actions == []
    assert not (tmp_path / "none").exists()


RUN = """
import io, sys
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_garbage import plan_collect
from tests.unit.helpers.hub_repo import sha256
store = Store(sys.argv[1])
for number in range(20):
    with store.locked():
        if sys.argv[2] == "collect":
            plan_collect(store, min_age=0).apply()
        else:
            data = b"%d" % number
            store.set_ref("test", str(number), [sha256(data)])
            store.copy(io.BytesIO(data), "a stream", sha256(data))
"""


def test_collecting_and_storing_at_once_is_safe(store: Store) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, "."])}
    commands = [[sys.executable, "-c", RUN, str(store.root), what] for what in ("store", "collect", "collect")]
    runs = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands]
    assert [run.communicate(timeout=60)[1] for run in runs] == ["", "", ""]
    assert all(store.holds(sha256(b"%d" % number), len(b"%d" % number)) for number in range(20))
    assert not store.blob_path(sha256(TWO)).exists()
