# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has which part of the GPUs where nobody has decided it: the rules of a plan, for hosts without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import load
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.outcome import gpu_options
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.placement import place
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.plan import demand_of
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import room_of
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_options import canonical, keywords

# What a person decides of GPUs, in an entry's options. Who has decided one of them has decided all.
DECIDED = {"gpu-memory-utilization", "tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size", "kv-cache-memory-bytes"}


def with_shares(models: list[dict[str, Any]], host: Mapping[str, Any], catalogue_extra: Any = None) -> list[dict[str, Any]]:
    """Return the models of vLLM with the parts of the GPUs that a plan would give them, as options and ``gpus``.

    ``host`` is what the module ``vllm_info`` returned. Nothing is decided for a model alone on one GPU, for vLLM's own default is right
    there; nor where a person has decided something, where the catalogue does not know a model, or where not all fit.
    """
    gpus = host["nvidia"]["gpus"]
    if len(models) * len(gpus) < 2 or is_decided(models):
        return models
    room = room_of("this host", {"gpus": [{**gpu, "vendor": "nvidia"} for gpu in gpus], "memory": {"total": host["memory_bytes"]}})
    try:
        catalogue = load(catalogue_extra)
        placement = place(room, [demand_of(entry, catalogue) for entry in models])
    except ModelError:
        return models
    if not placement.fits:
        return models
    found = []
    for entry, one in zip(models, placement.places, strict=True):
        options = gpu_options(placement, one)
        own = keywords(entry["options"])
        options = {name: value for name, value in options.items() if name not in own}
        parts = {"options": {**options, **entry["options"]}, "gpus": [gpu.key for gpu in one.gpus]} if one.gpus else {}
        found.append({**entry, **parts})
    return found


def is_decided(models: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether a person has decided anything of the GPUs for one of the models."""
    return any(entry["gpus"] or DECIDED & {canonical(str(name)) for name in entry["options"]} for entry in models)
