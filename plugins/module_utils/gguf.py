# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the header of a GGUF file: what the model is, and how long its file must be.

A header comes from anywhere, so every count and length is bounded before it is believed: a hostile one ends in an
error, never in memory use. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Union

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained

Scalar = Union[int, float, bool, str]

MAX_HEADER = 128 << 20
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 18
MAX_STRINGS = 4 << 20
MAX_KEY = 1 << 10
MAX_KEPT_TEXT = 1 << 20
MAX_DIMENSIONS = 4
MAX_NUMBER = (1 << 63) - 1
DEFAULT_ALIGNMENT = 32

KEPT_PREFIXES = ("general.", "split.")
KEPT_ENDINGS = (".chat_template", ".context_length", ".embedding_length")
STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
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
class Gguf:
    """What the header of one file says."""

    version: int
    architecture: str
    name: str
    kind: str
    file_type: str
    parameters: int
    context_length: int
    embedding_length: int
    chat_template: str
    shards: int
    data_end: int

    @property
    def is_projector(self) -> bool:
        """Tell whether it is the vision or audio part of a model and not a model."""
        return self.kind in {"projector", "mmproj"} or self.architecture == "clip"

    @property
    def is_adapter(self) -> bool:
        """Tell whether it is a LoRA adapter, which needs another model."""
        return self.kind == "adapter"


class _Header:
    """Reads forward through a header and refuses to leave the file or the budget."""

    def __init__(self, stream: BinaryIO, path: str, size: int) -> None:
        self._stream = stream
        self._path = path
        self._end = min(size, MAX_HEADER)
        self._short = size <= MAX_HEADER
        self._texts = MAX_STRINGS
        self.position = 0

    def refuse(self, why: str) -> ModelError:
        return ModelError(f"{self._path} is not a usable GGUF file: {why}. Fetch it again and compare its sha256.")

    def _claim(self, count: int) -> None:
        if count > self._end - self.position:
            raise self.refuse("it ends inside its header" if self._short else f"its header is longer than {MAX_HEADER} bytes")
        self.position += count

    def take(self, count: int) -> bytes:
        self._claim(count)
        data = self._stream.read(count)
        if len(data) != count:
            raise self.refuse("it became shorter while it was read")
        return data

    def skip(self, count: int) -> None:
        self._claim(count)
        self._stream.seek(self.position)

    def number(self, layout: str) -> int | float | bool:
        value: int | float | bool = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def count(self, limit: int, of: str, layout: str = "<Q") -> int:
        value = int(self.number(layout))
        if value > limit:
            raise self.refuse(f"it claims {value} {of}, more than {limit}")
        return value

    def text(self, limit: int, of: str) -> str:
        return self.take(self.count(limit, f"bytes for {of}")).decode("utf-8", "replace")

    def skip_value(self, kind: int) -> None:
        if kind == STRING:
            self.skip(self.count(MAX_HEADER, "bytes for a text"))
        elif kind == ARRAY:
            self._skip_array()
        elif kind in SCALARS:
            self.skip(struct.calcsize(SCALARS[kind]))
        else:
            raise self.refuse(f"it holds a value of the unknown type {kind}")

    def _skip_array(self) -> None:
        kind = int(self.number("<I"))
        if kind == STRING:
            texts = self.count(self._texts, "texts in its lists")
            self._texts -= texts
            for _unused in range(texts):
                self.skip(self.count(MAX_HEADER, "bytes for a text"))
        elif kind in SCALARS:
            self.skip(self.count(MAX_HEADER, "numbers in a list") * struct.calcsize(SCALARS[kind]))
        else:
            raise self.refuse(f"it holds a list of the type {kind}, which the format does not allow")

    def value(self, kind: int, key: str) -> Scalar | None:
        """Return a value that is kept; a list is passed over."""
        if kind == STRING:
            return self.text(MAX_KEPT_TEXT, key)
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        self.skip_value(kind)
        return None


def read_gguf(path: str) -> Gguf:
    """Read the header of ``path``; a file that is no model or that was cut short is refused."""
    with explained(f"read {path}"), Path(path).open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        header = _Header(stream, path, size)
        version, tensors, keys = _preamble(header)
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
    architecture = _text(values, "general.architecture")
    if not architecture:
        raise header.refuse("it names no architecture")
    return Gguf(
        version=version,
        architecture=architecture,
        name=_text(values, "general.name"),
        kind=_text(values, "general.type"),
        file_type=FILE_TYPES.get(_whole(values, "general.file_type", -1), "unknown"),
        parameters=parameters,
        context_length=_whole(values, f"{architecture}.context_length", 0),
        embedding_length=_whole(values, f"{architecture}.embedding_length", 0),
        chat_template=_text(values, "tokenizer.chat_template"),
        shards=_whole(values, "split.count", 0),
        data_end=data_end,
    )


def _preamble(header: _Header) -> tuple[int, int, int]:
    try:
        magic = header.take(4)
        version = int(header.number("<I"))
    except ModelError:
        raise header.refuse("it is too short to hold a header") from None
    if magic != b"GGUF":
        raise header.refuse(f"it starts with {magic!r}, not with b'GGUF'")
    if version not in {2, 3}:
        big = version in {2 << 24, 3 << 24}
        raise header.refuse("it is written for big-endian machines" if big else f"its format version is {version}, engines read 2 and 3")
    tensors = header.count(MAX_TENSORS, "tensors")
    return version, tensors, header.count(MAX_KEYS, "keys")


def _key_values(header: _Header, keys: int) -> dict[str, Scalar]:
    kept: dict[str, Scalar] = {}
    for _unused in range(keys):
        key = header.text(MAX_KEY, "a key")
        kind = int(header.number("<I"))
        if key.startswith(KEPT_PREFIXES) or key.endswith(KEPT_ENDINGS):
            value = header.value(kind, key)
            if value is not None and len(kept) < 1024:
                kept[key] = value
        else:
            header.skip_value(kind)
    return kept


def _tensor_table(header: _Header, tensors: int) -> tuple[int, int]:
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


def _text(values: dict[str, Scalar], key: str) -> str:
    value = values.get(key, "")
    return value if isinstance(value, str) else ""


def _whole(values: dict[str, Scalar], key: str, default: int) -> int:
    value = values.get(key, default)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
