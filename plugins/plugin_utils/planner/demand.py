# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is asked to serve: a model, by an engine, with a context (tokens) for some users at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.needs import Device, Engine, Needs, needs
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.overhead import VLLM_BATCHED_TOKENS, VLLM_SEQUENCES


@dataclass(frozen=True)
class Demand:
    """A model that is to be served."""

    name: str
    engine: Engine
    arch: Architecture
    quantisation: str
    context: int
    users: int
    weight_bytes: int | None = None
    kv_type: str = "f16"
    # What a person has decided: the GPUs by number or UUID, how many share a layer and how many follow each other (0: nothing), the CPU.
    only_on: tuple[str, ...] = ()
    tensor_parallel: int = 0
    pipeline_parallel: int = 0
    on_cpu: bool = False
    # Tokens of a step of vLLM (max_num_batched_tokens).
    batched_tokens: int = VLLM_BATCHED_TOKENS

    @property
    def sequences(self) -> int:
        """Return how many sequences vLLM may run at once (max_num_seqs), as is counted with."""
        return max(self.users, VLLM_SEQUENCES)

    @property
    def said(self) -> str:
        """Return what is asked for, in words."""
        return f"{self.name} ({self.quantisation}, {self.context} tokens, {self.users} users)"

    @property
    def shape(self) -> tuple[int, int] | None:
        """Return the tensor and pipeline parallelism that a person has decided."""
        decided = self.tensor_parallel or self.pipeline_parallel
        return (max(1, self.tensor_parallel), max(1, self.pipeline_parallel)) if decided else None

    def needs(self, tensor_parallel: int = 1, pipeline_parallel: int = 1, device: Device = "gpu") -> Needs:
        """Return what the model takes when it is spread so; computed once."""
        return _needs(self, tensor_parallel, pipeline_parallel, device)


@lru_cache(maxsize=4096)
def _needs(demand: Demand, tensor_parallel: int, pipeline_parallel: int, device: Device) -> Needs:
    return needs(
        demand.arch,
        demand.quantisation,
        demand.engine,
        demand.context,
        demand.users,
        tensor_parallel,
        pipeline_parallel,
        demand.kv_type,
        device,
        demand.weight_bytes,
        demand.batched_tokens,
    )
