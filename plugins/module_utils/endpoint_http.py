# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One POST over HTTP or HTTPS, with one deadline for all of it; what fails is told apart in words.

Proxies of the environment are not used and redirects are not followed: an endpoint is asked where it is.
"""

from __future__ import annotations

import errno
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.endpoint_connection import Deadline, TimedSocket, connected, tls_context
from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import EndpointError, Target

LARGEST_REPLY = 4 << 20
LONGEST_LINE = 1 << 20
PROBE_S = 2.0
# An address where nobody answers is told soon, however long the model may take.
CONNECT_S = 10.0
UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})

# OpenSSL's verification results (x509_vfy.h): signature or issuer unknown, out of date, another name.
UNKNOWN_ISSUER, OUT_OF_DATE, OTHER_NAME = {2, 7, 18, 19, 20, 21}, {9, 10}, {62, 64}


class Reply:
    """An answer as it arrives: status, headers, then the whole body or its lines."""

    def __init__(self, response: http.client.HTTPResponse, target: Target, url: str, deadline: Deadline) -> None:
        """Take the response over, its headers read."""
        self.response, self.target, self.url, self.deadline = response, target, url, deadline
        self.size = 0
        self.torn = False

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self.response.status

    def header(self, name: str) -> str:
        """Return a header, or an empty text."""
        return self.response.getheader(name) or ""

    def error(self, cause: str, expected: str, found: str, advice: str, retry_after: float | None = None) -> EndpointError:
        """Return the error for what was found in this answer."""
        return EndpointError(cause, f"Asked {self.url}", expected, found, advice, status=self.status, retry_after=retry_after)

    def body(self) -> bytes:
        """Return all of the body."""
        with self._whole():
            data = self.response.read(LARGEST_REPLY + 1)
        if len(data) > LARGEST_REPLY:
            raise self._too_large()
        if self.response.length:
            raise self.cut(f"{self.response.length} bytes were missing")
        return data

    def start_of_body(self) -> bytes:
        """Return the first bytes of the body as far as they can be had: for quoting in an error."""
        with suppress(OSError, http.client.HTTPException):
            return self.response.read(1 << 16)
        return b""

    def lines(self) -> Iterator[bytes]:
        """Yield each line of the body as it arrives. ``torn`` tells that the last one does not end."""
        while True:
            with self._whole():
                line = self.response.readline(LONGEST_LINE + 1)
            if not line:
                return
            self.size += len(line)
            self.torn = not line.endswith(b"\n")
            if len(line) > LONGEST_LINE or self.size > LARGEST_REPLY:
                raise self._too_large()
            yield line

    def cut(self, how: str) -> EndpointError:
        """Return the error for an answer without its end."""
        found, advice = f"the connection ended early: {how}", "look at the logs of the engine and of any proxy between"
        return self.error("cut", "an answer to its end", found, advice)

    def _too_large(self) -> EndpointError:
        found = f"more than {LARGEST_REPLY >> 20} MiB came"
        return self.error("too_large", "an answer of a sensible size", found, "check what listens there, or lower max_tokens")

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except socket.timeout:
            found = f"the answer was not complete within {self.deadline.seconds:g} s" + (f" ({self.size} bytes came)" if self.size else "")
            advice = "raise timeout if the model is slow, else look at the engine's log"
            raise self.error("timeout", "an answer in time", found, advice) from None
        except (http.client.HTTPException, OSError) as exc:
            raise self.cut(self.target.shown(str(exc) or type(exc).__name__)) from None


@contextmanager
def post(target: Target, path: str, body: dict[str, Any], timeout: float) -> Iterator[Reply]:
    """Send ``body`` as JSON and yield the reply once its headers are there. ``timeout`` (s) is for all of it, connecting included.

    Looking up the name of the host is the one step that the operating system may hold up for longer.
    """
    url = target.url(path)
    deadline = Deadline(timeout)
    context = tls_context(target) if target.secure else None
    headers = {"Host": target.authority, "Content-Type": "application/json", "Connection": "close", "User-Agent": "onprem.llm"}
    if target.key:
        headers["Authorization"] = f"Bearer {target.key}"
    sock = None
    try:
        connecting = Deadline(min(timeout, CONNECT_S))
        with _explained(target, url, f"there was no connection within {connecting.seconds:g} s"):
            sock = connected(target.host, target.port, connecting)
        with _explained(target, url, f"nothing came within {deadline.seconds:g} s"):
            if context:
                sock.settimeout(deadline.left)
                sock = context.wrap_socket(sock, server_hostname=target.host)
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.sock = TimedSocket(sock, deadline)
            connection.request("POST", target.prefix + path, json.dumps(body), headers)
            response = connection.getresponse()
        if response.status == 400 and not target.secure and _speaks_tls(target):
            raise _https_expected(url)
        yield Reply(response, target, url, deadline)
    finally:
        if sock:
            sock.close()


@contextmanager
def _explained(target: Target, url: str, late: str) -> Iterator[None]:
    """Turn what fails before an answer begins into an EndpointError; ``late`` is what a time-out means here."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise _bad_certificate(target, url, exc) from None
    except socket.timeout:
        advice = "check address and firewall, and raise timeout if the model loads slowly"
        raise EndpointError("timeout", f"Asked {url}", "an answer in time", late, advice) from None
    except (socket.gaierror, UnicodeError):
        found, advice = f"the name {target.host!r} cannot be resolved", "correct the name, or DNS or /etc/hosts on the asking host"
        raise EndpointError("name_not_resolved", f"Asked {url}", "a host of that name", found, advice) from None
    except ConnectionRefusedError:
        found, advice = "the connection was refused", "start the service, or correct the address"
        raise EndpointError("refused", f"Asked {url}", f"a service on port {target.port}", found, advice) from None
    except (http.client.HTTPException, OSError) as exc:
        raise _odd_talk(target, url, exc) from None


def _bad_certificate(target: Target, url: str, exc: ssl.SSLCertVerificationError) -> EndpointError:
    code, said = exc.verify_code, exc.verify_message
    if code in OTHER_NAME:
        cause, found = "tls_wrong_host", f"it is for {_names_in_certificate(target) or 'other names'}"
        advice = "ask by one of its names, or put this name into the certificate"
    elif code in OUT_OF_DATE:
        cause, found = "tls_expired", f"it is out of date ({said}; the clock of the asking host says {time.strftime('%Y-%m-%d %H:%M')})"
        advice = "renew the certificate, or set the clock"
    elif code in UNKNOWN_ISSUER:
        trusted = target.ca_path or ("ca_content" if target.ca_content else "the system's trust store")
        cause, found = "tls_unknown_ca", f"no authority in {trusted} has signed it ({said})"
        advice = "give the certificate authority of the endpoint as ca_path"
    else:
        cause, found, advice = "tls_failed", f"it does not hold ({said})", "issue the certificate anew"
    return EndpointError(cause, f"Asked {url}", f"a certificate for {target.host!r} that can be trusted", found, advice)


def _names_in_certificate(target: Target) -> str:
    """Ask for the certificate once more, trusted as before but for any name, and return its names."""
    context = tls_context(target)
    context.check_hostname = False
    with (
        suppress(OSError, ValueError),
        connected(target.host, target.port, Deadline(PROBE_S)) as sock,
        context.wrap_socket(sock, server_hostname=target.host) as secured,
    ):
        names = (secured.getpeercert() or {}).get("subjectAltName", ())
        return target.shown(", ".join(str(name[1]) for name in names if isinstance(name, tuple)))
    return ""


def _odd_talk(target: Target, url: str, exc: Exception) -> EndpointError:
    """Tell apart what is left: the wrong protocol, no route, a connection that ends without a word."""
    where, said = f"Asked {url}", target.shown(str(exc) or type(exc).__name__)
    if isinstance(exc, OSError) and exc.errno in UNREACHABLE:
        found, advice = f"there is no way to it ({said})", "check the address, the network and whether the host runs"
        return EndpointError("unreachable", where, "a host that can be reached", found, advice)
    if not target.secure and _speaks_tls(target):
        return _https_expected(url)
    if target.secure and isinstance(exc, (ssl.SSLError, ConnectionError)) and _speaks_plain_http(target):
        advice = "write http:// in the URL, or correct the port"
        return EndpointError("http_expected", where, "TLS, as https:// says", "plain HTTP is spoken there", advice)
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
        return EndpointError("tls_failed", where, "TLS to be agreed on", f"it failed ({said})", "check the TLS settings of the endpoint")
    if isinstance(exc, http.client.HTTPException) and not isinstance(exc, http.client.RemoteDisconnected):
        found = f"something else is spoken there ({said})"
        return EndpointError("not_http", where, "HTTP", found, "correct the port, or check what listens there")
    found = f"the connection ended without an answer ({said})"
    return EndpointError("connection_lost", where, "an answer", found, "look at the service's log, it may be starting or restarting")


def _https_expected(url: str) -> EndpointError:
    advice = "write https:// in the URL, or correct the port"
    return EndpointError("https_expected", f"Asked {url}", "plain HTTP, as http:// says", "TLS is spoken there", advice)


def _speaks_tls(target: Target) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with connected(target.host, target.port, Deadline(PROBE_S)) as sock, context.wrap_socket(sock, server_hostname=target.host):
            return True
    except (OSError, ValueError):
        return False


def _speaks_plain_http(target: Target) -> bool:
    deadline = Deadline(PROBE_S)
    try:
        with connected(target.host, target.port, deadline) as sock:
            TimedSocket(sock, deadline).sendall(f"HEAD / HTTP/1.0\r\nHost: {target.authority}\r\n\r\n".encode())
            return sock.recv(5) == b"HTTP/"
    except OSError:
        return False
