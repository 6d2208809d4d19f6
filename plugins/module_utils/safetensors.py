# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the header of a safetensors file: which tensors it holds, and how long it must be.

A header comes from anywhere, so its length is bounded before it is read. Format: 8 bytes with the length of the header (little endian),
the header as JSON, then the tensors without a gap, to the last byte (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json

MAX_HEADER = 100_000_000
LENGTH_BYTES = 8
METADATA = "__metadata__"


def read_tensor_names(path: str) -> frozenset[str]:
    """Return the names of the tensors; ModelError if it is no safetensors file, or not as long as its header says."""
    with explained(f"read {path}"), Path(path).open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        start = stream.read(LENGTH_BYTES)
        length = struct.unpack("<Q", start)[0] if len(start) == LENGTH_BYTES else 0
        if not 2 <= length <= MAX_HEADER:
            raise _unusable(path, f"its header would have {length} bytes, where 2 to {MAX_HEADER} are possible")
        header = stream.read(length)
    if len(header) < length:
        raise _unusable(path, f"it ends after {size} bytes, but its header alone needs {LENGTH_BYTES + length}")
    tensors = _parsed(path, header)
    expected = LENGTH_BYTES + length + _data_bytes(path, tensors)
    if size != expected:
        raise _unusable(path, f"it has {size} bytes, but its header tells of {expected}")
    return frozenset(tensors)


def _parsed(path: str, header: bytes) -> dict[str, Any]:
    try:
        tensors = read_json(header)
    except ValueError:
        raise _unusable(path, "its header is no JSON") from None
    if not isinstance(tensors, dict):
        raise _unusable(path, "its header is no JSON object")
    tensors.pop(METADATA, None)
    if not tensors:
        raise _unusable(path, "it holds no tensors")
    return tensors


def _data_bytes(path: str, tensors: dict[str, Any]) -> int:
    end = 0
    try:
        for first, last in sorted(tensor["data_offsets"] for tensor in tensors.values()):
            if not isinstance(last, int) or first != end or last < first:
                raise ValueError("a gap")
            end = last
    except (TypeError, KeyError, ValueError):
        raise _unusable(path, "its header does not place the tensors one after another") from None
    return end


def _unusable(path: str, why: str) -> ModelError:
    return ModelError(f"{path} is not a usable safetensors file: {why}. Fetch it again and compare its sha256.")
