# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done for Ollama to have, or not to have, a model, and the doing of it: see ``ollama_plan.py`` for how that is decided."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import Settings
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_store import Image, Layer, OllamaTree
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.ollama_server import unload
from ansible_collections.onprem.llm.plugins.module_utils.refs import ModelName, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.file import FileSource, SourceBlob
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import (
    copy_hashed,
    give,
    held,
    make_folders,
    remove_all,
    same_mount,
    settle,
    sync_folder,
    unless_gone,
    write_file,
)
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need
from ansible_collections.onprem.llm.plugins.module_utils.upstream import Asking, Upstream, write_origin

LAYOUT = "ollama"


@dataclass(frozen=True)
class Request:
    """A model that Ollama shall have (with a source) or not have (without)."""

    name: ModelName
    models_dir: str
    source: SourceRef | None = None
    pinned: Digest | None = None
    settings: Settings = field(default_factory=Settings)
    asking: Asking = field(default_factory=Asking)
    # The address of a server that may have an old copy in memory; empty: none is told.
    url: str = ""
    # Who owns the folders and small files that are made; -1: whoever runs this.
    owner: tuple[int, int] = (-1, -1)

    @property
    def ref(self) -> tuple[str, str]:
        """Return how the store knows this use of a model."""
        return (LAYOUT, f"{self.models_dir}\n{self.name.key}")


@dataclass
class Plan:
    """What is, what shall be, and the steps between."""

    request: Request
    store: Store
    tree: OllamaTree
    source: FileSource | None = None
    blob: SourceBlob | None = None
    upstream: Upstream | None = None
    # None where it is to be gone, and where it depends on a file that is yet to be fetched.
    image: Image | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    bytes_copied: int = 0
    needs: list[Need] = field(default_factory=list)
    # The steps.
    ingest: str = ""
    folders: list[Path] = field(default_factory=list)
    lay: list[Layer] = field(default_factory=list)
    manifest: bool = False
    # What a run that broke off has left goes with a model that is to be gone; one that is to be there clears it as it writes.
    sweep: bool = False
    unload: bool = False
    own: list[Path] = field(default_factory=list)
    drop: list[Digest] = field(default_factory=list)
    free: list[Digest] = field(default_factory=list)
    ref: bool = False
    origin: bool = False

    @property
    def use(self) -> tuple[str, str]:
        """Return how the store knows the model."""
        return self.request.ref

    @property
    def present(self) -> bool:
        """Tell whether the model shall be there."""
        return self.request.source is not None

    @property
    def changed(self) -> bool:
        """Tell whether anything would be done."""
        return bool(self.actions)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        name, verb = self.request.name, "write" if self.present else "remove"
        said = list(self.upstream.pull.actions) if self.upstream else []
        said += [f"{self.ingest} {self.blob.path} into the store"] if self.blob and self.ingest else []
        said += [f"make {folder}" for folder in self.folders]
        said += [f"lay out {self.tree.blob_path(layer.digest)}" for layer in self.lay]
        said += [f"tell {self.request.url} to unload {name}"] if self.unload else []
        said += [f"{verb} the manifest of {name}"] if self.manifest else []
        said += [f"remove {self.tree.temp}"] if self.sweep else []
        said += [f"change the owner of {path}" for path in self.own]
        said += [f"remove {self.tree.blob_path(digest)}" for digest in self.drop]
        said += [f"remove {self.store.blob_path(digest)}" for digest in self.free]
        said += [f"{'note' if self.present else 'forget'} in the store that {name} uses its blobs"] if self.ref else []
        said += [f"{'note' if self.upstream else 'forget'} in the store where {name} comes from"] if self.origin else []
        return said

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.store.stamps.is_written(key) for key in self._keys())

    def _keys(self) -> list[str]:
        stored = [layer.digest for layer in self.image.stored] if self.image else []
        read = [self.blob.path] if self.blob else []
        return read + [str(place.blob_path(digest)) for digest in stored for place in (self.store, self.tree)]

    def diff(self) -> dict[str, str]:
        """Return the difference as Ansible shows it; both sides are equal where nothing changes."""
        before, after = (
            json.dumps(side, indent=2, sort_keys=True, ensure_ascii=False) + "\n" if side else "" for side in (self.before, self.after)
        )
        header = str(self.tree.manifest_path(self.request.name))
        return {"before_header": header, "after_header": header, "before": before, "after": after}

    def apply(self) -> None:
        """Do it: the store first, then blobs, then the name; what is no longer used goes last."""
        self.bytes_copied = 0
        if self.blob and self.ingest:
            self._take_in(self.blob)
        if self.image:
            self._lay_out(self.image)
        elif self.manifest:
            self._remove_name()
        if self.sweep:
            self._sweep()
        for digest in self.drop:
            for path in (self.tree.blob_path(digest), self.tree.metadata_path(digest)):
                with explained(f"remove {path}"), unless_gone(), held(path.parent, self.tree.root) as folder:
                    (folder / path.name).unlink()
        self.store.remove(self.free)
        if self.ref:
            # Last, for until then it tells the next run what this one may have left undone.
            self.store.set_ref(*self.request.ref, self.used)
        if self.origin:
            write_origin(self.store, self.request.ref, self.upstream.record if self.upstream else None)
        for key in self._keys():
            self.store.write_stamp(key)

    @property
    def used(self) -> list[Digest]:
        """Return the blobs of the store that the name is to use, as far as they are known; upstream's even where own ones replace them."""
        stored = [layer.digest for layer in self.image.stored] if self.image else []
        return sorted({*stored, *(self.upstream.digests if self.upstream else ())})

    def _take_in(self, blob: SourceBlob) -> None:
        if not self.source or not blob.digest:
            raise ModelError(f"{blob.path} was not read before it was to be stored: this is a defect, please report it.")
        if self.ingest != "link" or not self.store.link(blob.path, blob.digest, blob.stamp):
            self.bytes_copied += self.store.copy(self.source.open(blob), blob.path, blob.digest)
            self.store.stamps.hold(blob.path, blob.memory(blob.digest))

    def _lay_out(self, image: Image) -> None:
        if self.ref:
            # Until the end the name uses both what it had and what it gets.
            self.store.set_ref(*self.request.ref, {*self.store.ref(*self.request.ref), *self.used})
        with explained(f"write {self.tree.root}"):
            self._make_folders()
            for path in self.own:
                give(path, self.tree.root, self.request.owner)
        if self.lay or self.manifest:
            self._write_files(image)

    def _make_folders(self) -> None:
        root, owner = self.tree.root, self.request.owner
        for folder in self.folders:
            if folder == root:
                make_folders(root.parent)
                make_folders(root, owner=owner)
            else:
                with held(folder.parent, root) as above:
                    make_folders(above / folder.name, owner=owner)

    def _write_files(self, image: Image) -> None:
        root, path = self.tree.root, self.tree.manifest_path(self.request.name)
        with explained(f"write {root}"):
            self.tree.temp.mkdir(mode=0o700, exist_ok=True)
            with held(self.tree.temp, root) as temp, held(self.tree.blobs, root) as blobs, held(path.parent, root) as manifests:
                self._clear(temp)
                for layer in self.lay:
                    self._lay_blob(layer, blobs, temp)
                self._unload()
                if self.manifest:
                    write_file(manifests / path.name, image.manifest(), temp, owner=self.request.owner)
                # Ollama, had it started in between, might have pruned a blob that no manifest named yet.
                for layer in image.blobs.values():
                    if not self.tree.blob_path(layer.digest).exists():
                        self._lay_blob(layer, blobs, temp)
            self.tree.temp.rmdir()

    def _clear(self, temp: Path) -> None:
        """Let the folder of unfinished files be ours alone, and empty."""
        os.chown(temp, os.geteuid(), -1)
        temp.chmod(0o700)
        for leftover in temp.iterdir():
            remove_all(leftover)

    def _sweep(self) -> None:
        with explained(f"remove {self.tree.temp}"), unless_gone():
            with held(self.tree.temp, self.tree.root) as temp:
                self._clear(temp)
            self.tree.temp.rmdir()

    def _unload(self) -> None:
        """Free the memory of what is replaced: once the name means other weights, the server cannot be told any more."""
        if self.unload and not unload(self.request.url, self.request.name):
            self.warnings.append(f"{self.request.url} did not unload {self.request.name}: the old copy stays in memory until it is idle.")

    def _lay_blob(self, layer: Layer, blobs: Path, temps: Path) -> None:
        """Lay out a blob; ``blobs`` and ``temps`` lead to the folders whatever they are called by now."""
        path, temp = blobs / self.tree.blob_path(layer.digest).name, temps / f"blob-{os.getpid()}"
        stored = self.store.blob_path(layer.digest)
        if layer.data is not None:
            write_file(path, layer.data, temps, owner=self.request.owner)
        elif same_mount(str(stored), str(self.tree.blobs)):
            os.link(stored, temp)
            settle(temp, path)
        else:
            self.bytes_copied += copy_hashed(stored.open("rb"), str(stored), layer.digest, temp)
            os.chown(temp, *self.request.owner, follow_symlinks=False)
            settle(temp, path)
            self.store.stamps.hold(str(self.tree.blob_path(layer.digest)), Memory(Stamp.of(str(path)), layer.digest, {}))

    def _remove_name(self) -> None:
        path = self.tree.manifest_path(self.request.name)
        self._unload()
        with explained(f"remove {path}"):
            with held(path.parent, self.tree.root) as folder:
                (folder / path.name).unlink(missing_ok=True)
                sync_folder(folder)
            for folder in list(path.parents)[:3]:
                if any(folder.iterdir()):
                    break
                folder.rmdir()
