"""A whole pull by the module ``hub_model``, in this process or in one that can be killed, and what must hold after each."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece, read_journal
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import Partial, bytes_arrived
from ansible_collections.onprem.llm.plugins.modules import hub_model
from tests.standin_upstream import Upstream
from tests.unit.helpers.fault_page import WORKERS, Row
from tests.unit.helpers.site import BIG, REPO, SIZE, digest_of, git_of

RUN = """
import json, sys
from ansible.module_utils.testing import patch_module_args
from ansible_collections.onprem.llm.plugins.modules import hub_model
with patch_module_args(json.loads(sys.argv[1])):
    hub_model.main()
"""
TOTAL = SIZE + 23


@dataclass
class WholePull:
    """One repository, pulled into one store and laid out in one cache."""

    call_module: Callable[..., dict[str, Any]]
    up: Upstream
    folder: Path
    cache_dir: str = "hub"
    # Bytes of pieces that the last run in this process wrote and noted.
    noted: int = 0

    @property
    def store(self) -> Store:
        """Return the store as a new run sees it."""
        return Store(str(self.folder / "store"))

    @property
    def params(self) -> dict[str, Any]:
        """Return what the module is told."""
        return {
            "source": f"hf:{REPO}",
            "endpoint": self.up.hub_url,
            "store": str(self.folder / "store"),
            "cache_dir": str(self.folder / self.cache_dir),
            "workers": WORKERS,
            "retries": 1,
            "timeout": 1,
        }

    def run(self, *, check: bool = False, **changes: Any) -> dict[str, Any]:
        """Pull; nothing wrong may be there afterwards, and all of it where the module says so."""
        with noting() as noted:
            result = self.call_module(hub_model, {**self.params, **changes}, check=check)
        if not check:
            self.noted = sum(noted.values())
            self.check(laid_out="msg" not in result)
        return result

    def process(self, *before: str, **changes: Any) -> subprocess.Popen[str]:
        """Pull in a process of its own."""
        command = [*before, sys.executable, "-c", RUN, json.dumps({**self.params, **changes})]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @property
    def sent(self) -> int:
        """Return the bytes of files that left the server; lists and redirects do not count."""
        return sum(seen.sent for seen in self.up.requests if seen.path.startswith(("/lfs/", f"/{REPO}/")) and seen.status in {200, 206})

    @property
    def data(self) -> bytes:
        """Return the big file as it is upstream."""
        return self.up.snapshot(REPO).entries[BIG].file.read_bytes()

    @property
    def big(self) -> RemoteBlob:
        """Return the big file as the list of the repository has it."""
        return RemoteBlob(BIG, SIZE, Digest(self.up.snapshot(REPO).entries[BIG].sha256))

    @property
    def stored(self) -> Path:
        """Return where it is in the store, once it is there."""
        return self.store.blob_path(digest_of(self.data))

    @property
    def unfinished(self) -> Path:
        """Return the unfinished file."""
        return self.folder / "store" / "partial" / f"{self.big.sha256}.data"

    @property
    def journal(self) -> Path:
        """Return its journal."""
        return self.unfinished.with_suffix(".journal")

    @property
    def pieces(self) -> int:
        """Return how many pieces the journal knows."""
        return len(read_journal(self.journal).pieces)

    @property
    def arrived(self) -> int:
        """Return the bytes of these."""
        return bytes_arrived(self.store, self.big)

    def check(self, *, laid_out: bool) -> None:
        """Check every file of the store and of the cache by name and mode, and that the branch names the model when all of it is there."""
        check_named(self.folder / "store" / "blobs" / "sha256", self.folder / "store" / "blobs" / "git", self.cache / "blobs")
        snapshots = {path: path.read_bytes() for path in self.cache.glob("snapshots/*/*")}
        there = self.up.snapshot(REPO).entries
        for path, content in snapshots.items():
            assert content == there[path.name].file.read_bytes()
        complete = {path.name for path in snapshots} == set(there)
        assert complete or not (laid_out or (self.cache / "refs" / "main").exists())

    @property
    def cache(self) -> Path:
        """Return the folder of the repository in the cache."""
        return self.folder / self.cache_dir / f"models--{REPO.replace('/', '--')}"


def check_named(*folders: Path) -> None:
    """Check that files hash to their names, by sha256 or as git does it, and that all may read them and nobody write."""
    files = {(path.stat().st_ino, path.name): path for folder in folders for path in folder.rglob("*") if path.is_file()}
    for path in files.values():
        name_of = digest_of if len(path.name) == 64 else git_of
        assert path.name == name_of(path.read_bytes()), f"{path} is wrong"
        assert stat.S_IMODE(path.stat().st_mode) == 0o444, f"{path} is for some to read or write"


@contextmanager
def noting() -> Iterator[dict[tuple[Path, int], int]]:
    """Give the size of each piece that is noted meanwhile, by its file and offset: it has arrived, whatever becomes of the journal."""
    noted: dict[tuple[Path, int], int] = {}
    note = Partial.note

    def noting_note(partial: Partial, piece: Piece) -> None:
        note(partial, piece)
        # A small file that has not become a blob yet comes anew.
        if piece.offset in partial.pieces:
            noted[partial.path, piece.offset] = piece.size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Partial, "note", noting_note)
        yield noted


def goes_on(pull: WholePull, row: Row, **changes: Any) -> dict[str, Any]:
    """Pull again: check mode says how much, the row what is told, and the server how many bytes came in all."""
    arrived = pull.arrived
    checked = pull.run(check=True, **changes)
    result = pull.run(**changes)
    assert row.is_told_by(result), result
    assert result["bytes_fetched"] == checked["bytes_fetched"] <= TOTAL - arrived + row.again
    assert pull.sent - TOTAL <= row.allows(changes.get("workers", WORKERS))
    return result


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen soon."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process with the signal that nobody can catch."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL
