# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The many spellings of one model's name: with its maker, its quantisation and words such as 'instruct', or without."""

from __future__ import annotations

import re

# What stands in a name for the kind of file and not for the model.
QUANTISATIONS = re.compile(
    r"^(?:gguf|ggml|awq|gptq|exl2|mlx|bnb|int4|int8|4bit|8bit|w4a16|w8a8|fp8|fp16|f16|bf16|fp32|f32|mxfp4(?:_moe)?|nvfp4|dynamic|i1|qat"
    r"|i?q\d_[0-9a-z]+(?:_[a-z]{1,3})?)$"
)
VARIANTS = {"instruct", "chat", "it", "text", "base", "hf", "imatrix", "unsloth", "quantized"}
SHARD = re.compile(r"-\d{5}-of-\d{5}$")
PARTS = re.compile(r"[:\-]")
MIX = re.compile(r"(?<![a-z0-9])(q\d_(?:k(?:_[sml])?|[01])|mxfp4(?:_moe)?|bf16|fp16|f16|fp32|f32)(?![a-z0-9_])")
# Words for a quantisation that is none of these and of the formats below: what such files take is not computed.
OTHER = re.compile(r"(?<![a-z0-9])(i?q\d_\w+|tq\d_\d|exl[23]|mlx|bnb|nvfp4|hqq|aqlm|w\da\d+|int[48]|[23468]bit)(?![a-z0-9])")
HUB = (
    (re.compile(r"gptq.*(?:int8|8bit)"), "gptq-int8"),
    (re.compile(r"gptq"), "gptq-int4"),
    (re.compile(r"awq|w4a16"), "awq"),
    (re.compile(r"fp8"), "fp8"),
    (re.compile(r"mxfp4"), "mxfp4"),
)


def stem(name: str) -> str:
    """Return what spellings of one model share: 'Qwen/Qwen2.5-7B-Instruct-AWQ' and 'qwen2.5:7b-instruct-q4_K_M' are both 'qwen2.5-7b'."""
    last = name.lower().rpartition("/")[2].removesuffix(".gguf").removesuffix(".safetensors")
    last = SHARD.sub("", last).removeprefix("meta-")
    # File names put a dot before the mix: Model-7B.Q4_K_M.gguf.
    last = re.sub(r"\.(?=i?q\d_|f16|bf16|fp16)", "-", last)
    words = [word for word in PARTS.split(last) if word and word not in VARIANTS and not QUANTISATIONS.match(word)]
    return "-".join(words)


def mix_in(name: str) -> str:
    """Return the mix of GGUF that a tag or a file name ends with; an empty text where there is none."""
    found = MIX.findall(name.lower())
    return found[-1] if found else ""


def other_quantisation_in(name: str) -> str:
    """Return the word by which a name tells a quantisation that ``mix_in`` and ``hub_format_in`` do not know; empty where there is none."""
    found = OTHER.search(name.lower())
    return "" if found is None or mix_in(name) or hub_format_in(name) else found[0]


def hub_format_in(name: str) -> str:
    """Return the format that the name of a repository of Hugging Face tells; an empty text where there is none."""
    low = name.lower()
    return next((word for pattern, word in HUB if pattern.search(low)), "")
