# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tensors of a model, from its architecture: names as in a GGUF file (llama.cpp src/llama-arch.cpp), shapes as in transformers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture

EMBEDDING, OUTPUT, ROUTER = "token_embd", "output", "ffn_gate_inp"
# Outside of the layers.
NO_LAYER = -1


@dataclass(frozen=True)
class Tensor:
    """One tensor: ``row`` is the length of its rows, which blocks of a quantisation must fill; a vector has one row."""

    name: str
    layer: int
    elements: int
    row: int

    @property
    def is_vector(self) -> bool:
        """Tell whether it is a norm or a bias, which is never quantised."""
        return self.elements == self.row

    @property
    def is_bias(self) -> bool:
        """Tell whether it is a bias: those of stacked experts have rows."""
        return self.name.endswith(".bias")

    @property
    def is_linear(self) -> bool:
        """Tell whether it is a matrix of a layer that quantised checkpoints of Hugging Face hold in few bits: not the router."""
        return self.layer != NO_LAYER and not self.is_vector and self.name != ROUTER and not self.is_bias


def tensors_of(arch: Architecture) -> Iterator[Tensor]:
    """Yield every tensor of the language model; the tied output is not a tensor of its own."""
    yield Tensor(EMBEDDING, NO_LAYER, arch.vocab * arch.hidden, arch.hidden)
    yield Tensor("output_norm", NO_LAYER, arch.hidden, arch.hidden)
    if not arch.tied:
        yield Tensor(OUTPUT, NO_LAYER, arch.vocab * arch.hidden, arch.hidden)
    for layer in range(arch.layers):
        yield from _layer(arch, layer)


def parameters_of(arch: Architecture) -> int:
    """Return the number of parameters: of the language model, and of the vision tower where it has one."""
    return sum(tensor.elements for tensor in tensors_of(arch)) + (arch.vision.parameters if arch.vision else 0)


def active_parameters_of(arch: Architecture) -> int:
    """Return the number of parameters that one token passes through: of the experts only the chosen ones."""
    passed = 0
    for tensor in tensors_of(arch):
        chosen = arch.experts_per_token if "_exps" in tensor.name else arch.experts
        passed += tensor.elements * chosen // arch.experts if arch.is_moe else tensor.elements
    return passed


def _matrix(name: str, layer: int, rows: int, row: int) -> Tensor:
    return Tensor(name, layer, rows * row, row)


def _vector(name: str, layer: int, length: int) -> Tensor:
    return Tensor(name, layer, length, length)


def _layer(arch: Architecture, layer: int) -> Iterator[Tensor]:
    norms = ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")[: arch.traits.layer_norms]
    yield from (_vector(name, layer, arch.hidden) for name in norms)
    yield from _mla(arch, layer) if arch.is_mla else _attention(arch, layer)
    yield from _experts(arch, layer) if arch.is_moe and layer >= arch.dense_first_layers else _mlp(arch, layer, "", arch.ffn)


def _attention(arch: Architecture, layer: int) -> Iterator[Tensor]:
    traits = arch.traits
    queries, keys = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    parts = {"attn_qkv": queries + 2 * keys} if traits.fused else {"attn_q": queries, "attn_k": keys, "attn_v": keys}
    for name, rows in parts.items():
        yield _matrix(name, layer, rows, arch.hidden)
        if traits.qkv_bias:
            yield _vector(f"{name}.bias", layer, rows)
    yield _matrix("attn_output", layer, arch.hidden, queries)
    if traits.output_bias:
        yield _vector("attn_output.bias", layer, arch.hidden)
    if traits.head_norms:
        yield _vector("attn_q_norm", layer, arch.head_dim)
        yield _vector("attn_k_norm", layer, arch.head_dim)
    if traits.sinks:
        yield _vector("attn_sinks", layer, arch.heads)


def _mla(arch: Architecture, layer: int) -> Iterator[Tensor]:
    """Yield the matrices of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1)."""
    queries = arch.heads * (arch.qk_nope_head_dim + arch.qk_rope_head_dim)
    if arch.q_lora_rank:
        yield _matrix("attn_q_a", layer, arch.q_lora_rank, arch.hidden)
        yield _vector("attn_q_a_norm", layer, arch.q_lora_rank)
        yield _matrix("attn_q_b", layer, queries, arch.q_lora_rank)
    else:
        yield _matrix("attn_q", layer, queries, arch.hidden)
    yield _matrix("attn_kv_a_mqa", layer, arch.kv_lora_rank + arch.qk_rope_head_dim, arch.hidden)
    yield _vector("attn_kv_a_norm", layer, arch.kv_lora_rank)
    yield _matrix("attn_kv_b", layer, arch.heads * (arch.qk_nope_head_dim + arch.v_head_dim), arch.kv_lora_rank)
    yield _matrix("attn_output", layer, arch.hidden, arch.heads * arch.v_head_dim)


def _mlp(arch: Architecture, layer: int, suffix: str, width: int, count: int = 1) -> Iterator[Tensor]:
    """Yield gate, up and down of one MLP, or of ``count`` experts whose matrices are stacked."""
    if arch.traits.fused:
        yield _matrix(f"ffn_up{suffix}", layer, 2 * width * count, arch.hidden)
    else:
        yield _matrix(f"ffn_gate{suffix}", layer, width * count, arch.hidden)
        yield _matrix(f"ffn_up{suffix}", layer, width * count, arch.hidden)
    yield _matrix(f"ffn_down{suffix}", layer, arch.hidden * count, width)


def _experts(arch: Architecture, layer: int) -> Iterator[Tensor]:
    yield _matrix(ROUTER, layer, arch.experts, arch.hidden)
    yield from _mlp(arch, layer, "_exps", arch.expert_ffn, arch.experts)
    if arch.shared_experts:
        yield from _mlp(arch, layer, "_shexp", arch.expert_ffn * arch.shared_experts)
    if arch.router_bias:
        yield _vector("exp_probs_b", layer, arch.experts)
    if arch.traits.expert_bias:
        yield _vector("ffn_gate_inp.bias", layer, arch.experts)
        for name, width in (("gate", arch.expert_ffn), ("up", arch.expert_ffn), ("down", arch.hidden)):
            yield _matrix(f"ffn_{name}_exps.bias", layer, arch.experts, width)
