# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of all modules that fill a mirror, by which they find what its disk has spoilt."""

from __future__ import annotations


class ModuleDocFragment:
    """When a file that is there is read again."""

    DOCUMENTATION = r"""
options:
  verify_days:
    description: After how many days a file that is there already is read and hashed again. Without it, only where it seems to have changed.
    type: int
"""
