# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for models share: options, and the way from a plan to a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from ansible_collections.onprem.llm.plugins.module_utils.host_files import account_id
from ansible_collections.onprem.llm.plugins.module_utils.pull import TURNS
from ansible_collections.onprem.llm.plugins.module_utils.source_options import SOURCE_SPEC, access_of
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, measured
from ansible_collections.onprem.llm.plugins.module_utils.upstream import Asking, Upstream

# Of one model.
ENTRY_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "source": {"type": "str"},
    "sha256": {"type": "str"},
    "update": {"type": "bool", "default": False},
}
# Of the place where models lie, and of the way they come.
PLACE_SPEC: dict[str, Any] = {
    "store": {"type": "path", "default": "/var/lib/llm/store"},
    "models_dir": {"type": "path", "required": True},
    "verify_days": {"type": "int"},
    "check_upstream": {"type": "bool", "default": False},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    **SOURCE_SPEC,
}
REQUIRED_IF = [("state", "present", ["source"])]


class Planned(Protocol):
    """A plan for one model."""

    store: Store
    upstream: Upstream | None
    warnings: list[str]
    needs: list[Need]
    bytes_copied: int

    @property
    def use(self) -> tuple[str, str]:
        """Return how the store knows the model."""

    @property
    def changed(self) -> bool:
        """Tell whether anything would be done."""

    @property
    def learned(self) -> bool:
        """Tell whether there is something to remember, though nothing has to change."""

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done."""

    def apply(self) -> None:
        """Do it."""

    def diff(self) -> dict[str, str]:
        """Return the difference as Ansible shows it."""


P = TypeVar("P", bound=Planned)


@dataclass(frozen=True)
class Done(Generic[P]):
    """What was done, or would be done in check mode."""

    plan: P
    actions: list[str]
    bytes_fetched: int

    @property
    def warnings(self) -> list[str]:
        """Return what the user should know: of the model, and of the files of the store that were found damaged."""
        return [*self.plan.warnings, *self.plan.store.damage]

    @property
    def result(self) -> dict[str, Any]:
        """Return what every module for models reports."""
        upstream = self.plan.upstream
        return {
            "changed": bool(self.actions),
            "actions": self.actions,
            "bytes_copied": self.plan.bytes_copied,
            "bytes_fetched": self.bytes_fetched,
            "revision": upstream.manifest.revision if upstream else "",
            "upstream_moved": upstream.moved if upstream else "",
            "diff": self.plan.diff(),
        }


def only_shown(plan: P) -> Done[P]:
    """Return what check mode reports."""
    return Done(plan, plan.actions, plan.upstream.pull.size if plan.upstream else 0)


def carried_out(plan: P, again: Callable[[Upstream | None], P], report: Callable[[str], None]) -> Done[P]:
    """Do what the plan says: what is fetched first, without a lock, and the rest as ``again`` plans it under the lock of the store."""
    if not (plan.changed or plan.learned):
        return Done(plan, [], 0)
    store, upstream, fetched, noted = plan.store, plan.upstream, 0, False
    said: list[str] = []
    for turns_left in reversed(range(TURNS)):
        # What another model has brought meanwhile need not be fetched.
        upstream = upstream.now(store) if upstream else None
        if upstream and upstream.pull.missing:
            said, noted = list(dict.fromkeys([*said, *upstream.pull.actions])), True
            fetched += upstream.pull.apply_for(plan.use, report)
        with store.locked():
            # What another run did while this one waited counts; and what it has removed is brought once more, noted as used by now.
            upstream = upstream.now(store) if upstream else None
            if not (turns_left and upstream and upstream.pull.missing):
                plan = again(upstream.whole(noted=noted) if upstream else None)
                said += plan.actions
                plan.apply()
                break
    return Done(plan, said, fetched)


def owner_of_params(params: Mapping[str, Any], *, check: bool) -> tuple[int, int]:
    """Return the numbers of the user and the group."""
    return account_id(params["owner"], "user", check=check), account_id(params["group"], "group", check=check)


def asking_of(params: Mapping[str, Any]) -> Asking:
    """Return how a source over the network is to be asked."""
    return Asking(access_of(params), params["update"], params["check_upstream"])


def needs_of(plan: Planned) -> list[dict[str, Any]]:
    """Return what the plan has to write, with the free space for it."""
    return measured(plan.needs)
