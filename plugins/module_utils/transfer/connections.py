# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to a server, kept for many requests, and a pool of those that are idle.

``http.client`` reads what is answered; requests are written here, because the next one may leave before the last answer has
come to its end: a far server then sends without a pause.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import shown
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import Address, Proxy, proxy_for
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import PassingError

AGENT = "onprem.llm"
# Headers for one server only.
SECRETS = frozenset({"authorization", "cookie", "proxy-authorization"})
CONNECT_S = 15.0
# An idle connection of that age may have been closed by a firewall that tells nobody.
IDLE_S = 30.0
MOST_IDLE = 64
# What OpenSSL says of a certificate that is not valid yet, or no more.
DATED = frozenset({9, 10})


class _Socket(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        # Until when what is read must be there, however little comes each time.
        self.deadline: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout
            self.sock.settimeout(left)
        return self.sock.recv_into(buffer)


class _Reader(io.BufferedReader):
    def __init__(self, sock: socket.socket, size: int) -> None:
        self._socket = _Socket(sock)
        super().__init__(self._socket, size)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let a head come within so many seconds: one that trickles would keep us for ever."""
        self._socket.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._socket.deadline = None
            self._socket.sock.settimeout(seconds)

    def close(self) -> None:
        """Stay open: http.client closes what it reads from at the end of each answer."""


@dataclass(frozen=True)
class _Wire:
    """What http.client needs of a socket."""

    reader: _Reader

    def makefile(self, *_args: Any) -> _Reader:
        return self.reader


class Connection:
    """A connection on which requests go out and their answers come back in the same order."""

    def __init__(self, address: Address, trust: Trust, timeout: float) -> None:
        """Connect, by the environment's proxy if there is one for this address."""
        self.proxy = proxy_for(address)
        self.origin = address.origin
        self.answered = 0
        self.idle_since = 0.0
        started = time.monotonic()
        self._sock = _connected(address, self.proxy, timeout)
        # How long the far end takes for one exchange.
        self.round_trip = time.monotonic() - started
        try:
            self._secure(address, trust, timeout)
            self._sock.settimeout(timeout)
        except BaseException:
            self.close()
            raise
        self._timeout = timeout
        self.reader = _Reader(self._sock, 65536)

    def _secure(self, address: Address, trust: Trust, timeout: float) -> None:
        if address.scheme != "https":
            return
        self._sock.settimeout(min(timeout, CONNECT_S))
        if self.proxy:
            self._ask_for_tunnel(address, self.proxy, min(timeout, CONNECT_S))
        try:
            self._sock = trust.context.wrap_socket(self._sock, server_hostname=address.host)
        except ssl.SSLCertVerificationError as exc:
            if exc.verify_code in DATED:
                raise ModelError(
                    f"The certificate of {address.authority} is not trusted ({shown(exc.verify_message)}), and this host's clock says "
                    f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC: "
                    f"set the clock if that is wrong, else have the certificate renewed."
                ) from None
            raise ModelError(
                f"The certificate of {address.authority} is not trusted ({shown(exc.verify_message)}), but one that {trust} "
                f"vouches for was expected: give the certificate authority as ca_path, or correct the address."
            ) from None
        except ssl.SSLError as exc:
            raise PassingError(
                f"TLS could not be agreed on with {address.authority} ({shown(exc.reason or 'the connection ended')})"
            ) from None

    def _ask_for_tunnel(self, address: Address, proxy: Proxy, timeout: float) -> None:
        host = f"[{address.host}]" if ":" in address.host else address.host
        target = f"{host}:{address.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"User-Agent: {AGENT}"]
        lines += [f"Proxy-Authorization: {proxy.credentials}"] if proxy.credentials else []
        self._sock.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        reader = _Reader(self._sock, 1)
        response = http.client.HTTPResponse(_Wire(reader), method="CONNECT")  # type: ignore[arg-type]
        with reader.within(timeout):
            response.begin()
        if response.status == 407:
            raise proxy_wants_password(proxy)
        if response.status != 200:
            raise PassingError(f"the proxy {proxy} answered {response.status} when asked for a way to {target}")

    def send(self, address: Address, headers: Mapping[str, str]) -> None:
        """Send one GET."""
        target, extra = address.target, {}
        if self.proxy and address.scheme == "http":
            _refuse_in_clear(address, self.proxy, headers)
            target = address.url
            extra = {"Proxy-Authorization": self.proxy.credentials} if self.proxy.credentials else {}
        sent = {"Host": address.authority, "User-Agent": AGENT, "Accept-Encoding": "identity", **extra, **headers}
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {_one_line(name, value)}" for name, value in sent.items())]
        self._sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def response(self) -> http.client.HTTPResponse:
        """Return the next answer, its headers read."""
        found = http.client.HTTPResponse(_Wire(self.reader), method="GET")  # type: ignore[arg-type]
        with self.reader.within(self._timeout):
            found.begin()
        self.answered += 1
        return found

    def interrupt(self) -> None:
        """Wake whoever waits for bytes, from another thread."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            self._sock.close()


class Trust:
    """The certificate authorities that are believed: the system's, and those that were given as a file and as text."""

    def __init__(self, ca_file: str = "", ca_content: str = "") -> None:
        self._ca_file, self._ca_content = ca_file, ca_content
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """Return what TLS needs; made once, for reading the system's authorities takes a while."""
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context()
                if self._ca_file:
                    self._add(self._context, "ca_path", self._ca_file, cafile=self._ca_file)
                if self._ca_content:
                    self._add(self._context, "ca_content", "the text that was given", cadata=self._ca_content)
            return self._context

    @staticmethod
    def _add(context: ssl.SSLContext, option: str, called: str, **authorities: str) -> None:
        try:
            context.load_verify_locations(**authorities)
        except (OSError, ssl.SSLError) as exc:
            said = getattr(exc, "strerror", None) or "it holds no certificate"
            must = "name a file with" if option == "ca_path" else "hold"
            raise ModelError(f"{option} must {must} certificates (PEM), but {called} is none: {said}; correct it.") from None

    def __str__(self) -> str:
        """Return who is trusted."""
        given = [self._ca_file, "ca_content" if self._ca_content else ""]
        return " or ".join(["the system", *filter(None, given)]) if any(given) else "the system's trust store"


class Pool:
    """The idle connections, for whichever thread needs one next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Connection] = []

    def take(self, address: Address) -> Connection | None:
        """Return an idle connection to that server; the one that was used last, for it is the least likely to be dead."""
        with self._lock:
            now = time.monotonic()
            stale = [connection for connection in self._idle if now - connection.idle_since > IDLE_S]
            self._idle = [connection for connection in self._idle if connection not in stale]
            found = next((connection for connection in reversed(self._idle) if connection.origin == address.origin), None)
            if found:
                self._idle.remove(found)
        for connection in stale:
            connection.close()
        return found

    def give(self, connection: Connection) -> None:
        """Keep a connection on which nothing is under way."""
        with self._lock:
            connection.idle_since = time.monotonic()
            if len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle = []


def proxy_wants_password(proxy: Proxy | None) -> ModelError:
    """Return the failure for a proxy that does not know us."""
    return ModelError(
        f"The proxy {proxy} wants a user and password, or others than it was given (407): put them into HTTPS_PROXY and HTTP_PROXY as "
        f"http://user:password@host:port."
    )


def _refuse_in_clear(address: Address, proxy: Proxy, headers: Mapping[str, str]) -> None:
    if SECRETS & {name.lower() for name in headers}:
        raise ModelError(
            f"A token for {address.authority} would pass the proxy {proxy} in clear, but it is sent through proxies by https only: "
            f"use https, or add {address.host} to NO_PROXY."
        )


def _one_line(name: str, value: str) -> str:
    if not (value.isprintable() and value.isascii()):
        raise ModelError(
            f"The header {name} would hold control characters or signs beyond ASCII, but plain text was expected: correct the token or URL."
        )
    return value


def _connected(address: Address, proxy: Proxy | None, timeout: float) -> socket.socket:
    host, port = (proxy.host, proxy.port) if proxy else (address.host, address.port)
    where = f"the proxy {proxy}" if proxy else address.authority
    try:
        sock = socket.create_connection((host, port), min(timeout, CONNECT_S))
    except socket.gaierror:
        raise PassingError(f"the name of {where} cannot be resolved") from None
    except socket.timeout:
        raise PassingError(f"{where} did not take a connection within {min(timeout, CONNECT_S):g} s") from None
    except OSError as exc:
        raise PassingError(f"there is no connection to {where} ({exc.strerror or exc})") from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
