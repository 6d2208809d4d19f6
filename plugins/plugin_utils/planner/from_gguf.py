# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The architecture of a model from the header of its GGUF file (keys: ggml docs/gguf.md and llama.cpp gguf-py/gguf/constants.py)."""

from __future__ import annotations

from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import TRAITS, Architecture, checked_architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.gguf_shape import GgufShape
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.quantisation import BLOCKS, MIXES, SPELLINGS
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.windows import local_layers_of

# The field of an architecture, and the key of the header after the name of the architecture.
KEYS = {
    "layers": "block_count",
    "heads": "attention.head_count",
    "hidden": "embedding_length",
    "ffn": "feed_forward_length",
    "max_context": "context_length",
    "experts": "expert_count",
    "experts_per_token": "expert_used_count",
    "expert_ffn": "expert_feed_forward_length",
    "shared_experts": "expert_shared_count",
    "dense_first_layers": "leading_dense_block_count",
    "window": "attention.sliding_window",
    "kv_lora_rank": "attention.kv_lora_rank",
    "q_lora_rank": "attention.q_lora_rank",
}
# Names that files of Ollama and of older converters have for the same layers.
SAME = {"gptoss": "gpt-oss", "mistral": "llama", "mistral3": "llama", "granite": "llama", "gemma3n": "gemma3"}
# Where neither the type nor the number of parameters is known: that of Q4_K.
UNKNOWN_BITS = 4.5
# SigLIP, as Gemma 3 has it (ollama model/models/gemma3): heads, and patches of a picture.
VISION_HEADS, VISION_PATCHES = 16, 4096


def architecture_from_gguf(shape: GgufShape, where: str) -> Architecture:
    """Return the architecture that a header describes; ModelError for one whose layers this planner does not know."""
    kind = SAME.get(shape.architecture, shape.architecture)
    if kind not in TRAITS:
        raise ModelError(
            f"{where} has the architecture {shape.architecture!r}, which the planner does not know; it knows {', '.join(sorted(TRAITS))}: "
            "add the model to llm_catalogue_extra with the kind that is most alike."
        )
    values: dict[str, Any] = {name: _number(shape, key) for name, key in KEYS.items()}
    if not values["heads"] or not values["hidden"]:
        raise ModelError(f"{where} names no number of attention heads for all layers: add the model to llm_catalogue_extra.")
    head_dim = _number(shape, "attention.key_length") or values["hidden"] // values["heads"]
    values |= {
        "kind": kind,
        "kv_heads": _number(shape, "attention.head_count_kv") or values["heads"],
        "head_dim": head_dim,
        "vocab": _number(shape, "vocab_size") or shape.vocabulary,
        "tied": not shape.has_output,
    }
    # Mixtral's files give the width of an expert as that of the MLP, and files where every layer has experts have no other.
    if values["experts"]:
        values["expert_ffn"] = values["expert_ffn"] or values["ffn"]
        values["ffn"] = values["ffn"] or values["expert_ffn"]
    values["local_layers"] = local_layers_of(kind, values["layers"]) if values["window"] else 0
    if not values["local_layers"]:
        values["window"] = 0
    if values["kv_lora_rank"]:
        values |= _latent(shape, head_dim)
    if shape.vision_parameters:
        values["vision"] = {"parameters": shape.vision_parameters, "heads": VISION_HEADS, "patches": VISION_PATCHES}
    return checked_architecture(values, where)


def mix_of(shape: GgufShape) -> str:
    """Return the mix of a file; for types that this planner has no rule for the one with the nearest number of bits."""
    name = shape.file_type.lower()
    name = SPELLINGS.get(name, name)
    if name in MIXES:
        return name
    bits = shape.file_bytes * 8 / shape.parameters if shape.parameters else UNKNOWN_BITS
    return min(MIXES, key=lambda mix: abs(BLOCKS[MIXES[mix]][1] * 8 / BLOCKS[MIXES[mix]][0] - bits))


def _latent(shape: GgufShape, head_dim: int) -> dict[str, int]:
    """Return the dimensions of latent attention: newer files give those of the compressed keys as key_length, the others apart."""
    rope = _number(shape, "rope.dimension_count")
    full = _number(shape, "attention.key_length_mla") or head_dim
    value = _number(shape, "attention.value_length_mla") or _number(shape, "attention.value_length")
    new = bool(_number(shape, "attention.key_length_mla"))
    return {"latent_gguf": new, "head_dim": full, "qk_rope_head_dim": rope, "qk_nope_head_dim": full - rope, "v_head_dim": value}


def _number(shape: GgufShape, key: str) -> int:
    value = shape.values.get(f"{shape.architecture}.{key}", 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
