# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over ``llm_models``: see ``plugin_utils/models.py`` and ``plugin_utils/model_params.py``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.model_params import (
    download_plan,
    each_name,
    fetches,
    model_questions,
    ollama_model_params,
    ollama_models_params,
    vllm_model_params,
)
from ansible_collections.onprem.llm.plugins.plugin_utils.models import checked_models, vllm_instances
from ansible_collections.onprem.llm.plugins.plugin_utils.placed_models import placed_models


def as_filter(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a refusal end the task with its sentence."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ModelError as exc:
            raise AnsibleFilterError(str(exc)) from exc

    return call


class FilterModule:
    """The filters of the model list."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "checked_models": as_filter(checked_models),
            "download_plan": as_filter(download_plan),
            "each_name": as_filter(each_name),
            "fetches": as_filter(fetches),
            "model_questions": as_filter(model_questions),
            "ollama_model_params": as_filter(ollama_model_params),
            "ollama_models_params": as_filter(ollama_models_params),
            "placed_models": as_filter(placed_models),
            "vllm_instances": as_filter(vllm_instances),
            "vllm_model_params": as_filter(vllm_model_params),
        }
