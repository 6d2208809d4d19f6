# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person has decided for a model of vLLM and vLLM, or the host, refuses: told before anything is started."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.demand import Demand
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.placement import splits_evenly
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.room import Room
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import human
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.vllm_pool import HIGHEST_UTILISATION, requested_bytes
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_options import keywords
from ansible_collections.onprem.llm.plugins.plugin_utils.vllm_variant import capability_problem


def unjudged(demand: Demand, room: Room) -> str:
    """Return why it is not known whether a model fits; empty if it can be computed."""
    if demand.on_cpu:
        return ""
    parts = [name for name in demand.only_on if name.startswith("MIG-")]
    if parts:
        return f"It has {parts[0]}, a part of a GPU, whose memory is not planned with: compare it with what the model needs."
    return "" if room.gpus else room.unjudged


def too_old(demand: Demand, room: Room) -> str:
    """Return why the role vllm refuses the GPUs of a host; empty if it does not, or leaves them alone."""
    if demand.engine != "vllm" or demand.on_cpu:
        return ""
    told = [{"name": gpu.name, "compute_capability": ".".join(map(str, gpu.capability))} for gpu in room.gpus]
    return capability_problem({"gpus": told})


def refusals(demand: Demand, options: Mapping[Any, Any], room: Room) -> Iterator[str]:
    """Yield a sentence for each decision that cannot be followed.

    ``options`` are those of the entry. Sources: vllm 0.32.0 config/model.py (the longest context, heads by tensor parallelism) and
    v1/worker/gpu_worker.py (the share of a GPU's memory must hold the model and one sequence of the whole context).
    """
    if demand.engine != "vllm":
        return
    given = keywords(options)
    longest = demand.arch.max_context
    if longest and demand.context > longest and not given.get("hf_overrides"):
        yield (
            f"{demand.said} is to have more tokens than the {longest} that the model was made for: lower its context, or stretch the "
            "model by the option hf_overrides as its card tells."
        )
    if demand.on_cpu:
        return
    tensor = demand.tensor_parallel
    if tensor > 1 and not splits_evenly(demand.arch, tensor):
        yield (
            f"{demand.said} is to be split by tensor_parallel_size {tensor}, but has {demand.arch.heads} heads and {demand.arch.kv_heads} "
            "for its KV cache, which must split evenly: choose another number."
        )
    if room.gpus:
        yield from _of_gpus(demand, given, room)


def _of_gpus(demand: Demand, given: Mapping[str, Any], room: Room) -> Iterator[str]:
    strange = [name for name in demand.only_on if not any(name in gpu.names for gpu in room.gpus)]
    if strange:
        yield f"{demand.said} is to have the GPU {strange[0]}, but {room.host} has {', '.join(_called(room))}: correct its gpus."
        return
    count = math.prod(demand.shape or (1,))
    if count > len(room.gpus):
        yield (
            f"{demand.said} is to be spread over {count} GPUs, but {room.host} has {len(room.gpus)}: lower tensor_parallel_size or "
            "pipeline_parallel_size in its options."
        )
        return
    share = given.get("gpu_memory_utilization")
    if isinstance(share, (int, float)) and 0 < share <= 1:
        total = min(gpu.total for gpu in room.gpus if not demand.only_on or gpu.names & set(demand.only_on))
        least = replace(demand, users=1).needs(*(demand.shape or (1, 1))).gpu_bytes
        # Where no share would do, something else has to be mended.
        if requested_bytes(total, share) < least <= requested_bytes(total, HIGHEST_UTILISATION):
            yield (
                f"{demand.said} needs at least {human(least)} of each GPU for one user, but its option gpu_memory_utilization gives it "
                f"{human(requested_bytes(total, share))}: leave the option out, or set at least {math.ceil(least * 100 / total) / 100}."
            )


def _called(room: Room) -> list[str]:
    return [f"{gpu.index} ({gpu.uuid})" if gpu.uuid else str(gpu.index) for gpu in room.gpus]
