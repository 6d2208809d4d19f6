# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KV cache: what attention keeps of each token.

Formulas: keys and values of each KV head (arXiv:1911.02150, arXiv:2305.13245); latent attention arXiv:2405.04434, section 2.1; sliding
windows llama.cpp src/llama-kv-cache-iswa.cpp and vLLM's hybrid KV cache manager; blocks of 16 tokens vLLM config/cache.py.
"""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture

# Bytes of one value. The quantised ones are GGML's blocks of 32 values with one fp16 scale.
KV_TYPES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}
# Other spellings: what vLLM's kv_cache_dtype and people write.
KV_SPELLINGS = {"auto": "f16", "fp16": "f16", "float16": "f16", "bfloat16": "bf16", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}
VLLM_BLOCK = 16
# Ollama pads the cells of a cache (llama.cpp GGML_PAD(n_ctx, 256)).
LLAMA_PAD = 256
# Ollama holds at least so many tokens in the local layers of gpt-oss (fs/ggml/ggml.go GraphSize).
GPT_OSS_CELLS = 4096


def kv_value_bytes(kv_type: str) -> float:
    """Return the bytes of one value of the cache; ModelError for a type that no engine has."""
    name = kv_type.lower()
    name = KV_SPELLINGS.get(name, name)
    if name not in KV_TYPES:
        raise ModelError(f"The type of the KV cache must be one of {', '.join(KV_TYPES)}, but it is {kv_type!r}: correct it.")
    return KV_TYPES[name]


def layer_token_bytes(arch: Architecture, kv_type: str = "f16", tensor_parallel: int = 1, *, latent: bool = True) -> float:
    """Return the bytes that one layer keeps of one token on one GPU.

    With tensor parallelism the KV heads are split; fewer heads than GPUs are copied, and so is the vector of latent attention. Where
    ``latent`` is false the engine keeps full keys and values instead of it: llama.cpp does so with GGUF files made before it knew better.
    """
    size = kv_value_bytes(kv_type)
    if arch.is_mla and latent:
        return (arch.kv_lora_rank + arch.qk_rope_head_dim) * size
    if arch.is_mla:
        heads = max(1, arch.heads // tensor_parallel)
        return heads * (arch.qk_nope_head_dim + arch.qk_rope_head_dim + arch.v_head_dim) * size
    heads = max(1, -(-arch.kv_heads // tensor_parallel))
    return 2 * heads * arch.head_dim * size


def token_bytes(arch: Architecture, kv_type: str = "f16", tensor_parallel: int = 1) -> float:
    """Return the bytes of one token of context over all layers, each of them attending to all of it."""
    return arch.layers * layer_token_bytes(arch, kv_type, tensor_parallel)


def local_cells(arch: Architecture, cells: int, sequences: int, batch: int) -> int:
    """Return the tokens that a layer with a sliding window holds: the window of each sequence and the batch being computed."""
    window = max(arch.window, GPT_OSS_CELLS) if arch.kind == "gpt-oss" else arch.window
    return min(cells, window * sequences + batch)


def llama_kv_bytes(
    arch: Architecture, context: int, users: int = 1, kv_type: str = "f16", batch: int = 512, *, sliding: bool = True
) -> int:
    """Return the cache of Ollama and llama.cpp: the context of all users is there from the start."""
    cells = -(-context * users // LLAMA_PAD) * LLAMA_PAD
    local = local_cells(arch, cells, users, batch) if sliding else cells
    return int((arch.global_layers * cells + arch.local_layers * local) * layer_token_bytes(arch, kv_type, latent=arch.latent_gguf))


def vllm_kv_bytes(
    arch: Architecture,
    context: int,
    users: int = 1,
    kv_type: str = "f16",
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    batch: int = 2048,
) -> int:
    """Return the part of vLLM's pool on one GPU that holds the whole context of all users, in blocks of 16 tokens."""
    cells = -(-context // VLLM_BLOCK) * VLLM_BLOCK
    # The batch that is computed next to the window of a sequence, rounded up to blocks.
    local = min(cells, -(-(arch.window + batch) // VLLM_BLOCK) * VLLM_BLOCK)
    cached = users * (arch.global_layers * cells + arch.local_layers * local)
    layers = -(-arch.layers // pipeline_parallel)
    return int(cached * layer_token_bytes(arch, kv_type, tensor_parallel) * layers / arch.layers)
