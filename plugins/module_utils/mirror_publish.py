# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishes a model in a mirror's tree, or withdraws it: what the module ``mirror_model`` does, from its parameters on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_wanted import Wanted
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_tree_plan import (
    ARRIVING,
    HubPlace,
    OllamaPlace,
    Plan,
    plan_hub,
    plan_ollama,
)
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import Settings, checked_settings
from ansible_collections.onprem.llm.plugins.module_utils.mirror_goods import Goods, Report, Upstream, folder_goods, gguf_goods, remote_goods
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_digest, as_model_name, as_repo, as_revision, as_source
from ansible_collections.onprem.llm.plugins.module_utils.pull import read_manifest
from ansible_collections.onprem.llm.plugins.module_utils.refs import FileRef, HubRef, OllamaRef, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import check_space
from ansible_collections.onprem.llm.plugins.module_utils.upstream import is_origin_known, origin_changes, read_origin, write_origin

SETTINGS = ("template", "system", "license", "parameters")


@dataclass(frozen=True)
class Request:
    """A model that a mirror shall offer or not, every part checked."""

    source: SourceRef
    place: HubPlace | OllamaPlace
    wanted: Wanted = field(default_factory=Wanted)
    pinned: Digest | None = None
    settings: Settings = field(default_factory=Settings)
    update: bool = False


@dataclass
class Outcome:
    """What a publication or withdrawal is about, and what it did or would do."""

    plan: Plan
    goods: Goods | None = None
    actions: list[str] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    bytes_to_fetch: int = 0
    bytes_fetched: int = 0


def request_of(params: Mapping[str, Any]) -> Request:
    """Return what is asked for; ModelError for the first thing that cannot work."""
    ref = as_source(params["source"])
    given = [key for key in SETTINGS if params[key]]
    if given and not (isinstance(ref, FileRef) and params["name"]):
        raise ModelError(f"{given[0]} is for a GGUF file that is published as a model of Ollama, but source is '{ref}': leave it out.")
    if params["sha256"] and isinstance(ref, HubRef):
        raise ModelError(f"sha256 cannot pin '{ref}': write the commit, 40 hexadecimal digits, behind the '@' of source instead.")
    wanted = Wanted(ref.file if isinstance(ref, HubRef) else "", tuple(params["allow"]), tuple(params["ignore"]))
    if not isinstance(ref, HubRef) and not wanted.is_all:
        raise ModelError(f"allow and ignore choose files of a repository of the Hub, but source is '{ref}': leave them out.")
    return Request(
        source=ref,
        place=_place_of(ref, params),
        wanted=wanted,
        pinned=as_digest(params["sha256"]) if params["sha256"] else None,
        settings=checked_settings(params["template"], params["system"], params["license"], params["parameters"]),
        update=params["update"],
    )


def _place_of(ref: SourceRef, params: Mapping[str, Any]) -> HubPlace | OllamaPlace:
    name, repo, branch = params["name"], params["repo"], params["branch"]
    if isinstance(ref, OllamaRef):
        _refuse(ref, {"repo": repo, "branch": branch})
        return OllamaPlace(as_model_name(name) if name else ref.name)
    if isinstance(ref, HubRef):
        _refuse(ref, {"name": name, "repo": repo})
        place = HubPlace(ref.repo, ref.revision, as_revision(branch) if branch else "" if ref.is_pinned else ref.revision)
    elif bool(name) == bool(repo):
        raise ModelError(
            f"A file or folder of this host needs one name on the mirror, but '{ref}' has {'two' if name else 'none'}: set name for "
            f"a GGUF file (a model of Ollama), or repo for a folder with safetensors (a repository of the Hub)."
        )
    elif name:
        _refuse(ref, {"branch": branch})
        return OllamaPlace(as_model_name(name))
    else:
        revision = as_revision(branch or "main")
        place = HubPlace(as_repo(repo), revision, revision)
    for revision in (place.revision, place.branch):
        if "/" in revision:
            raise ModelError(
                f"A mirror cannot serve the revision '{revision}', for clients write its '/' so that nginx takes it for a folder: "
                f"name the commit (40 hexadecimal digits) in source, and a branch without '/' if you want one."
            )
    return place


def _refuse(ref: SourceRef, given: Mapping[str, str | None]) -> None:
    for key, value in given.items():
        if value:
            raise ModelError(f"{key} does not go with the source '{ref}', whose name says what it is: leave it out.")


def goods_of(request: Request, store: Store, access: Access) -> Goods:
    """Return what the source brings."""
    ref, place = request.source, request.place
    if not isinstance(ref, FileRef):
        had = published_state(place, ref, store)
        return remote_goods(ref, store, request.wanted, Upstream(access, had, request.update, request.pinned or ""))
    if isinstance(place, OllamaPlace):
        return gguf_goods(ref, store, request.settings, request.pinned)
    return folder_goods(ref, store, place.repo, request.pinned)


def published_state(place: HubPlace | OllamaPlace, ref: HubRef | OllamaRef, store: Store) -> RemoteManifest | None:
    """Return what is published under the name, if that came from this source."""
    if not store.ref(*place.note):
        return None
    ref = replace(ref, file="") if isinstance(ref, HubRef) else ref
    # A tree of an earlier version has not noted it for each name.
    return read_origin(store, place.note, ref) if is_origin_known(store, place.note) else read_manifest(store, ref)


def plan_of(request: Request, store: Store, goods: Goods | None) -> Plan:
    """Decide what is to be done in the tree."""
    missing = list(goods.missing) if goods else []
    digests = goods.digests if goods else frozenset()
    if isinstance(request.place, HubPlace):
        return plan_hub(request.place, store, goods.releases if goods else [], digests, missing)
    return plan_ollama(request.place, store, goods.manifest if goods else None, digests, missing)


def publish(request: Request, store: Store, access: Access, report: Report | None) -> Outcome:
    """Bring what is missing, then let the model appear; without a ``report`` only tell what would be done."""
    goods = goods_of(request, store, access)
    outcome = Outcome(plan_of(request, store, goods), goods)
    outcome.missing, outcome.bytes_to_fetch = goods.missing, goods.bytes_to_fetch
    outcome.actions = [*goods.actions, *outcome.plan.actions]
    check_space(goods.needs)
    if report and (goods.is_due or outcome.plan.changed):
        arriving = (ARRIVING, outcome.plan.place.note[1])
        brought = goods.actions
        outcome.bytes_fetched = goods.bring(arriving, report)
        with store.locked():
            # What another run did while this one fetched counts.
            settled = replace(goods, items=[], pull=replace(goods.pull, missing=()) if goods.pull else None)
            outcome.plan = plan_of(request, store, settled)
            outcome.plan.apply()
            _remember(store, request, goods)
            store.set_ref(*arriving, ())
        outcome.actions = [*brought, *outcome.plan.actions]
    elif report and (goods.learned or origin_changes(store, request.place.note, goods.pull.manifest if goods.pull else None)):
        with store.locked():
            _remember(store, request, goods)
    return outcome


def _remember(store: Store, request: Request, goods: Goods) -> None:
    """Note what was read, and which state of the source the name has."""
    goods.remember()
    write_origin(store, request.place.note, goods.pull.manifest if goods.pull else None)


def withdraw(request: Request, store: Store, *, check: bool) -> Outcome:
    """Take the model away, its name first, then what nothing else uses; what a run that failed has fetched for it too."""
    outcome = Outcome(plan_of(request, store, None))
    if outcome.plan.changed and not check:
        with store.locked():
            outcome.plan = plan_of(request, store, None)
            outcome.plan.apply()
            write_origin(store, request.place.note, None)
    outcome.actions = outcome.plan.actions
    return outcome
