# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of model files as vLLM reads it, below the folder of all models.

It is made beside its place and moved there as a whole, so that whoever reads it sees all of one model or nothing. Its files are hard links
to the store where that is possible.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import (
    copy_hashed,
    exchanged,
    held,
    inode_of,
    make_folders,
    remove_all,
    same_mount,
    sync_folder,
)


class ModelFolder:
    """The folder of one model."""

    def __init__(self, models_dir: str, name: str) -> None:
        self.above = Path(models_dir)
        self.path = self.above / name
        # Where it is made, and where the one that it replaces waits for its removal.
        self._unfinished = self.above / f".new-{name}"
        self._replaced = self.above / f".old-{name}"

    @property
    def exists(self) -> bool:
        """Tell whether anything is in its place."""
        return os.path.lexists(self.path)

    @property
    def leftovers(self) -> list[Path]:
        """Return what a run that was killed has left."""
        return [path for path in (self._unfinished, self._replaced) if os.path.lexists(path)]

    def holds(self, files: Mapping[str, tuple[Digest, int]], store: Store) -> bool:
        """Tell whether it holds just these files, given as name: (digest, size), as hard links to the store or as sound copies."""
        if not _is_folder(self.path):
            return False
        with explained(f"read {self.path}"):
            linked = same_mount(str(store.root), str(self.path))
            return {path.name for path in self.path.iterdir()} == set(files) and all(
                self._holds_file(name, digest, size, store, linked=linked) for name, (digest, size) in files.items()
            )

    def _holds_file(self, name: str, digest: Digest, size: int, store: Store, *, linked: bool) -> bool:
        path, stored = self.path / name, store.blob_path(digest)
        if not _is_file(path) or not stored.is_file():
            return False
        return path.samefile(stored) if linked else store.is_sound(path, digest, size)

    def describe(self, noted: Collection[Digest], store: Store) -> dict[str, Any]:
        """Return what is there now, for a person to compare; ``noted`` are the blobs that it is said to use."""
        if not self.exists:
            return {}
        if not _is_folder(self.path):
            return {"files": "not a folder"}
        blobs = {inode_of(store.blob_path(digest).stat()): digest for digest in noted if store.blob_path(digest).exists()}

        def digest_of(path: Path) -> Digest | None:
            if inode_of(path.stat()) in blobs:
                return blobs[inode_of(path.stat())]
            memory = store.stamps.recall(str(path), Stamp.of(str(path)))
            return memory.digest if memory else None

        def known(path: Path) -> str:
            if not _is_file(path):
                return "not a file"
            digest = digest_of(path)
            return f"sha256:{digest}" if digest else f"unknown, {path.stat().st_size} bytes"

        with explained(f"read {self.path}"):
            return {"files": {path.name: known(path) for path in self.path.iterdir()}}

    def replace(self, files: Mapping[str, Digest], store: Store, owner: tuple[int, int]) -> int:
        """Put a folder with just these files in its place; return how many bytes had to be copied."""
        make_folder(self._unfinished, owner)
        try:
            copied = self._fill(files, store)
        except BaseException:
            with suppress(OSError):
                remove_all(self._unfinished)
            raise
        if not (self.exists and exchanged(self._unfinished, self.path)):
            self._put_aside()
            self._unfinished.rename(self.path)
        sync_folder(self.above)
        # Which of the two holds what was there depends on how it was replaced.
        remove_all(self._unfinished)
        remove_all(self._replaced)
        return copied

    def _fill(self, files: Mapping[str, Digest], store: Store) -> int:
        copied = 0
        with held(self._unfinished, self.above) as folder:
            for name, digest in files.items():
                path, stored = folder / name, store.blob_path(digest)
                if same_mount(str(stored), str(folder)):
                    os.link(stored, path)
                else:
                    copied += copy_hashed(stored.open("rb"), str(stored), digest, path)
                    # Its time, inode and content, by which it is known again, are those it will have in its place.
                    store.stamps.hold(str(self.path / name), Memory(Stamp.of(str(path)), digest, {}))
            sync_folder(folder)
        return copied

    def remove(self) -> None:
        """Remove it: all of it at once for a reader."""
        self._put_aside()
        sync_folder(self.above)
        remove_all(self._replaced)

    def _put_aside(self) -> None:
        if self.exists:
            self.path.rename(self._replaced)


def make_folder(path: Path, owner: tuple[int, int]) -> None:
    """Make a folder that all may read, as those above it that are missing. One that is there is a ``FileExistsError``."""
    make_folders(path.parent)
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    make_folders(path, owner=owner)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
