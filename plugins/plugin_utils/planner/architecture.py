# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a model: what its memory is computed from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError


@dataclass(frozen=True)
class Traits:
    """What the layers of one kind of model have, beside the matrices that all have."""

    qkv_bias: bool = False
    output_bias: bool = False
    # RMS norms over each head of queries and keys.
    head_norms: bool = False
    # RMS norms of a layer: before attention and before the MLP, and after each of them where there are four.
    layer_norms: int = 2
    # One matrix for queries, keys and values, and one for gate and up.
    fused: bool = False
    # Biases on router and experts, and one attention sink per head.
    expert_bias: bool = False
    sinks: bool = False


# By the name that GGUF gives the architecture. Source: llama.cpp src/llama-arch.cpp (tensors by architecture), and for the parameter
# counts transformers' modeling files of the same names.
TRAITS = {
    "llama": Traits(),
    "qwen2": Traits(qkv_bias=True),
    "qwen3": Traits(head_norms=True),
    "qwen3moe": Traits(head_norms=True),
    "gemma": Traits(),
    "gemma2": Traits(layer_norms=4),
    "gemma3": Traits(layer_norms=4, head_norms=True),
    "phi3": Traits(fused=True),
    "exaone": Traits(),
    "exaone4": Traits(head_norms=True),
    "deepseek2": Traits(),
    "gpt-oss": Traits(qkv_bias=True, output_bias=True, expert_bias=True, sinks=True),
}


@dataclass(frozen=True)
class Vision:
    """The vision tower of a model that also reads pictures."""

    parameters: int
    heads: int
    patches: int


@dataclass(frozen=True)
class Architecture:
    """The numbers of a model's config.json, under the names that llama.cpp and this collection use."""

    kind: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    ffn: int
    vocab: int
    tied: bool = False
    # The checkpoint keeps the tied matrix a second time as lm_head, so files made of it hold it twice.
    tied_stored_twice: bool = False
    experts: int = 0
    experts_per_token: int = 0
    expert_ffn: int = 0
    shared_experts: int = 0
    dense_first_layers: int = 0
    # A selection bias for each expert (DeepSeek-V3's e_score_correction_bias).
    router_bias: bool = False
    window: int = 0
    local_layers: int = 0
    kv_lora_rank: int = 0
    q_lora_rank: int = 0
    qk_rope_head_dim: int = 0
    qk_nope_head_dim: int = 0
    v_head_dim: int = 0
    # The GGUF file keeps the matrices of latent attention so that llama.cpp caches the latent vector. Files made before April 2025, as
    # those of DeepSeek in Ollama's library, do not: full keys and values are cached.
    latent_gguf: bool = False
    max_context: int = 0
    vision: Vision | None = None

    @property
    def traits(self) -> Traits:
        """Return what the layers have beside the matrices."""
        return TRAITS.get(self.kind, Traits())

    @property
    def is_mla(self) -> bool:
        """Tell whether attention keeps one compressed vector per token instead of keys and values (multi-head latent attention)."""
        return self.kv_lora_rank > 0

    @property
    def is_moe(self) -> bool:
        """Tell whether layers choose among experts."""
        return self.experts > 0

    @property
    def moe_layers(self) -> int:
        """Return the number of layers that have experts."""
        return self.layers - self.dense_first_layers if self.is_moe else 0

    @property
    def global_layers(self) -> int:
        """Return the number of layers that attend to the whole context."""
        return self.layers - self.local_layers

    @property
    def widest_ffn(self) -> int:
        """Return the width of the MLP that one token passes at once: with experts, that of all it is sent to."""
        sparse = self.expert_ffn * (self.experts_per_token + self.shared_experts)
        dense = self.ffn if not self.is_moe or self.dense_first_layers else 0
        return max(sparse, dense)


NUMBERS = tuple(field.name for field in fields(Architecture) if field.type == "int")
NEEDED = ("layers", "heads", "kv_heads", "head_dim", "hidden", "ffn", "vocab")
FLAGS = ("tied", "tied_stored_twice", "router_bias", "latent_gguf")


def checked_architecture(values: dict[str, Any], where: str) -> Architecture:
    """Return the architecture that a mapping of its fields describes; ModelError for the first that cannot be."""
    unknown = sorted(set(values) - {field.name for field in fields(Architecture)})
    if unknown:
        raise ModelError(f"{where}: the architecture has the unknown key {unknown[0]!r}: remove it, or see docs/planner.md for the keys.")
    if not isinstance(values.get("kind"), str) or values["kind"] not in TRAITS:
        raise ModelError(
            f"{where}: the architecture's kind must be one of {', '.join(sorted(TRAITS))}, but it is {values.get('kind')!r}: "
            "use the one whose layers are alike, llama for most."
        )
    for key in NUMBERS:
        least = 1 if key in NEEDED else 0
        value = values.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 40:
            raise ModelError(f"{where}: {key} must be a whole number of at least {least}, but it is {value!r}: copy it from config.json.")
    for key in FLAGS:
        if not isinstance(values.get(key, False), bool):
            raise ModelError(f"{where}: {key} must be true or false, but it is {values[key]!r}: correct it.")
    return _consistent(Architecture(**{**values, "vision": _vision(values.get("vision"), where)}), where)


def _vision(value: Any, where: str) -> Vision | None:
    if value is None:
        return None
    keys = tuple(field.name for field in fields(Vision))
    if (
        not isinstance(value, dict)
        or set(value) != set(keys)
        or not all(isinstance(number, int) and number > 0 for number in value.values())
    ):
        raise ModelError(f"{where}: vision must have the whole numbers {', '.join(keys)}, but it is {value!r}: correct it.")
    return Vision(**value)


def _consistent(arch: Architecture, where: str) -> Architecture:
    wrong = [
        (arch.heads % arch.kv_heads != 0, f"heads {arch.heads} must be a multiple of kv_heads {arch.kv_heads}"),
        (arch.local_layers > arch.layers, f"local_layers {arch.local_layers} must not exceed layers {arch.layers}"),
        (bool(arch.window) != bool(arch.local_layers), "window and local_layers go together"),
        (arch.dense_first_layers > arch.layers, f"dense_first_layers {arch.dense_first_layers} must not exceed layers {arch.layers}"),
        (arch.is_moe and not (arch.experts_per_token and arch.expert_ffn), "experts need experts_per_token and expert_ffn"),
        (arch.experts_per_token > arch.experts, f"experts_per_token {arch.experts_per_token} must not exceed experts {arch.experts}"),
        (
            arch.is_mla and not (arch.qk_rope_head_dim and arch.qk_nope_head_dim and arch.v_head_dim),
            "kv_lora_rank needs qk_rope_head_dim, qk_nope_head_dim and v_head_dim",
        ),
        (arch.tied_stored_twice and not arch.tied, "tied_stored_twice needs tied"),
    ]
    for is_wrong, sentence in wrong:
        if is_wrong:
            raise ModelError(f"{where}: {sentence}: copy the numbers from the model's config.json again.")
    return arch
