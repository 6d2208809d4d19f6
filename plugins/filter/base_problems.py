# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over the inputs of the role ``base``: see ``plugin_utils/base_inputs.py`` and ``plugin_utils/proxies.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.late import late


class FilterModule:
    """The filters over the inputs of the role ``base``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {**late("base_inputs", "base_problems"), **late("proxies", "proxy_environment")}
