# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mends a stored blob that disk or somebody has damaged, by fetching only the pieces that are wrong."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import SMALL, Job
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Transfer
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece
from ansible_collections.onprem.llm.plugins.module_utils.transfer.landing import read_chunks
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import Partial, try_lock


def repair(job: Job, store: Store, access: Access, report: Callable[[str], None]) -> int:
    """Make a stored blob right again and return the bytes that were fetched; a blob that is right costs one reading.

    The blob becomes a new file under its old name. A layout that had a hard link to the damaged one keeps the damaged one: whoever
    calls this lays the models that use the blob out anew. Call it without the store's lock.
    """
    blob = job.blob
    if blob.sha256 and store.holds(blob.sha256, blob.size, verify=True):
        return 0
    if blob.sha256 and blob.size > SMALL:
        pieces, path = read_chunks(store, blob.sha256), store.blob_path(blob.sha256)
        if pieces and path.is_file():
            _salvage(job, store, pieces, path)
    transfer = Transfer([job], store, access, report, forced=[blob.name])
    transfer.run()
    return transfer.received


def _salvage(job: Job, store: Store, pieces: list[Piece], path: Path) -> None:
    """Begin the new file with what is still right in the old one, as if an earlier run had fetched that."""
    partial = try_lock(store, job.blob)
    if partial is None:
        raise ModelError(f"{job.blob.name} is to be repaired, but another run fetches it just now: wait for that run to end.")
    try:
        partial.open(journaled=True)
        partial.restart()
        with explained(f"read {path}"), path.open("rb") as stream:
            for piece in pieces:
                _copy(stream.fileno(), partial, piece)
        partial.sync()
    finally:
        partial.close()


def _copy(descriptor: int, partial: Partial, piece: Piece) -> None:
    found, step = hashlib.sha256(), 1 << 20
    for offset in range(piece.offset, piece.end, step):
        data = os.pread(descriptor, min(step, piece.end - offset), offset)
        found.update(data)
        partial.write(memoryview(data), offset)
    if found.hexdigest() == piece.digest:
        partial.note(piece)
