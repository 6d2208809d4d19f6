"""What is answered, before any fault has touched it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


@dataclass(frozen=True)
class Request:
    """What was asked."""

    server: str
    method: str
    # Still quoted, without its query.
    raw_path: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    # The scheme and host by which the client knows this server.
    base: str


@dataclass(frozen=True)
class Reply:
    """An answer: a text, or a part of a file."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""
    file: Path | None = None
    # Where a file is read from, and how much of it.
    first: int = 0
    size: int = 0
    whole: int = 0
    # Added to every byte: what the file would be, had it changed.
    shift: int = 0

    @property
    def length(self) -> int:
        """Return the bytes of the body."""
        return self.size if self.file else len(self.data)


def text(status: int, said: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer with a text."""
    return Reply(status, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}, said.encode())


def as_json(status: int, found: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer with JSON."""
    return Reply(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, json.dumps(found).encode())


def of_file(path: Path, headers: Mapping[str, str]) -> Reply:
    """Answer with a whole file, of which a range can be taken."""
    size = path.stat().st_size
    kind = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    return Reply(200, {**kind, **headers}, file=path, size=size, whole=size)


def ranged(reply: Reply, request: Request, *, check_condition: bool = True) -> Reply:
    """Return the part that was asked for; everything where that is more than one part, or of another version."""
    found = RANGE.fullmatch(request.headers.get("Range", ""))
    if reply.status != 200 or not reply.file or not found or found.groups() == ("", ""):
        return reply
    condition = request.headers.get("If-Range")
    if check_condition and condition is not None and condition not in {reply.headers.get("ETag"), reply.headers.get("Last-Modified")}:
        return reply
    if check_condition and condition is not None and condition.startswith("W/"):
        return reply
    first, last = found.groups()
    start = int(first) if first else max(0, reply.whole - int(last))
    stop = min(reply.whole, int(last) + 1) if first and last else reply.whole
    if start >= reply.whole or stop <= start:
        return Reply(416, {"Content-Range": f"bytes */{reply.whole}"})
    headers = {**reply.headers, "Content-Range": f"bytes {start}-{stop - 1}/{reply.whole}"}
    return replace(reply, status=206, headers=headers, first=start, size=stop - start)
