# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a lock allows: requirements with ``--hash=sha256:``, or a list as ``sha256sum`` prints it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, shown
from ansible_collections.onprem.llm.plugins.module_utils.python_names import DistName, as_project, as_version

LARGEST_LOCK = 16 << 20
PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*===?\s*([^\s;]+)\s*(?:;.*)?", re.ASCII)
HASH = re.compile(r"\s--hash[= ]\s*(\S+)", re.ASCII)
SUM_LINE = re.compile(r"([0-9A-Fa-f]{64}) [ *](?:\./)?(.+)", re.ASCII)


@dataclass(frozen=True)
class Lock:
    """Digests that are allowed: by project and version (requirements) and by the name of the file (a list of digests)."""

    path: str
    pins: Mapping[tuple[str, object], frozenset[Digest]] = field(default_factory=dict)
    sums: Mapping[str, Digest] = field(default_factory=dict)
    # The pins that every client needs; the others have an environment marker.
    always: frozenset[tuple[str, object]] = frozenset()

    def allowed(self, name: DistName) -> frozenset[Digest]:
        """Return the digests that the file may have; none if the lock does not know it."""
        if name.file in self.sums:
            return frozenset({self.sums[name.file]})
        return self.pins.get((name.project, name.version.key), frozenset())


def read_lock(path: str) -> Lock:
    """Read a lock and tell by its first line of which kind it is."""
    with explained(f"read {path}"), Path(path).open("rb") as stream:
        data = stream.read(LARGEST_LOCK + 1)
    if len(data) > LARGEST_LOCK:
        raise ModelError(f"{path} has more than {LARGEST_LOCK} bytes, too many for a lock: name the right file.")
    return parse_lock(data.decode("utf-8", "replace"), path)


def parse_lock(text: str, path: str) -> Lock:
    """Return what the text of a lock says; ``path`` is where it comes from."""
    lines = _joined(text)
    if not lines:
        raise ModelError(f"{path} is empty, but requirements with '--hash=sha256:' or a list of digests were expected: make it again.")
    if SUM_LINE.fullmatch(lines[0]):
        return Lock(path, sums=dict(_sum(line, path) for line in lines))
    pins: dict[tuple[str, object], frozenset[Digest]] = {}
    always = set()
    for line in lines:
        # Options such as --index-url say where files come from, and here they have come already.
        if line.startswith("-") and not line.startswith(("-r", "--requirement", "-c", "--constraint")):
            continue
        key, digests = _pin(line, path)
        pins[key] = pins.get(key, frozenset()) | digests
        always |= set() if ";" in line else {key}
    return Lock(path, pins=pins, always=frozenset(always))


def _joined(text: str) -> list[str]:
    """Return the lines with a meaning, those that end in a backslash joined with the next."""
    joined = re.sub(r"\\\r?\n", " ", text)
    return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines()) if line]


def _sum(line: str, path: str) -> tuple[str, Digest]:
    found = SUM_LINE.fullmatch(line)
    if not found:
        raise ModelError(f"{path} has the line {shown(line)}, but '<64 hexadecimal digits>  <file>' was expected: make it again.")
    return found.group(2), Digest(found.group(1).lower())


def _pin(line: str, path: str) -> tuple[tuple[str, object], frozenset[Digest]]:
    found = PINNED.fullmatch(re.split(r"\s--hash", line)[0].strip())
    digests = [re.fullmatch(r"sha256:([0-9A-Fa-f]{64})", value) for value in HASH.findall(line)]
    if not found or not digests or not all(digests):
        raise ModelError(
            f"{path} has the line {shown(line)}, but 'name==version --hash=sha256:...' was expected: "
            f"make it again with 'uv pip compile --generate-hashes' or 'pip-compile --generate-hashes'."
        )
    key = (as_project(found.group(1), path), as_version(found.group(2), path).key)
    return key, frozenset(Digest(match.group(1).lower()) for match in digests if match)
