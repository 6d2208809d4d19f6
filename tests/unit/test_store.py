"""The store with real files: links, copies, other file systems, full disks, dying and competing runs."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils import stamps as stamps_module
from ansible_collections.onprem.llm.plugins.module_utils import store as store_module
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, StampBook, hash_file
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import existing_parent, same_mount
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
DATA = b"weights" * 1000


def digest_of(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Give a folder on another file system: every Linux has this one."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


def source_file(folder: Path, data: bytes = DATA, mode: int = 0o644) -> Path:
    path = folder / "source.gguf"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def link(store: Store, path: Path) -> Digest:
    digest, stamp = hash_file(str(path))
    assert store.link(str(path), digest, stamp)
    return digest


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


def test_a_large_file_is_stamped_in_no_time(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    with path.open("wb") as stream:
        stream.truncate(40 << 30)
    started = time.monotonic()
    assert Stamp.of(str(path)) == Stamp.of(str(path))
    assert time.monotonic() - started < 1


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
    original = Stamp.of_stream.__func__  # type: ignore[attr-defined]
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


def test_blobs_stay_while_any_name_uses_them(store: Store, tmp_path: Path) -> None:
    digest = link(store, source_file(tmp_path))
    store.set_ref("ollama", "a", [digest])
    store.set_ref("hub", "b", [digest])
    assert store.unused([digest], without=("ollama", "a")) == []
    store.set_ref("hub", "b", [])
    assert store.unused([digest], without=("ollama", "a")) == [digest]
    assert store.ref("ollama", "a") == {digest}
    store.remove([digest])
    assert not store.blob_path(digest).exists()


def test_a_damaged_ref_stops_every_removal(store: Store, tmp_path: Path) -> None:
    digest = link(store, source_file(tmp_path))
    store.set_ref("ollama", "a", [digest])
    next((store.root / "refs" / "ollama").iterdir()).write_text("{")
    with pytest.raises(ModelError, match="is damaged"):
        store.unused([digest], without=("hub", "b"))


def test_free_space_is_asked_of_the_file_system_for_the_whole_set(tmp_path: Path, elsewhere: Path) -> None:
    space = os.statvfs(tmp_path)
    free = space.f_bavail * space.f_frsize
    check_space([Need(str(tmp_path / "not" / "yet"), free // 4), Need(str(elsewhere), 1)])
    check_space([Need(str(tmp_path), 0)])
    with pytest.raises(ModelError, match="bytes free, but"):
        check_space([Need(str(tmp_path / "not" / "yet"), free // 2), Need(str(tmp_path), free // 2), Need(str(elsewhere), 1)])
    assert existing_parent(str(tmp_path / "not" / "yet")) == str(tmp_path)


def run_python(code: str, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [*before, sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


COPY = """
import sys
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
store = Store(sys.argv[1])
with store.locked():
    print("started", flush=True)
    store.copy(open(sys.argv[2], "rb"), sys.argv[2], sys.argv[3])
print("done")
"""


def test_a_disk_that_fills_up_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    """A file size limit ends a write where a full disk would, for any user and on any file system."""
    path = source_file(tmp_path, b"x" * (8 << 20))
    limited = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, {resource.RLIM_INFINITY}))\n"
    )
    run = run_python(limited + COPY, str(store.root), str(path), digest_of(b"x" * (8 << 20)))
    errors = run.communicate(timeout=60)[1]
    assert "ModelError: Cannot store" in errors and "File too large" in errors
    assert not any(found.stat().st_size for found in store.root.rglob("*") if found.is_file())


FULL = """
import pathlib, subprocess, sys
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space
folder, source, digest = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
store = Store(folder + "/store")
for attempt in (lambda: check_space([Need(folder, 8 << 20)]), lambda: store.copy(open(source, "rb"), source, digest)):
    try:
        attempt()
    except ModelError as refusal:
        print(refusal)
print([str(found) for found in pathlib.Path(folder).rglob("*") if found.is_file()])
"""


def test_a_really_full_disk_is_a_sentence(tmp_path: Path) -> None:
    """A file system of 4 MB, seen by the child only; where a user may not mount, the two tests above cover the same."""
    own_mounts = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*own_mounts, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount anything")
    path, folder = source_file(tmp_path, b"x" * (8 << 20)), tmp_path / "disk"
    folder.mkdir()
    run = run_python(FULL, str(folder), str(path), digest_of(b"x" * (8 << 20)), before=own_mounts)
    output, errors = run.communicate(timeout=60)
    assert errors == ""
    checked, stored, left = output.splitlines()
    assert f"{folder} has" in checked and "bytes free, but" in checked
    assert "No space left on device; free space there or choose another volume." in stored
    assert left == "[]"


def test_a_killed_run_leaves_no_half_blob_and_the_next_one_sweeps(store: Store, elsewhere: Path) -> None:
    fifo = elsewhere / "slow"
    os.mkfifo(fifo)
    run = run_python(COPY, str(store.root), str(fifo), digest_of(DATA))
    assert run.stdout and run.stdout.readline() == "started\n"
    with fifo.open("wb") as feeding:
        feeding.write(DATA[:5000])
        feeding.flush()
        deadline = time.monotonic() + 20
        while not list(store.temp.glob("blob-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=20)
    assert len(list(store.temp.glob("blob-*"))) == 1
    assert not store.blob_path(digest_of(DATA)).exists()
    with store.locked():
        assert list(store.temp.iterdir()) == []


def test_two_runs_at_once_take_turns(store: Store, elsewhere: Path) -> None:
    path = source_file(elsewhere, b"y" * (4 << 20))
    runs = [run_python(COPY, str(store.root), str(path), digest_of(b"y" * (4 << 20))) for _unused in range(4)]
    for run in runs:
        output, errors = run.communicate(timeout=60)
        assert (run.returncode, output, errors) == (0, "started\ndone\n", "")
    assert store.holds(digest_of(b"y" * (4 << 20)), 4 << 20)
    assert list(store.temp.iterdir()) == []


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


def rot(path: Path) -> None:
    """Change a byte where no stamp looks, and put the time back."""
    before = path.stat()
    mode = before.st_mode & 0o777
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(100_000)
        stream.write(b"!")
    path.chmod(mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


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
