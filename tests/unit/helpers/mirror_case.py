"""A repository of the Hub, published to the tree of a mirror and withdrawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_release import Release, release_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree_plan import HubPlace, Plan, plan_hub
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.tests.unit.helpers.mirror_upstream import FILES, FIRST, hub_manifest, keep, sha256

REPO = "org/name"
ALL = Wanted()
JSON_ONLY = Wanted(allow=("*.json",))
MAIN = HubPlace(REPO, "main", "main")


def release(commit: str = FIRST, wanted: Wanted = ALL, files: Mapping[str, bytes] = FILES) -> Release:
    choice = {"allow": list(wanted.allow)} if wanted.allow else {}
    return release_of(hub_manifest(HubRef(REPO), commit, files), REPO, wanted, choice)


def publish(store: Store, place: HubPlace, found: Release, files: Mapping[str, bytes] = FILES, *more: Release) -> Plan:
    for name in found.files:
        keep(store, name, files[name])
    plan = plan_hub(place, store, [found, *more], [sha256(files[name]) for name in found.files])
    with store.locked():
        plan.apply()
    return plan


def withdraw(store: Store, place: HubPlace) -> Plan:
    plan = plan_hub(place, store, [])
    with store.locked():
        plan.apply()
    return plan


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
