# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the header of a GGUF file: what the model is, and how long its file must be.

A header comes from anywhere, so every count and length is bounded before it is believed: a hostile one ends in an
error, never in memory use. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.gguf_header import (
    MAX_DIMENSIONS,
    MAX_KEY,
    MAX_NUMBER,
    Header,
    KeyValue,
    Scalar,
    Stream,
    preamble,
)

# The matrix of the output, and the vision tower with what joins it to the language model, in files of Ollama.
OUTPUT, VISION_PREFIXES = "output.weight", ("v.", "mm.")
DEFAULT_ALIGNMENT, MOST_KEPT = 32, 1024
KEPT_PREFIXES = ("general.", "split.")
ARCHITECTURE, FILE_TYPE, TOKENS = "general.architecture", "general.file_type", "tokenizer.ggml.tokens"
KEPT_ENDINGS = (".chat_template", ".context_length", ".embedding_length")
# ggml tensor type: values in a block, bytes of a block (ggml-common.h).
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
# general.file_type, in the words of Ollama and llama.cpp.
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L",
    14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
    36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0",
}  # fmt: skip


@dataclass(frozen=True)
class Role:
    """What a file is for: a whole model or a part of one."""

    architecture: str
    kind: str
    shards: int

    @property
    def is_projector(self) -> bool:
        """Tell whether it is the vision or audio part of a model and not a model."""
        return self.kind in {"projector", "mmproj"} or self.architecture == "clip"

    @property
    def is_adapter(self) -> bool:
        """Tell whether it is a LoRA adapter, which needs another model."""
        return self.kind == "adapter"


@dataclass(frozen=True)
class Gguf(Role):
    """What the header of one file says."""

    version: int
    name: str
    file_type: str
    parameters: int
    context_length: int
    embedding_length: int
    chat_template: str
    data_end: int


def read_gguf(path: str) -> Gguf:
    """Read the header of ``path``; a file that is no model or that was cut short is refused."""
    with explained(f"read {path}"), Path(path).open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        header = Header(stream, path, size)
        version, tensors, keys = preamble(header)
        values = _key_values(header, keys)
        parameters, data_length = _tensor_table(header, tensors)
        position = header.position

    alignment = values.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 16 or alignment & (alignment - 1):
        raise header.refuse(f"its alignment is {alignment!r}, not a power of two")
    data_end = (position + alignment - 1) // alignment * alignment + data_length
    if tensors == 0:
        raise header.refuse("it holds no tensors")
    if size < data_end:
        raise ModelError(
            f"{path} was cut short: its tensors need {data_end} bytes, the file has {size}. Fetch it again and compare its sha256."
        )
    architecture = _text(values, ARCHITECTURE)
    if not architecture:
        raise header.refuse("it names no architecture")
    return Gguf(
        version=version,
        architecture=architecture,
        name=_text(values, "general.name"),
        kind=_text(values, "general.type"),
        file_type=FILE_TYPES.get(_whole(values, FILE_TYPE, -1), "unknown"),
        parameters=parameters,
        context_length=_whole(values, f"{architecture}.context_length", 0),
        embedding_length=_whole(values, f"{architecture}.embedding_length", 0),
        chat_template=_text(values, "tokenizer.chat_template"),
        shards=_whole(values, "split.count", 0),
        data_end=data_end,
    )


def read_description(stream: Stream, path: str, size: int) -> tuple[dict[str, KeyValue], dict[str, int | bool]]:
    """Return what the header of a file of ``size`` bytes says of the model: its key-values, and what its table of tensors tells.

    Of the key-values there are numbers, short texts and lists; of the vocabulary (``tokenizer.ggml.tokens``) the length, and
    ``general.file_type`` in words. Of the tensors ``parameters`` (int: all values), ``output`` (bool: whether the output has a matrix
    of its own) and ``vision_parameters`` (int: those that see pictures). The stream is read as far as the table goes, so that the
    beginning of a file will do.
    """
    header = Header(stream, path, size)
    _version, tensors, keys = preamble(header)
    kept: dict[str, KeyValue] = {}
    for _unused in range(keys):
        key = header.text(MAX_KEY, "a key")
        kind = int(header.number("<I"))
        value = header.length_of_list(kind) if key == TOKENS else header.short_value(kind)
        if value is not None and len(kept) < MOST_KEPT:
            kept[key] = value
    if not _text(kept, ARCHITECTURE):
        raise header.refuse("it names no architecture")
    if FILE_TYPE in kept:
        kept[FILE_TYPE] = FILE_TYPES.get(_whole(kept, FILE_TYPE, -1), "unknown")
    return kept, _described_tensors(header, tensors)


def _described_tensors(header: Header, tensors: int) -> dict[str, int | bool]:
    parameters, vision, output = 0, 0, False
    for _unused in range(tensors):
        name = header.text(MAX_KEY, "a tensor's name")
        elements = 1
        for _dimension in range(header.count(MAX_DIMENSIONS, "dimensions of a tensor", "<I")):
            elements *= int(header.number("<Q"))
        # Its type and its place.
        header.skip(4 + 8)
        parameters += elements
        vision += elements if name.startswith(VISION_PREFIXES) else 0
        output = output or name == OUTPUT
        if parameters > MAX_NUMBER:
            raise header.refuse("its tensors are larger than any file")
    return {"parameters": parameters, "output": output, "vision_parameters": vision}


def role_of(values: Mapping[str, KeyValue]) -> Role:
    """Return what a file with these key-values is for."""
    return Role(_text(values, ARCHITECTURE), _text(values, "general.type"), _whole(values, "split.count", 0))


def _key_values(header: Header, keys: int) -> dict[str, Scalar]:
    kept: dict[str, Scalar] = {}
    for _unused in range(keys):
        key = header.text(MAX_KEY, "a key")
        kind = int(header.number("<I"))
        if key.startswith(KEPT_PREFIXES) or key.endswith(KEPT_ENDINGS):
            value = header.value(kind, key)
            if value is not None and len(kept) < MOST_KEPT:
                kept[key] = value
        else:
            header.skip_value(kind)
    return kept


def _tensor_table(header: Header, tensors: int) -> tuple[int, int]:
    """Return the number of parameters and the length of the data that the table describes."""
    parameters = length = 0
    for _unused in range(tensors):
        header.skip(header.count(MAX_KEY, "bytes for a tensor's name"))
        values, row = 1, 1
        for dimension in range(header.count(MAX_DIMENSIONS, "dimensions of a tensor", "<I")):
            extent = int(header.number("<Q"))
            values *= extent
            row = extent if dimension == 0 else row
        kind = int(header.number("<I"))
        offset = int(header.number("<Q"))
        if kind in BLOCKS:
            per_block, block_bytes = BLOCKS[kind]
            if row % per_block:
                raise header.refuse(f"a tensor's rows of {row} values do not fill whole blocks of {per_block}")
            end = offset + values // per_block * block_bytes
        else:
            # A type newer than this table: at least one byte of it must be there.
            end = offset + 1
        parameters += values
        length = max(length, end)
        if max(parameters, length) > MAX_NUMBER:
            raise header.refuse("its tensors are larger than any file")
    return parameters, length


def _text(values: Mapping[str, KeyValue], key: str) -> str:
    value = values.get(key, "")
    return value if isinstance(value, str) else ""


def _whole(values: Mapping[str, KeyValue], key: str, default: int) -> int:
    value = values.get(key, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
