# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role ``vllm``: see ``plugin_utils/vllm_plan.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.late import late


class FilterModule:
    """The filters of the role ``vllm``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {**late("vllm_plan", "vllm_plan"), "vllm_option_problems": late("vllm_options", "option_problems")["option_problems"]}
