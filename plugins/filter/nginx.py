# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the roles that put a site into nginx: see ``plugin_utils/nginx_site.py`` and ``plugin_utils/tls.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.late import late


class FilterModule:
    """The filters of sites of nginx."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            **late("nginx_site", "nginx_host_problems", "nginx_probe"),
            **late("tls", "tls_certificate_plan", "tls_given_problems", "tls_sans"),
        }
