"""What a fault makes of an answer."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BufferedIOBase
from typing import Any

from .faults import Fault, flipped_at
from .replies import Reply

PIECE = 256 * 1024
SHIFT = bytes((value + 1) % 256 for value in range(256))
COUNTER = itertools.count(1)


class CutOffError(Exception):
    """The connection ends here, by a fault."""


class ResetError(CutOffError):
    """The connection ends without a goodbye."""


@dataclass(frozen=True)
class Trickling:
    """A stream to which bytes go one by one."""

    stream: BufferedIOBase
    rate: float

    def write(self, data: bytes) -> None:
        """Write them, so many per second."""
        for place in range(len(data)):
            self.stream.write(data[place : place + 1])
            self.stream.flush()
            time.sleep(1 / self.rate)


def status_of(fault: Fault) -> Reply:
    """Return another answer."""
    code, headers = int(fault.number("code")), {"Content-Type": "text/plain"}
    if fault.options["retry_after"]:
        headers["Retry-After"] = fault.options["retry_after"]
    if fault.options["error"]:
        headers["X-Error-Code"] = fault.options["error"]
    return Reply(code, headers, f"standin fault {code}\n".encode())


def tagged(reply: Reply, mode: str) -> dict[str, str]:
    """Return the headers with another ETag."""
    headers = dict(reply.headers)
    if mode == "none":
        del headers["ETag"]
    elif mode == "weak":
        headers["ETag"] = f"W/{headers['ETag']}"
    elif mode == "changing":
        headers["ETag"] = f'"standin-{next(COUNTER)}"'
    else:
        headers["ETag"] = '"standin-wrong"'
    return headers


def changed(reply: Reply, fault: Fault) -> Reply:
    """Return the answer of a file that is another one by now."""
    headers = dict(reply.headers)
    if not fault.number("keep_etag"):
        headers["ETag"] = '"standin-changed"'
        headers.pop("Last-Modified", None)
    whole = reply.whole + int(fault.number("by"))
    return replace(reply, headers=headers, shift=1, size=whole, whole=whole)


def pieces_of(reply: Reply, faults: dict[str, Fault], extra: int) -> Iterator[Any]:
    """Yield the body in pieces, and what interrupts it as calls."""
    stops = {kind: int(faults[kind].number("after")) for kind in ("drop", "truncate", "stall") if kind in faults}
    rate = faults["slow"].number("rate") if "slow" in faults else 0
    most = max(1, min(PIECE, int(rate / 20))) if rate else PIECE
    position = 0
    while position < reply.length:
        for kind, place in list(stops.items()):
            if position == place:
                yield _interruption(kind, faults[kind])
                del stops[kind]
        until = min([reply.length, position + most, *(place for place in stops.values() if place > position)])
        piece = _read(reply, position, until - position)
        if "flip" in faults:
            place = flipped_at(faults["flip"], reply.whole or reply.length) - reply.first - position
            if 0 <= place < len(piece):
                piece = piece[:place] + bytes([piece[place] ^ 1]) + piece[place + 1 :]
        if rate:
            time.sleep(len(piece) / rate)
        yield piece
        position = until
    if extra:
        yield b"x" * extra


def _interruption(kind: str, fault: Fault) -> Callable[[], None]:
    def interrupt() -> None:
        if kind == "stall":
            time.sleep(fault.number("seconds"))
            return
        raise ResetError if kind == "drop" else CutOffError

    return interrupt


def _read(reply: Reply, position: int, count: int) -> bytes:
    if not reply.file:
        return reply.data[position : position + count]
    with reply.file.open("rb") as stream:
        data = os.pread(stream.fileno(), count, reply.first + position)
    return data.ljust(count, b"\0").translate(SHIFT) if reply.shift else data
