# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer means for the part of a file that was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import shown
from ansible_collections.onprem.llm.plugins.module_utils.transfer.failures import AGAIN_LATER, PassingError, retry_after_of

CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
LENGTH = re.compile(r"\d{1,18}", re.ASCII)


class ChangedError(Exception):
    """What the server has is not what it had, or not what the model's list says. The text completes '..., but it'."""


class RenamedError(ChangedError):
    """The server calls what it has by another ETag. Where many servers stand behind one name, that may be all that differs."""


class DeniedError(Exception):
    """The server wants another token, or a fresh signature in the URL."""


@dataclass(frozen=True)
class Asked:
    """What was asked for: the bytes from ``start`` to ``end`` of a file of this size, or (not ``ranged``) all of it."""

    start: int
    end: int
    size: int
    ranged: bool
    # How the server called the file before, if it did.
    etag: str = ""


@dataclass(frozen=True)
class Given:
    """What the answer's body is."""

    # All of the file, though a part was asked for perhaps.
    whole: bool
    end: int
    etag: str


def judged(asked: Asked, status: int, headers: Mapping[str, str], length: int | None) -> Given:
    """Return what comes; ``length`` is what the answer's head says of its body, if it does. Raises where nothing useful comes."""
    if status in {401, 403}:
        raise DeniedError(str(status))
    if status in AGAIN_LATER:
        raise PassingError(f"the server answered {status}", retry_after_of(headers))
    if status == 416:
        raise ChangedError(f"does not reach to byte {asked.end} (416)")
    if status not in {200, 206}:
        raise ModelError(f"{'it is not there' if status in {404, 410} else 'the request was refused'} ({status})")
    etag = strong_etag(headers)
    if asked.etag and etag and etag != asked.etag:
        raise RenamedError(f"was changed on the server (its ETag was {shown(asked.etag)} and is now {shown(etag)})")
    if status == 200:
        if length is not None and length != asked.size:
            raise ChangedError(f"has {length} bytes there")
        return Given(True, asked.size, etag)
    return Given(False, _end_of_range(asked, headers, length), etag)


def _end_of_range(asked: Asked, headers: Mapping[str, str], length: int | None) -> int:
    text = headers.get("Content-Range", "")
    found = CONTENT_RANGE.fullmatch(text.strip())
    if not found or not asked.ranged:
        raise PassingError(f"the server answered 206 with Content-Range {shown(text)}")
    start, end, total = int(found.group(1)), int(found.group(2)) + 1, found.group(3)
    if total != "*" and int(total) != asked.size:
        raise ChangedError(f"has {total} bytes there")
    if start != asked.start or not start < end <= asked.end:
        raise PassingError(f"the server sent the bytes {start}-{end - 1} when asked for {asked.start}-{asked.end - 1}")
    if length is not None and length != end - start:
        raise PassingError(f"the server announced {length} bytes and the range of {end - start} bytes in one answer")
    return end


def strong_etag(headers: Mapping[str, str]) -> str:
    """Return the ETag if it stands for every byte; a weak one does not."""
    text = headers.get("ETag", "").strip()
    return text if len(text) > 2 and text[0] == text[-1] == '"' and text.isascii() and text.isprintable() else ""


def announced_length(headers: Mapping[str, str]) -> int | None:
    """Return Content-Length."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if LENGTH.fullmatch(text) else None
