# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the role ``mirror``: see ``plugin_utils/mirror.py``, ``mirror_plan.py`` and ``mirror_packages.py`` beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.onprem.llm.plugins.filter.models import as_filter
from ansible_collections.onprem.llm.plugins.plugin_utils.late import late


class FilterModule:
    """The filters of the role ``mirror``."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        functions = {
            **late("mirror", "mirror_problems", "mirror_removal_problems", "mirror_removals"),
            **late("mirror_packages", "mirror_artefact_files", "mirror_url", "mirror_wheel_sources"),
            **late("mirror_plan", "mirror_left_out", "mirror_publications", "mirror_report"),
        }
        return {name: as_filter(function) for name, function in functions.items()}
