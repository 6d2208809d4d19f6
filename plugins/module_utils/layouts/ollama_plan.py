# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for Ollama to have, or not to have, a model; then does exactly that.

``plan_model`` writes nothing. Check mode, the diff and the real run all come from the plan it returns.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.gguf import read_gguf
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import Settings
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_store import (
    Image,
    Layer,
    OllamaTree,
    describe_image,
    digests_of_manifest,
    image_of,
    owner_of,
)
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, ModelName, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources import source_of
from ansible_collections.onprem.llm.plugins.module_utils.sources.file import FileSource, SourceBlob
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import (
    Need,
    Store,
    check_space,
    copy_hashed,
    same_mount,
    settle,
    sync_folder,
    write_file,
    wrong_digest,
)

LAYOUT = "ollama"


@dataclass(frozen=True)
class Request:
    """A model that Ollama shall have (with a source) or not have (without)."""

    name: ModelName
    models_dir: str
    source: SourceRef | None = None
    pinned: Digest | None = None
    settings: Settings = field(default_factory=Settings)
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
    own: list[Path] = field(default_factory=list)
    drop: list[Digest] = field(default_factory=list)
    free: list[Digest] = field(default_factory=list)
    ref: bool = False

    @property
    def changed(self) -> bool:
        """Tell whether anything would be done."""
        return bool(self.actions)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        name, verb = self.request.name, "write" if self.image else "remove"
        said = [f"{self.ingest} {self.blob.path} into the store"] if self.blob and self.ingest else []
        said += [f"make {folder}" for folder in self.folders]
        said += [f"lay out {self.tree.blob_path(layer.digest)}" for layer in self.lay]
        said += [f"{verb} the manifest of {name}"] if self.manifest else []
        said += [f"change the owner of {path}" for path in self.own]
        said += [f"remove {self.tree.blob_path(digest)}" for digest in self.drop]
        said += [f"remove {self.store.blob_path(digest)}" for digest in self.free]
        said += [f"{'note' if self.image else 'forget'} in the store that {name} uses its blob"] if self.ref else []
        return said

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.store.stamps.is_written(key) for key in self._keys())

    def _keys(self) -> list[str]:
        if not self.blob or not self.image:
            return []
        weights = self.image.weights.digest
        return [self.blob.path, str(self.store.blob_path(weights)), str(self.tree.blob_path(weights))]

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
        for digest in self.drop:
            with explained(f"remove {self.tree.blob_path(digest)}"):
                self.tree.blob_path(digest).unlink(missing_ok=True)
                self.tree.metadata_path(digest).unlink(missing_ok=True)
        self.store.remove(self.free)
        if self.ref:
            # Last, for until then it tells the next run what this one may have left undone.
            self.store.set_ref(*self.request.ref, self._used())
        for key in self._keys():
            self.store.write_stamp(key)

    def _used(self) -> list[Digest]:
        return [self.image.weights.digest] if self.image else []

    def _take_in(self, blob: SourceBlob) -> None:
        if not self.source or not blob.digest:
            raise ModelError(f"{blob.path} was not read before it was to be stored: this is a defect, please report it.")
        if self.ingest != "link" or not self.store.link(blob.path, blob.digest, blob.stamp):
            self.bytes_copied += self.store.copy(self.source.open(blob), blob.path, blob.digest)
            self.store.stamps.hold(blob.path, blob.memory(blob.digest))

    def _lay_out(self, image: Image) -> None:
        if self.ref:
            # Until the end the name uses both what it had and what it gets.
            self.store.set_ref(*self.request.ref, {*self.store.ref(*self.request.ref), *self._used()})
        with explained(f"write {self.tree.root}"):
            for folder in self.folders:
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
                os.chown(folder, *self.request.owner)
            for path in self.own:
                os.chown(path, *self.request.owner)
        if self.lay or self.manifest:
            self._write_files(image)

    def _write_files(self, image: Image) -> None:
        temp, path = self.tree.temp, self.tree.manifest_path(self.request.name)
        with explained(f"write {self.tree.root}"):
            temp.mkdir(mode=0o700, exist_ok=True)
            for leftover in temp.iterdir():
                leftover.unlink()
            for layer in self.lay:
                self._lay_blob(layer)
            if self.manifest:
                write_file(path, image.manifest(), temp, owner=self.request.owner)
            # Ollama, had it started in between, might have pruned a blob that no manifest named yet.
            for layer in image.blobs.values():
                if not self.tree.blob_path(layer.digest).exists():
                    self._lay_blob(layer)
            temp.rmdir()

    def _lay_blob(self, layer: Layer) -> None:
        path, temp = self.tree.blob_path(layer.digest), self.tree.temp / f"blob-{os.getpid()}"
        stored = self.store.blob_path(layer.digest)
        if layer.data is not None:
            write_file(path, layer.data, self.tree.temp, owner=self.request.owner)
        elif same_mount(str(stored), str(self.tree.blobs)):
            os.link(stored, temp)
            settle(temp, path)
        else:
            self.bytes_copied += copy_hashed(stored.open("rb"), str(stored), layer.digest, temp)
            os.chown(temp, *self.request.owner)
            settle(temp, path)
            self.store.stamps.hold(str(path), Memory(Stamp.of(str(path)), layer.digest, {}))

    def _remove_name(self) -> None:
        path = self.tree.manifest_path(self.request.name)
        with explained(f"remove {path}"):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
            for folder in list(path.parents)[:3]:
                if any(folder.iterdir()):
                    break
                folder.rmdir()


def plan_model(request: Request, store: Store, *, check: bool = False) -> Plan:
    """Decide. ``check`` says that the plan will only be shown, so that all must be known now, even at a price."""
    plan = Plan(request, store, OllamaTree(request.models_dir))
    plan.tree.refuse_other_spelling(request.name)
    present = plan.tree.read_manifest(request.name)
    plan.before = plan.tree.describe(present)
    if request.source:
        _plan_blob(plan, request.source, check)
        _plan_layout(plan, present)
    else:
        plan.manifest = present is not None
    _plan_removal(plan, present)
    return plan


def _plan_blob(plan: Plan, ref: SourceRef, check: bool) -> None:
    request, store = plan.request, plan.store
    source = source_of(ref, store.stamps)
    if request.pinned and not source.is_there:
        blob = _stored_blob(store, request.pinned)
        if blob:
            # The medium may be gone: the digest says that it is not needed any more.
            plan.blob, plan.image = blob, image_of(blob.gguf, request.pinned, blob.size, request.settings)
            return
    blob = source.manifest()
    if blob.digest is None:
        # A copy is hashed while it is written, so a pinned file need not be read twice.
        later = request.pinned and not check and not store.can_link(blob.path) and not store.holds(request.pinned, blob.size)
        blob = replace(blob, digest=request.pinned) if later else source.hashed(blob)
    digest = blob.digest or Digest("")
    if request.pinned and digest != request.pinned:
        raise wrong_digest(blob.path, request.pinned, digest)
    if not store.holds(digest, blob.size):
        plan.ingest = "link" if store.can_link(blob.path) else "copy"
    plan.source, plan.blob, plan.image = source, blob, image_of(blob.gguf, digest, blob.size, request.settings)
    if not (blob.gguf.chat_template or request.settings.template or "renderer" in describe_image(plan.image)["config"]):
        plan.warnings.append(f"{blob.path} has no chat template and none was given, so chats may be poor: set template.")


def _stored_blob(store: Store, digest: Digest) -> SourceBlob | None:
    path = store.blob_path(digest)
    if not path.is_file() or not store.holds(digest, path.stat().st_size):
        return None
    stamp = Stamp.of(str(path))
    return SourceBlob(str(path), stamp.size, stamp, read_gguf(str(path)), digest)


def _plan_layout(plan: Plan, present: bytes | None) -> None:
    if not plan.image or not plan.blob:
        return
    request, tree, image = plan.request, plan.tree, plan.image
    plan.folders = [folder for folder in tree.folders(request.name) if not folder.is_dir()]
    plan.lay = [layer for layer in image.blobs.values() if not _is_laid_out(plan, layer)]
    plan.manifest = present != image.manifest()
    plan.ref = plan.store.ref(*request.ref) != frozenset([image.weights.digest])
    made = [tree.blob_path(layer.digest) for layer in image.blobs.values() if layer.data is not None and layer not in plan.lay]
    made += [] if plan.manifest else [tree.manifest_path(request.name)]
    plan.own = [path for path in [*tree.folders(request.name)[1:], *made] if path.exists() and not _is_owned(path, request.owner)]

    plan.after = describe_image(image)
    crossing = image.weights in plan.lay and not same_mount(plan.store.root.as_posix(), tree.blobs.as_posix())
    weights = image.weights
    needs = [Need(str(plan.store.root), weights.size if plan.ingest == "copy" else 0, f"store {weights.digest}")]
    needs += [Need(str(tree.root), weights.size if crossing else 0, f"models {weights.digest}")]
    plan.bytes_copied = sum(need.size for need in needs)
    plan.needs = [*needs, Need(str(tree.root), sum(layer.size for layer in plan.lay if layer.data is not None))]
    check_space(plan.needs)
    if present is None:
        return
    _show(plan, "missing blobs", [f"sha256:{layer.digest}" for layer in plan.lay], [])
    _show(plan, "missing in the store", [f"sha256:{image.weights.digest}"] if plan.ingest else [], [])
    _show(plan, "owners", {str(path): list(owner_of(path)) for path in plan.own}, {str(path): list(request.owner) for path in plan.own})


def _show(plan: Plan, what: str, before: Any, after: Any) -> None:
    """Add what a manifest does not tell to the diff; nothing where there is nothing."""
    plan.before.update({what: before} if before else {})
    plan.after.update({what: after} if after else {})


def _is_laid_out(plan: Plan, layer: Layer) -> bool:
    path, stored = plan.tree.blob_path(layer.digest), plan.store.blob_path(layer.digest)
    if not path.is_file() or path.stat().st_size != layer.size:
        return False
    if layer.data is not None:
        with explained(f"read {path}"):
            return path.read_bytes() == layer.data
    if plan.ingest:
        return False
    if same_mount(str(stored), str(path)):
        return path.samefile(stored)
    return plan.store.is_sound(path, layer.digest, layer.size)


def _is_owned(path: Path, owner: tuple[int, int]) -> bool:
    return all(wanted in {-1, found} for wanted, found in zip(owner, owner_of(path)))


def _plan_removal(plan: Plan, present: bytes | None) -> None:
    request, store, tree = plan.request, plan.store, plan.tree
    noted = store.ref(*request.ref)
    kept: Iterable[Digest] = plan.image.blobs if plan.image else ()
    plan.ref = plan.ref or (not plan.image and bool(noted))
    candidates = (noted | digests_of_manifest(present)) - set(kept)
    if not candidates:
        return
    others, unreadable = tree.used_by_others(request.name)
    if unreadable:
        plan.warnings.append(
            f"No blob was removed from {tree.root}, for it is unknown which ones {', '.join(unreadable)} needs: repair or remove it."
        )
    else:
        plan.drop = sorted(digest for digest in candidates - others if tree.blob_path(digest).exists())
    plan.free = store.unused(noted - set(kept), without=request.ref)
    _show(plan, "removed blobs", [f"sha256:{digest}" for digest in plan.drop], [])
    _show(plan, "removed from the store", [f"sha256:{digest}" for digest in plan.free], [])
