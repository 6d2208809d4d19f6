# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thread that brings parts of files, one request after the other, on connections that are kept.

While the end of one part is still on its way the next one is asked for, so that a far server sends without a pause.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Origin
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address
from ansible_collections.onprem.llm.plugins.module_utils.transfer.answers import (
    Asked,
    ChangedError,
    DeniedError,
    Given,
    RenamedError,
    announced_length,
    judged,
)
from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import REDIRECTS, Answer, Client, refuse_encoding
from ansible_collections.onprem.llm.plugins.module_utils.transfer.connections import Connection
from ansible_collections.onprem.llm.plugins.module_utils.transfer.downloads import STREAM, Flight
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import PassingError, pause, wait_before
from ansible_collections.onprem.llm.plugins.module_utils.transfer.pacing import Limiter, Pulse
from ansible_collections.onprem.llm.plugins.module_utils.transfer.work import Queue, SupersededError

BUFFER = 512 << 10
# When so little of a part is still to come, the next one is asked for: this much, or that share of a piece.
AHEAD, AHEAD_SHARE = 1 << 20, 4
MOST_DENIALS = 4
OURS = frozenset({"range", "if-range"})


@dataclass(frozen=True)
class Request:
    """A request for a flight as it is sent."""

    flight: Flight
    asked: Asked
    url: str
    headers: Mapping[str, str]
    generation: int
    redirected: bool


@dataclass(frozen=True)
class Ahead:
    """A request that was sent before its turn."""

    request: Request
    connection: Connection


class Worker(threading.Thread):
    """Brings parts until none is left."""

    def __init__(self, number: int, queue: Queue, client: Client, limiter: Limiter) -> None:
        super().__init__(name=f"fetch-{number}", daemon=True)
        self.number, self.queue, self.client, self.limiter = number, queue, client, limiter
        self.received = 0
        self.is_busy = False
        # The round trip to the server that answered last, in seconds.
        self.round_trip = 0.0
        self._buffer = memoryview(bytearray(BUFFER))
        self._ahead: Ahead | None = None
        self._waiting: Flight | None = None
        # Servers that were once asked ahead and lost their way.
        self._puzzled: set[tuple[str, int]] = set()

    def run(self) -> None:
        """Work until all is done or has failed."""
        try:
            while flight := self._next():
                self.is_busy = True
                self._bring(flight)
                self.is_busy = False
        except BaseException as exc:  # noqa: BLE001  # whatever it is, the thread that waits for this one raises it
            self.queue.fail(exc)
        finally:
            self._forget_ahead()

    def _next(self) -> Flight | None:
        waiting, self._waiting = self._waiting, None
        return waiting or self.queue.take(self.number)

    def _bring(self, flight: Flight) -> None:
        try:
            while flight.position < flight.end:
                self._try(flight)
        except SupersededError:
            pass
        finally:
            self.queue.keep(flight)

    def _try(self, flight: Flight) -> None:
        try:
            self._attempt(flight)
        except PassingError as exc:
            if self._waiting:
                self.queue.give_back(self._waiting)
                self._waiting = None
            flight.attempts += 1
            if flight.attempts > self.client.access.retries:
                raise self._gave_up(flight, exc) from None
            if exc.retry_after is not None:
                self.queue.fewer()
            pause(wait_before(flight.attempts, exc.retry_after), self.queue.stop)

    def _attempt(self, flight: Flight) -> None:
        request, answer = self._answer(flight)
        try:
            given = self._judge(request, answer)
            if given:
                self._receive(flight, answer, given)
        except BaseException:
            self._forget_ahead()
            answer.connection.close()
            raise
        self._leave(answer)

    def _leave(self, answer: Answer) -> None:
        """Be done with an answer; the connection goes on to the one that was asked for ahead, or to whoever needs it."""
        if self._ahead and self._ahead.connection is answer.connection:
            if not answer.can_be_kept:
                self._forget_ahead()
            return
        answer.end(self.client.pool)

    def _forget_ahead(self) -> None:
        """Close the connection on which the next part was asked for: it has to be asked for again."""
        if self._ahead:
            self._ahead.connection.close()
            self._ahead = None

    # Asking.

    def _answer(self, flight: Flight) -> tuple[Request, Answer]:
        ahead, self._ahead = self._ahead, None
        if ahead and ahead.request.flight is flight and ahead.request.asked.start == flight.position:
            address = as_address(ahead.request.url)
            try:
                answer = self.client.answer_on(ahead.connection, address, ahead.request.headers, sent=True)
                if answer.status not in REDIRECTS:
                    return ahead.request, answer
                # It leads elsewhere, which is followed by asking anew.
                answer.end(self.client.pool)
            except PassingError:
                self._puzzled.add((address.host, address.port))
        elif ahead:
            ahead.connection.close()
        request = self._request(flight)
        answer = self.client.ask(request.url, request.headers)
        self.round_trip = answer.connection.round_trip
        return request, answer

    def _request(self, flight: Flight) -> Request:
        download = flight.download
        origin, generation, redirected = download.way.now()
        ranged = not download.single and download.state != STREAM
        asked = Asked(flight.position if ranged else 0, flight.end, download.blob.size, ranged, download.etag)
        return Request(flight, asked, origin.url, _headers(origin, asked), generation, redirected)

    def _ask_ahead(self, answer: Answer) -> None:
        """Ask for the next part on the same connection, while this one's end is still to come."""
        connection = answer.connection
        server = (answer.address.host, answer.address.port)
        if self._waiting or answer.left is None or answer.response.will_close or server in self._puzzled:
            return
        flight = self.queue.take_ahead(self.number)
        if not flight:
            return
        self._waiting = flight
        request = self._request(flight)
        address = as_address(request.url)
        if address.origin != connection.origin:
            return
        try:
            connection.send(address, request.headers)
        except OSError:
            return
        self._ahead = Ahead(request, connection)

    # Understanding.

    def _judge(self, request: Request, answer: Answer) -> Given | None:
        """Return what the body is; nothing where the same has to be asked again at once."""
        flight = request.flight
        download = flight.download
        try:
            given = judged(request.asked, answer.status, answer.headers, announced_length(answer.headers))
        except DeniedError as exc:
            self._denied(request, answer, str(exc))
            return None
        except RenamedError as exc:
            if self.queue.renamed(flight, str(exc)):
                return None
            raise SupersededError from None
        except ChangedError as exc:
            self.queue.begin_anew(flight, str(exc))
            raise SupersededError from None
        except ModelError as exc:
            if request.redirected and answer.status in {404, 410} and download.way.denied(request.generation, redirected=True):
                return None
            raise ModelError(
                f"{download.label} was expected at {answer.address}, but {exc}: check the endpoint, or name another revision."
            ) from None
        refuse_encoding(answer)
        download.way.proved(answer.address.url, {name: value for name, value in answer.sent.items() if name.lower() not in OURS})
        if given.whole and request.asked.ranged:
            self.queue.stream(flight)
        self.queue.opened(flight, given.etag)
        if not given.whole:
            self.queue.shorten(flight, given.end)
        return given

    def _denied(self, request: Request, answer: Answer, status: str) -> None:
        flight = request.flight
        flight.denials += 1
        if flight.denials > MOST_DENIALS or not flight.download.way.denied(request.generation, request.redirected):
            raise ModelError(
                f"{flight.download.label} was to be fetched from {answer.address}, but access was denied ({status}): "
                f"give a token that may read it, or accept the model's terms where it is published."
            )

    def _gave_up(self, flight: Flight, last: PassingError) -> ModelError:
        origin = flight.download.way.origin
        place = as_address(origin.url) if origin else "its source"
        tries = "1 attempt" if flight.attempts == 1 else f"{flight.attempts} attempts"
        kept = "" if flight.download.single else " What has arrived is kept."
        return ModelError(
            f"{flight.download.label} was to be fetched from {place}, but {last} ({tries}): check the server and the "
            f"network between, then run again.{kept}"
        )

    # Receiving.

    def _receive(self, flight: Flight, answer: Answer, given: Given) -> None:
        pulse = Pulse(self.client.access.timeout)
        if given.whole:
            self._skip(flight.position, answer, pulse)
        filled, ahead = 0, max(AHEAD, flight.download.chunk // AHEAD_SHARE)
        while flight.position < flight.end:
            room = min(len(self._buffer), flight.boundary - flight.position)
            count = 0
            try:
                if filled < room:
                    count = self._read(self._buffer[filled : min(room, filled + self.limiter.largest(BUFFER))], answer, pulse, ahead)
            finally:
                filled += count
                if filled and (filled >= room or not count):
                    self._write(flight, self._buffer[:filled])
                    filled = 0
            if not count and flight.position < flight.end:
                raise PassingError("the answer ended too early")

    def _read(self, view: memoryview, answer: Answer, pulse: Pulse, ahead: int = 0) -> int:
        if answer.left is not None and answer.left <= ahead:
            self._ask_ahead(answer)
        count = pulse.beats(answer.read_into, view)
        self.received += count
        self.limiter.passed(count)
        return count

    def _skip(self, count: int, answer: Answer, pulse: Pulse) -> None:
        """Read over what is there already: the server cannot begin elsewhere than at the start."""
        while count:
            got = self._read(self._buffer[: min(count, len(self._buffer))], answer, pulse)
            if not got:
                raise PassingError("the answer ended too early")
            count -= got

    def _write(self, flight: Flight, data: memoryview) -> None:
        download = flight.download
        if download.partial is None:
            raise SupersededError
        data = data[: self.queue.claim(flight, len(data))]
        download.partial.write(data, flight.position)
        flight.wrote(data)
        if flight.position >= flight.boundary:
            self.queue.arrived(flight)


def _headers(origin: Origin, asked: Asked) -> dict[str, str]:
    headers = dict(origin.headers)
    if asked.ranged:
        headers["Range"] = f"bytes={asked.start}-{asked.end - 1}"
        if asked.etag:
            headers["If-Range"] = asked.etag
    return headers
