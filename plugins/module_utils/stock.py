# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What models a host has: those that a store has noted, and those that clients have put into their folders by themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache import COMMIT, HubCache
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_store import LARGEST_MANIFEST, OllamaTree, digests_of, read_some
from ansible_collections.onprem.llm.plugins.module_utils.names import DIGEST, Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import inode_of, unless_gone
from ansible_collections.onprem.llm.plugins.module_utils.store_garbage import plan_collect
from ansible_collections.onprem.llm.plugins.module_utils.transfer.journal import read_journal
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import partial_folder

Inode = tuple[int, int]


@dataclass(frozen=True)
class Content:
    """One file of a model: the digest as far as it is known without reading it, and which file on disk it is."""

    name: str
    path: Path
    size: int
    inode: Inode
    digest: Digest | None


@dataclass
class Model:
    """One model in one folder."""

    layout: str
    folder: str
    name: str
    files: list[Content] = field(default_factory=list)
    # What a name is noted to use that is nowhere.
    missing: list[Digest] = field(default_factory=list)
    # Whether the store knows of it.
    managed: bool = False

    @property
    def label(self) -> str:
        """Return how others that share files with it call it."""
        return f"{self.layout}: {self.name} in {self.folder}"


class Stock:
    """The models of a host."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.stored: dict[Digest, os.stat_result] = {}
        with explained(f"read {store.root}"):
            for path in sorted(path for path in (store.root / "blobs" / "sha256").glob("*/*") if DIGEST.fullmatch(path.name)):
                with unless_gone():
                    self.stored[Digest(path.name)] = path.stat()
        self._digests = {inode_of(status): digest for digest, status in self.stored.items()}
        self.models = [self._noted(*key, digests) for key, digests in sorted(store.refs().items())]

    def _noted(self, layout: str, name: str, digests: Iterable[Digest]) -> Model:
        folder, _newline, inner = name.partition("\n")
        model = Model(layout, folder, inner, managed=True)
        for digest in sorted(digests):
            self._take(model, digest, self.store.blob_path(digest) if digest in self.stored else None)
        return model

    def _take(self, model: Model, digest: Digest, blob: Path | None) -> None:
        """Let a model have a blob, or miss it."""
        content = self._content(digest, blob, digest) if blob else None
        if content:
            model.files.append(content)
        else:
            model.missing.append(digest)

    def _content(self, name: str, path: Path, digest: Digest | None = None) -> Content | None:
        """Return what is known of a file; None where there is none."""
        content = None
        with unless_gone():
            if path.is_file():
                status = path.stat()
                inode = inode_of(status)
                known = digest or self._digests.get(inode)
                if known is None:
                    memory = self.store.stamps.recall(str(path), Stamp.of(str(path)))
                    known = memory.digest if memory else None
                content = Content(name, path, status.st_size, inode, known)
        return content

    def add(self, layout: str, folder: str) -> None:
        """Add the models of a folder in a layout: ``ollama``, ``hub`` or ``vllm``."""
        found = {"ollama": self._ollama, "hub": self._hub, "vllm": self._vllm}[layout]
        with explained(f"read {folder}"):
            for model in found(folder):
                noted = [known for known in self.models if (known.layout, known.folder, known.name) == (layout, folder, model.name)]
                model.managed = bool(noted)
                self.models = [known for known in self.models if known not in noted] + [model]

    def _ollama(self, folder: str) -> Iterator[Model]:
        tree = OllamaTree(folder)
        for path in sorted(tree.manifests.glob("*/*/*/*")):
            model = Model("ollama", folder, "/".join(path.relative_to(tree.manifests).parts).lower())
            try:
                digests = digests_of(read_json(read_some(path, LARGEST_MANIFEST)))
            except (OSError, ValueError):
                continue
            for digest in sorted(digests):
                self._take(model, digest, tree.blob_path(digest))
            yield model

    def _hub(self, folder: str) -> Iterator[Model]:
        for path in sorted(Path(folder).glob("models--*--*")):
            cache = HubCache(folder, path.name[len("models--") :].replace("--", "/"))
            for commit in filter(COMMIT.fullmatch, cache.commits):
                model = Model("hub", folder, f"{cache.repo}@{commit}")
                for name, etag in sorted(cache.links(commit).items()):
                    blob = cache.blob_path(etag) if etag else cache.snapshot_path(commit) / name
                    content = self._content(name, blob, Digest(etag) if DIGEST.fullmatch(etag) else None)
                    model.files += [content] if content else []
                yield model

    def _vllm(self, folder: str) -> Iterator[Model]:
        # A folder that is not there holds nothing.
        with unless_gone():
            for path in sorted(Path(folder).iterdir()):
                if path.is_dir() and not path.name.startswith("."):
                    with unless_gone():
                        contents = [self._content(file.name, file) for file in sorted(path.iterdir())]
                        yield Model("vllm", folder, path.name, [content for content in contents if content])

    def verify(self) -> None:
        """Read every blob of the store, and remember what is sound and forget what is not."""
        for digest, status in self.stored.items():
            with unless_gone():
                self.store.holds(digest, status.st_size, verify=True)

    def remember(self) -> None:
        """Keep what ``verify`` has found for later runs, which then replace what is damaged."""
        if not self.stored:
            # To lock a store would make one.
            return
        with self.store.locked():
            self.store.forget_damaged()
            for path in map(self.store.blob_path, self.stored):
                if path.is_file():
                    self.store.write_stamp(str(path))

    def describe(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        users: dict[Inode, list[str]] = {}
        for model in self.models:
            for inode in {file.inode for file in model.files}:
                users.setdefault(inode, []).append(model.label)
        garbage = plan_collect(self.store, min_age=0)
        unused = [(digest, False) for digest in garbage.blobs] + [(digest, True) for digest in garbage.linked]
        return {
            "models": [self._describe_model(model, users) for model in sorted(self.models, key=lambda model: model.label)],
            "stored": {"blobs": len(self.stored), "bytes": sum(status.st_size for status in self.stored.values())},
            "unused": [
                {"digest": f"sha256:{digest}", "size": self.stored[digest].st_size, "linked_elsewhere": linked}
                for digest, linked in unused
                if digest in self.stored
            ],
            "unused_bytes": garbage.blob_size,
            "partial": _describe_partials(partial_folder(self.store)),
            "damaged": self.store.damage,
        }

    def _describe_model(self, model: Model, users: dict[Inode, list[str]]) -> dict[str, Any]:
        return {
            "layout": model.layout,
            "folder": model.folder,
            "name": model.name,
            "managed": model.managed,
            "size": sum({file.inode: file.size for file in model.files}.values()),
            "files": [
                {
                    "name": file.name,
                    "digest": f"sha256:{file.digest}" if file.digest else "",
                    "size": file.size,
                    "verified": self._verified(file),
                    "shared_with": sorted(user for user in users[file.inode] if user != model.label),
                }
                for file in model.files
            ],
            "missing": [f"sha256:{digest}" for digest in model.missing],
        }

    def _verified(self, file: Content) -> str:
        """Return when all of a file was last read and found to be right; nothing where that is unknown."""
        key = str(self.store.blob_path(file.digest)) if file.digest and file.inode in self._digests else str(file.path)
        with unless_gone():
            memory = self.store.stamps.recall(key, Stamp.of(key)) if Path(key).is_file() else None
            if memory and memory.verified_at and memory.digest == file.digest:
                return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(memory.verified_at))
        return ""


def _describe_partials(folder: Path) -> list[dict[str, Any]]:
    found = []
    with explained(f"read {folder}"):
        for path in sorted(folder.glob("*.data")):
            with unless_gone():
                found.append(_describe_partial(path))
    return found


def _describe_partial(path: Path) -> dict[str, Any]:
    status = path.stat()
    pieces = read_journal(path.with_suffix(".journal")).pieces
    return {
        "blob": path.stem,
        "size": status.st_size,
        "arrived": sum(piece.size for piece in pieces.values()),
        "disk": status.st_blocks * 512,
        "changed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(status.st_mtime)),
    }
