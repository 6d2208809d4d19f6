# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many models for Ollama at once: all are planned before the first is touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_params import request_of, result_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_plan import plan_model, upstream_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_steps import Plan, Request
from ansible_collections.onprem.llm.plugins.module_utils.model_module import Done, carried_out, only_shown
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, shown
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import steady
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space
from ansible_collections.onprem.llm.plugins.module_utils.upstream import Upstream

# Manifests asked for at the same time: each is a few small requests, which mostly wait.
ASKED_AT_ONCE = 8


@dataclass(frozen=True)
class Entry:
    """The plan for one model of the list, and the blobs that the others are to use: it leaves these alone."""

    plan: Plan
    kept: frozenset[Digest] = frozenset()


def plan_all(params: Mapping[str, Any], store: Store, *, check: bool) -> list[Entry]:
    """Plan every model of the list; refuse what all in all does not fit, and a list that has a model twice."""
    requests: dict[str, Request] = {}
    for entry in params["models"]:
        with naming(str(entry["name"])):
            own = {key: value for key, value in entry.items() if value is not None or key not in params}
            request = request_of({**params, **own}, check=check)
            if request.name.key in requests:
                raise ModelError("models has it twice, but each model can be in it once: leave one of them out, or give it another name.")
            requests[request.name.key] = request
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        upstreams = list(pool.map(lambda request: steady(lambda: _asked(request, store)), requests.values()))
    plans = []
    for request, upstream in zip(requests.values(), upstreams):
        with naming(str(request.name)):
            plans.append(_planned(request, store, upstream, check=check))
    check_space(list(_once(need for plan in plans for need in plan.needs)))
    return [_beside(plan, [other for other in plans if other is not plan], check=check) for plan in plans]


def _planned(request: Request, store: Store, upstream: Upstream | None, *, check: bool, kept: Collection[Digest] = ()) -> Plan:
    # What is missing upstream was found out before; after something has gone it is looked at again.
    states = chain([upstream], (upstream.now(store) if upstream else None for _time in count()))
    return steady(lambda: plan_model(request, store, check=check, upstream=next(states), kept=kept))


def _beside(plan: Plan, others: Sequence[Plan], *, check: bool) -> Entry:
    """Let a plan remove nothing that the others are to use."""
    used = {digest for other in others if other.present for digest in (*other.used, *(other.image.blobs if other.image else ()))}
    if used.isdisjoint((*plan.drop, *plan.free)):
        return Entry(plan, frozenset(used))
    with naming(str(plan.request.name)):
        return Entry(_planned(plan.request, plan.store, plan.upstream, check=check, kept=used), frozenset(used))


def shown_all(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what check mode reports."""
    found = _result({turn: only_shown(entries[turn].plan) for turn in _turns(entries)}, check=True)
    return {**found, "needs": [need for model in found["models"] for need in model["needs"]]}


def carried_out_all(entries: Sequence[Entry], report: Callable[[str], None]) -> dict[str, Any]:
    """Do what the plans say, one after another, and return what was done."""
    done = {}
    for turn in _turns(entries):
        with naming(str(entries[turn].plan.request.name)):
            done[turn] = _carried_out(entries[turn], report)
    return _result(done, check=False)


def _turns(entries: Sequence[Entry]) -> list[int]:
    """Return the places in the list in the order of the work: what is to be there first, so that what goes takes nothing away from it."""
    return sorted(range(len(entries)), key=lambda place: not entries[place].plan.present)


def _carried_out(entry: Entry, report: Callable[[str], None]) -> Done[Plan]:
    plan = entry.plan

    def again(upstream: Upstream | None) -> Plan:
        return plan_model(plan.request, plan.store, upstream=upstream, kept=entry.kept)

    return carried_out(plan, again, report)


def _result(done: Mapping[int, Done[Plan]], *, check: bool) -> dict[str, Any]:
    """Return what is reported: the models in the order of the list, and what was done in the order of the work."""
    models = [result_of(done[place], check=check) for place in sorted(done)]
    diffs = [model.pop("diff") for model in models]
    return {
        "changed": any(model["changed"] for model in models),
        "models": models,
        "actions": [action for one in done.values() for action in one.actions],
        "bytes_copied": sum(model["bytes_copied"] for model in models),
        "bytes_fetched": sum(model["bytes_fetched"] for model in models),
        "diff": [diff for diff in diffs if diff["before"] != diff["after"]],
        "warnings": list(dict.fromkeys(warning for place in sorted(done) for warning in done[place].warnings)),
    }


def _asked(request: Request, store: Store) -> Upstream | None:
    with naming(str(request.name)):
        return upstream_of(request, store)


def _once(needs: Iterator[Need]) -> Iterator[Need]:
    """Leave out what was named before: two models that need the same file need it once."""
    seen = set()
    for need in needs:
        if not need.content or need.content not in seen:
            yield need
        seen.add(need.content)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Say which model of the list a failure is about."""
    try:
        yield
    except ModelError as exc:
        raise ModelError(f"The model {shown(name)}: {exc}") from exc
