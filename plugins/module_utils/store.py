# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: files kept by the sha256 of their content, each once, and who uses them.

``blobs/sha256/<2>/<64 hex>``  the files, written under ``tmp/``, synced, then renamed
``refs/<layout>/<id>.json``    which name uses which digests: what no name uses can go
``stamps/``                    what was hashed before, so that it need not be again
``lock``                       held while anything changes; the kernel frees it when a run dies
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import CHUNK, Memory, Stamp, StampBook, hash_file

# Left free besides the files themselves, for folders, manifests and stamps.
HEADROOM = 1 << 20
# What link(2) answers where a hard link is not possible but a copy is.
NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})


@dataclass(frozen=True)
class Need:
    """Bytes that are about to be written below a folder."""

    folder: str
    size: int
    # What is written (a digest), for two that need the same need it once; empty for what nobody else writes.
    content: str = ""


class Store:
    """A content-addressed store in one folder."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.stamps = StampBook(str(self.root / "stamps"))

    @property
    def temp(self) -> Path:
        """Return the folder of unfinished files, on the file system of the blobs."""
        return self.root / "tmp"

    def blob_path(self, digest: Digest) -> Path:
        """Return where the blob is or would be."""
        return self.root / "blobs" / "sha256" / digest[:2] / digest

    def holds(self, digest: Digest, size: int) -> bool:
        """Tell whether the blob is there and is what its name says."""
        return self.is_sound(self.blob_path(digest), digest, size)

    def is_sound(self, path: Path, digest: Digest, size: int) -> bool:
        """Tell whether a file is there and holds these bytes.

        Its size must agree; and where its stamp is not the one that was remembered, it is hashed again: a blob may be
        a hard link, which someone edited through its other name.
        """
        if not path.is_file() or path.stat().st_size != size:
            return False
        if self.stamps.recall(str(path), Stamp.of(str(path))):
            return True
        found, stamp = hash_file(str(path))
        if found != digest:
            return False
        self.stamps.hold(str(path), Memory(stamp, digest, {}))
        return True

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
            self._settle(temp, self.blob_path(digest), digest)
        return True

    def copy(self, stream: BinaryIO, label: str, digest: Digest) -> int:
        """Take in a copy of a stream that must have this digest; return its bytes."""
        with self._arriving(digest) as temp, explained(f"store {label} in {self.root}"):
            size = copy_hashed(stream, label, digest, temp)
            self._settle(temp, self.blob_path(digest), digest)
        return size

    @contextmanager
    def _arriving(self, digest: Digest) -> Iterator[Path]:
        self._prepare()
        temp = self.temp / f"blob-{os.getpid()}"
        with explained(f"write {self.root}"):
            self.blob_path(digest).parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temp
        finally:
            temp.unlink(missing_ok=True)

    def _settle(self, temp: Path, final: Path, digest: Digest) -> None:
        settle(temp, final)
        self.stamps.hold(str(final), Memory(Stamp.of(str(final)), digest, {}))
        self.stamps.write(str(final), str(self.temp))

    def write_stamp(self, key: str) -> None:
        """Remember a file for later runs."""
        self._prepare()
        self.stamps.write(key, str(self.temp))

    def _prepare(self) -> None:
        with explained(f"write {self.root}"):
            for folder in (self.root, self.temp):
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one run at a time change the store; sweep what a killed one left under ``tmp/``."""
        self._prepare()
        with explained(f"lock {self.root}"), (self.root / "lock").open("a", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for leftover in self.temp.iterdir():
                leftover.unlink()
            yield

    def _ref_path(self, layout: str, name: str) -> Path:
        return self.root / "refs" / layout / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def ref(self, layout: str, name: str) -> frozenset[Digest]:
        """Return the digests that a name uses."""
        return _read_ref(self._ref_path(layout, name))

    def set_ref(self, layout: str, name: str, digests: Collection[Digest]) -> None:
        """Say which digests a name uses from now on; none removes the name."""
        path = self._ref_path(layout, name)
        with explained(f"write {path}"):
            if not digests:
                path.unlink(missing_ok=True)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, json.dumps({"name": name, "digests": sorted(digests)}).encode(), self.temp)

    def used(self, *, without: tuple[str, str] | None = None) -> frozenset[Digest]:
        """Return every digest that some name uses, leaving one (layout, name) out where asked."""
        skipped = self._ref_path(*without) if without else None
        paths = (self.root / "refs").glob("*/*.json")
        return frozenset().union(*(_read_ref(path) for path in paths if path != skipped))

    def unused(self, digests: Collection[Digest], *, without: tuple[str, str]) -> list[Digest]:
        """Return those of the digests that are stored and that nobody would use without that name."""
        return sorted(d for d in set(digests) - self.used(without=without) if self.blob_path(d).exists())

    def remove(self, digests: Collection[Digest]) -> None:
        """Remove blobs. Call it with what ``unused`` returned, under the lock."""
        for digest in digests:
            with explained(f"remove {self.blob_path(digest)}"):
                self.blob_path(digest).unlink(missing_ok=True)
            self.stamps.forget(str(self.blob_path(digest)))


def _read_ref(path: Path) -> frozenset[Digest]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return frozenset()
    try:
        return frozenset(as_digest(digest) for digest in json.loads(text)["digests"])
    except (ValueError, KeyError, TypeError, ModelError):
        # Not knowing what it uses, nothing may be removed.
        raise ModelError(f"{path} is damaged, so it is unknown which blobs it uses: remove it and run again for its model.") from None


def wrong_digest(path: str, expected: Digest, found: Digest) -> ModelError:
    """Return the failure for a file that is not the one that was asked for."""
    return ModelError(
        f"{path} has the sha256 {found}, but {expected} was expected: "
        f"fetch the right file, or correct sha256 if this file is the one you want."
    )


def check_space(needs: Sequence[Need]) -> None:
    """Refuse, before anything is written, what all in all does not fit its file systems."""
    totals: dict[int, tuple[str, int, int]] = {}
    for need in needs:
        folder = existing_parent(need.folder)
        with explained(f"read the free space of {folder}"):
            space, device = os.statvfs(folder), Path(folder).stat().st_dev
        total = totals[device][1] if device in totals else 0
        totals[device] = (folder, total + need.size, space.f_bavail * space.f_frsize)
    for folder, total, free in totals.values():
        if total and total + HEADROOM > free:
            raise ModelError(
                f"{folder} has {free} bytes free, but {total + HEADROOM} are needed: free space there or choose another volume."
            )


def measured(needs: Sequence[Need]) -> list[dict[str, Any]]:
    """Return the needs as plain data with the file system (``device``) and its free bytes, to be summed with those of others."""
    found = []
    for need in needs:
        folder = existing_parent(need.folder)
        with explained(f"read the free space of {folder}"):
            space, device = os.statvfs(folder), Path(folder).stat().st_dev
        free = space.f_bavail * space.f_frsize
        found.append({"folder": need.folder, "size": need.size, "content": need.content, "device": device, "free": free})
    return [need for need in found if need["size"]]


def existing_parent(folder: str) -> str:
    """Return the folder itself or the nearest one above it that exists."""
    path = Path(folder)
    while not path.exists() and path != path.parent:
        path = path.parent
    return str(path)


def same_mount(first: str, second: str) -> bool:
    """Tell whether a hard link between the two is possible: the same file system through the same mount."""
    with explained(f"compare {first} and {second}"):
        return _mount(existing_parent(first)) == _mount(existing_parent(second))


def _mount(path: str) -> tuple[int, str]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # A bind mount has the device of its file system, but link(2) does not cross it.
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
        return os.fstat(descriptor).st_dev, next((line for line in lines if line.startswith("mnt_id:")), "")
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes, temp_folder: Path, *, mode: int = 0o644, owner: tuple[int, int] = (-1, -1)) -> None:
    """Write a small file so that a reader sees the old one or all of the new one."""
    temp = temp_folder / f"write-{os.getpid()}"
    try:
        with temp.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if owner != (-1, -1):
                os.fchown(stream.fileno(), *owner)
            os.fsync(stream.fileno())
        settle(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def copy_hashed(stream: BinaryIO, label: str, digest: Digest, temp: Path) -> int:
    """Copy a stream into a new read-only file and onto the disk; refuse another digest than the one expected."""
    found, size = hashlib.sha256(), 0
    with stream, temp.open("xb") as writer:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
            size += writer.write(chunk)
        if found.hexdigest() != digest:
            raise wrong_digest(label, digest, Digest(found.hexdigest()))
        writer.flush()
        os.fchmod(writer.fileno(), 0o444)
        os.fsync(writer.fileno())
    return size


def settle(temp: Path, final: Path) -> None:
    """Move a finished file to its name and make that last."""
    if final.exists() and final.samefile(temp):
        # Of two names of one file, rename(2) would keep both.
        temp.unlink()
    else:
        temp.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
