# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that hashes a file from its start while its end still arrives. What it reads was just written, so it is still in memory."""

from __future__ import annotations

import threading
import zlib

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import Download, Hashing
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece
from ansible_collections.onprem.llm.plugins.module_utils.transfer.work import Queue

BUFFER = 1 << 20


class Hasher(threading.Thread):
    """Hashes whatever piece comes next in some file."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(name="hash", daemon=True)
        self.queue = queue
        self._buffer = memoryview(bytearray(BUFFER))

    def run(self) -> None:
        """Work until all is done or has failed."""
        try:
            while found := self.queue.next_to_hash():
                self._hash(*found)
        except BaseException as exc:  # noqa: BLE001  # whatever it is, the thread that waits for this one raises it
            self.queue.fail(exc)

    def _hash(self, download: Download, hashing: Hashing, piece: Piece, unproven: bool) -> None:
        before = hashing.saved() if unproven else None
        crc = 0
        position = piece.offset
        while position < piece.end and not self.queue.stop.is_set():
            view = self._buffer[: min(BUFFER, piece.end - position)]
            count = download.partial.read_into(view, position) if download.partial else 0
            if not count:
                raise ModelError(
                    f"{download.label} became shorter while it was fetched: let nobody else write to the store, then run again."
                )
            hashing.update(view[:count])
            if unproven:
                crc = zlib.crc32(view[:count], crc)
            position += count
        if self.queue.stop.is_set():
            return
        if before and crc != piece.crc:
            hashing.restore(before)
            self.queue.disproved(download, hashing, piece)
        else:
            self.queue.hashed(download, hashing, piece)
