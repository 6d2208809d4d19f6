"""Takes requests from sockets and sends answers back, faults and all."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .faults import Fault
from .replies import Reply, Request, ranged
from .spoiled import CutOffError, ResetError, Trickling, changed, pieces_of, status_of, tagged


@dataclass(frozen=True)
class Seen:
    """One request as the log has it. A token is never kept, only that there was one."""

    time: float
    server: str
    method: str
    host: str
    path: str
    query: str
    range: str
    if_range: str
    status: int
    # The bytes of the body that left; of the whole answer, what was promised.
    sent: int
    length: int
    authorized: bool
    agent: str


class Listener:
    """One address, a thread per connection."""

    def __init__(self, name: str, host: str, port: int, context: ssl.SSLContext | None, owner: Any) -> None:
        self.name, self.host, self.port, self.owner = name, host, port, owner
        self._context = context
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._door: socket.socket | None = None

    def start(self) -> None:
        """Take connections."""
        door = socket.create_server((self.host, self.port), backlog=256)
        self.port = door.getsockname()[1]
        self._door = door
        threading.Thread(target=self._accept, args=(door,), daemon=True).start()

    def stop(self) -> None:
        """Take no more connections, and end those there are."""
        door, self._door = self._door, None
        if door:
            with suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            door.close()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self, door: socket.socket) -> None:
        while self._door is door:
            try:
                sock, address = door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock, address), daemon=True).start()

    def _serve(self, sock: socket.socket, address: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            with self._lock:
                self._sockets.add(sock)
            Handler(sock, address, self)  # type: ignore[arg-type]  # it only keeps the server for us
        except ResetError:
            # As a dropped line does: without a goodbye.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (OSError, CutOffError):
            pass
        finally:
            with self._lock:
                self._sockets.discard(sock)
            sock.close()


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "standin-upstream"
    timeout = 600
    wbufsize = 65536
    server: Listener  # type: ignore[assignment]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - it is called so
        """Say nothing: the log is kept elsewhere."""

    def do_GET(self) -> None:
        """Answer."""
        listener, owner = self.server, self.server.owner
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        base = f"{scheme}://{self.headers.get('Host', f'{listener.host}:{listener.port}')}"
        request = Request(
            listener.name, self.command, parts.path, unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True)),
            self.headers, base,  # type: ignore[arg-type]  # looked up without regard to case, as it should be
        )  # fmt: skip
        faults = {fault.kind: fault for fault in owner.faults.before(request.server, request.method, request.path)}
        self._sent, reply = 0, Reply(0)
        owner.begin()
        try:
            self._before(faults)
            reply = self._spoiled(owner.answer(request), request, faults)
            self._send(reply, request)
        finally:
            owner.note(self._seen(request, parts.query, reply), request)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - they are called so

    def _seen(self, request: Request, query: str, reply: Reply) -> Seen:
        found = request.headers
        return Seen(
            time.time(), request.server, request.method, found.get("Host", ""), request.path, query, found.get("Range", ""),
            found.get("If-Range", ""), reply.status, self._sent, reply.length, "Authorization" in found, found.get("User-Agent", ""),
        )  # fmt: skip

    def _before(self, faults: dict[str, Fault]) -> None:
        if "delay" in faults:
            time.sleep(faults["delay"].number("seconds"))
        if "gone" in faults:
            self.server.owner.leave(faults["gone"].number("seconds"))
            raise CutOffError
        if "hangup" in faults:
            raise CutOffError
        if "garbage" in faults:
            self.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
            self._hear_out()
            raise CutOffError

    def _hear_out(self) -> None:
        """Say goodbye and read on: a connection with bytes that nobody has read ends in a reset, which may overtake what was said."""
        with suppress(OSError):
            self.wfile.flush()
            self.connection.settimeout(1.0)
            self.connection.shutdown(socket.SHUT_WR)
            while self.connection.recv(1 << 16):
                pass

    def _spoiled(self, reply: Reply, request: Request, faults: dict[str, Fault]) -> Reply:
        if "status" in faults:
            return status_of(faults["status"])
        if "redirect" in faults and reply.status < 300:
            fault = faults["redirect"]
            target = self.server.owner.other(request) if fault.options["to"] == "cdn" else fault.options["to"]
            return Reply(int(fault.number("code")), {"Location": target})
        if reply.file and "change" in faults:
            reply = changed(reply, faults["change"])
        if "etag" in faults and "ETag" in reply.headers:
            reply = replace(reply, headers=tagged(reply, faults["etag"].options["mode"]))
        if "ignore-range" in faults:
            return reply
        return ranged(reply, request, check_condition="ignore-if-range" not in faults)

    def _send(self, reply: Reply, request: Request) -> None:
        size = 0 if request.method == "HEAD" else reply.length
        found = self.server.owner.faults.during(request.server, request.method, request.path, reply.first, size, reply.whole or size)
        faults = {fault.kind: fault for fault in found}
        extra = int(faults["extra"].number("bytes")) if "extra" in faults else 0
        promised = reply.length + extra + (int(faults["lie"].number("by")) if "lie" in faults else 0)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "chunked" in faults:
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.status not in {204, 304}:
            self.send_header("Content-Length", str(promised))
        self._connection_kept = not {"extra", "lie"} & set(faults)
        plain = self.wfile
        if "loris" in faults:
            self.wfile = Trickling(plain, faults["loris"].number("rate"))  # type: ignore[assignment]  # all that a head needs
        try:
            self.end_headers()
        finally:
            self.wfile = plain
        if not size:
            return
        if reply.file and not faults and not reply.shift and not isinstance(self.connection, ssl.SSLSocket):
            self._send_file(reply)
            return
        for piece in pieces_of(reply, faults, extra):
            self._write(piece, chunked="chunked" in faults)
        if "chunked" in faults:
            self.wfile.write(b"0\r\n\r\n")
        if not self._connection_kept:
            raise CutOffError

    def _write(self, piece: Callable[[], None] | bytes, *, chunked: bool) -> None:
        if callable(piece):
            piece()
            return
        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        self.wfile.flush()
        self._sent += len(piece)

    def _send_file(self, reply: Reply) -> None:
        self.wfile.flush()
        offset, left = reply.first, reply.size
        if not reply.file:
            return
        # With a timeout, the socket would not block, and sendfile fail where it is full.
        self.connection.settimeout(None)
        with reply.file.open("rb") as stream:
            while left:
                count = os.sendfile(self.connection.fileno(), stream.fileno(), offset, left)
                if count == 0:
                    raise CutOffError
                offset, left, self._sent = offset + count, left - count, self._sent + count
        self.connection.settimeout(self.timeout)
