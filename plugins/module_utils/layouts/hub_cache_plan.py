# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for a cache of ``huggingface_hub`` to hold, or not to hold, a repository; then does exactly that.

``plan_present`` and ``plan_absent`` write nothing. Check mode, the diff and the real run all come from the plan they return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache import HubCache, etag_of, tree_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_steps import COPIED, Plan, Request, Supply
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import same_mount
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need


def plan_present(request: Request, store: Store, supply: Supply) -> Plan:
    """Decide what to do for the wanted files of a commit to be there; files that are there already stay."""
    plan = _plan(request, store)
    cache, plan.commit = plan.cache, supply.manifest.revision
    plan.before = cache.describe(plan.commit, request.branch)
    plan.files = [blob for blob in supply.manifest.blobs if request.wanted(blob.name)]
    request.wanted.check(request.ref, bool(plan.files))
    there = cache.links(plan.commit)
    _plan_blobs(plan, supply)
    tree = tree_of(supply.manifest)
    plan.tree = {} if cache.has_tree(plan.commit, tree) else tree
    plan.link = {blob.name: etag_of(blob) for blob in plan.files if there.get(blob.name) != etag_of(blob)}
    plan.branch = request.branch if request.branch and cache.commit_of(request.branch) != plan.commit else ""
    digests = frozenset(supply.digests[blob.name] for blob in plan.files if blob.name in supply.digests)
    kept = frozenset(_ours(plan, store.ref(*request.note(plan.commit)), there).values())
    _note(plan, plan.commit, digests | kept)
    _plan_folders(plan)
    plan.after = {
        **({"branches": {request.branch: plan.commit}} if request.branch else {}),
        "commit": plan.commit,
        "files": {**plan.before.get("files", {}), **{blob.name: etag_of(blob) for blob in plan.files}},
    }
    _show(plan, "missing blobs", list(plan.lay) if plan.before else [], [])
    _show(plan, "list of files", "missing or different" if plan.tree and plan.before else "", "")
    owners = {str(path): [path.lstat().st_uid, path.lstat().st_gid] for path in plan.own}
    _show(plan, "owners", owners, {path: list(request.owner) for path in owners})
    if request.alone:
        _plan_removal(plan, [commit for commit in request.commits(store) if commit != plan.commit], lambda _name: True)
    return plan


def plan_absent(request: Request, store: Store) -> Plan:
    """Decide what to do for the revision to be gone, with all that nothing else uses; what other clients have put there stays."""
    plan = _plan(request, store)
    plan.commit = plan.cache.commit_of(request.branch) if request.branch else request.ref.revision
    plan.before = plan.cache.describe(plan.commit, request.branch)
    plan.after = dict(plan.before)
    others = [branch for branch in plan.cache.branches_of(plan.commit) if branch != request.branch] if plan.commit else []
    commits = request.commits(store) if request.alone else [plan.commit] if plan.commit else []
    # What a run that failed has fetched for the branch: the commit that it then was.
    unfinished = [commit for commit in request.commits(store) if request.branch and not plan.cache.links(commit)]
    if others and not request.alone:
        if request.branch:
            plan.unname = [request.branch]
            plan.after.pop("branches")
        _plan_removal(plan, unfinished, request.wanted)
    else:
        _plan_removal(plan, sorted({*commits, *unfinished, plan.commit} - {""}), request.wanted)
    _show(plan, "unfinished revisions", unfinished, [])
    return plan


def _plan(request: Request, store: Store) -> Plan:
    plan = Plan(request, store, HubCache(request.cache_dir, request.ref.repo))
    plan.cache.refuse_links()
    plan.leftovers = plan.cache.leftovers
    _show(plan, "leftovers", [str(plan.cache.temp)] if plan.leftovers else [], [])
    return plan


def _plan_blobs(plan: Plan, supply: Supply) -> None:
    linked = same_mount(str(plan.store.root), str(plan.cache.path))
    for blob in plan.files:
        etag, digest = etag_of(blob), supply.digests.get(blob.name, Digest(""))
        path = plan.cache.blob_path(etag)
        if etag in supply.missing or not _is_laid_out(plan.store, path, digest, blob.size, linked=linked):
            plan.lay[etag] = (digest, blob.size)
        stored = [str(plan.store.blob_path(digest)), str(plan.store.git_path(blob.git_sha1))] if digest else []
        plan.keys += [str(path), *stored]
    plan.bytes_copied = 0 if linked else sum(size for _digest, size in plan.lay.values())
    plan.needs = [Need(str(plan.cache.path), 0 if linked else size, f"{plan.cache.path} {etag}") for etag, (_d, size) in plan.lay.items()]


def _is_laid_out(store: Store, path: Path, digest: Digest, size: int, *, linked: bool) -> bool:
    if not digest or not path.is_file() or path.is_symlink():
        return False
    stored = store.blob_path(digest)
    if linked and stored.exists() and path.samefile(stored):
        return True
    memory = store.stamps.recall(str(path), Stamp.of(str(path)))
    copied = memory is not None and COPIED in memory.facts
    return (copied or not linked) and store.is_sound(path, digest, size)


def _plan_folders(plan: Plan) -> None:
    cache, owner = plan.cache, plan.request.owner
    folders = cache.folders(plan.request.branch)
    plan.make = [folder for folder in folders if not folder.is_dir()]
    plan.tag = not cache.tag.exists()
    snapshot = cache.snapshot_path(plan.commit)
    inner = {folder for blob in plan.files for folder in (snapshot / blob.name).parents if snapshot in (folder, *folder.parents)}
    small = [] if plan.tree else [cache.tree_path(plan.commit)]
    small += [cache.ref_path(plan.request.branch)] if plan.request.branch and not plan.branch else []
    made = [*folders[1:], *sorted(inner), *small]
    plan.own = [path for path in made if path.exists() and not path.is_symlink() and not _is_owned(path, owner)]


def _is_owned(path: Path, owner: tuple[int, int]) -> bool:
    status = path.lstat()
    return all(wanted in {-1, found} for wanted, found in zip(owner, (status.st_uid, status.st_gid)))


def _plan_removal(plan: Plan, commits: list[str], wanted: Callable[[str], bool]) -> None:
    cache, store = plan.cache, plan.store
    links = {commit: cache.links(commit) for commit in {*cache.commits, *commits}}
    taken: dict[str, Digest] = {}
    lost: set[Digest] = set()
    for commit in commits:
        noted, there = store.ref(*plan.request.note(commit)), links[commit]
        ours = _ours(plan, noted, there)
        names = [name for name, etag in there.items() if etag in ours and wanted(name)]
        links[commit] = {name: etag for name, etag in there.items() if name not in names}
        taken.update({there[name]: ours[there[name]] for name in names})
        # What no client has added to can go as a whole; a snapshot that the store knows nothing about is not ours.
        if names and not links[commit]:
            plan.gone.append(commit)
        elif names:
            plan.unlink[commit] = names
        still = frozenset(ours[etag] for etag in links[commit].values() if etag in ours)
        lost |= noted - still
        _note(plan, commit, still)
    left = {etag for remaining in links.values() for etag in remaining.values()} | {etag_of(blob) for blob in plan.files}
    plan.drop = sorted(etag for etag in taken if etag not in left)
    plan.free = sorted(digest for digest in lost - _used(plan) if store.blob_path(digest).exists())
    _show_removal(plan, commits, links)


def _used(plan: Plan) -> frozenset[Digest]:
    """Return what all names of the store will use when the plan is done."""
    refs = {**plan.store.refs(), **{plan.request.note(commit): digests for commit, digests in plan.notes.items()}}
    return frozenset().union(*refs.values())


def _show_removal(plan: Plan, commits: list[str], links: Mapping[str, dict[str, str]]) -> None:
    if plan.commit in commits:
        plan.after = {}
        if links[plan.commit]:
            plan.after = {**plan.before, "files": {name: plan.before["files"][name] for name in links[plan.commit]}}
    others = [commit for commit in plan.gone if commit != plan.commit]
    _show(plan, "other revisions", others, [])
    _show(plan, "removed from the store", [f"sha256:{digest}" for digest in plan.free], [])


def _ours(plan: Plan, noted: frozenset[Digest], links: Mapping[str, str]) -> dict[str, Digest]:
    """Return the digests, by etag, of those linked blobs that were laid out from the store for this commit."""
    stored = {plan.store.blob_path(digest): digest for digest in noted}
    inodes = {(path.stat().st_dev, path.stat().st_ino): digest for path, digest in stored.items() if path.exists()}
    found = {}
    for etag in {etag for etag in links.values() if etag}:
        path = plan.cache.blob_path(etag)
        if etag in noted:
            found[etag] = Digest(etag)
        elif path.is_file() and not path.is_symlink():
            status = path.stat()
            digest = inodes.get((status.st_dev, status.st_ino))
            memory = None if digest else plan.store.stamps.recall(str(path), Stamp.of(str(path)))
            digest = memory.digest if memory and memory.digest in noted else digest
            found.update({etag: digest} if digest else {})
    return found


def _note(plan: Plan, commit: str, digests: frozenset[Digest]) -> None:
    if digests != plan.store.ref(*plan.request.note(commit)):
        plan.notes[commit] = digests


def _show(plan: Plan, what: str, before: Any, after: Any) -> None:
    """Add what the files do not tell to the diff; nothing where there is nothing."""
    if before != after:
        plan.before.update({what: before} if before else {})
        plan.after.update({what: after} if after else {})


def laid_out_commit(request: Request, store: Store) -> str:
    """Return the commit that the branch stands for in the cache, if it was laid out here before; nothing else."""
    commit = HubCache(request.cache_dir, request.ref.repo).commit_of(request.branch) if request.branch else ""
    return commit if commit and store.ref(*request.note(commit)) else ""
