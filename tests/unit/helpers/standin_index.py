"""A package index for tests: pages as JSON, and files, with a signature in their addresses where one is wanted."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote


class StandinIndex(http.server.ThreadingHTTPServer):
    """Offers ``files`` (their content by name) as those of the project that each name begins with, and notes what was asked for."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.signature, self.asked = files, "", list[str]()

    @property
    def url(self) -> str:
        """Return the address of the index."""
        return f"http://127.0.0.1:{self.server_port}/simple"

    def lock(self) -> str:
        """Return a lock that allows all its files."""
        projects = {name.partition("-")[0] for name in self.files}
        return "".join(f"{project}==1.0 " + " ".join(self._hashes(project)) + "\n" for project in sorted(projects))

    def _hashes(self, project: str) -> list[str]:
        return [f"--hash=sha256:{digest(data)}" for name, data in self.files.items() if name.startswith(f"{project}-")]

    def page(self, project: str) -> bytes:
        """Return the page of a project."""
        query = f"?{self.signature}" if self.signature else ""
        files = [
            {"filename": name, "url": f"../../files/{name}{query}", "hashes": {"sha256": digest(data)}, "size": len(data)}
            for name, data in self.files.items()
            if name.startswith(f"{project}-")
        ]
        return json.dumps({"files": files}).encode()


def digest(data: bytes) -> str:
    """Return the sha256."""
    return hashlib.sha256(data).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: StandinIndex
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        path, _mark, query = self.path.partition("?")
        first, name = path.strip("/").split("/", 1)
        body = self.server.page(name) if first == "simple" else self.server.files.get(unquote(name))
        if body is None or (first == "files" and query != self.server.signature):
            self.send_error(403)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json" if first == "simple" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def standin_index(files: dict[str, bytes]) -> Iterator[StandinIndex]:
    """Serve these files."""
    with StandinIndex(files) as index:
        threading.Thread(target=index.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield index
        finally:
            index.shutdown()
