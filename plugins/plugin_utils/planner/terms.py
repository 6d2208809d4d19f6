# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Needs as a list of terms, each of which says how it was computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture

Device = Literal["gpu", "cpu"]
MIB, GIB = 1 << 20, 1 << 30


@dataclass(frozen=True)
class Term:
    """One part of a need: what it is for, how many bytes, by which formula with which numbers, and who says so."""

    name: str
    bytes: int
    formula: str
    source: str


@dataclass(frozen=True)
class Needs:
    """What a model needs: on each of its GPUs, in the host's RAM and on its disk."""

    gpu_terms: tuple[Term, ...]
    ram_terms: tuple[Term, ...]
    disk_terms: tuple[Term, ...]

    @property
    def gpu_bytes(self) -> int:
        """Return what each GPU must have."""
        return sum(term.bytes for term in self.gpu_terms)

    @property
    def ram_bytes(self) -> int:
        """Return what the host must have."""
        return sum(term.bytes for term in self.ram_terms)

    @property
    def disk_bytes(self) -> int:
        """Return what the model's files take."""
        return sum(term.bytes for term in self.disk_terms)

    @property
    def total(self) -> int:
        """Return the sum of all parts: of one GPU, RAM and disk."""
        return self.gpu_bytes + self.ram_bytes + self.disk_bytes


@dataclass(frozen=True)
class Wish:
    """What is asked of an engine: a model, its context and users, and how it is spread."""

    arch: Architecture
    quantisation: str
    context: int
    users: int
    tensor_parallel: int
    pipeline_parallel: int
    kv_type: str
    device: Device
    weight_bytes: int | None
    batched_tokens: int

    @property
    def gpus(self) -> int:
        """Return the number of GPUs that the model is spread over."""
        return self.tensor_parallel * self.pipeline_parallel


def human(size: float) -> str:
    """Return a size in bytes as people read it: MiB below one GiB, else GiB with one decimal."""
    return f"{size / MIB:.0f} MiB" if abs(size) < GIB else f"{size / GIB:.1f} GiB"
