# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work that is left, for all threads: workers bring parts, one hashes behind them, one puts what is finished into the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import (
    ARRIVED,
    BUSY,
    DONE,
    NEW,
    OPENING,
    RANGES,
    READY,
    STREAM,
    Download,
    Flight,
    Hashing,
)
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import Piece
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import try_lock
from ansible_collections.onprem.llm.plugins.module_utils.transfer.parts import MANY_ARRIVED, fresh, gaps_between, half
from ansible_collections.onprem.llm.plugins.module_utils.transfer.verdicts import begin_anew, judge, renamed


class SupersededError(Exception):
    """What a worker brings is of no use any more: the file was begun anew, or all is over."""


class Queue:
    """What is left to be done. One lock guards every download and flight."""

    def __init__(self, downloads: Sequence[Download], store: Store, is_stored: Callable[[Download], bool]) -> None:
        self.downloads, self.store, self._is_stored = list(downloads), store, is_stored
        # Those that are not in the store yet, which are looked through again and again; of them those that wait for it, and those
        # with pieces to hash.
        self._left: list[Download] = list(downloads)
        self._arrived: list[Download] = []
        self._in_pieces = [download for download in downloads if not download.single]
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        # Who waits for this one is not woken by each change.
        self.over = threading.Condition(lock)
        self.ripe = threading.Condition(lock)
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        # Workers with a number below this one may work.
        self.wanted = 1
        # What was too much for a server: nobody asks for more than that.
        self.ceiling = 1 << 10

    # What workers do.

    def take(self, number: int) -> Flight | None:
        """Return the next part to bring, waiting for one; nothing when all is done."""
        while True:
            with self.changed:
                if self.stop.is_set() or len(self._left) == len(self._arrived):
                    return None
                found = self._next(number)
                if found is None:
                    self.changed.wait(0.5)
            if isinstance(found, Flight):
                return found
            if found:
                self._open(found)

    def take_ahead(self, number: int) -> Flight | None:
        """Return a part that can be asked for at once, without waiting; not one that another worker has."""
        while not self.stop.is_set() and number < self.wanted:
            with self.changed:
                found = fresh(self._left, len(self._arrived))
            if not isinstance(found, Download):
                return found
            self._open(found)
        return None

    def _next(self, number: int) -> Flight | Download | None:
        if number >= self.wanted:
            return None
        return fresh(self._left, len(self._arrived)) or half(self._left)

    def _open(self, download: Download) -> None:
        """Lock the file of a blob and see what an earlier run left of it. The caller has marked it as being opened."""
        partial = try_lock(self.store, download.blob)
        stored = partial is not None and self._is_stored(download)
        if partial and not stored:
            partial.open(journaled=not download.single)
            if download.blob.size == 0:
                # Nothing of it will arrive, which is when others are sealed.
                partial.seal()
        with self.changed:
            if partial is None:
                download.state = BUSY
            elif stored:
                partial.remove()
                partial.close()
                self._done([download])
            else:
                download.partial, download.state = partial, READY
                download.etag, download.pieces = partial.etag, partial.pieces
                download.unproven = set(download.pieces)
                download.gaps = gaps_between(download.pieces, download.blob.size)
                if download.blob.size == 0:
                    self._judge(download)
            self.changed.notify_all()

    def opened(self, flight: Flight, etag: str) -> None:
        """Note that a server answered with what was asked for."""
        download = flight.download
        with self.changed:
            self._check(flight)
            news = bool(etag) and not download.etag and download.heeds_etags
            download.etag = etag if news else download.etag
            if download.state == OPENING:
                download.state = RANGES
                self.changed.notify_all()
        if news and download.partial:
            download.partial.note_etag(etag)

    def shorten(self, flight: Flight, end: int) -> None:
        """Note that the server sends less than was asked for; what is missing is asked for again."""
        with self.changed:
            self._check(flight)
            if end < flight.end:
                flight.download.gaps = sorted([*flight.download.gaps, (end, flight.end)])
                flight.end = end
                self.changed.notify_all()

    def stream(self, flight: Flight) -> None:
        """Let this flight bring all that is missing, since the server knows no ranges."""
        with self.changed:
            self._check(flight)
            if flight.download.state != STREAM and not flight.download.single:
                flight.download.stream_from_first_gap(flight)
                self.changed.notify_all()

    def claim(self, flight: Flight, count: int) -> int:
        """Return how many of the bytes that came next are wanted, and keep them from being taken over."""
        with self.changed:
            self._check(flight)
            wanted = min(count, flight.boundary - flight.position)
            flight.claimed = flight.position + wanted
            return wanted

    def arrived(self, flight: Flight) -> None:
        """Note the piece that was written: in the journal, then for the hasher."""
        download, piece = flight.download, flight.piece()
        with self.changed:
            self._check(flight)
        if download.partial:
            download.partial.note(piece)
            if download.single:
                # Many workers that sync at once cost the disk little more than one.
                download.partial.seal()
        with self.changed:
            self._check(flight)
            download.pieces[piece.offset] = piece
            flight.begin_next()
            if flight.position >= flight.end:
                download.flights.remove(flight)
            if download.single:
                self._judge(download)
            self.changed.notify_all()

    def keep(self, flight: Flight) -> None:
        """Note what a worker that ends early has brought of a piece, so that the next run need not bring it again."""
        download = flight.download
        with self.changed, suppress(ModelError):
            if download.partial and not download.single and flight.epoch == download.epoch and flight.position > flight.start:
                download.partial.note(flight.piece())

    def give_back(self, flight: Flight) -> None:
        """Let somebody else bring what is left of a flight."""
        download = flight.download
        with self.changed:
            if flight in download.flights:
                download.flights.remove(flight)
                download.gaps = sorted([*download.gaps, (flight.start, flight.end)])
                if download.state == OPENING:
                    download.state = READY
                self.changed.notify_all()

    def renamed(self, flight: Flight, found: str) -> bool:
        """Note that a file has another ETag; tell whether the flight can go on."""
        with self.changed:
            self._check(flight)
            goes_on = renamed(flight.download, found)
            self.changed.notify_all()
            return goes_on

    def begin_anew(self, flight: Flight, found: str) -> None:
        """Begin a file anew, for the server has another state of it than it had; once, the second time is the end."""
        with self.changed:
            self._check(flight)
            begin_anew(flight.download, found)
            self.changed.notify_all()

    def _check(self, flight: Flight) -> None:
        if self.stop.is_set() or flight.epoch != flight.download.epoch:
            raise SupersededError

    # What the hasher does.

    def next_to_hash(self) -> tuple[Download, Hashing, Piece, bool] | None:
        """Return a piece whose turn it is and whether it must be proven, waiting for one; nothing when all is done."""
        with self.changed:
            while self._in_pieces and not self.stop.is_set() and len(self._left) > len(self._arrived):
                for download in self._in_pieces:
                    piece = download.pieces.get(download.hashing.frontier)
                    if piece and download.state in {READY, OPENING, RANGES, STREAM}:
                        return download, download.hashing, piece, piece.offset in download.unproven
                self.changed.wait(0.5)
        return None

    def hashed(self, download: Download, hashing: Hashing, piece: Piece) -> None:
        """Note that a piece was hashed and is right as such; at the end, judge the whole."""
        with self.changed:
            if hashing is not download.hashing:
                return
            download.unproven.discard(piece.offset)
            hashing.frontier = piece.end
            if hashing.frontier == download.blob.size:
                self._judge(download)
                self.changed.notify_all()

    def disproved(self, download: Download, hashing: Hashing, piece: Piece) -> None:
        """Have a piece of an earlier run fetched again, for its bytes are not what they were."""
        with self.changed:
            if hashing is not download.hashing:
                return
            del download.pieces[piece.offset]
            download.unproven.discard(piece.offset)
            download.gaps = sorted([*download.gaps, (piece.offset, piece.end)])
            if download.partial:
                download.partial.drop([piece.offset])
            self.changed.notify_all()

    # What the keeper and the conductor do.

    def to_land(self, wait: float) -> list[Download]:
        """Return what can go into the store, waiting a little for more: many at once cost the disk less."""
        with self.changed:
            self.ripe.wait_for(lambda: self.stop.is_set() or self._is_ripe, wait)
            return list(self._arrived)

    def landed(self, downloads: Sequence[Download]) -> None:
        """Note what is in the store."""
        with self.changed:
            self._done(downloads)
            self.changed.notify_all()

    def _judge(self, download: Download) -> None:
        judge(download)
        if download.state == ARRIVED:
            self._arrived.append(download)
            if self._is_ripe:
                self.ripe.notify_all()

    @property
    def _is_ripe(self) -> bool:
        return len(self._arrived) >= min(MANY_ARRIVED, len(self._left))

    def _done(self, downloads: Sequence[Download]) -> None:
        for download in downloads:
            download.state = DONE
        self._left = [download for download in self._left if download.state != DONE]
        if not self._left:
            self.over.notify_all()
            self.ripe.notify_all()
        self._arrived = [download for download in self._arrived if download.state != DONE]

    @property
    def is_done(self) -> bool:
        """Tell whether nothing is left."""
        return not self._left

    def retry_busy(self) -> list[Download]:
        """Return the blobs that other runs fetch; see again whether one of them has ended, unless there is other work."""
        with self.changed:
            busy = [download for download in self._left if download.state == BUSY]
            for download in busy:
                download.state = NEW
            self.changed.notify_all()
        return busy

    def unfinished(self) -> list[Download]:
        """Return what is not in the store yet."""
        with self.changed:
            return list(self._left)

    def set_wanted(self, wanted: int) -> None:
        """Say how many workers may work."""
        with self.changed:
            self.wanted = min(wanted, self.ceiling)
            self.changed.notify_all()

    def fail(self, failure: BaseException) -> None:
        """End everything; the first failure is the one that is told."""
        with self.changed:
            self.failure = self.failure or failure
            self.stop.set()
            for condition in (self.changed, self.over, self.ripe):
                condition.notify_all()

    def fewer(self) -> None:
        """Work with half of the workers from now on: the server says that it is too much."""
        with self.changed:
            self.ceiling = self.wanted = max(1, self.wanted // 2)
