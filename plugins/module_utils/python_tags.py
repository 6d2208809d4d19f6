# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which wheels a Linux host with the GNU C library and a usual CPython can install, by the tags in their names (PEP 425 and 600).

It says what ``packaging.tags`` says, which hosts need not have, but for the version of the C library: a mirror serves hosts with several.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

PYTHON = re.compile(r"3\.([0-9]{1,2})", re.ASCII)
# What stands before the machine. Not musllinux, which is another C library, and nothing of other systems.
GLIBC_LINUX = r"(?:linux|manylinux1|manylinux2010|manylinux2014|manylinux_[0-9]+_[0-9]+)_"
STABLE = re.compile(r"cp3([0-9]+)", re.ASCII)
PURE = re.compile(r"py3([0-9]*)", re.ASCII)
# The first Python with a stable ABI, and the first whose ABI has no 'm' in its name.
FIRST_STABLE, FIRST_PLAIN = 2, 8


def fits(wheel: str, machines: Sequence[str], pythons: Sequence[str]) -> bool:
    """Tell whether a wheel can be installed on one of these machines with one of these Pythons (none: whatever it asks for).

    ``wheel`` is the name of its file, ``machines`` are like ``x86_64`` and ``pythons`` like ``3.12``.
    """
    python, abi, platform = (tags.split(".") for tags in wheel[: -len(".whl")].split("-")[-3:])
    minors = [int(found.group(1)) for found in map(PYTHON.fullmatch, pythons) if found]
    return any(
        (not machines or _on_one_of(machines, where)) and (not minors or any(_takes(minor, tag, kind, where) for minor in minors))
        for tag, kind, where in product(python, abi, platform)
    )


def _on_one_of(machines: Sequence[str], platform: str) -> bool:
    return platform == "any" or any(re.fullmatch(GLIBC_LINUX + re.escape(machine), platform, re.ASCII) for machine in machines)


def _takes(minor: int, python: str, abi: str, platform: str) -> bool:
    """Tell whether CPython 3.``minor`` takes a tag."""
    own = f"cp3{minor}"
    if abi == "none":
        pure = PURE.fullmatch(python)
        return python == own or (pure is not None and int(pure.group(1) or 0) <= minor)
    if platform == "any":
        return False
    if abi == "abi3":
        stable = STABLE.fullmatch(python)
        return stable is not None and FIRST_STABLE <= int(stable.group(1)) <= minor
    # With a 't' at its end, the ABI is that of a Python without its lock.
    return python == own and abi == (own if minor >= FIRST_PLAIN else f"{own}m")
