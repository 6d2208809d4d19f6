# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of wheels and source archives as they lie on the host: what is in them, judged by their locks. They are only ever read."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.python_index import IndexedFile
from ansible_collections.onprem.llm.plugins.module_utils.python_lock import Lock, read_lock
from ansible_collections.onprem.llm.plugins.module_utils.python_metadata import read_dist
from ansible_collections.onprem.llm.plugins.module_utils.python_names import DistName, as_dist, is_dist
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, StampBook, hash_file

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class WheelFolder:
    """A folder, and the locks (requirements with hashes, or lists of digests) that every file in it must agree with."""

    path: str
    locks: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundFile:
    """A file in a folder, and what the index will say of it."""

    path: str
    stamp: Stamp
    indexed: IndexedFile


def read_folders(folders: Sequence[WheelFolder], stamps: StampBook) -> dict[str, FoundFile]:
    """Return the files of all folders by name; refuse the first that is broken or not the one that its locks ask for."""
    found: dict[str, FoundFile] = {}
    for folder in folders:
        for file in _read(folder, stamps):
            name = file.indexed.name.file
            twin = found.setdefault(name, file)
            if twin.indexed.digest != file.indexed.digest:
                raise ModelError(f"{twin.path} and {file.path} have one name but not the same content: remove the one that is not wanted.")
    return found


def _read(folder: WheelFolder, stamps: StampBook) -> list[FoundFile]:
    with explained(f"read the folder of wheels {folder.path}"):
        names = sorted(path.name for path in Path(folder.path).iterdir())
    dists = [as_dist(name, folder.path) for name in names if is_dist(name)]
    locks = [read_lock(path) for path in folder.locks]
    sums = read_lock(f"{folder.path}/{SUMS}") if SUMS in names else None
    missing = sorted(name for name in sums.sums if is_dist(name) and name not in names) if sums else []
    if missing:
        raise ModelError(f"{folder.path}/{SUMS} lists {missing[0]}, but the folder has no such file: fetch it, or make the list again.")
    files = [_found(f"{folder.path}/{name.file}", name, stamps) for name in dists]
    for file in files:
        _judge(file, locks)
        _judge(file, [sums] if sums else [])
    return files


def _found(path: str, name: DistName, stamps: StampBook) -> FoundFile:
    with explained(f"read {path}"):
        if not stat.S_ISREG(Path(path).lstat().st_mode):
            raise ModelError(f"{path} should be a plain file, but something else is there: copy the file itself, or remove it.")
    indexed, stamp = index_file(path, name, stamps)
    return FoundFile(path, stamp, indexed)


def index_file(path: str, name: DistName, stamps: StampBook) -> tuple[IndexedFile, Stamp]:
    """Return what an index says of a file. It is read as a whole unless that is remembered."""
    stamp = Stamp.of(path)
    memory = stamps.recall(path, stamp)
    if not memory or not _is_told(memory.facts):
        digest, stamp = (memory.digest, stamp) if memory else hash_file(path)
        told = read_dist(path, name)
        memory = Memory(stamp, digest, {"file": name.file, "requires_python": told.requires_python, "metadata": told.digest or ""})
        stamps.hold(path, memory)
    elif memory.facts["file"] != name.file:
        read_dist(path, name)
    return IndexedFile(name, memory.digest, stamp.size, str(memory.facts["requires_python"]), _metadata_digest(memory)), stamp


def noted_file(path: str, file: IndexedFile, stamps: StampBook) -> IndexedFile | None:
    """Return what was noted of a file of this digest at ``path``, whatever became of it; nothing where no run has read it."""
    memory = stamps.noted(path)
    if not memory or memory.digest != file.digest or not _is_told(memory.facts):
        return None
    return replace(file, requires_python=str(memory.facts["requires_python"]), metadata=_metadata_digest(memory))


def _metadata_digest(memory: Memory) -> Digest | None:
    return Digest(str(memory.facts["metadata"])) if memory.facts["metadata"] else None


def _is_told(facts: Mapping[str, object]) -> bool:
    return {"file", "requires_python", "metadata"} <= set(facts)


def _judge(file: FoundFile, locks: Sequence[Lock]) -> None:
    """Refuse a file that none of the locks allows."""
    if not locks:
        return
    name, digest = file.indexed.name, file.indexed.digest
    allowed = frozenset().union(*(lock.allowed(name) for lock in locks))
    paths = " and ".join(lock.path for lock in locks)
    if not allowed:
        raise ModelError(f"{paths} does not name {file.path}: remove the file, or make the lock again.")
    if digest not in allowed:
        expected = next(iter(allowed)) if len(allowed) == 1 else f"one of {len(allowed)} others"
        raise ModelError(f"{file.path} has the sha256 {digest}, but {paths} asks for {expected}: fetch the file again.")
