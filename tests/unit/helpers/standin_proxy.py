"""A stand-in for a company's proxy: it opens tunnels and passes plain requests on, for those who know its password."""

from __future__ import annotations

import base64
import http.client
import select
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - it is called so
        pass

    def _is_known(self) -> bool:
        server: StandInProxy = self.server.owner  # type: ignore[attr-defined]
        server.asked.append(f"{self.command} {self.path}")
        wanted = base64.b64encode(server.password.encode()).decode()
        if not server.password or self.headers.get("Proxy-Authorization") == f"Basic {wanted}":
            return True
        self.send_response(407)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_CONNECT(self) -> None:
        if not self._is_known():
            return
        host, _colon, port = self.path.rpartition(":")
        with socket.create_connection((_here(host), int(port)), 5) as far:
            self.send_response(200)
            self.end_headers()
            near = self.connection
            while True:
                for ready in select.select([near, far], [], [], 5)[0]:
                    data = ready.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    (far if ready is near else near).sendall(data)

    def do_GET(self) -> None:
        if not self._is_known():
            return
        parts = urlsplit(self.path)
        connection = http.client.HTTPConnection(_here(parts.hostname or ""), parts.port, timeout=5)
        connection.request(
            "GET", f"{parts.path}?{parts.query}", headers={k: v for k, v in self.headers.items() if k != "Proxy-Authorization"}
        )
        reply = connection.getresponse()
        data = reply.read()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in {"server", "date", "transfer-encoding"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _here(host: str) -> str:
    """Return where a host is: every name that is none is this host, for to loopback nobody takes a proxy."""
    return "127.0.0.1" if host.endswith(".example") else host


class StandInProxy:
    """The proxy, running while it is entered."""

    def __init__(self, password: str = "") -> None:
        self.password, self.asked = password, list[str]()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.owner = self  # type: ignore[attr-defined]
        socketserver.ThreadingMixIn.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> StandInProxy:  # noqa: PYI034 - as the collection does
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
