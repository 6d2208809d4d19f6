# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy that ``base_proxy`` names, as a task on a host gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What else can be done for models.
CARRY_MODELS = "carry the models in and name them with 'file:'"


def proxy_environment(proxy: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of a download on a host (dict of str); empty where there is no proxy."""
    if not proxy:
        return {}
    addresses = {f"{key}_proxy": str(proxy.get(key) or "") for key in ("http", "https")}
    hosts = proxy.get("no_proxy") or []
    # Programs write it as one text, and so do people.
    return {**addresses, "no_proxy": hosts if isinstance(hosts, str) else ",".join(hosts)}


def proxy_problems(proxy: Mapping[str, Any], instead: str) -> list[str]:
    """Return one sentence if a download on the host would show a secret of the proxy to every user; ``instead`` is what to do."""
    if not any("@" in str(proxy.get(key) or "") for key in ("http", "https")):
        return []
    where = "a download on the host would show in its list of processes"
    return [f"base_proxy holds a user name or a password, which {where}: {instead}, or let the host pass the proxy without a password."]
