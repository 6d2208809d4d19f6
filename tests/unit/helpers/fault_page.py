"""The tables of faults in docs/transfers.md, which the tests take at their word."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.unit.helpers.site import CHUNK, MIB, ROOT, SIZE

PAGE = ROOT / "docs" / "transfers.md"
HEAD = "| what happens | what you see | what is fetched again |"
DOTS, REST = re.escape("..."), re.escape(" ...")
WORKERS = 3
# What the words of the last column allow, in bytes, for the file of the tests, which has six pieces: in all, or for each connection.
AGAIN = {
    "nothing": 0,
    "the pieces that are wrong": CHUNK,
    "what arrived in the last two seconds": 2 * SIZE // 3,
    "what had arrived of the file": SIZE,
    "the small file": 23,
    "the whole file": SIZE,
    "the whole file, and what was on the wire": SIZE,
    "the whole file, twice": 2 * SIZE,
}
# Read and not written yet; the last MiB of a piece, and the next one, which is asked for by then: all that the sockets may hold.
WIRE = MIB // 2 + MIB + CHUNK
AGAIN_EACH = {
    "what was on the wire": WIRE,
    "the whole file, and what was on the wire": WIRE,
    "two pieces for each connection": 2 * CHUNK,
}
# The faults that tests make happen: each adds its own when it is loaded.
TESTED: set[str] = set()


@dataclass(frozen=True)
class Row:
    """One fault, with what is said and fetched again then."""

    fault: str
    seen: str
    again: int
    again_each: int = 0

    def allows(self, workers: int = WORKERS) -> int:
        """Return how many bytes may be fetched again by so many connections."""
        return self.again + self.again_each * workers

    @property
    def sentences(self) -> list[str]:
        """Return what is quoted, as regular expressions: three dots are anything, and at the end any end."""
        quotes = [re.escape(quoted) for quoted in re.findall(r"`([^`]+)`", self.seen)]
        open_ended = [quoted[: -len(REST)] + DOTS if quoted.endswith(REST) else quoted for quoted in quotes]
        return [quoted.replace(DOTS, ".+") for quoted in open_ended]

    def is_told_by(self, result: Mapping[str, Any]) -> bool:
        """Tell whether a module's result says what the page says; where that is nothing, it must say nothing."""
        said = [result["msg"]] if "msg" in result else [warning.replace("\n", " ") for warning in result["warnings"]]
        if not self.sentences:
            return self.seen == "nothing" and said == []
        return any(all(re.search(sentence + "$", each) for sentence in self.sentences) for each in said)


@cache
def rows() -> dict[str, Row]:
    """Return the rows of all tables of faults by what happens."""
    found: list[Row] = []
    inside = False
    for line in PAGE.read_text().splitlines():
        inside = line == HEAD or (inside and line.startswith("|"))
        if inside and line != HEAD and not line.startswith("|-"):
            fault, seen, again = (cell.strip() for cell in line.strip("|").split(" | "))
            assert again in {**AGAIN, **AGAIN_EACH}, again
            found.append(Row(fault, seen, AGAIN.get(again, 0), AGAIN_EACH.get(again, 0)))
    assert len({row.fault for row in found}) == len(found)
    return {row.fault: row for row in found}


def row_of(fault: str) -> Row:
    """Return a row, and note that a test makes it happen."""
    TESTED.add(fault)
    return rows()[fault]


def happens(fault: str) -> Callable[[Any], Any]:
    """Give a test its ``row``."""
    return pytest.mark.parametrize("row", [row_of(fault)], ids=[fault])
