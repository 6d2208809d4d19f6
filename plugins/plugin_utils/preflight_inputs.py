# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host shall run, from the variables of its inventory: the roles' defaults where it does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.model_params import OLLAMA_PORT
from ansible_collections.onprem.llm.plugins.plugin_utils.models import ENGINES, VLLM_PORT

# Where an input of a role or of all roles is not set. A test compares them with the roles' defaults.
DEFAULTS: dict[str, Any] = {
    "base_data_dir": "/var/lib/llm",
    "vllm_variant": "auto",
    "vllm_lock": "",
    "vllm_gpu": "all",
    "vllm_port": VLLM_PORT,
    "ollama_port": OLLAMA_PORT,
    "ollama_gpu": "all",
    "ollama_context_length": 4096,
    "ollama_num_parallel": 1,
    "ollama_kv_cache_type": "f16",
    "gateway_port": 443,
}
TRUE = ("true", "yes", "on", "1", "y", "t")


def inputs_of(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the requirements are judged by, from the variables of one host."""
    placement = variables.get("llm_placement") or {}
    planned = placement if isinstance(placement, Mapping) else {}
    given = {name: variables.get(name, planned.get(name, default)) for name, default in DEFAULTS.items()}
    groups = list(variables.get("group_names", []))
    runs = [name for name in (*ENGINES, "gateway") if name in groups and variables.get(f"{name}_state", "present") == "present"]
    return {
        **given,
        "engines": [name for name in runs if name in ENGINES],
        # What is no number is refused by the role gateway, in words of its own.
        "gateway_port": int(given["gateway_port"]) if "gateway" in runs and str(given["gateway_port"]).isdigit() else 0,
        "models": variables.get("llm_models", []),
        "placement": placement,
        "catalogue_extra": variables.get("llm_catalogue_extra"),
        "source": str(variables.get("llm_source", "open")),
        # The token itself stays where it is.
        "has_token": bool(variables.get("llm_hub_token", "")),
        "accept_noncommercial": str(variables.get("llm_accept_noncommercial_licences", False)).lower() in TRUE,
        # The hosts to which the role nvidia gives a driver.
        "installs_driver": "gpu" in groups,
        "directories": {engine: _models_dir(engine, variables, given["base_data_dir"]) for engine in ENGINES},
    }


def _models_dir(engine: str, variables: Mapping[str, Any], data_dir: str) -> str:
    home = variables.get(f"{engine}_home", f"{data_dir}/{engine}")
    return str(variables.get(f"{engine}_models_dir", f"{home}/models"))
