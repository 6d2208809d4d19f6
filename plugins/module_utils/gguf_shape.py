# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the header of a GGUF file says of a model's shape: the numbers that its memory is computed from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.gguf import MOST_KEPT, TOKENS, read_gguf
from ansible_collections.onprem.llm.plugins.module_utils.gguf_header import (
    MAX_DIMENSIONS,
    MAX_KEY,
    Header,
    Scalar,
    preamble,
)

VOCABULARY = TOKENS
# The vision tower and what joins it to the language model, in files of Ollama.
VISION_PREFIXES = ("v.", "mm.")
OUTPUT = "output.weight"


@dataclass(frozen=True)
class GgufShape:
    """The numbers of a header under their own keys, and what its table of tensors tells."""

    architecture: str
    file_type: str
    parameters: int
    file_bytes: int
    vocabulary: int
    # None where only the keys were read, and not the table of tensors.
    has_output: bool | None
    vision_parameters: int
    # A file of several parts describes the tensors of its own part only.
    shards: int
    values: dict[str, Scalar] = field(default_factory=dict)


def read_shape(path: str) -> GgufShape:
    """Read the header of ``path``; a file that is no model is refused, as ``read_gguf`` refuses it."""
    gguf = read_gguf(path)
    with explained(f"read {path}"), Path(path).open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        header = Header(stream, path, size)
        _version, tensors, keys = preamble(header)
        values, vocabulary = _numbers(header, keys)
        has_output, vision = _tensors(header, tensors)
    return GgufShape(gguf.architecture, gguf.file_type, gguf.parameters, gguf.data_end, vocabulary, has_output, vision, gguf.shards, values)


def _numbers(header: Header, keys: int) -> tuple[dict[str, Scalar], int]:
    """Return the numbers of the model itself, and the number of tokens."""
    found: dict[str, Scalar] = {}
    vocabulary = 0
    for _unused in range(keys):
        key = header.text(MAX_KEY, "a key")
        kind = int(header.number("<I"))
        if key == VOCABULARY:
            vocabulary = header.length_of_list(kind) or 0
            continue
        value = header.value(kind, key)
        if isinstance(value, (int, float)) and not key.startswith("tokenizer.") and len(found) < MOST_KEPT:
            found[key] = value
    return found, vocabulary


def _tensors(header: Header, tensors: int) -> tuple[bool, int]:
    """Tell whether the output has a matrix of its own, and how many parameters see pictures."""
    has_output, vision = False, 0
    for _unused in range(tensors):
        name = header.text(MAX_KEY, "a tensor's name")
        elements = 1
        for _dimension in range(header.count(MAX_DIMENSIONS, "dimensions of a tensor", "<I")):
            elements *= int(header.number("<Q"))
        header.skip(4 + 8)
        has_output = has_output or name == OUTPUT
        vision += elements if name.startswith(VISION_PREFIXES) else 0
    return has_output, vision
