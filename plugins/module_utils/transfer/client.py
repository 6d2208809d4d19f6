# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks servers: follows redirects by hand, keeps connections, and lets no secret reach another host than it is meant for."""

from __future__ import annotations

import http.client
import socket
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import shown
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import Address, as_address
from ansible_collections.onprem.llm.plugins.module_utils.transfer.connections import (
    SECRETS,
    Connection,
    Pool,
    Trust,
    proxy_wants_password,
)
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import (
    AGAIN_LATER,
    PassingError,
    pause,
    retry_after_of,
    wait_before,
)
from ansible_collections.onprem.llm.plugins.module_utils.transfer.pacing import Pulse

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 10
# So much of a body that nobody wants is read for the sake of keeping the connection.
WORTH_READING = 65536


@dataclass(frozen=True)
class Reply:
    """A whole answer. Names of headers are told apart without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    # Where it came from in the end.
    url: str = ""


class Answer:
    """An answer whose body is yet to be read."""

    def __init__(self, connection: Connection, address: Address, headers: Mapping[str, str], response: http.client.HTTPResponse) -> None:
        self.connection, self.address, self.sent, self.response = connection, address, headers, response
        self.status: int = response.status
        self.headers = cast("Mapping[str, str]", response.headers)
        # Bytes of the body that are still to come; None where only its end will tell.
        self.left: int | None = None if response.chunked else response.length

    @property
    def head(self) -> Reply:
        """Return the answer without its body."""
        return Reply(self.status, self.headers, b"")

    def read_into(self, view: memoryview) -> int:
        """Read what is there, at most ``view``; 0 at the end. Raises ``PassingError`` where the end comes too early."""
        if self.left == 0:
            return 0
        with troubles(self.address):
            if self.response.chunked:
                data = self.response.read1(len(view))
                view[: len(data)] = data
                count = len(data)
            else:
                view = view if self.left is None else view[: self.left]
                count = self.connection.reader.readinto1(view)
        if self.left is None:
            self.left = None if count else 0
        elif count == 0:
            raise PassingError(f"the connection ended {self.left} bytes too early")
        else:
            self.left -= count
        return count

    @property
    def can_be_kept(self) -> bool:
        """Tell whether another request can follow on the connection."""
        return self.left == 0 and not self.response.will_close

    def end(self, pool: Pool) -> None:
        """Be done with it: keep the connection if little is left to be read."""
        if self.left is not None and self.left <= WORTH_READING and not self.response.will_close:
            try:
                rest = memoryview(bytearray(WORTH_READING))
                while self.read_into(rest):
                    pass
            except PassingError:
                self.left = None
        if self.can_be_kept:
            pool.give(self.connection)
        else:
            self.connection.close()


class Client:
    """Asks servers, with one set of connections for all threads."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.pool = Pool()
        self.trust = Trust(access.ca_file, access.ca_content)
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._stopped = False

    def __enter__(self) -> Client:  # noqa: PYI034  # Python 3.9 has no Self
        """Use it for a while."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close what is idle."""
        self.pool.close()

    def interrupt(self) -> None:
        """Wake all threads that wait for a server: they get ``PassingError``."""
        self._stopped = True
        for connection in list(self._open):
            connection.interrupt()

    def ask(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Send a GET and return the answer that is no redirect. Raises ``PassingError`` for what may pass."""
        address = as_address(url)
        for _hop in range(MOST_REDIRECTS + 1):
            answer = self._ask_once(address, headers)
            location = answer.headers.get("Location") if answer.status in REDIRECTS else None
            if location is None:
                return answer
            answer.end(self.pool)
            target = address.joined(location)
            if address.scheme == "https" and target.scheme == "http":
                raise ModelError(
                    f"{address} redirects to {target}, which is not encrypted, but https was expected: "
                    f"name an endpoint that stays with https."
                )
            headers = headers_for(target, address, headers)
            address = target
        raise ModelError(
            f"{as_address(url)} led through more than {MOST_REDIRECTS} redirects, but an end was expected: correct the endpoint."
        )

    def _ask_once(self, address: Address, headers: Mapping[str, str]) -> Answer:
        kept = self.pool.take(address)
        if kept:
            # If the server closed a connection that was idle for too long, that is no failure.
            with suppress(PassingError):
                return self.answer_on(kept, address, headers)
        with troubles(address):
            connection = Connection(address, self.trust, self.access.timeout)
        self._open.add(connection)
        if self._stopped:
            connection.interrupt()
        return self.answer_on(connection, address, headers)

    def answer_on(self, connection: Connection, address: Address, headers: Mapping[str, str], *, sent: bool = False) -> Answer:
        """Ask on a connection, or only listen where the request was ``sent`` before."""
        try:
            with troubles(address):
                if not sent:
                    connection.send(address, headers)
                answer = Answer(connection, address, headers, connection.response())
        except BaseException:
            connection.close()
            raise
        if answer.status == 407:
            connection.close()
            raise proxy_wants_password(connection.proxy)
        return answer

    def get(self, url: str, headers: Mapping[str, str], limit: int) -> Reply:
        """Return a small answer as a whole: of any status but those that ask to come again later, which is done."""
        attempt = 1
        while isinstance(found := self._try(url, headers, limit), PassingError):
            if attempt > self.access.retries:
                raise gave_up(str(as_address(url)), found, attempt)
            pause(wait_before(attempt, found.retry_after))
            attempt += 1
        return found

    def _try(self, url: str, headers: Mapping[str, str], limit: int) -> Reply | PassingError:
        try:
            return self._get_once(url, headers, limit)
        except PassingError as exc:
            return exc

    def _get_once(self, url: str, headers: Mapping[str, str], limit: int) -> Reply:
        answer = self.ask(url, headers)
        if answer.status in AGAIN_LATER:
            answer.end(self.pool)
            raise PassingError(f"the server answered {answer.status}", retry_after_of(answer.headers))
        refuse_encoding(answer)
        body = bytearray()
        buffer, pulse = memoryview(bytearray(WORTH_READING)), Pulse(self.access.timeout)
        try:
            while count := pulse.beats(answer.read_into, buffer):
                body += buffer[:count]
                if len(body) > limit:
                    raise ModelError(f"{answer.address} answered with more than {limit} bytes, which is too much here: check the endpoint.")
        except BaseException:
            answer.connection.close()
            raise
        answer.end(self.pool)
        return Reply(answer.status, answer.headers, bytes(body), answer.address.url)


def get(url: str, headers: Mapping[str, str], access: Access, limit: int) -> Reply:
    """Ask once; whoever has several questions makes a ``Client``, which keeps its connections."""
    with Client(access) as client:
        return client.get(url, headers, limit)


def headers_for(target: Address, before: Address, headers: Mapping[str, str]) -> dict[str, str]:
    """Return what may be sent on to where a redirect leads: secrets stay with the server that they are meant for."""
    return {name: value for name, value in headers.items() if target.origin == before.origin or name.lower() not in SECRETS}


def refuse_encoding(answer: Answer) -> None:
    """Refuse a body that something on the way has packed: its bytes are not those of the file."""
    found = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if found not in {"", "identity"}:
        answer.connection.close()
        raise ModelError(
            f"{answer.address} was sent with Content-Encoding {shown(found)}, but the plain file was asked for: "
            f"turn compression off on the server or proxy."
        )


def gave_up(what: str, last: PassingError, attempts: int) -> ModelError:
    """Return the failure after the last attempt."""
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return ModelError(f"{what} was to be fetched, but {last} ({tries}): check the server and the network between, then run again.")


@contextmanager
def troubles(address: Address) -> Iterator[None]:
    """Turn what the network does into ``PassingError``."""
    try:
        yield
    except socket.timeout:
        raise PassingError(f"nothing came from {address.authority} for too long") from None
    except http.client.RemoteDisconnected:
        raise PassingError(f"{address.authority} closed the connection without an answer") from None
    except http.client.HTTPException as exc:
        raise PassingError(f"{address.authority} does not speak HTTP as expected ({shown(str(exc) or type(exc).__name__)})") from None
    except (OSError, ValueError) as exc:
        raise PassingError(f"the connection to {address.authority} broke ({_said(exc)})") from None


def _said(exc: Any) -> str:
    return shown(getattr(exc, "strerror", None) or str(exc) or type(exc).__name__)
