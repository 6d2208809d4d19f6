# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role ``nvidia`` and of WSL: see ``plugin_utils/nvidia_plan.py`` and ``plugin_utils/wsl.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.nvidia_plan import nvidia_plan
from ansible_collections.onprem.llm.plugins.plugin_utils.wsl import wsl_advice, wsl_problems


class FilterModule:
    """The filters of the role ``nvidia``, and of hosts that are WSL."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"nvidia_plan": nvidia_plan, "wsl_problems": wsl_problems, "wsl_advice": wsl_advice}
