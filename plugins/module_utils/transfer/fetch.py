# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way in: brings blobs into the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, shown
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import Download, Hashing, Job
from ansible_collections.onprem.llm.plugins.module_utils.transfer.hasher import Hasher
from ansible_collections.onprem.llm.plugins.module_utils.transfer.landing import Keeper
from ansible_collections.onprem.llm.plugins.module_utils.transfer.pacing import Limiter, Tuner
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import blob_id, bytes_arrived
from ansible_collections.onprem.llm.plugins.module_utils.transfer.work import Queue
from ansible_collections.onprem.llm.plugins.module_utils.transfer.worker import Worker

__all__ = ["Job", "Transfer", "fetch"]

REPORT_S = 5.0
# How often to see whether another run is done with a blob that this one wants too.
BUSY_S = 0.5
LOOK_S = 0.1
# Until it is known how far away the server is, and so how many workers pay off.
FIRST_LOOK_S = 0.01
# How long a thread may take to end when all is over: that of a connection which is just being made.
END_S = 20.0


def fetch(jobs: Sequence[Job], store: Store, access: Access, report: Callable[[str], None]) -> dict[str, Digest]:
    """Bring the blobs into the store and return the sha256 of each by its name; what is there already costs nothing.

    Call it without the store's lock, which it takes itself for moments. It raises ``ModelError``, and then what has arrived is
    kept for the next run, unless it was wrong.
    """
    return Transfer(jobs, store, access, report).run()


class Transfer:
    """One call of ``fetch``, for those who want to know more than the result."""

    def __init__(self, jobs: Sequence[Job], store: Store, access: Access, report: Callable[[str], None]) -> None:
        """Take the work."""
        self._jobs, self.store, self.access, self.report = list(jobs), store, access, report
        by_content: dict[str, Download] = {}
        for job in self._jobs:
            _check(job.blob)
            by_content.setdefault(blob_id(job.blob), Download(job))
        self._by_content = by_content
        self.received = 0
        self._arrived_before = 0

    def run(self) -> dict[str, Digest]:
        """Do it."""
        missing = [download for download in self._by_content.values() if not self._is_stored(download)]
        if missing:
            self._bring(missing)
        return {job.blob.name: self._by_content[blob_id(job.blob)].digest for job in self._jobs}

    def _is_stored(self, download: Download) -> bool:
        blob = download.blob
        if blob.sha256:
            found = blob.sha256 if self.store.holds(blob.sha256, blob.size) else None
        else:
            found = self.store.git_digest(blob.git_sha1, blob.size)
        download.stored = found
        return found is not None

    def _bring(self, missing: Sequence[Download]) -> None:
        self._arrived_before = sum(bytes_arrived(self.store, download.blob) for download in missing if not download.single)
        queue = Queue(missing, self.store, self._is_stored)
        client, limiter = Client(self.access), Limiter(self.access.rate_limit, queue.stop)
        self._workers: list[Worker] = []
        others: list[threading.Thread] = [Hasher(queue), Keeper(queue, self.store)]
        for thread in others:
            thread.start()
        try:
            self._conduct(queue, client, limiter)
        except BaseException as exc:
            queue.fail(exc)
            raise
        finally:
            self._end(queue, client, others)
        if queue.failure:
            raise queue.failure

    def _conduct(self, queue: Queue, client: Client, limiter: Limiter) -> None:
        tuner, reached = Tuner(self.access.workers), False
        told = asked = time.monotonic()
        waiting: list[Download] = []
        progress = Progress(sum(download.blob.size for download in queue.downloads), self._arrived_before)
        while not queue.is_done and not queue.stop.is_set():
            while len(self._workers) < queue.wanted:
                self._workers.append(Worker(len(self._workers), queue, client, limiter))
                self._workers[-1].start()
            with queue.over:
                queue.over.wait(LOOK_S if reached else FIRST_LOOK_S)
            self.received = sum(worker.received for worker in self._workers)
            round_trip = max(worker.round_trip for worker in self._workers)
            if round_trip and not reached:
                tuner.start(round_trip, self.received)
                reached = True
            if reached:
                busy = sum(worker.is_busy for worker in self._workers)
                queue.set_wanted(tuner.look(self.received, all_busy=busy >= queue.wanted))
            if time.monotonic() - asked >= BUSY_S:
                asked, waiting = time.monotonic(), queue.retry_busy()
            if time.monotonic() - told >= REPORT_S:
                told = time.monotonic()
                alone = waiting and len(waiting) == len(queue.unfinished())
                self.report(f"waiting for another run that fetches {waiting[0].label}" if alone else progress.tell(self.received))

    def _end(self, queue: Queue, client: Client, others: Sequence[threading.Thread]) -> None:
        if queue.stop.is_set():
            client.interrupt()
        else:
            queue.stop.set()
        threads = [*self._workers, *others]
        deadline = time.monotonic() + END_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self.received = sum(worker.received for worker in self._workers)
        client.pool.close()
        if any(thread.is_alive() for thread in threads):
            # It may still write: its files stay open until this run ends.
            return
        for download in queue.downloads:
            if download.partial:
                # What cannot be synced now, on a full disk, is merely not known to have arrived.
                with suppress(ModelError):
                    download.partial.sync()
                download.partial.close()
                download.partial = None


class Progress:
    """Says how far it is."""

    def __init__(self, size: int, there: int) -> None:
        self._size, self._there = size, there
        self._since, self._received = time.monotonic(), 0

    def tell(self, received: int) -> str:
        """Return a sentence for the log."""
        now = time.monotonic()
        speed = (received - self._received) / max(now - self._since, 0.001)
        self._since, self._received = now, received
        done = min(self._size, self._there + received)
        return f"{done * 100 // max(self._size, 1)} % ({done / 1e6:.0f} of {self._size / 1e6:.0f} MB) at {speed / 1e6:.1f} MB/s"


def _check(blob: RemoteBlob) -> None:
    if not blob.sha256 and not blob.git_sha1:
        raise ModelError(
            f"{blob.name} has no digest in the list of its model, but one was expected: it cannot be verified, so it is not fetched."
        )
    wrong = Hashing(blob).wrong(blob) if blob.size == 0 else None
    if wrong:
        kind, found, expected = wrong
        raise ModelError(
            f"{shown(blob.name)[1:-1]} has 0 bytes and the {kind} {expected} in the list of its model, but that of no bytes is {found}: "
            f"the list is wrong, so nothing was fetched; check the endpoint, or name another revision."
        )
