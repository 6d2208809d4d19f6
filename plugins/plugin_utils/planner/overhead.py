# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine needs beside weights and KV cache. Each formula and each constant names where it is from."""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import GIB, MIB

# Ollama keeps so much of each GPU for the CUDA context of its process (ollama discover/gpu.go, cudaMinimumMemory).
CUDA_CONTEXT = 457 * MIB
# Prompt tokens that Ollama computes at once: more (1024, 2048) only for long contexts and where there is room for them (llm/server.go).
OLLAMA_BATCH = 512
# Beside the model a process of llama-server keeps its own code, libraries and buffers in RAM: 25 MiB were measured on a CPU (resident less
# model, KV cache and compute buffer); what CUDA's libraries add is an estimate.
LLAMA_PROCESS = 512 * MIB

# vLLM before any model: CUDA context, libraries. 0.15 to 0.35 GiB in five logs (vllm-project/vllm issues 10517, 14452, 15340), taken at the
# upper end; a log of 80 GB cards shows 1.79 GiB, and 3.58 GiB with two of them (pull request 10511).
VLLM_NON_TORCH = 35 * GIB // 100
# CUDA graphs: 0.11 to 1.10 GiB in the logs seen ('Graph capturing finished ... took 0.31 GiB'), taken near the upper end.
VLLM_CUDA_GRAPHS = GIB
# vLLM's defaults (vllm 0.32.0 engine/arg_utils.py): tokens of a step, and sequences that run at once. A plan computes with these on every
# GPU and tells them to vLLM, which would take more by itself on large ones.
VLLM_BATCHED_TOKENS, VLLM_SEQUENCES = 2048, 256
# Tokens of a step that vLLM takes by itself, by the memory (bytes) of a GPU that is no A100; 1,024 sequences go with both.
VLLM_LARGE_STEPS = ((160 * GIB, 16384), (70 * GIB, 8192))
# The processes of one service in RAM: what the role vllm counts too (vllm_plan.py).
VLLM_PROCESS = 3 * 10**9
# Bytes of one logit while the next token is chosen: float32 copies, sorted values with 8-byte indices, probabilities and their sums (vllm
# v1/sample/ops/topk_topp_sampler.py). 256 sequences of Llama 3's 128,256 logits take 1.26 GiB in a log, with one GPU and with two (pull
# request 10511).
LOGIT_BYTES = 41

# PyTorch keeps a workspace for cuBLAS: 4096 * 8 KiB on Hopper, else 2 * 4096 KiB + 8 * 16 KiB (aten/src/ATen/cuda/CublasHandlePool.cpp).
CUBLAS_HOPPER, CUBLAS = 32 * MIB, 2 * 4096 * 1024 + 8 * 16 * 1024


def vllm_step(name: str, total: int) -> int:
    """Return the tokens of a step (max_num_batched_tokens) that vLLM takes by itself on a GPU of that name and memory (bytes)."""
    large = () if "a100" in name.lower() else VLLM_LARGE_STEPS
    return next((step for least, step in large if total >= least), VLLM_BATCHED_TOKENS)


def llama_compute_bytes(arch: Architecture, cells: int, batch: int = 512) -> int:
    """Return llama.cpp's compute buffer without flash attention: float32 scores of a batch against all cells, or its logits, if larger.

    Formulas: ollama fs/ggml/ggml.go GraphSize (fullOffload), which are fitted to llama.cpp; llama's for kinds that are not named there.
    """
    hidden, heads = arch.hidden, arch.heads
    logits, scores = hidden + arch.vocab, 1 + 4 * hidden + cells * (1 + heads)
    if arch.kind == "qwen2":
        scores = 1 + 2 * hidden + cells * (1 + heads)
    elif arch.kind.startswith("gemma"):
        scores = 2 + 2 * hidden + cells * (1 + heads) + 2 * arch.head_dim * heads
    elif arch.kind == "deepseek2":
        logits = 3 * hidden + arch.vocab
        scores = 2 + 3 * hidden + cells * (1 + arch.kv_heads) + 2 * arch.head_dim * arch.kv_heads
    elif arch.is_moe and arch.experts == 8:
        scores = 2 + 3 * hidden + cells * (1 + heads) + 2 * arch.kv_heads + arch.expert_ffn
    return 4 * batch * max(logits, scores)


def llama_flash_bytes(arch: Architecture, cells: int, users: int = 1, batch: int = 512) -> int:
    """Return llama.cpp's compute buffer with flash attention, which Ollama now turns on by itself.

    No scores of all cells: what is left are the logits of a batch, or Ollama's rule for gpt-oss (GraphSize: 4 MiB for each user, 1 for each
    1024 cells and 110), if larger. An upper estimate: two logs of llama-server show 38 and 154 MiB, and one on a CPU 23 where
    this says 122.
    """
    rule = (4 * users + cells // 1024 + 110) * MIB
    return rule if arch.kind == "gpt-oss" else max(rule, 4 * batch * (arch.hidden + arch.vocab))


def vision_graph_bytes(arch: Architecture) -> int:
    """Return what the vision tower computes in: float32 scores of all patches against all (ollama fs/ggml/ggml.go VisionGraphSize)."""
    return 4 * arch.vision.patches**2 * arch.vision.heads if arch.vision else 0


def prefill_token_bytes(arch: Architecture, tensor_parallel: int = 1, hidden_states: int = 3) -> int:
    """Return the bytes that one token of a prompt takes at the widest point of a layer, 16 bits for each value.

    At once there are gate, up and their product (three times the MLP's width, which tensor parallelism splits) and the hidden states:
    residual, input and output of the MLP (vllm model_executor/models/llama.py LlamaMLP); transformers keeps one copy more of them.
    """
    width = -(-arch.widest_ffn // tensor_parallel)
    states = hidden_states + (arch.experts_per_token if arch.is_moe else 0)
    return 2 * (3 * width + states * arch.hidden)


def vllm_activation_bytes(arch: Architecture, batched_tokens: int, sequences: int, tensor_parallel: int = 1) -> int:
    """Return vLLM's activation peak: in a layer with a step of the most tokens, or where the next token of all sequences is chosen.

    The layers' activations are free by then, so that the larger counts. Three logs of an 8B model, computed and measured: 1.26 of 1.26 GiB
    with 8,192 tokens, 2.06 of 2.07 with 20,000, 2.99 of 2.99 with 29,000 (issue 10517, pull request 10511).
    """
    return max(batched_tokens * prefill_token_bytes(arch, tensor_parallel), sequences * arch.vocab * LOGIT_BYTES)


def transformers_peak_bytes(arch: Architecture, weights: int, kv_token: float, prompt: int, generated: int, gpus: int = 1) -> int:
    """Return the peak of transformers for one sequence, summed over GPUs: at the end of the prompt, or of the answer.

    At the end of the prompt its KV cache is there and the activations of all its tokens, on one GPU after the other, so that they count in
    the peak of each; at the end the whole KV cache.
    """
    start = kv_token * prompt + gpus * prompt * prefill_token_bytes(arch, hidden_states=4)
    return int(weights + max(start, kv_token * (prompt + generated)))
