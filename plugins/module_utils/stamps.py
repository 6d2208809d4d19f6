# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers what a file held, so that a file of 40 GB is hashed once and not at every run.

A file counts as unchanged while its size, modification time, inode and a sample of its content are. The sample tells
two carried-in media apart whose builder gave every file the same time. What is forgotten is merely hashed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import DIGEST, Digest

CHUNK = 4 << 20
SAMPLES, SAMPLE_BYTES, HEAD_BYTES = 16, 4096, 65536


def as_verify_days(days: int | None, where: str = "verify_days") -> int | None:
    """Accept after how many days a file is hashed again; None: only where it has changed.

    ``ModelError`` where there are fewer than 0.
    """
    if days is not None and days < 0:
        raise ModelError(f"{where} must be a whole number of days, 0 or more, but it is {days}: correct it, or leave it out.")
    return days


@dataclass(frozen=True)
class Stamp:
    """What can be told about a file without reading all of it."""

    size: int
    mtime_ns: int
    inode: int
    sample: str

    @classmethod
    def of(cls, path: str) -> Stamp:
        """Stamp the file as it is now."""
        with explained(f"read {path}"), Path(path).open("rb") as stream:
            return cls.of_stream(stream)

    @classmethod
    def of_stream(cls, stream: BinaryIO) -> Stamp:
        """Stamp an open file."""
        status = os.fstat(stream.fileno())
        head = os.pread(stream.fileno(), HEAD_BYTES, 0)
        # Of a small file all has been read.
        small = status.st_size <= HEAD_BYTES
        sample = hashlib.sha256(head)
        for number in range(1, SAMPLES + 1):
            start = max(0, status.st_size - SAMPLE_BYTES) * number // SAMPLES
            sample.update(head[start : start + SAMPLE_BYTES] if small else os.pread(stream.fileno(), SAMPLE_BYTES, start))
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, sample.hexdigest())


@dataclass(frozen=True)
class Memory:
    """What was found out about a file when it was last read as a whole."""

    stamp: Stamp
    digest: Digest
    facts: Mapping[str, Any]
    # When it was read as a whole, in seconds; 0: by a version of this collection that did not note it.
    verified_at: int = field(default_factory=lambda: int(time.time()))


class StampBook:
    """One small file for each file that is remembered."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._held: dict[str, Memory] = {}

    def _page(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()}.json"

    def recall(self, key: str, stamp: Stamp) -> Memory | None:
        """Return what is known about ``key``, if it still has that stamp."""
        memory = self._held.get(key) or self._read(key)
        return memory if memory and memory.stamp == stamp else None

    def noted(self, key: str) -> Memory | None:
        """Return what earlier runs knew about ``key``, whatever stamp it has now."""
        return self._read(key)

    def _read(self, key: str) -> Memory | None:
        try:
            page = json.loads(self._page(key).read_text(encoding="utf-8"))
            if not DIGEST.fullmatch(page["digest"]) or not isinstance(page["facts"], dict):
                return None
            return Memory(Stamp(**page["stamp"]), Digest(page["digest"]), page["facts"], int(page.get("verified_at", 0)))
        except (OSError, ValueError, KeyError, TypeError):
            # No page, or not one of ours: the file is hashed again.
            return None

    def hold(self, key: str, memory: Memory) -> None:
        """Remember for the rest of this run, writing nothing."""
        self._held[key] = memory

    def is_written(self, key: str) -> bool:
        """Tell whether the next run will remember as much as this one."""
        return key not in self._held or self._held[key] == self._read(key)

    def write(self, key: str, temp_folder: str) -> None:
        """Remember for later runs."""
        memory = self._held.get(key)
        if memory is not None and not self.is_written(key):
            self._write(key, memory, temp_folder)

    def note(self, key: str, memory: Memory, temp_folder: str) -> None:
        """Remember a file that is new, for this run and later ones, without a look at what was known."""
        self.hold(key, memory)
        self._write(key, memory, temp_folder)

    def note_name(self, key: str, memory: Memory, other: str, temp_folder: str) -> None:
        """Remember one more name of a file that is remembered as ``other``: its page gets another name as well, which costs less."""
        self.hold(key, memory)
        if self._held.get(other) == memory:
            with suppress(OSError):
                os.link(self._page(other), self._page(key))
                return
        self._write(key, memory, temp_folder)

    def _write(self, key: str, memory: Memory, temp_folder: str) -> None:
        page, temp = self._page(key), f"{temp_folder}/stamp-{os.getpid()}"
        data = json.dumps({"key": key, **vars(memory), "stamp": vars(memory.stamp)}, sort_keys=True).encode("ascii")
        with explained(f"write {page}"):
            with open(temp, "wb", 0) as stream:  # noqa: PTH123  # a pull writes thousands
                stream.write(data)
            try:
                os.replace(temp, page)  # noqa: PTH105  # the same
            except FileNotFoundError:
                page.parent.mkdir(parents=True)
                Path(temp).replace(page)

    def forget(self, key: str) -> None:
        """Forget a file."""
        self._held.pop(key, None)
        with explained(f"remove {self._page(key)}"):
            self._page(key).unlink(missing_ok=True)


def hash_file(path: str) -> tuple[Digest, Stamp]:
    """Read the whole file once; a file that changes meanwhile is refused."""
    digest = hashlib.sha256()
    with explained(f"read {path}"), Path(path).open("rb") as stream:
        before = Stamp.of_stream(stream)
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
        unchanged_during(path, before, stream)
    return Digest(digest.hexdigest()), before


def git_hash_file(path: str) -> tuple[Digest, str, Stamp]:
    """Read the whole file once and return its sha256 and the name that git gives it, too."""
    digest = hashlib.sha256()
    with explained(f"read {path}"), Path(path).open("rb") as stream:
        before = Stamp.of_stream(stream)
        name = git_name(before.size)
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            name.update(chunk)
        unchanged_during(path, before, stream)
    return Digest(digest.hexdigest()), name.hexdigest(), before


def git_name(size: int) -> hashlib._Hash:
    """Return the hash by which git names a file of that size; its content is yet to be added."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


def unchanged_during(path: str, before: Stamp, stream: BinaryIO) -> None:
    """Refuse a file that was written to while it was read."""
    if Stamp.of_stream(stream) != before:
        raise ModelError(f"{path} changed while it was read: let the copy or download that writes it end, then run again.")
