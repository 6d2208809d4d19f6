# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for a folder to hold, or not to hold, a model for vLLM; then does exactly that.

``plan_folder`` writes nothing. Check mode, the diff and the real run all come from the plan it returns.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.layouts.model_folder import ModelFolder, make_folder
from ansible_collections.onprem.llm.plugins.module_utils.layouts.model_folder_upstream import pulled_folder, wanted_files
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, FileName
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.folder import (
    SIDE_FILES,
    SUMS,
    Folder,
    FolderFile,
    FolderSource,
    read_folder,
    read_sums,
)
from ansible_collections.onprem.llm.plugins.module_utils.sources.local import folder_of
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import remove_all, same_mount, wrong_digest
from ansible_collections.onprem.llm.plugins.module_utils.store_intake import is_needed, telling_damage
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space, swept
from ansible_collections.onprem.llm.plugins.module_utils.upstream import Asking, Upstream, origin_changes, resolve, write_origin

LAYOUT = "vllm"


@dataclass(frozen=True)
class Request:
    """A folder that shall hold a model (with a source) or be gone (without)."""

    name: str
    models_dir: str
    source: SourceRef | None = None
    asking: Asking = field(default_factory=Asking)
    # The digest of the source's SHA256SUMS.
    pinned: Digest | None = None
    # Who owns the folders that are made; -1: whoever runs this.
    owner: tuple[int, int] = (-1, -1)

    @property
    def ref(self) -> tuple[str, str]:
        """Return how the store knows this use of a model."""
        return (LAYOUT, f"{self.models_dir}\n{self.name}")


@dataclass
class Plan:
    """What is, what shall be, and the steps between."""

    request: Request
    store: Store
    target: ModelFolder
    source: FolderSource | None = None
    upstream: Upstream | None = None
    # None where it is to be gone, and where its files are yet to be fetched.
    folder: Folder | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    bytes_copied: int = 0
    needs: list[Need] = field(default_factory=list)
    # The steps.
    ingest: list[tuple[str, FolderFile]] = field(default_factory=list)
    make: bool = False
    lay: str = ""
    own: bool = False
    leftovers: list[Path] = field(default_factory=list)
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
        path = self.target.path
        said = list(self.upstream.pull.actions) if self.upstream else []
        said += [f"{how} {file.path} into the store" for how, file in self.ingest]
        said += [f"make {self.target.above}"] if self.make else []
        said += [f"remove {leftover}" for leftover in self.leftovers]
        said += [f"{self.lay} {path}"] if self.lay else []
        said += [f"change the owner of {path}"] if self.own else []
        said += [f"remove {self.store.blob_path(digest)}" for digest in self.free]
        said += [f"{'note' if self.present else 'forget'} in the store that {path} uses its blobs"] if self.ref else []
        said += [f"{'note' if self.upstream else 'forget'} in the store where {path} comes from"] if self.origin else []
        return said

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.store.stamps.is_written(key) for key in self._keys())

    @property
    def digests(self) -> dict[str, Digest]:
        """Return what the folder shall hold: the digests by name."""
        return {file.name: file.digest for file in self.folder.files if file.digest} if self.folder else {}

    @property
    def used(self) -> set[Digest]:
        """Return the blobs of the store that the folder is to use, as far as they are known."""
        return set(self.digests.values()) or set(self.upstream.digests if self.upstream else ())

    def _keys(self) -> list[str]:
        if not self.folder:
            return []
        read = [file.path for file in (*self.folder.files, *self.folder.others)]
        stored = [str(self.store.blob_path(digest)) for digest in sorted(set(self.digests.values()))]
        return [*read, *stored, *(str(self.target.path / name) for name in self.digests)]

    def diff(self) -> dict[str, str]:
        """Return the difference as Ansible shows it; both sides are equal where nothing changes."""
        before, after = (json.dumps(side, indent=2, sort_keys=True) + "\n" if side else "" for side in (self.before, self.after))
        header = str(self.target.path)
        return {"before_header": header, "after_header": header, "before": before, "after": after}

    def apply(self) -> None:
        """Do it: the store first, then the folder; what is no longer used goes last."""
        self.bytes_copied = 0
        if self.ref:
            # Until the end the folder uses both what it had and what it gets.
            self.store.set_ref(*self.request.ref, {*self.store.ref(*self.request.ref), *self.digests.values()})
        for how, file in self.ingest:
            self._take_in(how, file)
        with explained(f"write {self.target.above}"):
            self._lay_out()
        self.store.remove(self.free)
        if self.ref:
            self.store.set_ref(*self.request.ref, set(self.digests.values()))
        if self.origin:
            write_origin(self.store, self.request.ref, self.upstream.record if self.upstream else None)
        for key in self._keys():
            self.store.write_stamp(key)

    def _take_in(self, how: str, file: FolderFile) -> None:
        if not self.source or not file.digest:
            raise ModelError(f"{file.path} was not read before it was to be stored: this is a defect, please report it.")
        if how != "link" or not self.store.link(file.path, file.digest, file.stamp):
            self.bytes_copied += self.store.copy(self.source.open(file), file.path, file.digest)
            self.store.stamps.hold(file.path, Memory(file.stamp, file.digest, {}))

    def _lay_out(self) -> None:
        if self.make:
            make_folder(self.target.above, self.request.owner)
        for path in self.leftovers:
            remove_all(path)
        if self.lay and self.folder:
            self.bytes_copied += self.target.replace(self.digests, self.store, self.request.owner)
        elif self.lay:
            self.target.remove()
        if self.own:
            os.chown(self.target.path, *self.request.owner, follow_symlinks=False)


def upstream_of(request: Request, store: Store) -> Upstream | None:
    """Ask upstream, where the source is one over the network and something must be asked."""
    if not isinstance(request.source, HubRef):
        return None
    return resolve(request.source, request.asking, store, request.ref, wanted_files)


def plan_folder(request: Request, store: Store, *, check: bool = False, upstream: Upstream | None = None) -> Plan:
    """Decide. ``check`` says that the plan will only be shown, so that all must be known now, even at a price.

    ``upstream`` is what ``upstream_of`` returned, where it was asked already.
    """
    plan = Plan(request, store, ModelFolder(request.models_dir, request.name))
    noted = store.ref(*request.ref)
    plan.before = plan.target.describe(noted, store)
    if isinstance(request.source, FileRef):
        _plan_files(plan, request.source, check)
    elif request.source:
        _plan_pull(plan, upstream or upstream_of(request, store))
    if request.source:
        _plan_layout(plan)
    elif plan.target.exists:
        plan.lay = "remove"
    plan.leftovers = plan.target.leftovers
    plan.ref = noted != plan.used or (plan.upstream is not None and plan.upstream.noted)
    plan.origin = origin_changes(store, request.ref, plan.upstream.record if plan.upstream else None)
    if not plan.present or plan.folder:
        # Before it was fetched it is not known what takes the place of what.
        plan.free = store.unused(noted - plan.used, request.ref)
    _show(plan, "leftovers", [str(path) for path in plan.leftovers], [])
    _show(plan, "removed from the store", [f"sha256:{digest}" for digest in plan.free], [])
    if not plan.lay:
        _show(plan, "noted in the store", sorted(noted), sorted(plan.used))
    return plan


def _plan_pull(plan: Plan, upstream: Upstream | None) -> None:
    if upstream is None:
        return
    plan.upstream = upstream
    plan.warnings += [upstream.warning] if upstream.warning else []
    if not upstream.pull.missing:
        digests = {name: digest for name, digest in upstream.pull.digests.items() if name in upstream.files}
        plan.folder = pulled_folder(str(upstream.manifest.ref), digests, plan.store)


def _plan_files(plan: Plan, ref: FileRef, check: bool) -> None:
    request, store = plan.request, plan.store
    source = folder_of(ref, store.stamps)
    # The medium may be gone: the digest says that it is not needed any more.
    folder = _stored_folder(store, request.pinned) if request.pinned and not source.is_there else None
    with telling_damage(store):
        folder = folder or source.manifest(request.pinned)
    files = [_known(plan, source, file, check) for file in folder.files]
    for file in (*files, *(source.hashed(other) for other in folder.others)):
        if file.expected and file.digest and file.digest != file.expected:
            raise wrong_digest(file.path, file.expected, file.digest)
    plan.source, plan.folder = source, replace(folder, files=tuple(files))
    missing = {file.digest: file for file in files if file.digest and is_needed(store, file.path, file.digest, file.stamp)}
    plan.ingest = [("link" if store.can_link(file.path) else "copy", file) for file in missing.values()]
    if plan.ingest and not folder.has_list:
        plan.warnings.append(
            f"{folder.path} has no {SUMS}, so its files are trusted as they are now, at first sight: "
            f"add a list that was made where the model comes from, to be told of damage."
        )


def _known(plan: Plan, source: FolderSource, file: FolderFile, check: bool) -> FolderFile:
    """Return the file with its digest. Weights that must be copied and are in the list are hashed on the way, not twice."""
    later = file.is_weights and not (file.digest or check or plan.store.can_link(file.path))
    if later and file.expected and not plan.store.holds(file.expected, file.size):
        return replace(file, digest=file.expected)
    return source.hashed(file)


def _stored_folder(store: Store, pinned: Digest) -> Folder | None:
    """Return the folder whose list has that digest from the store alone, if all of it is there."""
    listing = store.blob_path(pinned)
    if not _is_held(store, pinned):
        return None
    sums = read_sums(listing)
    held: dict[str, Path] = {name: store.blob_path(digest) for name, digest in sums.items() if _is_held(store, digest)}
    if any(SIDE_FILES.fullmatch(name) for name in sums if name not in held):
        return None
    try:
        return read_folder(str(listing), {SUMS: listing, **held}, pinned, store.stamps)
    except ModelError:
        # Not all of it is stored, so the folder itself is needed, and its absence is what there is to say.
        return None


def _is_held(store: Store, digest: Digest) -> bool:
    path = store.blob_path(digest)
    return path.is_file() and store.holds(digest, path.stat().st_size)


def _plan_layout(plan: Plan) -> None:
    request, store = plan.request, plan.store
    sizes = {file.name: file.size for file in (plan.folder.files if plan.folder else ())}
    if plan.upstream and not plan.folder:
        sizes = {FileName(blob.name): blob.size for blob in plan.upstream.record.blobs}
    plan.make = not plan.target.above.is_dir()
    arriving = plan.ingest or not plan.folder
    if arriving or not plan.target.holds({name: (plan.digests[name], size) for name, size in sizes.items()}, store):
        plan.lay = "replace" if plan.target.exists else "lay out"
    crossing = bool(plan.lay) and not same_mount(str(store.root), request.models_dir)
    copied = [
        Need(str(store.root), sum(file.size for how, file in plan.ingest if how == "copy")),
        Need(request.models_dir, sum(sizes.values()) if crossing else 0),
    ]
    plan.needs = [*copied, *(plan.upstream.pull.needs if plan.upstream else [])]
    if any(need.size for need in plan.needs):
        plan.needs += [*swept(store.root, [store.temp]), *swept(plan.target.path, plan.target.leftovers)]
    check_space(plan.needs)
    plan.bytes_copied = sum(need.size for need in copied)
    plan.after = {"files": {name: f"sha256:{plan.digests[name]}" if plan.folder else "yet to be fetched" for name in sizes}}
    if plan.before:
        _show(plan, "missing in the store", [f"sha256:{file.digest}" for _how, file in plan.ingest], [])
    if plan.target.exists and not plan.lay:
        status = plan.target.path.stat()
        found = (status.st_uid, status.st_gid)
        plan.own = any(wanted not in {-1, owner} for wanted, owner in zip(request.owner, found))
        _show(plan, "owner", list(found) if plan.own else [], list(request.owner) if plan.own else [])


def _show(plan: Plan, what: str, before: Any, after: Any) -> None:
    """Add what the files do not tell to the diff; nothing where there is nothing."""
    if before != after:
        plan.before.update({what: before} if before else {})
        plan.after.update({what: after} if after else {})
