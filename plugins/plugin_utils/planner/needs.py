# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one model needs of GPU memory, RAM and disk, term by term; each term names its formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.ollama_needs import ollama_needs
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.overhead import VLLM_BATCHED_TOKENS
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import quantisation_named
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import Device, Needs, Term, Wish
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.vllm_needs import vllm_needs

__all__ = ["Device", "Engine", "Needs", "Term", "needs"]

Engine = Literal["ollama", "vllm"]
ENGINES: dict[str, Callable[[Wish], Needs]] = {"ollama": ollama_needs, "vllm": vllm_needs}


def needs(
    arch: Architecture,
    quantisation: str,
    engine: Engine,
    context: int,
    users: int,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    kv_type: str = "f16",
    device: Device = "gpu",
    weight_bytes: int | None = None,
    batched_tokens: int = VLLM_BATCHED_TOKENS,
) -> Needs:
    """Return what a model needs so that ``users`` can each fill ``context`` tokens at once.

    ``quantisation`` is a GGUF mix (``q4_k_m``, ``q8_0``, ``f16`` ...) or a format of Hugging Face (``bf16``, ``awq``, ``gptq-int4``,
    ``gptq-int8``, ``fp8``, ``mxfp4``). ``weight_bytes`` is the size of the model's files, where it is known. GPU terms are those of one
    GPU: vLLM splits by tensor and pipeline parallelism, Ollama spreads layers over as many GPUs. On the CPU all is RAM.
    ``batched_tokens`` is vLLM's max_num_batched_tokens.
    """
    counts = {"context": context, "users": users, "tensor_parallel": tensor_parallel, "pipeline_parallel": pipeline_parallel}
    for name, value in counts.items():
        if value < 1:
            raise ModelError(f"{name} must be at least 1, but it is {value}: correct it.")
    if engine not in ENGINES:
        raise ModelError(f"The engine must be one of {', '.join(ENGINES)}, but it is {engine!r}: correct it.")
    name = quantisation_named(quantisation)
    return ENGINES[engine](
        Wish(arch, name, context, users, tensor_parallel, pipeline_parallel, kv_type, device, weight_bytes, batched_tokens)
    )
