"""A cache of huggingface_hub that is laid out and taken away, for tests of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.layouts import hub_cache
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache import HubCache
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_plan import plan_absent, plan_present
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_steps import Plan, Request
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from tests.unit.helpers.hub_repo import COMMIT, FILES, LATER, REPO, Repo, sha256

MAIN = HubRef(REPO)
PINNED = HubRef(REPO, COMMIT)
NEXT = Repo({**FILES, "config.json": b'{"architectures": ["Tiny2"]}'}, LATER)


def request(folder: Path, ref: HubRef = MAIN, **changes: Any) -> Request:
    """Return the wish for a repository."""
    return replace(Request(ref, str(folder / "hub"), Wanted(ref.file)), **changes)


def present(asked: Request, store: Store, repo: Repo | None = None) -> Plan:
    """Lay out, and prove that a second run has nothing to do."""
    repo = repo or Repo()
    repo.fetch(store)
    with store.locked():
        plan = plan_present(asked, store, repo.supply(store))
        plan.apply()
    again = plan_present(asked, Store(str(store.root)), repo.supply(Store(str(store.root))))
    assert (again.actions, again.bytes_copied) == ([], 0)
    assert again.diff()["before"] == again.diff()["after"]
    return plan


def absent(asked: Request, store: Store) -> Plan:
    """Remove, and prove that a second run has nothing to do."""
    with store.locked():
        plan = plan_absent(asked, store)
        plan.apply()
    again = plan_absent(asked, Store(str(store.root)))
    assert again.actions == []
    assert again.diff()["before"] == again.diff()["after"]
    return plan


def cache_of(asked: Request) -> HubCache:
    """Return the cache that is asked for."""
    return HubCache(asked.cache_dir, REPO)


def read_all(snapshot: Path) -> dict[str, bytes]:
    """Return what readers of a snapshot find."""
    return {str(path.relative_to(snapshot)): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}


def listing(folder: Path) -> list[str]:
    """Return what is below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def client_file(cache: HubCache, commit: str, name: str, data: bytes) -> Path:
    """Put a file there as a client would have."""
    blob = cache.blob_path(sha256(data))
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    link = cache.snapshot_path(commit) / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(hub_cache.link_text(name, sha256(data)))
    return blob
