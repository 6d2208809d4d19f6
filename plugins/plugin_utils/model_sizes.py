# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalogue knows of an entry of ``llm_models``, and where the entry lies on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import as_model_name
from ansible_collections.onprem.llm.plugins.plugin_utils.catalogue.loader import Catalogue, load
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.plan import demand_of
from ansible_collections.onprem.llm.plugins.plugin_utils.requirement import Case


def catalogue_of(case: Case) -> Catalogue:
    """Return the catalogue with what the user adds."""
    return load(case.inputs["catalogue_extra"])


def disk_bytes(entry: Mapping[str, Any], catalogue: Catalogue) -> int:
    """Return the size of a model's files; 0 where it is not known."""
    try:
        return demand_of(entry, catalogue).needs(device="cpu").disk_bytes
    except ModelError:
        return 0


def place_of(entry: Mapping[str, Any], directories: Mapping[str, str]) -> str:
    """Return the path that is there when the model is: Ollama's manifest, or vLLM's folder."""
    parts = [entry["instance"]] if entry["engine"] == "vllm" else ["manifests", *as_model_name(entry["name"]).parts]
    return "/".join([directories[entry["engine"]], *parts])
