"""The store on disks that fill up, with runs that die and runs that compete."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import existing_parent
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space
from tests.unit.helpers.stored import DATA, digest_of, own_mounts, run_python, source_file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_free_space_is_asked_of_the_file_system_for_the_whole_set(tmp_path: Path, elsewhere: Path) -> None:
    space = os.statvfs(tmp_path)
    free = space.f_bavail * space.f_frsize
    check_space([Need(str(tmp_path / "not" / "yet"), free // 4), Need(str(elsewhere), 1)])
    check_space([Need(str(tmp_path), 0)])
    with pytest.raises(ModelError, match="bytes free, but"):
        check_space([Need(str(tmp_path / "not" / "yet"), free // 2), Need(str(tmp_path), free // 2), Need(str(elsewhere), 1)])
    assert existing_parent(str(tmp_path / "not" / "yet")) == str(tmp_path)


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
    """A file system of 4 MB, which only the child sees."""
    path, folder = source_file(tmp_path, b"x" * (8 << 20)), tmp_path / "disk"
    folder.mkdir()
    run = run_python(FULL, str(folder), str(path), digest_of(b"x" * (8 << 20)), before=own_mounts())
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
