# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the preflight: see ``plugin_utils/requirements.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.onprem.llm.plugins.filter.models import as_filter
from ansible_collections.onprem.llm.plugins.plugin_utils.late import late


class FilterModule:
    """The filters of the preflight."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        functions = late("requirements", "preflight_questions", "preflight_verdicts")
        return {name: as_filter(function) for name, function in functions.items()}
