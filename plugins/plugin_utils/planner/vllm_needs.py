# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM needs on each GPU so that its pool holds the whole context of all users."""

from __future__ import annotations

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner import overhead
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.kv_cache import layer_token_bytes, vllm_kv_bytes
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import FORMATS
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.terms import Needs, Term, Wish, human
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.weights import hub_size

CHECKPOINT = "the checkpoint's tensors, see quantisation.py for the bytes of a value"
GIVEN = "the size of the files, as given"


def vllm_needs(wish: Wish) -> Needs:
    """Return what a model needs that vLLM serves."""
    if wish.quantisation not in FORMATS:
        raise ModelError(
            f"vLLM serves checkpoints of Hugging Face, but the quantisation is {wish.quantisation}: use one of {', '.join(FORMATS)}, "
            "or the engine ollama."
        )
    size = hub_size(wish.arch, wish.quantisation)
    whole = wish.weight_bytes or size.memory
    source = GIVEN if wish.weight_bytes else CHECKPOINT
    disk = Term("model files", whole, f"{wish.arch.layers} layers, embedding and output in {wish.quantisation}", source)
    process = Term(
        "processes", overhead.VLLM_PROCESS, "3 GB for Python, libraries and workers", "the role vllm (vllm_plan.py SERVICE_BYTES)"
    )
    if wish.device == "cpu":
        weights = Term("weights", whole, f"{human(whole)} in {wish.quantisation}", source)
        return Needs((), (weights, _kv(wish), _activations(wish), process), (disk,))
    gpu = (_weights(wish, whole, source), _kv(wish), _activations(wish), *_fixed())
    return Needs(gpu, (process,), (disk,))


def _weights(wish: Wish, whole: int, source: str) -> Term:
    size = hub_size(wish.arch, wish.quantisation)
    in_layers = max(0, whole - size.embedding - size.output - size.vision)
    share = -(-wish.arch.layers // wish.pipeline_parallel)
    # With pipeline parallelism the first GPU has the embedding, the last one the output, which may be the same matrix.
    ends = max(size.embedding, size.output) if wish.pipeline_parallel > 1 else size.embedding + size.output
    part = (in_layers * share // wish.arch.layers + ends) // wish.tensor_parallel + size.vision
    layers = f"{share} of {wish.arch.layers} layers of {human(in_layers)}"
    text = f"({layers} + embedding and output {human(ends)}) / {wish.tensor_parallel} GPUs"
    return Term("weights", part, text, source)


def _kv(wish: Wish) -> Term:
    arch, tensor_parallel = wish.arch, wish.tensor_parallel
    size = vllm_kv_bytes(arch, wish.context, wish.users, wish.kv_type, tensor_parallel, wish.pipeline_parallel, batch=wish.batched_tokens)
    each = layer_token_bytes(arch, wish.kv_type, tensor_parallel)
    layers = -(-arch.layers // wish.pipeline_parallel)
    text = f"{layers} layers x {each:g} B x {wish.context} tokens in blocks of 16 x {wish.users} users"
    if arch.local_layers:
        text += f", {arch.local_layers} of {arch.layers} layers hold a window of {arch.window} and a batch of {wish.batched_tokens}"
    return Term("KV cache", size, text, "vllm 0.32.0 v1/core/kv_cache_utils.py")


def _activations(wish: Wish) -> Term:
    arch = wish.arch
    sequences = max(wish.users, overhead.VLLM_SEQUENCES)
    size = overhead.vllm_activation_bytes(arch, wish.batched_tokens, sequences, wish.tensor_parallel)
    each = overhead.prefill_token_bytes(arch, wish.tensor_parallel)
    text = f"max({wish.batched_tokens} tokens x {each} B, {sequences} sequences x {arch.vocab} logits x {overhead.LOGIT_BYTES} B)"
    return Term("activations", size, text, "vllm model_executor/models/llama.py, v1/sample; checked on three logs")


def _fixed() -> tuple[Term, ...]:
    return (
        Term("CUDA context and libraries", overhead.VLLM_NON_TORCH, "0.35 GiB", "upper end of five start-up logs"),
        Term("CUDA graphs", overhead.VLLM_CUDA_GRAPHS, "1 GiB", "near the upper end of five start-up logs"),
    )
