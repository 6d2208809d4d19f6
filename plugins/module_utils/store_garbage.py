# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in a store though nothing needs it: ``plan_collect`` finds it and writes nothing, ``apply`` removes it.

What stays: blobs that any name of any layout uses; blobs that came or were linked lately, which a pull may be about to use; and blobs
that a folder elsewhere still has a hard link to. To remove one of these would free nothing, and the next model that needs it
would be fetched again instead of linked.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.names import DIGEST, Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import DAY, Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import unless_gone
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import idle, partial_folder


@dataclass
class Garbage:
    """What can go, and what cannot for being linked to elsewhere."""

    store: Store
    blobs: list[Digest] = field(default_factory=list)
    linked: list[Digest] = field(default_factory=list)
    # Second names of blobs, digests of pieces, manifests and memories of what is not there any more.
    files: list[Path] = field(default_factory=list)
    stamps: list[Path] = field(default_factory=list)
    partials: list[Path] = field(default_factory=list)
    # Bytes of disk that are free again afterwards: of the blobs, and of all.
    blob_size: int = 0
    size: int = 0

    @property
    def actions(self) -> list[str]:
        """Say in words what would be removed."""
        said = [f"remove {self.store.blob_path(digest)}" for digest in self.blobs]
        said += [f"remove {path}" for path in (*self.files, *self.partials)]
        return said + ([f"forget {len(self.stamps)} files that are not there any more"] if self.stamps else [])

    def diff(self) -> dict[str, str]:
        """Return the difference as Ansible shows it."""
        return {"before": "".join(f"{action.partition(' ')[2]}\n" for action in self.actions), "after": ""}

    def apply(self) -> None:
        """Remove it. Call it under the lock under which it was found."""
        self.store.remove(self.blobs)
        for path in (*self.files, *self.stamps):
            with explained(f"remove {path}"):
                path.unlink(missing_ok=True)
        for path in self.partials:
            # The journal of a file that became a blob goes while its name is held, for else the next run would read it.
            data = path.with_suffix(".data")
            with explained(f"remove {path}"), idle(data, anew=path != data) as is_idle:
                if is_idle:
                    data.unlink()
                    path.with_suffix(".journal").unlink(missing_ok=True)


def plan_collect(store: Store, *, min_age: float = DAY, partial_age: float = 14 * DAY) -> Garbage:
    """Decide. Ages are in seconds: of blobs since they came or were last linked, of unfinished downloads since they last grew."""
    garbage = Garbage(store)
    with explained(f"read {store.root}"):
        kept, inodes = _sort_blobs(garbage, min_age)
        _find_names(garbage, kept, inodes, min_age)
        garbage.files += _garbage_pages(store.root / "chunks", lambda path: Digest(path.stem) not in kept and _age(path) >= min_age)
        garbage.files += _garbage_pages(store.root / "manifests", lambda path: not _has_any(path, store, kept) and _age(path) >= min_age)
        garbage.stamps = _garbage_pages(store.root / "stamps", lambda path: _is_of_nothing(path, store, garbage, partial_age))
        for path in sorted(path for kind in ("*.data", "*.journal") for path in partial_folder(store).glob(kind)):
            with unless_gone():
                if _is_given_up(path, partial_age):
                    garbage.size += path.stat().st_blocks * 512
                    garbage.partials.append(path)
    return garbage


def _sort_blobs(garbage: Garbage, min_age: float) -> tuple[set[Digest], set[tuple[int, int]]]:
    """Tell apart which blobs can go; return the others and their inodes."""
    store = garbage.store
    used, kept, inodes = store.used(), set(), set()
    own: dict[tuple[int, int], int] = {}
    for path in (store.root / "blobs" / "git").glob("*"):
        own[_inode(path)] = own.get(_inode(path), 0) + 1
    for path in sorted((store.root / "blobs" / "sha256").glob("*/*")):
        with unless_gone():
            digest, status = Digest(path.name), path.lstat()
            young = digest in used or not DIGEST.fullmatch(digest) or _age(path) < min_age
            linked = not young and status.st_nlink > 1 + own.get(_inode(path), 0)
            if young or linked:
                kept.add(digest)
                inodes.add(_inode(path))
                garbage.linked += [digest] if linked else []
            else:
                garbage.blobs.append(digest)
                garbage.blob_size += status.st_size
                garbage.size += status.st_blocks * 512
    return kept, inodes


def _find_names(garbage: Garbage, kept: set[Digest], inodes: set[tuple[int, int]], min_age: float) -> None:
    gone = {_inode(garbage.store.blob_path(digest)) for digest in garbage.blobs}
    for path in sorted((garbage.store.root / "blobs" / "git").glob("*")):
        with unless_gone():
            memory = None if _inode(path) in inodes else garbage.store.stamps.recall(str(path), Stamp.of(str(path)))
            needed = _inode(path) in inodes or (memory is not None and memory.digest in kept)
            if not needed and (_inode(path) in gone or _age(path) >= min_age):
                garbage.files.append(path)


def _garbage_pages(folder: Path, is_garbage: Callable[[Path], bool]) -> list[Path]:
    """Return the pages below a folder that are garbage."""
    found = []
    for path in sorted(folder.rglob("*.json")):
        with unless_gone():
            if is_garbage(path):
                found.append(path)
    return found


def _has_any(path: Path, store: Store, kept: set[Digest]) -> bool:
    """Tell whether anything of a manifest is stored."""
    try:
        blobs = json.loads(path.read_text(encoding="utf-8"))["manifest"]["blobs"]
        return any(blob["sha256"] in kept or (blob["git_sha1"] and store.git_path(blob["git_sha1"]).exists()) for blob in blobs)
    except (ValueError, KeyError, TypeError):
        return False


def _is_of_nothing(path: Path, store: Store, garbage: Garbage, age: float) -> bool:
    """Tell whether a page remembers a file that is gone. One outside of the store may be on a medium that will come back."""
    try:
        key = str(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return _age(path) >= age
    if key in {str(file) for file in (*garbage.files, *(store.blob_path(digest) for digest in garbage.blobs))}:
        return True
    return not os.path.lexists(key) and (key.startswith(f"{store.root}/") or _age(path) >= age)


def _is_given_up(path: Path, age: float) -> bool:
    """Tell whether no run goes on with an unfinished file, or a journal was left of one that became a blob."""
    if time.time() - path.stat().st_mtime < age:
        return False
    if path.suffix == ".journal":
        return not path.with_suffix(".data").exists()
    with idle(path) as is_idle:
        return is_idle


def _inode(path: Path) -> tuple[int, int]:
    with suppress(FileNotFoundError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return 0, 0


def _age(path: Path) -> float:
    """Return the seconds since a file was made, changed or linked; its time of modification may be that of a file it was linked from."""
    return time.time() - path.lstat().st_ctime
