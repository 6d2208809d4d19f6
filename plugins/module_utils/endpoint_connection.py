# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to an endpoint, over TLS or not, and the one deadline for all that is done with it."""

from __future__ import annotations

import errno
import io
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.endpoint_errors import EndpointError, Target


class Deadline:
    """The end of an attempt: every wait gets what is left, so that drops of data cannot stretch it."""

    def __init__(self, seconds: float) -> None:
        """Start now."""
        self.seconds = seconds
        self.started = time.monotonic()

    @property
    def passed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Return the seconds to the end; raises like a socket when there are none."""
        left = self.seconds - self.passed
        if left <= 0:
            raise socket.timeout("timed out")
        return left


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.sock, self.deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.sock.settimeout(self.deadline.left)
        return self.sock.recv_into(buffer)


@dataclass(frozen=True)
class TimedSocket:
    """What http.client needs of a socket. Whoever opened the socket closes it."""

    sock: socket.socket
    deadline: Deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it before the deadline."""
        self.sock.settimeout(self.deadline.left)
        self.sock.sendall(data)

    def makefile(self, *_args: Any) -> io.BufferedReader:
        """Return a reader that keeps to the deadline."""
        return io.BufferedReader(_Reader(self.sock, self.deadline))

    def close(self) -> None:
        """Leave the socket open."""


def connected(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address of the host that answers; each gets its share of what is left."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for position, (family, kind, protocol, _name, address) in enumerate(found, start=1):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(deadline.left / (len(found) - position + 1))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            if position == len(found):
                raise
        else:
            return sock
    raise OSError(errno.EHOSTUNREACH, "the name has no address")


def tls_context(target: Target) -> ssl.SSLContext:
    """Return what is trusted for this endpoint."""
    try:
        context = ssl.create_default_context(cafile=target.ca_path or None, cadata=target.ca_content or None)
    except (OSError, ValueError) as exc:
        what = target.ca_path or "ca_content"
        reason = exc.strerror if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) else "it holds no certificate"
        advice = "give the PEM file of the certificate authority on the host that runs this task"
        raise EndpointError("ca_unusable", what, "certificates in PEM", f"it cannot be used: {reason}", advice) from None
    if not target.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
