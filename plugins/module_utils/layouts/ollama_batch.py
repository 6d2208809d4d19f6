# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many models for Ollama at once: all are planned before the first is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_params import request_of, result_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_plan import plan_model, upstream_of
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_steps import Plan, Request
from ansible_collections.onprem.llm.plugins.module_utils.model_module import Done, carried_out, only_shown
from ansible_collections.onprem.llm.plugins.module_utils.names import shown
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space
from ansible_collections.onprem.llm.plugins.module_utils.upstream import Upstream

# Manifests asked for at the same time: each is a few small requests, which mostly wait.
ASKED_AT_ONCE = 8


def plan_all(params: Mapping[str, Any], store: Store, *, check: bool) -> list[Plan]:
    """Plan every model of the list; refuse what all in all does not fit."""
    requests = []
    for entry in params["models"]:
        with naming(str(entry["name"])):
            own = {key: value for key, value in entry.items() if value is not None or key not in params}
            requests.append(request_of({**params, **own}, check=check))
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        upstreams = list(pool.map(lambda request: _asked(request, store), requests))
    plans = []
    for request, upstream in zip(requests, upstreams):
        with naming(str(request.name)):
            plans.append(plan_model(request, store, check=check, upstream=upstream))
    check_space(list(_once(need for plan in plans for need in plan.needs)))
    return plans


def shown_all(plans: Sequence[Plan]) -> dict[str, Any]:
    """Return what check mode reports."""
    found = _result([only_shown(plan) for plan in plans], check=True)
    return {**found, "needs": [need for model in found["models"] for need in model["needs"]]}


def carried_out_all(plans: Sequence[Plan], report: Callable[[str], None]) -> dict[str, Any]:
    """Do what the plans say, one after another, and return what was done."""
    done = []
    for plan in plans:
        with naming(str(plan.request.name)):
            done.append(_carried_out(plan, report))
    return _result(done, check=False)


def _carried_out(plan: Plan, report: Callable[[str], None]) -> Done[Plan]:
    def again(upstream: Upstream | None) -> Plan:
        return plan_model(plan.request, plan.store, upstream=upstream)

    return carried_out(plan, again, report)


def _result(done: Sequence[Done[Plan]], *, check: bool) -> dict[str, Any]:
    models = [result_of(one, check=check) for one in done]
    diffs = [model.pop("diff") for model in models]
    return {
        "changed": any(model["changed"] for model in models),
        "models": models,
        "actions": [action for model in models for action in model["actions"]],
        "bytes_copied": sum(model["bytes_copied"] for model in models),
        "bytes_fetched": sum(model["bytes_fetched"] for model in models),
        "diff": [diff for diff in diffs if diff["before"] != diff["after"]],
        "warnings": list(dict.fromkeys(warning for one in done for warning in one.warnings)),
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
