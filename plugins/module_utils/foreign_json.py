# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that somebody else wrote: whatever it is, it is either read or refused as no JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def read_json(text: str | bytes, *, parse_int: Callable[[str], Any] = int) -> Any:
    """Return what JSON says; ValueError where it is none, or nested so deep that nobody can read it."""
    try:
        return json.loads(text, parse_int=parse_int)
    except RecursionError:
        raise ValueError("nested too deep") from None
