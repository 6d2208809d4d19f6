# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a source brings to a mirror: the files that its store lacks, and what the tree then tells of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import BinaryIO

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.gguf import read_gguf
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_release import (
    Release,
    large_files,
    part_of,
    release_of,
    release_of_files,
)
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import Settings
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_store import digests_of_manifest, image_of
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.pull import Pull, plan_pull
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.file import FileSource, SourceBlob
from ansible_collections.onprem.llm.plugins.module_utils.sources.folder import FolderSource
from ansible_collections.onprem.llm.plugins.module_utils.sources.network import KnownSource, remote_source_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, RemoteBlob, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import wrong_digest
from ansible_collections.onprem.llm.plugins.module_utils.store_intake import is_needed, refuse_spoilt, telling_damage, way_in
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space

Report = Callable[[str], None]


@dataclass(frozen=True)
class Item:
    """A file of this host, or a few bytes that were made, that the store lacks."""

    label: str
    digest: Digest
    size: int
    how: str
    open: Callable[[], BinaryIO] = field(repr=False)
    stamp: Stamp | None = None


@dataclass
class Goods:
    """A model that is to be published: what is to be brought into the store, and what is told of it."""

    store: Store
    # A repository of the Hub, the second time at the real commit where files are left out; or a manifest of Ollama.
    releases: list[Release] = field(default_factory=list)
    manifest: bytes | None = None
    # What it is, for those who ask: a commit, or the digest of a manifest.
    revision: str = ""
    pull: Pull | None = None
    items: list[Item] = field(default_factory=list)
    local: frozenset[Digest] = frozenset()
    local_size: int = 0
    # Files of this host that were looked at.
    read: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # What the source has now, where that is not what is published.
    moved_to: str = ""
    bytes_copied: int = 0

    @property
    def digests(self) -> frozenset[Digest]:
        """Return the digests of its files, as far as they are known."""
        if not self.pull:
            return self.local
        if self.manifest is not None:
            return digests_of_manifest(self.manifest)
        return frozenset(self.pull.known)

    @property
    def missing(self) -> dict[str, int]:
        """Return the sizes of what the store lacks, by digest or, where only that is known, by the name in git."""
        remote = {str(blob.sha256 or blob.git_sha1): blob.size for blob in self.pull.missing} if self.pull else {}
        return {**remote, **{str(item.digest): item.size for item in self.items}}

    @property
    def commit(self) -> str:
        """Return the commit upstream, nothing where there is no upstream."""
        return self.releases[0].origin if self.releases and self.pull else ""

    @property
    def size(self) -> int:
        """Return the bytes of all files of the model."""
        return sum(blob.size for blob in self.pull.blobs) if self.pull else self.local_size

    @property
    def bytes_to_fetch(self) -> int:
        """Return how much would come over the network."""
        return self.pull.size if self.pull else 0

    @property
    def bytes_to_copy(self) -> int:
        """Return how much would be copied on this host."""
        return sum(item.size for item in self.items if item.how == "copy" and item.stamp)

    @property
    def needs(self) -> list[Need]:
        """Return the disk space that is needed."""
        copied = [Need(str(self.store.root), item.size, f"store {item.digest}") for item in self.items if item.how != "link"]
        return [*(self.pull.needs if self.pull else []), *copied]

    @property
    def actions(self) -> list[str]:
        """Say in words what would be brought into the store."""
        return [*(self.pull.actions if self.pull else []), *(f"{item.how} {item.label} into the store" for item in self.items)]

    @property
    def is_due(self) -> bool:
        """Tell whether there is anything to bring, or to remember of what was asked."""
        return bool(self.items) or (self.pull is not None and (self.pull.changed or self.pull.learned))

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.store.stamps.is_written(key) for key in self._keys())

    def _keys(self) -> list[str]:
        in_git = [blob.git_sha1 for blob in self.pull.blobs if blob.git_sha1] if self.pull else []
        stored = [*map(self.store.blob_path, self.digests), *map(self.store.git_path, in_git)]
        return [*self.read, *map(str, stored)]

    def remember(self) -> None:
        """Note what was read for later runs. Call it under the lock of the store."""
        for key in self._keys():
            self.store.write_stamp(key)

    def bring(self, use: tuple[str, str], report: Report) -> int:
        """Bring it into the store for a name of it; return the bytes that came over the network. Call it without the lock of the store."""
        check_space(self.needs)
        # A pull that fetches notes by itself what it is for.
        if not (self.pull and self.pull.missing):
            with self.store.locked():
                self.store.set_ref(*use, {*self.store.ref(*use), *self.digests})
                for item in self.items:
                    self._take_in(item)
        return self.pull.apply_for(use, report) if self.pull and self.is_due else 0

    def _take_in(self, item: Item) -> None:
        if item.how == "link" and item.stamp and self.store.link(item.label, item.digest, item.stamp):
            return
        copied = self.store.copy(item.open(), item.label, item.digest)
        if item.stamp:
            self.bytes_copied += copied
            known = self.store.stamps.recall(item.label, item.stamp)
            self.store.stamps.hold(item.label, Memory(item.stamp, item.digest, known.facts if known else {}))


@dataclass(frozen=True)
class Upstream:
    """How a model over the network is had: a way to its server, and whether what moved there may change here."""

    access: Access
    # What is published of it under the name, where something is.
    had: RemoteManifest | None = None
    update: bool = False
    pinned: str = ""


def remote_goods(ref: HubRef | OllamaRef, store: Store, wanted: Wanted, upstream: Upstream) -> Goods:
    """Return what a model over the network brings. One that is there already changes only if that was asked for."""
    source = remote_source_of(ref, upstream.access)
    is_pinned = bool(upstream.pinned) or (isinstance(ref, HubRef) and ref.is_pinned)
    kept = None if is_pinned else upstream.had
    moved_to, warnings = "", []
    if kept:
        try:
            asked = source.manifest()
        except ModelError as exc:
            if upstream.update:
                raise
            warnings.append(f"What is published of '{ref}' stays as it is, for its source could not be asked: {exc}")
            asked = kept
        if asked.revision != kept.revision and not upstream.update:
            moved_to = asked.revision
            warnings.append(
                f"'{ref}' has moved: its source now has {asked.revision}, but {kept.revision} is published and stays. "
                f"Set update: true to publish the new one."
            )
            asked = kept
        source = KnownSource(source, asked)
    pull = plan_pull(source, store, wanted=lambda blob: wanted(blob.name), pinned=upstream.pinned)
    # Another name may have another state of the same source, and what is kept of that is not this one's.
    pull.learned = pull.learned and pull.manifest != upstream.had
    goods = Goods(store, pull=pull, revision=pull.manifest.revision, warnings=warnings, moved_to=moved_to)
    if isinstance(ref, HubRef):
        wanted.check(ref, bool(pull.blobs))
        goods.releases = [release_of(pull.manifest, ref.repo, wanted, _choice(wanted))]
        if ref.is_pinned and goods.releases[0].is_filtered:
            goods.releases.append(part_of(pull.manifest, ref.repo, wanted))
        goods.warnings += large_files(pull.blobs)
    else:
        goods.manifest = pull.manifest.data
    return goods


def _choice(wanted: Wanted) -> dict[str, list[str]]:
    allow = [wanted.file] if wanted.file else list(wanted.allow)
    return {key: value for key, value in (("allow", allow), ("ignore", list(wanted.ignore))) if value}


def gguf_goods(ref: FileRef, store: Store, settings: Settings, pinned: Digest | None) -> Goods:
    """Return what a GGUF file brings as a model of Ollama: itself, and the few bytes that describe it."""
    source = FileSource(ref, store.stamps)
    stored = _stored_gguf(store, pinned) if pinned and not source.is_there else None
    with telling_damage(store):
        blob = stored or source.hashed(source.manifest())
    digest = blob.digest or Digest("")
    if pinned and digest != pinned:
        raise wrong_digest(blob.path, pinned, digest)
    if not stored:
        refuse_spoilt(store, blob.path, digest, blob.stamp)
    image = image_of(blob.gguf, digest, blob.size, settings)
    goods = Goods(store, manifest=image.manifest(), revision=image.digest, local=frozenset(image.blobs))
    goods.local_size = sum(layer.size for layer in image.blobs.values())
    goods.read = [] if stored else [blob.path]
    if not stored and is_needed(store, blob.path, digest, blob.stamp):
        goods.items.append(Item(blob.path, digest, blob.size, way_in(store, blob.path), partial(source.open, blob), blob.stamp))
    for layer in image.blobs.values():
        if layer.data is not None and not store.holds(layer.digest, layer.size):
            goods.items.append(Item(layer.media_type, layer.digest, layer.size, "write", partial(BytesIO, layer.data)))
    return goods


def _stored_gguf(store: Store, digest: Digest) -> SourceBlob | None:
    path = store.blob_path(digest)
    if not path.is_file() or not store.holds(digest, path.stat().st_size):
        return None
    stamp = Stamp.of(str(path))
    return SourceBlob(str(path), stamp.size, stamp, read_gguf(str(path)), digest)


def folder_goods(ref: FileRef, store: Store, repo: str, pinned: Digest | None) -> Goods:
    """Return what a folder of model files brings as a repository of the Hub."""
    source = FolderSource(ref, store.stamps)
    folder = source.manifest(pinned)
    files = [source.hashed(file) for file in folder.files]
    for file in (*files, *(source.hashed(other) for other in folder.others)):
        if file.expected and file.digest and file.digest != file.expected:
            raise wrong_digest(file.path, file.expected, file.digest)
        if file.digest:
            refuse_spoilt(store, file.path, file.digest, file.stamp)
    blobs = [RemoteBlob(file.name, file.size, file.digest) for file in files]
    release = release_of_files(repo, blobs)
    digests = frozenset(file.digest for file in files if file.digest)
    goods = Goods(store, releases=[release], revision=release.commit, local=digests, warnings=large_files(blobs))
    goods.local_size = sum(blob.size for blob in blobs)
    goods.read = [file.path for file in (*files, *folder.others)]
    lacking = {file.digest: file for file in files if file.digest and is_needed(store, file.path, file.digest, file.stamp)}
    for digest, file in lacking.items():
        goods.items.append(Item(file.path, digest, file.size, way_in(store, file.path), partial(source.open, file), file.stamp))
    return goods
