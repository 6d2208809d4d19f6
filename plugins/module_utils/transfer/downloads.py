# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One blob on its way: which parts are asked for, have arrived, and are hashed. Only the queue changes these, under its lock."""

from __future__ import annotations

import hashlib
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, shown
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Origin, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import Partial

MIB = 1 << 20
# A file of that size or less is asked for as a whole, and not journaled.
SMALL = 4 * MIB
# The size of pieces, by the size of the file that is greater than this.
CHUNKS = ((64 << 30, 32 * MIB), (4 << 30, 16 * MIB), (1 << 30, 8 * MIB), (0, 4 * MIB))
# An idle worker takes over the second half of what another one still has to bring, if the halves are not smaller.
LEAST_HALF = MIB
# It does so where that part would take longer than this: the first worker's connection is lost by it.
WORTH_S = 0.5

# NEW: untouched. READY: its file is open, nothing was asked. OPENING: the first answer is awaited. RANGES: parts can be asked for.
# STREAM: the server sends all or nothing. ARRIVED: all bytes hash right. DONE: in the store. BUSY: another run fetches it.
NEW, READY, OPENING, RANGES, STREAM, ARRIVED, DONE, BUSY = "new", "ready", "opening", "ranges", "stream", "arrived", "done", "busy"


@dataclass(frozen=True)
class Job:
    """A blob that is wanted, and how to learn where it can be read; asked again when a token has expired."""

    blob: RemoteBlob
    open: Callable[[], Origin]


def chunk_size(size: int) -> int:
    """Return how large the pieces of a file are: what a killed run may lose for each connection."""
    return next((chunk for least, chunk in CHUNKS if size > least), SMALL)


class Hashing:
    """The digests of a blob as far as its bytes were seen in their order."""

    def __init__(self, blob: RemoteBlob) -> None:
        self.frontier = 0
        self.sha256 = hashlib.sha256()
        self.sha1 = None
        if blob.git_sha1:
            self.sha1 = hashlib.sha1(b"blob %d\0" % blob.size, usedforsecurity=False)

    def update(self, data: memoryview) -> None:
        """Take in the next bytes."""
        self.sha256.update(data)
        if self.sha1:
            self.sha1.update(data)

    def saved(self) -> tuple[Any, Any]:
        """Return the state, to come back to it."""
        return self.sha256.copy(), self.sha1.copy() if self.sha1 else None

    def restore(self, state: tuple[Any, Any]) -> None:
        """Come back to a state."""
        self.sha256, self.sha1 = state

    def wrong(self, blob: RemoteBlob) -> tuple[str, str, str] | None:
        """Return (kind, found, expected) where the blob is not what it must be."""
        if blob.sha256 and self.sha256.hexdigest() != blob.sha256:
            return "sha256", self.sha256.hexdigest(), blob.sha256
        if self.sha1 and self.sha1.hexdigest() != blob.git_sha1:
            return "git sha1", self.sha1.hexdigest(), blob.git_sha1
        return None


class Download:
    """One blob on its way."""

    def __init__(self, job: Job) -> None:
        self.job, self.blob = job, job.blob
        self.label = shown(job.blob.name)[1:-1]
        self.single = job.blob.size <= SMALL
        self.chunk = chunk_size(job.blob.size)
        self.state = NEW
        self.partial: Partial | None = None
        # A flight or piece of an earlier epoch is of no use: the file was begun anew.
        self.epoch = 0
        self.restarts = 0
        self.gaps: list[tuple[int, int]] = []
        self.flights: list[Flight] = []
        self.pieces: dict[int, Piece] = {}
        # Pieces of an earlier run, which are yet to be hashed.
        self.unproven: set[int] = set()
        self.hashing = Hashing(job.blob)
        self.etag = ""
        # Whether an ETag is still believed to tell one state of the file from another; if not, the digest alone decides.
        self.heeds_etags = True
        self.way = Way(job)
        # What the store had already.
        self.stored: Digest | None = None

    @property
    def digest(self) -> Digest:
        """Return the sha256, once the blob is in the store."""
        return self.stored or Digest(self.hashing.sha256.hexdigest())

    def cut(self) -> Flight:
        """Take the next part out of the first gap."""
        start, end = self.gaps[0]
        whole = self.single or self.state == STREAM
        stop = end if whole else min(end, (start // self.chunk + 1) * self.chunk)
        self.gaps[:1] = [(stop, end)] if stop < end else []
        return self.add_flight(start, stop)

    def add_flight(self, start: int, end: int) -> Flight:
        """Let a part be brought by somebody."""
        flight = Flight(self, start, end, self.epoch)
        self.flights.append(flight)
        return flight

    def begin_anew(self) -> None:
        """Forget all that has arrived."""
        self.restarts += 1
        self.epoch += 1
        self.gaps = [(0, self.blob.size)]
        self.flights, self.pieces, self.unproven = [], {}, set()
        self.hashing, self.etag = Hashing(self.blob), ""
        self.state = READY
        self.way.forget()
        if self.partial:
            self.partial.restart()

    def stream_from_first_gap(self, flight: Flight) -> None:
        """Go over to a server that sends all or nothing: keep what lies before the first gap, and bring all behind it in one flight."""
        first = min([flight.start, *(gap[0] for gap in self.gaps), *(other.start for other in self.flights)])
        beyond = [offset for offset in self.pieces if offset >= first]
        self.epoch += 1
        self.state, self.gaps = STREAM, []
        for offset in beyond:
            del self.pieces[offset]
            self.unproven.discard(offset)
        if self.partial:
            self.partial.drop(beyond)
        if self.hashing.frontier > first:
            self.hashing = Hashing(self.blob)
        flight.reset(first, self.blob.size, self.epoch)
        self.flights = [flight]


class Flight:
    """A part that one worker brings. ``claimed`` is how far it will write for certain; what lies behind can be taken over."""

    def __init__(self, download: Download, start: int, end: int, epoch: int) -> None:
        self.download = download
        self.attempts = self.denials = 0
        self.reset(start, end, epoch)

    def reset(self, start: int, end: int, epoch: int) -> None:
        """Begin at another place."""
        self.start = self.position = self.claimed = start
        self.end, self.epoch = end, epoch
        self.crc = 0
        self.since = time.monotonic()

    @property
    def boundary(self) -> int:
        """Return where the piece that is being brought ends."""
        return min(self.end, (self.start // self.download.chunk + 1) * self.download.chunk)

    @property
    def left(self) -> int:
        """Return the bytes that could be taken over."""
        return self.end - self.claimed

    @property
    def seconds_left(self) -> float:
        """Return how long it may take until all is brought, at the speed that was seen; 0 where that is not known yet."""
        passed = time.monotonic() - self.since
        if passed < WORTH_S:
            return 0.0
        return passed * self.left / max(1, self.claimed - self.start)

    def wrote(self, data: memoryview) -> None:
        """Note that the next bytes were written."""
        if self.download.single:
            self.download.hashing.update(data)
        else:
            self.crc = zlib.crc32(data, self.crc)
        self.position += len(data)

    def piece(self) -> Piece:
        """Return the piece that has been written, up to where this flight is."""
        return Piece(self.start, self.position - self.start, self.crc)

    def begin_next(self) -> None:
        """Begin the next piece. Until then the one before counts as missing, for whoever plans what is left looks at ``start``."""
        self.start, self.crc, self.attempts = self.position, 0, 0


@dataclass
class Way:
    """Where a blob is read: what its source says, or where the last redirect led."""

    job: Job
    lock: threading.Lock = field(default_factory=threading.Lock)
    origin: Origin | None = None
    location: Origin | None = None
    # Changes with each new answer of the source, so that of many who were denied only one asks.
    generation: int = 0
    renewed: bool = False

    def now(self) -> tuple[Origin, int, bool]:
        """Return where to ask, its generation, and whether a redirect led there."""
        with self.lock:
            if self.origin is None:
                self.origin = self.job.open()
            return self.location or self.origin, self.generation, self.location is not None

    def proved(self, url: str, headers: Mapping[str, str]) -> None:
        """Note that bytes came from there."""
        with self.lock:
            self.renewed = False
            if self.location is None and self.origin and url != self.origin.url:
                self.location = Origin(url, headers)

    def denied(self, generation: int, redirected: bool) -> bool:
        """Look for another way after a denial; False where the source was asked just before and that did not help."""
        with self.lock:
            if generation != self.generation:
                return True
            self.generation += 1
            if redirected and self.location:
                self.location = None
                return True
            if self.renewed:
                return False
            self.renewed, self.location = True, None
            self.origin = self.job.open()
            return True

    def forget(self) -> None:
        """Ask the source again."""
        with self.lock:
            self.origin = self.location = None
            self.generation += 1
