# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for a mirror's tree to offer, or not to offer, a model; then does exactly that.

``plan_hub`` and ``plan_ollama`` write nothing. Check mode, the diff and the real run all come from the plan they return. The blobs
themselves are brought into the store before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_release import Release
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree import COMMIT, PARTS, HubFolder, manifest_path
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_store import LARGEST_MANIFEST, describe_manifest, read_some
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import ModelName
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import make_folders, write_file

LAYOUT = "mirror"
# Blobs that a run is about to publish: no other run may take them for unused. A run that failed leaves them to the next one.
ARRIVING = "mirror-arriving"


@dataclass(frozen=True)
class HubPlace:
    """A revision of a repository, by which a mirror's keeper knows what is published; ``branch`` is the name that clients use for it."""

    repo: str
    revision: str
    branch: str = ""

    @property
    def shown(self) -> str:
        """Return what clients ask for."""
        return self.repo

    @property
    def note(self) -> tuple[str, str]:
        """Return how the store knows this use of its blobs."""
        return (LAYOUT, f"hf:{self.repo}@{self.revision}")

    def names(self, commit: str) -> list[str]:
        """Return what shall lead to a commit."""
        asked = [self.branch, "" if self.revision == commit else self.revision]
        return list(dict.fromkeys(name for name in asked if name))


@dataclass(frozen=True)
class OllamaPlace:
    """A name of a model of Ollama on the mirror."""

    name: ModelName

    @property
    def shown(self) -> str:
        """Return what clients ask for."""
        return str(self.name)

    @property
    def note(self) -> tuple[str, str]:
        """Return how the store knows this use of its blobs."""
        return (LAYOUT, f"ollama:{self.name.namespace}/{self.name.model}:{self.name.tag}")


@dataclass
class Plan:
    """What is, what shall be, and the steps between."""

    store: Store
    place: HubPlace | OllamaPlace
    header: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    # The steps for a repository, in their order.
    folder: HubFolder | None = None
    leftovers: bool = False
    parts: list[tuple[Release, str]] = field(default_factory=list)
    point: dict[str, str] = field(default_factory=dict)
    forget: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    # The step for a manifest of Ollama: its bytes, or nothing where it is to go.
    manifest: bytes | None = None
    is_manifest_due: bool = False
    # What the store is told, and what nothing uses any more.
    noted: frozenset[Digest] | None = None
    free: list[Digest] = field(default_factory=list)
    # The note of a branch that this publication takes over: one name cannot lead to two commits.
    taken_over: tuple[str, str] | None = None
    # Whether what a run that failed has fetched goes too.
    is_given_up: bool = False

    @property
    def changed(self) -> bool:
        """Tell whether anything would be done."""
        return bool(self.actions)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        said: list[str] = []
        if self.folder:
            path = self.folder.path
            said += [f"remove {self.folder.temp}"] if self.leftovers else []
            said += [f"write {self.folder.part(part, release.commit)}" for release, part in self.parts]
            said += [f"let {name} be {target} in {path}" for name, target in self.point.items()]
            said += [f"forget {name} in {path}" for name in self.forget]
            said += [f"remove {gone} from {path}" for gone in self.gone]
        if self.is_manifest_due:
            said.append(f"{'write' if self.manifest is not None else 'remove'} {self.header}")
        said += [f"remove {self.store.blob_path(digest)}" for digest in self.free]
        if self.noted is not None:
            said.append(f"{'note' if self.noted else 'forget'} in the store which blobs {self.place.note[1]} uses")
        if self.taken_over:
            said.append(f"forget in the store which blobs {self.taken_over[1]} uses")
        if self.is_given_up:
            said.append(f"forget in the store what was fetched for {self.place.note[1]}")
        return said

    def diff(self) -> dict[str, str]:
        """Return the difference as Ansible shows it; both sides are equal where nothing changes."""
        before, after = (
            json.dumps(side, indent=2, sort_keys=True, ensure_ascii=False) + "\n" if side else "" for side in (self.before, self.after)
        )
        return {"before_header": self.header, "after_header": self.header, "before": before, "after": after}

    def apply(self) -> None:
        """Do it: the files and lists of a commit, names, then what is no longer used. Call it under the lock of the store."""
        note = self.place.note
        if self.noted is not None:
            # Until the end the model uses both what it had and what it gets.
            self.store.set_ref(*note, self.noted | self.store.ref(*note))
        with explained(f"write {self.store.root}"):
            self._write_hub()
            self._write_manifest()
        self.store.remove(self.free)
        if self.noted is not None:
            self.store.set_ref(*note, self.noted)
        if self.taken_over:
            self.store.set_ref(*self.taken_over, ())
        if self.is_given_up:
            self.store.set_ref(ARRIVING, note[1], ())

    def _write_hub(self) -> None:
        folder = self.folder
        if not folder:
            return
        folder.clear_temp()
        for release, part in self.parts:
            folder.write(release, part)
        for name, commit in self.point.items():
            folder.point(name, commit)
        for name in self.forget:
            folder.forget(name)
        for commit in self.gone:
            folder.remove(commit)
        folder.clear_temp()
        folder.tidy()

    def _write_manifest(self) -> None:
        if not self.is_manifest_due:
            return
        path = Path(self.header)
        if self.manifest is not None:
            make_folders(path.parent)
            write_file(path, self.manifest, self.store.temp)
            return
        path.unlink(missing_ok=True)
        for empty in list(path.parents)[:3]:
            if any(empty.iterdir()):
                break
            empty.rmdir()


def plan_hub(
    place: HubPlace, store: Store, releases: Sequence[Release], digests: Collection[Digest] = (), missing: Sequence[str] = ()
) -> Plan:
    """Decide what to do for a release to be there under its names, or for the revision to be gone (no release).

    A second release is the real commit of a first one in which files are left out. ``digests`` are those of the files, as far as they are
    known, and ``missing`` the etags of files that are yet to be fetched.
    """
    folder = HubFolder(str(store.root), place.repo)
    folder.refuse_links()
    plan = Plan(store, place, str(folder.path), folder=folder, leftovers=folder.leftovers)
    if releases and place.branch not in ("", place.revision):
        branch = HubPlace(place.repo, place.branch).note
        plan.taken_over = branch if store.ref(*branch) else None
    is_noted = bool(store.ref(*place.note))
    _note(plan, digests, leaves=not releases)
    names, others = folder.names, _revisions(store, place) - ({place.branch} if plan.taken_over else set())
    # A branch that is withdrawn, but that another publication goes by, stays that one's.
    leads = {name: commit for name, commit in names.items() if name != place.revision or not (releases or is_noted)}
    # Where another name leads to the real commit it is there as a whole, and tells that itself.
    whole = {leads.get(revision, revision) for revision in others} & {release.commit for release in releases[1:]}
    releases = [release for release in releases if release.commit not in whole]
    for release in releases[:1]:
        leads.update((name, release.commit) for name in place.names(release.commit) if name not in whole)
        leads.pop(release.commit, None)
    held = {leads.get(revision, revision) for revision in others} | {release.commit for release in releases}
    held |= {revision for revision in others if COMMIT.fullmatch(revision)}
    held |= {commit for commit in folder.commits if folder.origin(commit) in others}
    leads = {name: commit for name, commit in leads.items() if commit in held}
    plan.parts = _parts(folder, releases)
    plan.gone = sorted(folder.commits - held)
    plan.point = {name: commit for name, commit in leads.items() if names.get(name) != commit}
    plan.forget = sorted(set(names) - set(leads) - {release.commit for release in releases[:1]} - whole)
    _describe_hub(plan, releases, missing, leads)
    return plan


def _revisions(store: Store, place: HubPlace) -> set[str]:
    """Return the other revisions of the repository that are published."""
    prefix = HubPlace(place.repo, "").note[1]
    noted = {name[len(prefix) :] for layout, name in store.refs() if layout == LAYOUT and name.startswith(prefix)}
    return noted - {place.revision}


def _parts(folder: HubFolder, releases: Sequence[Release]) -> list[tuple[Release, str]]:
    found = [(release, folder.holds(release)) for release in releases]
    # What the Hub tells of the real commit would lead to files that are not there.
    return [(release, part) for release, there in found for part in (PARTS if release.served is None else PARTS[:2]) if part not in there]


def _describe_hub(plan: Plan, releases: Sequence[Release], missing: Sequence[str], leads: Mapping[str, str]) -> None:
    folder = plan.folder
    if not folder:
        return
    commits = sorted({*plan.gone, *(release.commit for release in releases)} & folder.commits)
    plan.before = folder.describe(commits)
    held = {commit: files for commit, files in plan.before.get("commits", {}).items() if commit not in plan.gone}
    held.update({release.commit: dict(release.files) for release in releases})
    plan.after = {**({"names": dict(sorted(leads.items()))} if leads else {}), **({"commits": held} if held else {})}
    _show(plan, "damaged parts", [str(folder.part(part, release.commit)) for release, part in plan.parts if release.commit in commits], [])
    _show(plan, "missing blobs", sorted(missing), [])
    _show(plan, "removed from the store", [f"sha256:{digest}" for digest in plan.free], [])
    _show(plan, "leftovers", plan.leftovers, False)
    _show(plan, "unfinished", plan.is_given_up, False)


def plan_ollama(
    place: OllamaPlace, store: Store, manifest: bytes | None, digests: Collection[Digest] = (), missing: Sequence[str] = ()
) -> Plan:
    """Decide what to do for a manifest to be there under the name, or for the name to be gone (no manifest)."""
    path = manifest_path(str(store.root), place.name)
    plan = Plan(store, place, str(path), manifest=manifest)
    present = _read_manifest(path)
    plan.is_manifest_due = present != manifest
    _note(plan, digests, leaves=manifest is None)
    plan.before = describe_manifest(present, lambda _digest: None) if present is not None else {}
    plan.after = describe_manifest(manifest, lambda _digest: None) if manifest is not None else {}
    _show(plan, "missing blobs", sorted(missing), [])
    _show(plan, "removed from the store", [f"sha256:{digest}" for digest in plan.free], [])
    _show(plan, "unfinished", plan.is_given_up, False)
    return plan


def _read_manifest(path: Path) -> bytes | None:
    with explained(f"read {path}"):
        try:
            return read_some(path, LARGEST_MANIFEST)
        except (FileNotFoundError, NotADirectoryError):
            return None


def _note(plan: Plan, digests: Collection[Digest], *, leaves: bool) -> None:
    store, note = plan.store, plan.place.note
    noted, used, arriving = store.ref(*note), frozenset(digests), (ARRIVING, note[1])
    plan.noted = used if used != noted else None
    # What arrives for a model that is to be there is needed.
    unfinished = store.ref(*arriving) if leaves else frozenset()
    plan.is_given_up = bool(unfinished)
    over = plan.taken_over or note
    plan.free = store.unused(noted | unfinished, note, arriving) if leaves else store.unused((noted | store.ref(*over)) - used, note, over)


def _show(plan: Plan, what: str, before: Any, after: Any) -> None:
    """Add what the tree does not tell to the diff; nothing where there is nothing."""
    if before != after:
        plan.before.update({what: before} if before else {})
        plan.after.update({what: after} if after else {})
