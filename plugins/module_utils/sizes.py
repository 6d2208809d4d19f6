# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of bytes as people say them."""

from __future__ import annotations


def size_text(size: int) -> str:
    """Return a number of bytes for a person, in decimal units: ``999 B``, ``1.0 kB``, ``123 MB``, ``2.0 GB``, ``5.0 TB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
