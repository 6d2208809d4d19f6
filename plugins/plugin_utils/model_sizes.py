# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an entry of ``llm_models`` lies on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.names import as_model_name


def place_of(entry: Mapping[str, Any], directories: Mapping[str, str]) -> str:
    """Return the path that is there when the model is: Ollama's manifest, or vLLM's folder."""
    parts = [entry["instance"]] if entry["engine"] == "vllm" else ["manifests", *as_model_name(entry["name"]).parts]
    return "/".join([directories[entry["engine"]], *parts])
