# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules ``ollama_model`` and ``ollama_models`` are asked for, and what they report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.host_files import host_folder
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import checked_settings
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_steps import Plan, Request
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_upstream import refuse_unfit_file
from ansible_collections.onprem.llm.plugins.module_utils.model_module import (
    ENTRY_SPEC,
    PLACE_SPEC,
    Done,
    asking_of,
    needs_of,
    owner_of_params,
)
from ansible_collections.onprem.llm.plugins.module_utils.names import as_digest, as_model_name, as_source
from ansible_collections.onprem.llm.plugins.module_utils.ollama_server import as_server_url
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

ENTRY: dict[str, Any] = {
    **ENTRY_SPEC,
    "template": {"type": "str", "default": ""},
    "system": {"type": "str", "default": ""},
    "license": {"type": "str", "default": ""},
    "parameters": {"type": "dict", "default": {}},
}
PLACES: dict[str, Any] = {**PLACE_SPEC, "url": {"type": "str", "default": ""}}


def request_of(params: Mapping[str, Any], *, check: bool) -> Request:
    """Return what is asked for, every part checked."""
    source = as_source(params["source"]) if params["state"] == "present" else None
    if isinstance(source, HubRef):
        refuse_unfit_file(source)
    return Request(
        name=as_model_name(params["name"]),
        models_dir=host_folder(params["models_dir"], "models_dir"),
        source=source,
        pinned=as_digest(params["sha256"]) if params["sha256"] else None,
        settings=checked_settings(params["template"], params["system"], params["license"], params["parameters"]),
        asking=asking_of(params),
        url=as_server_url(params["url"]),
        owner=owner_of_params(params, check=check),
    )


def store_of(params: Mapping[str, Any]) -> Store:
    """Return the store that is asked for."""
    return Store(host_folder(params["store"], "store"), verify_days=params["verify_days"])


def result_of(done: Done[Plan], *, check: bool) -> dict[str, Any]:
    """Return what is reported of one model."""
    plan = done.plan
    result = {**done.result, "name": str(plan.request.name)}
    if check:
        result["needs"] = needs_of(plan)
    if plan.image:
        layers = plan.image.blobs.values()
        result["digest"] = f"sha256:{plan.image.weights.digest}"
        result["manifest_digest"] = f"sha256:{plan.image.digest}"
        result["blobs"] = [{"digest": f"sha256:{a.digest}", "media_type": a.media_type, "size": a.size} for a in layers]
    return result
