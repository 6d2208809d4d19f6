# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``playbooks/plan.yml`` has decided for a host (``llm_placement``), laid over its list of models; what a person has set stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.models import checked_models
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_options import keywords

AGAIN = "run playbooks/plan.yml again, or delete its llm_plan.yml"


def placed_models(models: Any, placement: Any = None) -> Any:
    """Return ``llm_models`` with the GPUs, the context and the options that a plan has given to the models of vLLM.

    ``placement`` is the variable ``llm_placement``: its ``models`` have, by name, the ``source`` that was planned for, and may have
    ``context`` (tokens), ``gpus`` (list) and ``options`` (dict). Without it the list is returned as it is. ModelError where a model of
    vLLM is not the one that was planned for, or came after the plan: its part of the GPUs is another's.
    """
    if not placement:
        return models
    if not isinstance(placement, Mapping) or not isinstance(placement.get("models"), Mapping):
        raise ModelError(f"llm_placement must be what playbooks/plan.yml writes, but it is {placement!r}: {AGAIN}.")
    entries = checked_models(models)
    found = []
    for given, entry in zip(models, entries, strict=True):
        if entry["engine"] == "vllm" and entry["state"] == "present":
            found.append({**given, **_parts(entry, placement["models"].get(entry["name"]))})
        else:
            found.append(given)
    return found


def _parts(entry: Mapping[str, Any], planned: Any) -> dict[str, Any]:
    """Return what a plan adds to an entry."""
    name, source = entry["name"], entry["source"]
    if not isinstance(planned, Mapping):
        raise ModelError(f"The model '{name}' of llm_models came after the plan of this host, which knows nothing of it: {AGAIN}.")
    if planned.get("source") != source:
        raise ModelError(f"The model '{name}' was planned as '{planned.get('source')}', but llm_models has '{source}': {AGAIN}.")
    parts: dict[str, Any] = {"options": {**planned.get("options", {}), **keywords(entry["options"])}}
    for key in ("context", "gpus"):
        if planned.get(key) and not entry[key]:
            parts[key] = planned[key]
    return parts
