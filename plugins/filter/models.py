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
from ansible_collections.onprem.llm.plugins.plugin_utils.late import late


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
        functions = {
            **late("models", "checked_models", "vllm_instances"),
            **late("model_params", "download_plan", "each_name", "fetches", "model_questions"),
            **late("model_params", "ollama_model_params", "ollama_models_params", "vllm_model_params"),
            **late("placed_models", "placed_models"),
        }
        return {name: as_filter(function) for name, function in functions.items()}
