# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known to have arrived of a file: a list of pieces that outlives the run.

One line for each fact, with a checksum before it; lines are only ever added. A line ``crc`` is written when its bytes were, and so
survives the death of the run. After a line ``synced`` all pieces before it lie on the disk, and so survive a power cut: the bytes are
synced first, then the line. What was not synced counts only while the machine has not been started anew. And no piece is
believed without its CRC-32: that tells which piece is damaged, while the sha256 of the whole decides whether the file is right.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LARGEST_JOURNAL = 256 << 20


@dataclass(frozen=True)
class Piece:
    """A part of a file and the CRC-32 of it."""

    offset: int
    size: int
    crc: int

    @property
    def end(self) -> int:
        """Return the offset behind it."""
        return self.offset + self.size


@dataclass
class Past:
    """What an earlier run left."""

    content: str = ""
    etag: str = ""
    pieces: dict[int, Piece] = field(default_factory=dict)
    # How many pieces were ever noted, and bytes of the journal that could be read.
    noted: int = 0
    length: int = 0


class Journal:
    """The journal of one unfinished file, open for adding to it."""

    def __init__(self, path: Path, content: str) -> None:
        """Read what is there. A journal of other content is started anew, and the tail that a power cut tore is cut off."""
        self._path, self._content = path, content
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        past = read_journal(path)
        self.etag, self.pieces, self.noted = past.etag, past.pieces, past.noted
        if past.content == content:
            os.ftruncate(self._descriptor, past.length)
            os.lseek(self._descriptor, 0, os.SEEK_END)
            self._add({"boot": boot_id()})
        else:
            self.restart()

    def restart(self) -> None:
        """Forget everything."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.etag, self.pieces, self.noted = "", {}, 0
        self._add({"content": self._content}, {"boot": boot_id()})

    def note_etag(self, etag: str) -> None:
        """Note how the server calls this state of the file."""
        self.etag = etag
        self._add({"etag": etag})

    def note_piece(self, piece: Piece) -> None:
        """Note a piece whose bytes were written."""
        self.pieces[piece.offset] = piece
        self.noted += 1
        self._add({"crc": [piece.offset, piece.size, piece.crc]})

    def drop(self, offsets: Iterable[int]) -> None:
        """Note pieces that turned out to be wrong or useless."""
        for offset in offsets:
            del self.pieces[offset]
            self._add({"drop": offset})

    def note_synced(self, noted: int) -> None:
        """Note that the first so many pieces of those that were ever noted are on the disk."""
        self._add({"synced": noted})

    def sync(self) -> None:
        """Put the journal on the disk."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def _add(self, *facts: dict[str, Any]) -> None:
        data = b"".join(sealed(json.dumps(fact).encode()) for fact in facts)
        start = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # Half a line would hide those that follow it.
            os.ftruncate(self._descriptor, start)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            raise


def sealed(fact: bytes) -> bytes:
    """Return a line with its checksum."""
    return b"%08x %s\n" % (zlib.crc32(fact), fact)


def read_journal(path: Path) -> Past:
    """Return what can be believed of a journal: up to the first line that is damaged."""
    past, boot = Past(), ""
    unsynced: list[tuple[int, int, str]] = []
    with suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size > LARGEST_JOURNAL:
            return past
        for line in stream:
            fact = json.loads(line[9:])
            if line != sealed(line[9:-1]):
                break
            past.content = fact.get("content", past.content)
            past.etag = fact.get("etag", past.etag)
            boot = fact.get("boot", boot)
            if "crc" in fact:
                piece = Piece(*fact["crc"])
                past.pieces[piece.offset] = piece
                past.noted += 1
                unsynced.append((past.noted, piece.offset, boot))
            past.pieces.pop(fact.get("drop"), None)
            unsynced = [entry for entry in unsynced if entry[0] > fact["synced"]] if "synced" in fact else unsynced
            past.length += len(line)
    for _number, offset, written in unsynced:
        if written != boot_id():
            past.pieces.pop(offset, None)
    return past


def boot_id() -> str:
    """Return what tells one start of the machine from another."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
