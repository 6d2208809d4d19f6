# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The architecture and the quantisation of a model from its config.json on Hugging Face (keys: transformers' configuration files)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture, checked_architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.windows import local_layers_of

KINDS = {
    "llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe", "gemma": "gemma",
    "gemma2": "gemma2", "gemma3": "gemma3", "gemma3_text": "gemma3", "phi3": "phi3", "exaone": "exaone", "exaone4": "exaone4",
    "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2", "gpt_oss": "gpt-oss",
}  # fmt: skip
# The field of an architecture, and the names that config.json files have for it; the first that is there counts.
KEYS = {
    "layers": ("num_hidden_layers", "num_layers"),
    "heads": ("num_attention_heads",),
    "hidden": ("hidden_size",),
    "ffn": ("intermediate_size",),
    "vocab": ("vocab_size",),
    "max_context": ("max_position_embeddings",),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "experts_per_token": ("num_experts_per_tok",),
    "shared_experts": ("n_shared_experts",),
    "dense_first_layers": ("first_k_dense_replace",),
    "kv_lora_rank": ("kv_lora_rank",),
    "q_lora_rank": ("q_lora_rank",),
    "qk_rope_head_dim": ("qk_rope_head_dim",),
    "qk_nope_head_dim": ("qk_nope_head_dim",),
    "v_head_dim": ("v_head_dim",),
}
# What transformers takes where Gemma 3's config.json leaves it out (configuration_gemma3.py), and ties embeddings without being told.
GEMMA3 = {"vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}
TIED = ("gemma", "gemma2", "gemma3")
DTYPES = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}


def architecture_from_config(config: Mapping[str, Any], where: str) -> Architecture:
    """Return the architecture that a config.json describes; ModelError for one whose layers this planner does not know."""
    text = _of_text(config)
    name = text.get("model_type", config.get("model_type"))
    if name not in KINDS:
        raise ModelError(
            f"{where} has the model_type {name!r}, which the planner does not know; it knows {', '.join(KINDS)}: "
            "add the model to llm_catalogue_extra with the kind that is most alike."
        )
    kind = KINDS[name]
    if kind == "gemma3":
        text = {**GEMMA3, **text}
    values: dict[str, Any] = {field: _first(text, keys) for field, keys in KEYS.items()}
    missing = [keys[0] for field, keys in KEYS.items() if field in {"layers", "heads", "hidden", "ffn", "vocab"} and not values[field]]
    if missing:
        raise ModelError(f"{where} has no {missing[0]}: give the whole config.json of the model.")
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings", kind in TIED))
    values |= {
        "kind": kind,
        "kv_heads": text.get("num_key_value_heads") or values["heads"],
        "head_dim": text.get("head_dim") or values["hidden"] // values["heads"],
        "tied": bool(tied),
        "router_bias": name == "deepseek_v3",
    }
    if values["experts"]:
        values["expert_ffn"] = text.get("moe_intermediate_size") or values["ffn"]
    if kind == "deepseek2":
        values["head_dim"] = values["qk_rope_head_dim"] + values["qk_nope_head_dim"]
    return checked_architecture({**values, **_windows(text, kind, values["layers"])}, where)


def quantisation_from_config(config: Mapping[str, Any], where: str) -> str:
    """Return the format of the checkpoint that a config.json belongs to."""
    packed = config.get("quantization_config")
    if not isinstance(packed, Mapping):
        text = _of_text(config)
        return DTYPES.get(str(config.get("torch_dtype") or config.get("dtype") or text.get("torch_dtype") or "bfloat16"), "bf16")
    method, bits = packed.get("quant_method"), packed.get("bits")
    known: dict[tuple[Any, Any], str] = {("awq", 4): "awq", ("gptq", 4): "gptq-int4", ("gptq", 8): "gptq-int8"}
    if (method, bits) in known:
        return known[method, bits]
    if method in {"fp8", "mxfp4"}:
        return str(method)
    raise ModelError(
        f"{where} is quantised by {method!r} with {bits!r} bits, whose size the planner cannot compute: choose a checkpoint in awq, "
        "gptq, fp8, mxfp4 or bf16, or plan with one of these and compare the sizes of the files."
    )


def _of_text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what describes the language model: of one that sees, too, it is a part of its own."""
    part = config.get("text_config")
    return part if isinstance(part, Mapping) and part else config


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    value = next((config[key] for key in keys if isinstance(config.get(key), int)), 0)
    return int(value)


def _windows(config: Mapping[str, Any], kind: str, layers: int) -> dict[str, int]:
    window = config.get("sliding_window")
    if not isinstance(window, int) or config.get("use_sliding_window") is False:
        return {}
    listed = config.get("layer_types")
    local = listed.count("sliding_attention") if isinstance(listed, list) else local_layers_of(kind, layers)
    return {"window": window, "local_layers": local} if local else {}
