# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts finished files into the store, and unfinished ones onto the disk now and then."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import make_folders, sync_folder, write_file
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import Download
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece
from ansible_collections.onprem.llm.plugins.module_utils.transfer.work import Queue

# How much a power cut may cost: what arrived in so many seconds.
SYNC_S = 2.0


class Keeper(threading.Thread):
    """Lands what has arrived, and syncs what is arriving."""

    def __init__(self, queue: Queue, store: Store) -> None:
        super().__init__(name="keep", daemon=True)
        self.queue, self.store = queue, store

    def run(self) -> None:
        """Work until all is done or has failed."""
        try:
            synced = time.monotonic()
            while not self.queue.is_done and not self.queue.stop.is_set():
                arrived = self.queue.to_land(SYNC_S / 4)
                if arrived:
                    land(self.store, arrived)
                    self.queue.landed(arrived)
                if time.monotonic() - synced > SYNC_S:
                    self._sync()
                    synced = time.monotonic()
        except BaseException as exc:  # noqa: BLE001  # whatever it is, the thread that waits for this one raises it
            self.queue.fail(exc)

    def _sync(self) -> None:
        for download in self.queue.unfinished():
            if download.partial:
                download.partial.sync()


def land(store: Store, downloads: Iterable[Download]) -> None:
    """Move finished files to their names in the store and let others have them."""
    sealed = [download for download in downloads if download.partial]
    for download in sealed:
        if download.partial and not download.single:
            download.partial.seal()
    with store.locked(), explained(f"write {store.root}"):
        # A folder with many new names costs one step.
        for folder in {folder for download in sealed for folder in _lay(store, download)}:
            sync_folder(folder)
    for download in sealed:
        if download.partial:
            download.partial.remove()
            download.partial.close()
            download.partial = None


def _lay(store: Store, download: Download) -> list[Path]:
    """Give a file its names; return their folders."""
    blob, digest = download.blob, download.digest
    final, stamp = store.blob_path(digest), None
    if download.partial and not store.holds(digest, blob.size):
        make_folders(final.parent)
        download.partial.path.replace(final)
        stamp = Stamp.of(str(final))
        store.stamps.note(str(final), Memory(stamp, digest, {}), str(store.temp))
        if not download.single:
            write_chunks(store, digest, blob.size, download.pieces.values())
    in_git = [store.hold_git(blob.git_sha1, digest, stamp, sync=False)] if blob.git_sha1 else []
    return [final.parent, *in_git]


def chunks_path(store: Store, digest: Digest) -> Path:
    """Return where the CRC-32 of a blob's pieces are kept."""
    return store.root / "chunks" / f"{digest}.json"


def write_chunks(store: Store, digest: Digest, size: int, pieces: Iterable[Piece]) -> None:
    """Keep the CRC-32 of the pieces, so that damage can be found and mended piece by piece."""
    path = chunks_path(store, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [[piece.offset, piece.size, piece.crc] for piece in sorted(pieces, key=lambda piece: piece.offset)]
    write_file(path, json.dumps({"size": size, "crc": listed}).encode(), store.temp)


def read_chunks(store: Store, digest: Digest) -> list[Piece]:
    """Return the pieces of a blob; none where they are not known."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        listed = json.loads(chunks_path(store, digest).read_text(encoding="utf-8"))["crc"]
        return [Piece(int(offset), int(size), int(crc)) for offset, size, crc in listed if offset >= 0 and size > 0]
    return []
