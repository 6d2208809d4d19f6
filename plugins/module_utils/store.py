# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: files kept by the sha256 of their content, each once, and who uses them.

``blobs/sha256/<2>/<64 hex>``  the files, written under ``tmp/``, synced, then renamed
``blobs/git/<40 hex>``         the same files by the name that git gives them, for those that a repository knows by it
``refs/<layout>/<id>.json``    which name uses which digests: what no name uses can go
``stamps/``                    what was hashed before, so that it need not be again
``lock``                       held while anything changes; the kernel frees it when a run dies
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import (
    Memory,
    Stamp,
    StampBook,
    as_verify_days,
    git_hash_file,
    hash_file,
)
from ansible_collections.onprem.llm.plugins.module_utils.store_files import (
    NO_LINK,
    copy_hashed,
    inode_of,
    make_folders,
    remove_all,
    same_mount,
    settle,
    unless_gone,
    write_file,
)

DAY = 86400


class Store:
    """A content-addressed store in one folder."""

    def __init__(self, root: str, *, verify_days: int | None = None) -> None:
        """Use the store below ``root``; what was hashed more than ``verify_days`` ago is hashed again, None: only where it changed.

        ``ModelError`` where ``verify_days`` is negative.
        """
        self.root = Path(root)
        self.verify_days = as_verify_days(verify_days)
        self._damaged: dict[str, tuple[Stamp, str]] = {}
        self.stamps = StampBook(str(self.root / "stamps"))

    @property
    def temp(self) -> Path:
        """Return the folder of unfinished files, on the file system of the blobs."""
        return self.root / "tmp"

    def blob_path(self, digest: Digest) -> Path:
        """Return where the blob is or would be."""
        return self.root / "blobs" / "sha256" / digest[:2] / digest

    def git_path(self, sha1: str) -> Path:
        """Return where the blob is or would be by its name in git, the sha1 of ``blob <size>\\0`` and its content."""
        return self.root / "blobs" / "git" / sha1

    def holds(self, digest: Digest, size: int, *, verify: bool = False) -> bool:
        """Tell whether the blob is there and is what its name says; ``verify`` reads all of it."""
        return self.is_sound(self.blob_path(digest), digest, size, verify=verify)

    def is_sound(self, path: Path, digest: Digest, size: int, *, verify: bool = False) -> bool:
        """Tell whether a file is there and holds these bytes; where it does not, ``damage`` says so.

        Its size must agree; and where its stamp is not the one that was remembered, or was remembered too long ago, it is
        hashed again: a blob may be a hard link, which someone edited through its other name, and disks rot.
        """
        with unless_gone():
            if path.is_file():
                return self._is_sound(path, digest, size, verify)
        return False

    def _is_sound(self, path: Path, digest: Digest, size: int, verify: bool) -> bool:
        stamp = Stamp.of(str(path))
        if self._damaged.get(str(path), (None, ""))[0] == stamp:
            return False
        if stamp.size != size:
            return self._found_damaged(path, stamp, f"{stamp.size} bytes instead of {size}")
        if not size and not path.stat().st_mode & stat.S_IROTH:
            # Earlier versions left empty files so, which a mirror cannot serve.
            return self._found_damaged(path, stamp, "a mode by which not everybody may read it")
        memory = self.stamps.recall(str(path), stamp)
        if memory and not (verify or self._is_old(memory)):
            return memory.digest == digest
        found, stamp = hash_file(str(path))
        if found != digest:
            return self._found_damaged(path, stamp, f"the sha256 {found} instead of {digest}")
        self.stamps.hold(str(path), Memory(stamp, digest, memory.facts if memory else {}))
        return True

    def _is_old(self, memory: Memory) -> bool:
        # A time that is yet to come was noted while the clock was wrong.
        return self.verify_days is not None and not 0 <= time.time() - memory.verified_at <= self.verify_days * DAY

    def _found_damaged(self, path: Path, stamp: Stamp, what: str) -> bool:
        self._damaged[str(path)] = (stamp, f"{path} is damaged: it has {what}. It counts as missing, so a run that brings it replaces it.")
        return False

    def damaged_stamp(self, digest: Digest) -> Stamp | None:
        """Return the stamp of a blob that was found damaged in this run: other names of that file have it too."""
        return self._damaged.get(str(self.blob_path(digest)), (None, ""))[0]

    def is_damaged(self, digest: Digest) -> bool:
        """Tell whether a blob was found damaged in this run, and no right file has taken its place."""
        stamp, path = self.damaged_stamp(digest), self.blob_path(digest)
        return stamp is not None and path.is_file() and Stamp.of(str(path)) == stamp

    @property
    def damage(self) -> list[str]:
        """Return a sentence for each file that was found not to be what its name says."""
        return [sentence for _stamp, sentence in self._damaged.values()]

    def forget_damaged(self) -> None:
        """Let later runs find the damage again, until a right file has taken its place; call it under the lock."""
        for path, (stamp, _sentence) in self._damaged.items():
            if Path(path).is_file() and Stamp.of(path) == stamp:
                self.stamps.forget(path)

    def git_digest(self, sha1: str, size: int) -> Digest | None:
        """Return the sha256 of the blob that git calls ``sha1``, if it is stored and is what both its names say."""
        path = self.git_path(sha1)
        with unless_gone():
            if path.is_file():
                return self._git_digest(path, sha1, size)
        return None

    def _git_digest(self, path: Path, sha1: str, size: int) -> Digest | None:
        if path.stat().st_size != size:
            return None
        memory = self.stamps.recall(str(path), Stamp.of(str(path)))
        if memory:
            digest = memory.digest
        else:
            digest, found, stamp = git_hash_file(str(path))
            if found != sha1:
                self._found_damaged(path, stamp, f"the name {found} in git")
                return None
            self.stamps.hold(str(path), Memory(stamp, digest, {}))
        return digest if self.holds(digest, size) else None

    def hold_git(self, sha1: str, digest: Digest, stamp: Stamp | None = None, *, sync: bool = True) -> Path:
        """Give a stored blob the name that git has for it as well; whoever calls it, under the lock, has checked both.

        Return the folder of that name, which the caller syncs where ``sync`` is false. ``stamp`` is that of the blob, if it is known.
        """
        path, stored, temp = self.git_path(sha1), self.blob_path(digest), self.temp / f"git-{os.getpid()}"
        with explained(f"write {path}"):
            if path.exists() and path.samefile(stored):
                return path.parent
            make_folders(path.parent)
            try:
                os.link(stored, temp)
            except OSError as exc:
                if exc.errno not in NO_LINK:
                    raise
                copy_hashed(stored.open("rb"), str(stored), digest, temp)
                stamp = None
            stamp = stamp or Stamp.of(str(temp))
            memory = self.stamps.recall(str(stored), stamp) or Memory(stamp, digest, {})
            settle(temp, path, sync=sync)
        self.stamps.note_name(str(path), memory, str(stored), str(self.temp))
        return path.parent

    def can_link(self, source: str) -> bool:
        """Tell whether ``source`` may become a blob by a hard link.

        Only if it lies on the store's file system, everybody may read it, and nobody but the user of this run (root)
        could change it in place; any other file is copied.
        """
        with explained(f"read {source}"):
            status = Path(source).stat()
        shared = stat.S_IWGRP | stat.S_IWOTH
        guarded = status.st_uid == os.geteuid() and not status.st_mode & shared and bool(status.st_mode & stat.S_IROTH)
        return guarded and same_mount(source, str(self.root))

    def link(self, source: str, digest: Digest, stamp: Stamp) -> bool:
        """Take in a file that had this digest when it had this stamp, as a hard link; False where only a copy will do."""
        with self._arriving(digest) as temp, explained(f"store {source} in {self.root}"):
            try:
                os.link(os.path.realpath(source), temp)
            except OSError as exc:
                if exc.errno in NO_LINK:
                    return False
                raise
            if Stamp.of(str(temp)) != stamp:
                raise ModelError(f"{source} changed while it was read: let the copy or download that writes it end, then run again.")
            # The link is no fresher than the reading of its source.
            known = self.stamps.recall(source, stamp)
            self._settle(temp, Memory(stamp, digest, {}, known.verified_at if known else 0))
        return True

    def copy(self, stream: BinaryIO, label: str, digest: Digest) -> int:
        """Take in a copy of a stream that must have this digest; return its bytes."""
        with self._arriving(digest) as temp, explained(f"store {label} in {self.root}"):
            size = copy_hashed(stream, label, digest, temp)
            self._settle(temp, Memory(Stamp.of(str(temp)), digest, {}))
        return size

    @contextmanager
    def _arriving(self, digest: Digest) -> Iterator[Path]:
        self._prepare()
        temp = self.temp / f"blob-{os.getpid()}"
        with explained(f"write {self.root}"):
            make_folders(self.blob_path(digest).parent)
        try:
            yield temp
        finally:
            temp.unlink(missing_ok=True)

    def _settle(self, temp: Path, memory: Memory) -> None:
        final = self.blob_path(memory.digest)
        settle(temp, final)
        self.stamps.note(str(final), memory, str(self.temp))

    def write_stamp(self, key: str) -> None:
        """Remember a file for later runs."""
        self._prepare()
        self.stamps.write(key, str(self.temp))

    def _prepare(self) -> None:
        with explained(f"write {self.root}"):
            make_folders(self.temp)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one run at a time change the store; sweep what a killed one left under ``tmp/``."""
        self._prepare()
        with explained(f"lock {self.root}"):
            held = (self.root / "lock").open("a", encoding="utf-8")
        with held:
            with explained(f"lock {self.root}"):
                fcntl.flock(held, fcntl.LOCK_EX)
            with explained(f"clear {self.temp}"):
                for leftover in self.temp.iterdir():
                    remove_all(leftover)
            try:
                yield
            except OSError as exc:
                # Of what does not say itself what it was about to do, the file is told.
                with explained(f"use {exc.filename or self.root}"):
                    raise

    def _ref_path(self, layout: str, name: str) -> Path:
        return self.root / "refs" / layout / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def ref(self, layout: str, name: str) -> frozenset[Digest]:
        """Return the digests that a name uses."""
        return _read_ref(self._ref_path(layout, name))[1]

    def set_ref(self, layout: str, name: str, digests: Collection[Digest]) -> None:
        """Say which digests a name uses from now on; none removes the name."""
        path = self._ref_path(layout, name)
        with explained(f"write {path}"):
            if not digests:
                path.unlink(missing_ok=True)
                return
            make_folders(path.parent)
            write_file(path, json.dumps({"name": name, "digests": sorted(digests)}).encode(), self.temp)

    def refs(self) -> dict[tuple[str, str], frozenset[Digest]]:
        """Return the digests that each (layout, name) uses."""
        # One without a name was removed while this looked.
        return {(path.parent.name, name): digests for path, (name, digests) in self._read_refs().items() if name}

    def _read_refs(self) -> dict[Path, tuple[str, frozenset[Digest]]]:
        return {path: _read_ref(path) for path in sorted((self.root / "refs").glob("*/*.json"))}

    def used(self, *without: tuple[str, str]) -> frozenset[Digest]:
        """Return every digest that some name uses, leaving out each (layout, name) of ``without``."""
        skipped = {self._ref_path(*note) for note in without}
        return frozenset().union(*(digests for path, (_name, digests) in self._read_refs().items() if path not in skipped))

    def unused(self, digests: Collection[Digest], *without: tuple[str, str]) -> list[Digest]:
        """Return those of the digests that are stored and that nobody would use without those names."""
        return sorted(d for d in set(digests) - self.used(*without) if self.blob_path(d).exists())

    def remove(self, digests: Collection[Digest]) -> None:
        """Remove blobs by all their names. Call it with what ``unused`` returned, under the lock."""
        for path in [*self._git_names(digests), *map(self.blob_path, digests)]:
            with explained(f"remove {path}"):
                path.unlink(missing_ok=True)
            self.stamps.forget(str(path))

    def _git_names(self, digests: Collection[Digest]) -> list[Path]:
        """Return the names in git of blobs: without them no second name keeps the bytes."""
        inodes, found = set(), []
        for path in map(self.blob_path, digests):
            with unless_gone():
                inodes.add(inode_of(path.stat()))
        for path in (self.root / "blobs" / "git").glob("*") if inodes else ():
            with unless_gone():
                status = path.stat()
                # Where the file system has no hard links it is a copy.
                memory = self.stamps.recall(str(path), Stamp.of(str(path))) if status.st_nlink == 1 else None
                if inode_of(status) in inodes or (memory and memory.digest in digests):
                    found.append(path)
        return found


def _read_ref(path: Path) -> tuple[str, frozenset[Digest]]:
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
        return str(page["name"]), frozenset(as_digest(digest) for digest in page["digests"])
    except FileNotFoundError:
        return "", frozenset()
    except (ValueError, KeyError, TypeError, ModelError):
        # Not knowing what it uses, nothing may be removed.
        raise ModelError(f"{path} is damaged, so it is unknown which blobs it uses: remove it and run again for its model.") from None
