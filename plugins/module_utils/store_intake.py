# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a file of the host before the store takes it.

Where the store has a hard link to it, the two are one file, and a disk that spoils a byte of it spoils both. Its time stays, so that what
was noted of it would still be believed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, hash_file
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import existing_parent


@contextmanager
def telling_damage(store: Store) -> Iterator[None]:
    """Let a failure say which files were found damaged: why something is to be brought that was there once."""
    try:
        yield
    except ModelError as exc:
        raise ModelError(" ".join([str(exc), *store.damage])) from exc


def is_needed(store: Store, path: str, digest: Digest, stamp: Stamp) -> bool:
    """Tell whether the store lacks the file, which is believed to have this digest.

    Where the blob of that digest is damaged, the file is read as a whole again, and that is remembered for the rest of the run.
    ``ModelError`` where it has another digest by now.
    """
    if store.holds(digest, stamp.size):
        return False
    if store.is_damaged(digest):
        found, stamp = hash_file(path)
        if found != digest:
            raise _rotted(path, found, digest)
        known = store.stamps.recall(path, stamp)
        store.stamps.hold(path, Memory(stamp, digest, known.facts if known else {}))
    return True


def way_in(store: Store, path: str) -> str:
    """Decide between a hard link and a copy: a link keeps its context of SELinux, by which nginx might not be let in."""
    return "link" if store.can_link(path) and _context(path) == _context(existing_parent(str(store.root))) else "copy"


def _context(path: str) -> bytes:
    with suppress(OSError):
        return os.getxattr(os.path.realpath(path), "security.selinux")
    return b""


def refuse_spoilt(store: Store, path: str, digest: Digest, stamp: Stamp) -> None:
    """Refuse a file that is a blob of another digest, as which it was noted when it had the same time: nobody has written to it.

    For what is published to others. A host's own model follows its file on the host, whatever its time is.
    """
    told = store.stamps.noted(path)
    if told is None or told.digest == digest or _outside(told.stamp) != _outside(stamp):
        return
    blob = store.blob_path(told.digest)
    with explained(f"compare {path} with {blob}"):
        if blob.is_file() and Path(path).samefile(blob):
            raise _rotted(path, digest, told.digest)


def _outside(stamp: Stamp) -> tuple[int, int, int]:
    """Return what a stamp tells about a file without its content."""
    return (stamp.size, stamp.mtime_ns, stamp.inode)


def _rotted(path: str, found: Digest, expected: Digest) -> ModelError:
    return ModelError(
        f"{path} is damaged, as its blob in the store is: it has the sha256 {found} instead of {expected}, though its time says that "
        f"nobody has written to it. Fetch it again, rename that over this one, then run again."
    )
