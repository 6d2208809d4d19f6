# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a cache of ``huggingface_hub``, and the steps that do it; ``hub_cache_plan`` decides which ones are needed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache import CACHE_TAG, HubCache
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import (
    NO_LINK,
    copy_hashed,
    give,
    make_folders,
    sync_folder,
    write_file,
)
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need

LAYOUT = "hub"
# Noted of a copy that was made because the file system has no hard links, so that it is not made again.
COPIED = "copied"


@dataclass(frozen=True)
class Request:
    """A repository of the Hub at a revision that a cache shall hold or not hold."""

    ref: HubRef
    cache_dir: str
    wanted: Wanted
    # Who owns the folders and small files that are made; -1: whoever runs this.
    owner: tuple[int, int] = (-1, -1)
    # Whether the other revisions of the repository, as far as they were laid out here, shall go.
    alone: bool = False

    @property
    def branch(self) -> str:
        """Return the branch or tag; nothing for a commit."""
        return "" if self.ref.is_pinned else self.ref.revision

    def note(self, commit: str) -> tuple[str, str]:
        """Return how the store knows this use of a commit."""
        return (LAYOUT, f"{self.cache_dir}\n{self.ref.repo}@{commit}")

    def commits(self, store: Store) -> list[str]:
        """Return the commits of the repository that were laid out here, by what the store has noted."""
        prefix = self.note("")
        names = [name for layout, name in store.refs() if layout == LAYOUT and name.startswith(prefix[1])]
        return [name[len(prefix[1]) :] for name in names]


@dataclass(frozen=True)
class Supply:
    """What a pull has found out: the files of the commit, what is known of their content, and what is still to be fetched."""

    manifest: RemoteManifest
    digests: Mapping[str, Digest]
    missing: frozenset[str] = frozenset()


@dataclass
class Plan:
    """What is, what shall be, and the steps between."""

    request: Request
    store: Store
    cache: HubCache
    commit: str = ""
    files: list[RemoteBlob] = field(default_factory=list)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    needs: list[Need] = field(default_factory=list)
    bytes_copied: int = 0
    # The steps, in their order.
    make: list[Path] = field(default_factory=list)
    own: list[Path] = field(default_factory=list)
    leftovers: bool = False
    tag: bool = False
    lay: dict[str, tuple[Digest, int]] = field(default_factory=dict)
    tree: dict[str, Any] = field(default_factory=dict)
    link: dict[str, str] = field(default_factory=dict)
    branch: str = ""
    unname: list[str] = field(default_factory=list)
    unlink: dict[str, list[str]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    free: list[Digest] = field(default_factory=list)
    notes: dict[str, frozenset[Digest]] = field(default_factory=dict)
    # Stamps to keep.
    keys: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Tell whether anything would be done."""
        return bool(self.actions)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        cache = self.cache
        said = [f"make {folder}" for folder in self.make]
        said += [f"change the owner of {path}" for path in self.own]
        said += [f"remove {cache.temp}"] if self.leftovers else []
        said += [f"write {cache.tag}"] if self.tag else []
        said += [f"lay out {cache.blob_path(etag)}" for etag in self.lay]
        said += [f"write {cache.tree_path(self.commit)}"] if self.tree else []
        said += [f"link {name} in {cache.snapshot_path(self.commit)}" for name in self.link]
        said += [f"let {self.branch} be {self.commit} in {cache.path}"] if self.branch else []
        said += [f"forget {branch} in {cache.path}" for branch in self.unname]
        said += [f"remove {name} from {cache.snapshot_path(commit)}" for commit, names in self.unlink.items() for name in names]
        said += [f"remove {cache.snapshot_path(commit)}" for commit in self.gone]
        said += [f"remove {cache.blob_path(etag)}" for etag in self.drop]
        said += [f"remove {self.store.blob_path(digest)}" for digest in self.free]
        return said + [
            f"{'note' if digests else 'forget'} in the store which blobs {cache.path} uses at {commit}"
            for commit, digests in self.notes.items()
        ]

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.store.stamps.is_written(key) for key in self.keys)

    def diff(self) -> dict[str, str]:
        """Return the difference as Ansible shows it; both sides are equal where nothing changes."""
        before, after = (
            json.dumps(side, indent=2, sort_keys=True, ensure_ascii=False) + "\n" if side else "" for side in (self.before, self.after)
        )
        header = str(self.cache.path)
        return {"before_header": header, "after_header": header, "before": before, "after": after}

    def apply(self) -> None:
        """Do it: blobs, the list, their names, the branch; then what is no longer used. Call it under the lock of the store."""
        self.bytes_copied = 0
        if self.changed:
            for commit, digests in self.notes.items():
                # Until the end the commit uses both what it had and what it gets.
                note = self.request.note(commit)
                self.store.set_ref(*note, digests | self.store.ref(*note))
            with explained(f"write {self.cache.path}"):
                self._write()
            self.store.remove(self.free)
            for commit, digests in self.notes.items():
                self.store.set_ref(*self.request.note(commit), digests)
        for key in self.keys:
            self.store.write_stamp(key)

    def _write(self) -> None:
        cache, owner = self.cache, self.request.owner
        for folder in self.make:
            make_folders(folder, owner=owner)
        for path in self.own:
            # Below a link in a snapshot there is nothing of ours: it gives way to a folder when files get their names.
            with suppress(NotADirectoryError):
                give(path, cache.above, owner)
        cache.clear_temp()
        if cache.path.is_dir():
            cache.temp.mkdir(mode=0o700)
            self._lay_out(owner)
            self._remove()
            cache.clear_temp()
            cache.remove_if_empty()

    def _lay_out(self, owner: tuple[int, int]) -> None:
        cache = self.cache
        if self.tag:
            write_file(cache.tag, CACHE_TAG, cache.temp, owner=owner)
        for etag, (digest, _size) in self.lay.items():
            self._lay_blob(cache.blob_path(etag), digest)
        if self.lay:
            sync_folder(cache.blobs)
        if self.tree:
            cache.write_tree(self.commit, self.tree, owner)
        if self.link:
            cache.write_links(self.commit, self.link, owner)
        if self.branch:
            cache.write_ref(self.branch, self.commit, owner)

    def _lay_blob(self, path: Path, digest: Digest) -> None:
        if not digest:
            raise ModelError(f"{path} was to be laid out before it was fetched: this is a defect, please report it.")
        stored, temp = self.store.blob_path(digest), self.cache.temp / "blob"
        try:
            os.link(stored, temp)
        except OSError as exc:
            if exc.errno not in NO_LINK:
                raise
            self.bytes_copied += copy_hashed(stored.open("rb"), str(stored), digest, temp)
            temp.chmod(0o644)
            os.chown(temp, *self.request.owner, follow_symlinks=False)
            self.store.stamps.hold(str(path), Memory(Stamp.of(str(temp)), digest, {COPIED: True}))
        temp.replace(path)

    def _remove(self) -> None:
        cache = self.cache
        for branch in self.unname:
            cache.remove_ref(branch)
        for commit in self.gone:
            cache.remove_snapshot(commit)
        for commit, names in self.unlink.items():
            cache.remove_links(commit, names)
        for etag in self.drop:
            cache.blob_path(etag).unlink(missing_ok=True)
            self.store.stamps.forget(str(cache.blob_path(etag)))
