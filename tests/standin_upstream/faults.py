"""What goes wrong, and when: read from short texts such as ``drop:after=1000000,times=2,path=*.safetensors``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

# Every kind, its options and what they are without being said. Numbers are whole numbers unless they hold a point.
KINDS: dict[str, dict[str, str]] = {
    # Before anything is answered.
    "delay": {"seconds": "1"},
    "gone": {"seconds": "0"},
    "hangup": {},
    "garbage": {},
    "status": {"code": "500", "retry_after": "", "error": ""},
    "redirect": {"to": "cdn", "code": "302"},
    "ignore-range": {},
    "ignore-if-range": {},
    "etag": {"mode": "wrong"},
    "change": {"by": "0", "keep_etag": "0"},
    "expire-token": {"requests": "-1", "bytes": "-1"},
    "expire-links": {"requests": "-1", "bytes": "-1"},
    # While the body is sent.
    "drop": {"after": "0"},
    "truncate": {"after": "0"},
    "stall": {"after": "0", "seconds": "60"},
    "slow": {"rate": "100000"},
    "loris": {"rate": "20"},
    "flip": {"at": "-1"},
    "extra": {"bytes": "1000"},
    "lie": {"by": "-1000"},
    "chunked": {},
}
BODY_KINDS = frozenset({"drop", "truncate", "stall", "slow", "loris", "flip", "extra", "lie", "chunked"})
SELECTORS = {"path": "*", "server": "*", "method": "*", "skip": "0", "times": "-1"}
SERVERS = ("main", "cdn", "*")


@dataclass
class Fault:
    """One thing that goes wrong for the replies that it selects."""

    kind: str
    options: dict[str, str]
    path: str
    server: str
    method: str
    skip: int
    times: int
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def number(self, option: str) -> float:
        """Return an option as a number."""
        text = self.options[option]
        return float(text) if "." in text else int(text)

    def selects(self, server: str, method: str, path: str) -> bool:
        """Tell whether a request is meant."""
        return self.server in {"*", server} and self.method in {"*", method} and fnmatchcase(path, self.path)

    def strikes(self) -> bool:
        """Count one reply that could be spoiled, and tell whether it is."""
        with self._lock:
            if self.skip > 0:
                self.skip -= 1
                return False
            if self.times == 0:
                return False
            self.times -= self.times > 0
            return True


def read_fault(spec: str) -> Fault:
    """Return what a text says; ValueError where it says nothing known."""
    kind, _colon, rest = spec.partition(":")
    if kind not in KINDS:
        raise ValueError(f"unknown fault {kind!r} in {spec!r}: the kinds are {', '.join(KINDS)}")
    options, selectors = dict(KINDS[kind]), dict(SELECTORS)
    for pair in filter(None, rest.split(",")):
        name, _equals, value = pair.partition("=")
        target = options if name in options else selectors
        if name not in target:
            raise ValueError(f"unknown option {name!r} in {spec!r}: {kind} knows {', '.join([*KINDS[kind], *SELECTORS])}")
        target[name] = value
    if selectors["server"] not in SERVERS:
        raise ValueError(f"server must be one of {', '.join(SERVERS)} in {spec!r}")
    for name, value in options.items():
        if name not in {"to", "mode", "error", "retry_after"}:
            float(value)
    return Fault(
        kind, options, selectors["path"], selectors["server"], selectors["method"], int(selectors["skip"]), int(selectors["times"])
    )


class Faults:
    """All that goes wrong with one upstream; it may change while it runs."""

    def __init__(self, specs: Sequence[str] = ()) -> None:
        self.all = [read_fault(spec) for spec in specs]

    def add(self, spec: str) -> None:
        """Let one more thing go wrong from now on."""
        self.all = [*self.all, read_fault(spec)]

    def clear(self) -> None:
        """Let all go well from now on."""
        self.all = []

    def before(self, server: str, method: str, path: str) -> list[Fault]:
        """Return what strikes a request before its body is known."""
        chosen = [fault for fault in self.all if fault.kind not in BODY_KINDS and fault.selects(server, method, path)]
        # Tickets count by themselves.
        return [fault for fault in chosen if fault.kind.startswith("expire-") or fault.strikes()]

    def during(self, server: str, method: str, path: str, first: int, size: int, whole: int) -> list[Fault]:
        """Return what strikes a body of ``size`` bytes from byte ``first`` of a file of ``whole`` bytes."""
        chosen = [fault for fault in self.all if fault.kind in BODY_KINDS and fault.selects(server, method, path)]
        return [fault for fault in chosen if _reaches(fault, first, size, whole) and fault.strikes()]

    def limit_of(self, kind: str) -> tuple[int, int]:
        """Return after how many requests and bytes a ticket of that kind expires; -1 for never."""
        found = [fault for fault in self.all if fault.kind == kind]
        return (int(found[-1].number("requests")), int(found[-1].number("bytes"))) if found else (-1, -1)


def flipped_at(fault: Fault, whole: int) -> int:
    """Return the byte of the file that is flipped."""
    place = int(fault.number("at"))
    return whole // 2 if place < 0 else place


def _reaches(fault: Fault, first: int, size: int, whole: int) -> bool:
    if size == 0:
        return False
    if "after" in fault.options:
        return fault.number("after") < size
    if fault.kind == "flip":
        return first <= flipped_at(fault, whole) < first + size
    return True
