# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of all modules that fill a folder of a mirror for several who publish in it."""

from __future__ import annotations


class ModuleDocFragment:
    """What becomes of what nobody asks for any more."""

    DOCUMENTATION = r"""
options:
  owner:
    description:
      - A name for the one who publishes, such as V(role). What the last run with the same name has published, and this one does not ask
        for, is withdrawn. What others have published stays.
      - Without a name nothing is remembered, and nothing is withdrawn but by O(purge).
    type: str
    default: ""
"""
