# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vLLM's pool of KV cache: what gpu_memory_utilization leaves for it, and the other way round.

Source: vllm 0.32.0 v1/worker/gpu_worker.py (requested memory, determine_available_memory) and v1/core/kv_cache_utils.py (blocks).
"""

from __future__ import annotations

import math

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.kv_cache import VLLM_BLOCK, layer_token_bytes

DEFAULT_UTILISATION = 0.92
# Above this a driver, a display or a second process makes vLLM fail at start.
HIGHEST_UTILISATION = 0.95


def requested_bytes(total: int, utilisation: float = DEFAULT_UTILISATION) -> int:
    """Return what one vLLM claims of a GPU: a fraction of all its memory, whatever is in use."""
    return math.ceil(total * utilisation)


def kv_available_bytes(total: int, utilisation: float, other_bytes: int) -> int:
    """Return what is left for the KV cache beside weights and overhead; not less than nothing."""
    return max(0, requested_bytes(total, utilisation) - other_bytes)


def kv_tokens(arch: Architecture, available: int, kv_type: str = "f16", tensor_parallel: int = 1, pipeline_parallel: int = 1) -> int:
    """Return the tokens that fit into the pool, in whole blocks of 16 tokens over all layers of a GPU.

    Every layer is counted as global, as vLLM's 'GPU KV cache size' does for models of one kind of layer.
    """
    layers = -(-arch.layers // pipeline_parallel)
    block = VLLM_BLOCK * layers * layer_token_bytes(arch, kv_type, tensor_parallel)
    return int(available // block) * VLLM_BLOCK


def full_length_users(tokens: int, context: int) -> float:
    """Return how many users can fill the context at once: vLLM's 'Maximum concurrency'."""
    return tokens / context


def utilisation_for(total: int, needed: int) -> float:
    """Return the least gpu_memory_utilization, in hundredths, that claims what is needed; ModelError where the GPU has not so much."""
    hundredths = math.ceil(needed * 100 / total)
    if hundredths > HIGHEST_UTILISATION * 100:
        raise ModelError(
            f"vLLM would need {needed / 2**30:.1f} GiB of a GPU that has {total / 2**30:.1f} GiB, and {HIGHEST_UTILISATION:.0%} of it "
            "is the most that is safe: choose a smaller context, fewer users, a lower quantisation or more GPUs."
        )
    return hundredths / 100
