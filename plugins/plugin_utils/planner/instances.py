# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms that money can rent: instance types of EC2 with their prices (``instances.yml``, dated)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import RESERVED_RAM, Gpu, Room
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import GIB

TABLE = Path(__file__).parent.parent / "instances.yml"
# Of the nominal memory a card shows a little less to programs: 79.22 of 80 GiB, 23.58 of 24 (start-up logs of vLLM).
USABLE = 0.98


@dataclass(frozen=True)
class Instance:
    """One instance type: its price in USD per hour, and what it has room for."""

    name: str
    usd_hour: float
    room: Room


@cache
def table() -> Mapping[str, Any]:
    """Return the table as it is written."""
    content: Mapping[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return content


def instances(budget: float) -> list[Instance]:
    """Return the types that cost at most ``budget`` USD per hour, the cheapest first; those without a price are left out."""
    found = [_instance(row) for row in table()["types"] if row["usd_hour"] is not None and row["usd_hour"] <= budget]
    return sorted(found, key=lambda one: (one.usd_hour, one.name))


def _instance(row: Mapping[str, Any]) -> Instance:
    kind = table()["gpus"][row["gpu"]] if "gpu" in row else {}
    capability = tuple(int(part) for part in kind.get("compute_capability", "").split(".") if part)
    total = int(row.get("vram_mib", 0) * (1 << 20) * USABLE)
    gpus = tuple(Gpu(index, row["gpu"], total, capability=capability) for index in range(row.get("gpus", 0)))
    ram = max(0, int(row["ram_gib"] * GIB) - RESERVED_RAM)
    return Instance(row["type"], float(row["usd_hour"]), Room(row["type"], gpus, ram, None, kind.get("nvlink", False) and len(gpus) > 1))
