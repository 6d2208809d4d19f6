# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many bytes a tensor takes: blocks of GGUF and llama.cpp's choice of them, and the formats of Hugging Face.

Sources: block sizes ggml-common.h; the mix of types llama.cpp src/llama-quant.cpp (llama_tensor_get_type); AWQ and GPTQ the packed layout
that their quantizers write (4 or 8 bits, for each group of 128 one fp16 scale and one packed zero); FP8 one fp32 scale for 128x128 values
(DeepSeek-V3 inference/kernel.py); MXFP4 one scale byte for 32 values (OCP Microscaling Formats 1.0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.architecture import Architecture
from ansible_collections.onprem.llm.plugins.plugin_utils.planner.tensors import EMBEDDING, OUTPUT, ROUTER, Tensor

# Type: values in a block, bytes of a block.
BLOCKS = {
    "F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q8_0": (32, 34), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22),
    "Q5_1": (32, 24), "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
    "MXFP4": (32, 17), "IQ4_NL": (32, 18),
}  # fmt: skip
# The mixes of llama-quantize: the type that most matrices get.
MIXES = {
    "f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0", "q4_1": "Q4_1", "q5_0": "Q5_0", "q5_1": "Q5_1",
    "q2_k": "Q2_K", "q3_k_s": "Q3_K", "q3_k_m": "Q3_K", "q3_k_l": "Q3_K", "q4_k_s": "Q4_K", "q4_k_m": "Q4_K",
    "q5_k_s": "Q5_K", "q5_k_m": "Q5_K", "q6_k": "Q6_K", "mxfp4": "MXFP4",
}  # fmt: skip
# Where rows do not fill blocks of 256.
FALLBACK = {"Q2_K": "IQ4_NL", "Q3_K": "IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
# Other spellings, in lower case, of mixes and of the formats of Hugging Face.
SPELLINGS = {
    "fp16": "f16", "float16": "f16", "fp32": "f32", "bfloat16": "bf16", "awq-int4": "awq", "int4-awq": "awq", "gptq": "gptq-int4",
    "int4": "gptq-int4", "int8": "gptq-int8", "mxfp4_moe": "mxfp4", "q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m",
}  # fmt: skip
BITS_16 = 2.0


@dataclass(frozen=True)
class PackedFormat:
    """A format of Hugging Face: bytes for each value of a linear layer, and of all else."""

    linear: float
    other: float = BITS_16
    only_experts: bool = False


GROUP = 128
FORMATS = {
    "f32": PackedFormat(4.0, 4.0),
    "f16": PackedFormat(BITS_16),
    "bf16": PackedFormat(BITS_16),
    "awq": PackedFormat((4 + 16 / GROUP + 4 / GROUP) / 8),
    "gptq-int4": PackedFormat((4 + 16 / GROUP + 4 / GROUP) / 8),
    "gptq-int8": PackedFormat((8 + 16 / GROUP + 8 / GROUP) / 8),
    "fp8": PackedFormat(1 + 4 / GROUP**2),
    "mxfp4": PackedFormat((4 + 8 / 32) / 8, only_experts=True),
}


def quantisation_named(text: str) -> str:
    """Return the name this planner uses for a quantisation in any usual spelling; ModelError for one it does not know."""
    name = text.strip().lower()
    name = SPELLINGS.get(name, name)
    if name not in MIXES and name not in FORMATS:
        raise ModelError(
            f"The quantisation {text!r} is not known: use one of {', '.join(MIXES)} for GGUF or {', '.join(FORMATS)} for Hugging Face."
        )
    return name


def format_bytes(tensor: Tensor, quantisation: str) -> float:
    """Return the bytes of a tensor in a checkpoint of Hugging Face."""
    kind = FORMATS[quantisation]
    few = tensor.is_linear and ("_exps" in tensor.name or not kind.only_experts)
    return tensor.elements * (kind.linear if few else kind.other)


def gguf_bytes(tensor: Tensor, arch: Architecture, quantisation: str, *, by_ollama: bool = False) -> int:
    """Return the bytes of a tensor in a GGUF file."""
    block, size = BLOCKS[gguf_type(tensor, arch, quantisation, by_ollama=by_ollama)]
    return tensor.elements // block * size


def gguf_type(tensor: Tensor, arch: Architecture, quantisation: str, *, by_ollama: bool = False) -> str:
    """Return the type that llama-quantize, or Ollama's own quantiser, gives a tensor."""
    if tensor.is_bias and not tensor.is_vector and quantisation == "mxfp4":
        return "BF16"
    if tensor.is_vector or tensor.is_bias or tensor.name == ROUTER:
        return "F32"
    wanted = _wanted(tensor, arch, quantisation, by_ollama)
    if tensor.row % BLOCKS[wanted][0] == 0:
        return wanted
    fallen = FALLBACK.get(wanted, "F16")
    return fallen if tensor.row % BLOCKS[fallen][0] == 0 else "F16"


def more_bits(layer: int, layers: int) -> bool:
    """Tell whether a layer is one that the ``_M`` mixes give more bits (use_more_bits in llama-quant.cpp)."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _wanted(tensor: Tensor, arch: Architecture, mix: str, by_ollama: bool) -> str:
    base = MIXES[mix]
    if base in {"F32", "F16", "BF16"}:
        return base
    if mix == "mxfp4":
        # OpenAI's files as Ollama and llama.cpp convert them: experts MXFP4, the rest BF16.
        return "MXFP4" if "_exps" in tensor.name else "BF16"
    if tensor.name == OUTPUT or (tensor.name == EMBEDDING and arch.tied and not arch.tied_stored_twice):
        return _output_type(tensor, base)
    if tensor.name == EMBEDDING:
        return base
    for part, rule in RULES.items():
        if tensor.name == part or tensor.name.startswith(f"{part}_"):
            return rule(tensor, arch, mix, base, by_ollama)
    return base


def _output_type(tensor: Tensor, base: str) -> str:
    return "Q8_0" if base == "Q8_0" or tensor.row % BLOCKS[base][0] else "Q6_K"


def _values(tensor: Tensor, arch: Architecture, mix: str, base: str, by_ollama: bool) -> str:
    if by_ollama and arch.kind == "qwen3":
        return "F16"
    if arch.experts == 8:
        return "Q8_0"
    wanted = base
    if mix in {"q4_k_m", "q5_k_m"} and more_bits(tensor.layer, arch.layers):
        wanted = "Q6_K"
    elif mix == "q4_k_s" and tensor.layer < 4:
        wanted = "Q5_K"
    elif mix == "q3_k_m":
        wanted = "Q5_K" if tensor.layer < 2 else "Q4_K"
    elif mix == "q3_k_l":
        wanted = "Q5_K"
    elif mix == "q2_k":
        wanted = "Q4_K" if arch.heads // arch.kv_heads >= 4 else "Q3_K"
    # LLM_TYPE_70B: 80 layers of the kinds llama and qwen2, where eight heads share one value.
    return "Q5_K" if arch.layers == 80 and wanted in {"Q3_K", "Q4_K"} else wanted


def _keys(_tensor: Tensor, arch: Architecture, _mix: str, base: str, _by_ollama: bool) -> str:
    return "Q8_0" if arch.experts == 8 else base


def _down(tensor: Tensor, arch: Architecture, mix: str, base: str, _by_ollama: bool) -> str:
    early = tensor.layer < arch.layers // 8
    chosen = {
        "q4_k_m": "Q6_K" if more_bits(tensor.layer, arch.layers) else base,
        "q5_k_m": "Q6_K" if more_bits(tensor.layer, arch.layers) else base,
        "q4_k_s": "Q5_K" if early else base,
        "q3_k_m": "Q5_K" if tensor.layer < arch.layers // 16 else "Q4_K",
        "q3_k_l": "Q5_K",
        "q2_k": "Q3_K",
    }
    return chosen.get(mix, base)


def _attention_output(_tensor: Tensor, arch: Architecture, mix: str, base: str, _by_ollama: bool) -> str:
    if arch.experts == 8:
        return "Q5_K" if mix in {"q2_k", "q3_k_s", "q3_k_m", "q4_k_s", "q4_k_m"} else base
    return {"q2_k": "Q3_K", "q3_k_m": "Q4_K", "q3_k_l": "Q5_K"}.get(mix, base)


def _fused(_tensor: Tensor, _arch: Architecture, mix: str, base: str, _by_ollama: bool) -> str:
    return {"q3_k_m": "Q4_K", "q3_k_l": "Q4_K", "q4_k_m": "Q5_K", "q5_k_m": "Q6_K"}.get(mix, base)


Rule = Callable[[Tensor, Architecture, str, str, bool], str]
RULES: dict[str, Rule] = {
    "attn_qkv": _fused,
    "attn_output": _attention_output,
    "attn_v": _values,
    "attn_k": _keys,
    "ffn_down": _down,
}
