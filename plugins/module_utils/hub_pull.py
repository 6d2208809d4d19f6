# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the Hub to a cache: which commit is meant, what of it must be fetched, and what must be laid out.

``shown`` only looks; ``carried_out`` fetches without holding the store's lock, for that may take hours, and lays out under it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache import etag_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_plan import laid_out_commit, plan_absent, plan_present
from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_steps import Plan, Request, Supply
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.pull import TURNS, Pull, plan_pull
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteSource
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import steady
from ansible_collections.onprem.llm.plugins.module_utils.store_space import check_space, swept

Report = Callable[[str], None]


class HubLike(RemoteSource, Protocol):
    """A source that can be asked for the commit alone."""

    def commit(self) -> str:
        """Ask which commit the revision stands for: one small request."""


SourceOf = Callable[[HubRef], HubLike]


@dataclass
class Outcome:
    """What was done, or would be done."""

    plan: Plan
    actions: list[str]
    diff: dict[str, str]
    bytes_fetched: int = 0
    digests: dict[str, Digest] = field(default_factory=dict)
    # The commit that a branch has upstream, where the cache stays at another one.
    moved: str = ""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Chosen:
    source: HubLike
    moved: str = ""
    warning: str = ""


def shown(request: Request, store: Store, source_of: SourceOf, *, update: bool) -> Outcome:
    """Return what would be done."""
    chosen = _choose(request, store, source_of, update)
    return _outcome(chosen, *_planned(request, store, chosen))


def carried_out(request: Request, store: Store, source_of: SourceOf, report: Report, *, update: bool) -> Outcome:
    """Do it."""
    chosen = _choose(request, store, source_of, update)
    pull, plan = _planned(request, store, chosen)
    outcome = _outcome(chosen, pull, plan)
    outcome.bytes_fetched = 0
    if not (pull.missing or pull.learned or plan.changed or plan.learned):
        return outcome
    again = pull
    for turns_left in reversed(range(TURNS)):
        if again.missing or again.learned:
            outcome.bytes_fetched += again.apply_for(request.note(again.manifest.revision), report)
        with store.locked():
            # What another run did while this one waited counts; and what it has removed is brought once more, noted as used by now.
            again, outcome.plan = _planned(request, store, chosen)
            if not (turns_left and again.missing):
                again.refuse_missing(request.ref)
                outcome.plan.apply()
                break
    outcome.digests = again.digests
    if not pull.missing:
        outcome.actions, outcome.diff = outcome.plan.actions, outcome.plan.diff()
    elif not (outcome.bytes_fetched or outcome.plan.changed):
        outcome.actions, outcome.diff = [], outcome.plan.diff()
    return outcome


def removed(request: Request, store: Store, *, check: bool) -> Outcome:
    """Remove the revision, or return what would be done."""
    plan = steady(lambda: plan_absent(request, store))
    if plan.changed and not check:
        with store.locked():
            plan = plan_absent(request, store)
            plan.apply()
    return Outcome(plan, plan.actions, plan.diff())


def _choose(request: Request, store: Store, source_of: SourceOf, update: bool) -> _Chosen:
    """Decide on a commit. A branch that is laid out is only followed if that is asked for, but it is told that it moved."""
    ref = replace(request.ref, file="")
    if ref.is_pinned:
        return _Chosen(source_of(ref))
    there = laid_out_commit(request, store)
    try:
        now = source_of(ref).commit()
    except ModelError as exc:
        if not there or update:
            raise
        said = f"It is unknown whether {ref} has changed upstream, so it stays at {there}. {exc}"
        return _Chosen(source_of(replace(ref, revision=there)), warning=said)
    if there and now != there and not update:
        said = f"{ref} has changed upstream, from {there} to {now}. It stays as it is here: set 'update: true' to follow it."
        return _Chosen(source_of(replace(ref, revision=there)), now, said)
    return _Chosen(source_of(replace(ref, revision=now)))


def _planned(request: Request, store: Store, chosen: _Chosen) -> tuple[Pull, Plan]:
    return steady(lambda: _looked_at(request, store, chosen))


def _looked_at(request: Request, store: Store, chosen: _Chosen) -> tuple[Pull, Plan]:
    pull = plan_pull(chosen.source, store, wanted=lambda blob: request.wanted(blob.name))
    plan = plan_present(request, store, Supply(pull.manifest, pull.digests, frozenset(etag_of(blob) for blob in pull.missing)))
    check_space([*pull.needs, *plan.needs, *swept(plan.cache.path, [plan.cache.temp])])
    return pull, plan


def _outcome(chosen: _Chosen, pull: Pull, plan: Plan) -> Outcome:
    warnings = [chosen.warning] if chosen.warning else []
    return Outcome(plan, [*pull.actions, *plan.actions], plan.diff(), pull.size, dict(pull.digests), chosen.moved, warnings)
