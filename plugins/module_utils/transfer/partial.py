# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unfinished file of one blob: its bytes, its journal, and the lock that lets one run at a time fetch it.

``partial/<id>.data``     the bytes, as long as the blob will be, with holes where nothing has arrived yet; locked by the run
                          that fetches the blob, until that run ends or dies
``partial/<id>.journal``  which pieces have arrived; small files have none
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import make_folders
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Journal, Piece, read_journal


def partial_folder(store: Store) -> Path:
    """Return the folder of unfinished files."""
    return store.root / "partial"


def blob_id(blob: RemoteBlob) -> str:
    """Return what names the content of a blob."""
    return blob.sha256 or f"git-{blob.git_sha1}"


class Partial:
    """One unfinished file that this run has locked."""

    def __init__(self, store: Store, blob: RemoteBlob, descriptor: int) -> None:
        """Take the file that ``try_lock`` has opened and locked."""
        self._base, self._descriptor, self._size = partial_folder(store) / blob_id(blob), descriptor, blob.size
        self._content = f"{blob_id(blob)} {blob.size}"
        self._guard = threading.Lock()
        self._unsynced = False
        self._restarts = 0
        self._journal: Journal | None = None

    @property
    def path(self) -> Path:
        """Return the file with the bytes."""
        return self._base.with_suffix(".data")

    def open(self, *, journaled: bool) -> None:
        """Begin, with what an earlier run left if the file is ``journaled``."""
        with explained(f"write {self.path}"):
            there = os.fstat(self._descriptor).st_size
            if there > (self._size if journaled else 0):
                os.ftruncate(self._descriptor, 0)
            if journaled:
                os.ftruncate(self._descriptor, self._size)
                self._journal = Journal(self._base.with_suffix(".journal"), self._content)
                # Bytes that the file does not have any more cannot have arrived.
                self._journal.drop([piece.offset for piece in _misplaced(self._journal.pieces, min(there, self._size))])

    @property
    def etag(self) -> str:
        """Return how the server called this state of the file."""
        return self._journal.etag if self._journal else ""

    @property
    def pieces(self) -> dict[int, Piece]:
        """Return a copy of what has arrived, by offset."""
        with self._guard:
            return dict(self._journal.pieces) if self._journal else {}

    def write(self, data: memoryview, offset: int) -> None:
        """Write bytes at their place."""
        with explained(f"write {self.path}"):
            while data:
                count = os.pwrite(self._descriptor, data, offset)
                data, offset = data[count:], offset + count

    def read_into(self, view: memoryview, offset: int) -> int:
        """Read bytes back."""
        with explained(f"read {self.path}"):
            return os.preadv(self._descriptor, [view], offset)

    def note(self, piece: Piece) -> None:
        """Note a piece that was written."""
        if self._journal:
            with self._guard, explained(f"write {self._base}.journal"):
                self._journal.note_piece(piece)
                self._unsynced = True

    def note_etag(self, etag: str) -> None:
        """Note how the server calls this state of the file."""
        if self._journal:
            with self._guard, explained(f"write {self._base}.journal"):
                self._journal.note_etag(etag)

    def drop(self, offsets: list[int]) -> None:
        """Forget pieces."""
        if self._journal:
            with self._guard, explained(f"write {self._base}.journal"):
                self._journal.drop(offsets)

    def restart(self) -> None:
        """Forget all pieces."""
        if self._journal:
            with self._guard, explained(f"write {self._base}.journal"):
                self._journal.restart()
                self._restarts += 1

    def sync(self) -> None:
        """Put on the disk what was noted: first the bytes, then the journal."""
        with self._guard:
            due, self._unsynced = self._unsynced, False
            noted, restarts = (self._journal.noted, self._restarts) if self._journal else (0, 0)
        if due and self._journal:
            with explained(f"write {self.path}"):
                # Pieces may be noted while this runs: they are not meant.
                os.fdatasync(self._descriptor)
                with self._guard:
                    if restarts == self._restarts:
                        self._journal.note_synced(noted)
                self._journal.sync()

    def seal(self) -> None:
        """Put all bytes on the disk and make the file one that nobody changes."""
        with explained(f"write {self.path}"):
            os.fchmod(self._descriptor, 0o444)
            os.fsync(self._descriptor)

    def remove(self) -> None:
        """Remove it, unless it became a blob: it holds nothing that a later run could use."""
        with explained(f"remove {self.path}"):
            stays = _is_at(self.path, self._descriptor)
            if stays:
                self.path.unlink()
            if stays or self._journal:
                self._base.with_suffix(".journal").unlink(missing_ok=True)

    def close(self) -> None:
        """Close it and let others fetch the blob."""
        if self._journal:
            self._journal.close()
            self._journal = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _misplaced(pieces: dict[int, Piece], length: int) -> list[Piece]:
    """Return the pieces that lie beyond ``length`` or upon the one before them."""
    found, end = [], 0
    for _offset, piece in sorted(pieces.items()):
        if piece.offset < end or piece.size <= 0 or piece.end > length:
            found.append(piece)
        else:
            end = piece.end
    return found


def try_lock(store: Store, blob: RemoteBlob) -> Partial | None:
    """Return the unfinished file of a blob, or nothing while another run fetches that blob."""
    folder = partial_folder(store)
    path = folder / f"{blob_id(blob)}.data"
    with explained(f"write {folder}"):
        make_folders(folder)
        while True:
            descriptor, writable = _opened(path, os.O_CREAT)
            partial = None
            try:
                if not _locks(descriptor):
                    return None
                # The run that held it has moved or removed it when it ended; then this one is the file of nobody.
                if _is_at(path, descriptor):
                    if writable:
                        partial = Partial(store, blob, descriptor)
                        return partial
                    if os.fstat(descriptor).st_mode & stat.S_IWUSR:
                        # It is something else than a seal that forbids to write it.
                        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                    os.fchmod(descriptor, 0o600)
            finally:
                if partial is None:
                    os.close(descriptor)


def _opened(path: Path, flags: int = 0) -> tuple[int, bool]:
    """Open an unfinished file, and tell whether for writing: not one that a run of this user has sealed, unless the user is root."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600), True
    except PermissionError:
        # A run that has it in hand may bring it into the store just now.
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600), True


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


@contextmanager
def idle(path: Path, *, anew: bool = False) -> Iterator[bool]:
    """Hold an unfinished file unless a run is at it or it is gone, and tell which; ``anew``: make it, unless it is there."""
    try:
        descriptor, _writable = _opened(path, os.O_CREAT | os.O_EXCL if anew else 0)
    except (FileNotFoundError, FileExistsError):
        yield False
        return
    try:
        yield _locks(descriptor) and _is_at(path, descriptor)
    finally:
        os.close(descriptor)


def bytes_held(store: Store, blob: RemoteBlob) -> int:
    """Return how many bytes of disk an unfinished file takes already, so that they need not be free once more."""
    base = partial_folder(store) / blob_id(blob)
    with suppress(OSError):
        return min(base.with_suffix(".data").stat().st_blocks * 512, blob.size)
    return 0


def bytes_arrived(store: Store, blob: RemoteBlob) -> int:
    """Return how many bytes of a blob need not be fetched, by what the journal says of a file that is there."""
    base = partial_folder(store) / blob_id(blob)
    with suppress(OSError):
        length = base.with_suffix(".data").stat().st_size
        past = read_journal(base.with_suffix(".journal"))
        if past.content == f"{blob_id(blob)} {blob.size}" and length <= blob.size:
            lost = _misplaced(past.pieces, length)
            return sum(piece.size for piece in past.pieces.values()) - sum(piece.size for piece in lost)
    return 0
