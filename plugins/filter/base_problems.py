# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter ``base_problems``: see ``plugin_utils/base_inputs.py``."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.onprem.llm.plugins.plugin_utils.base_inputs import base_problems


class FilterModule:
    """The filter of the role ``base``."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"base_problems": base_problems}
