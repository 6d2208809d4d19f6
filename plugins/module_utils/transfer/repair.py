# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mends a stored blob that a disk or somebody has damaged: only the pieces that are wrong are fetched.

The blob becomes a new file under its old name. What had a hard link to the damaged one keeps that, so whoever fetches a blob anew lays
the models that use it out anew.
"""

from __future__ import annotations

import os
import zlib
from functools import lru_cache
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import SMALL
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece
from ansible_collections.onprem.llm.plugins.module_utils.transfer.landing import read_chunks
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import bytes_arrived, try_lock

STEP = 1 << 20


def bytes_missing(store: Store, blob: RemoteBlob) -> int:
    """Return how many bytes of a blob that does not count as stored have to be fetched."""
    arrived = bytes_arrived(store, blob) if blob.size > SMALL else 0
    return blob.size - (arrived or sum(piece.size for piece in sound_pieces(store, blob)))


def sound_pieces(store: Store, blob: RemoteBlob) -> tuple[Piece, ...]:
    """Return what is still right of a damaged blob; nothing where it is not there, or came from where no pieces are known."""
    if not blob.sha256 or blob.size <= SMALL:
        return ()
    path = store.blob_path(blob.sha256)
    pieces = tuple(read_chunks(store, blob.sha256)) if path.is_file() else ()
    return _sound(path, Stamp.of(str(path)), pieces) if pieces else ()


@lru_cache(maxsize=64)
def _sound(path: Path, _stamp: Stamp, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    with explained(f"read {path}"), path.open("rb") as stream:
        return tuple(piece for piece in pieces if _crc(stream.fileno(), piece) == piece.crc)


def _crc(descriptor: int, piece: Piece) -> int:
    found = 0
    for offset in range(piece.offset, piece.end, STEP):
        found = zlib.crc32(os.pread(descriptor, min(STEP, piece.end - offset), offset), found)
    return found


def salvage(store: Store, blob: RemoteBlob) -> None:
    """Begin the new file with what is right of a damaged one, as if an earlier run had fetched that: it is hashed like that, too.

    Call it without the store's lock. What an earlier run did fetch counts more, and a file that another run fetches is left to it.
    """
    pieces = sound_pieces(store, blob)
    if not blob.sha256 or not pieces or store.holds(blob.sha256, blob.size):
        return
    partial = try_lock(store, blob)
    if partial is None:
        return
    path = store.blob_path(blob.sha256)
    try:
        partial.open(journaled=True)
        if partial.pieces:
            return
        with explained(f"read {path}"), path.open("rb") as stream:
            for piece in pieces:
                for offset in range(piece.offset, piece.end, STEP):
                    data = os.pread(stream.fileno(), min(STEP, piece.end - offset), offset)
                    partial.write(memoryview(data), offset)
                partial.note(piece)
        partial.sync()
    finally:
        partial.close()
