# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the header of a GGUF file says of a model's shape, as the module ``model_shape`` told it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.gguf import ARCHITECTURE, FILE_TYPE, TOKENS


@dataclass(frozen=True)
class GgufShape:
    """The numbers of a header under their own keys, and what its table of tensors tells."""

    architecture: str
    file_type: str
    parameters: int
    file_bytes: int
    vocabulary: int
    has_output: bool
    vision_parameters: int
    # A file of several parts describes the tensors of its own part only.
    shards: int
    values: dict[str, int | float] = field(default_factory=dict)


def gguf_shape(told: Mapping[str, Any]) -> GgufShape | None:
    """Return the shape of a GGUF from one element of ``shapes``; None where it is no GGUF, or nothing was learnt of it."""
    keys, tensors = told.get("gguf"), told.get("tensors")
    if not keys or not tensors or not told.get("bytes"):
        return None
    return GgufShape(
        architecture=str(keys[ARCHITECTURE]),
        file_type=str(keys.get(FILE_TYPE, "unknown")),
        parameters=int(tensors["parameters"]),
        file_bytes=int(told["bytes"]),
        vocabulary=int(keys.get(TOKENS) or 0),
        has_output=bool(tensors["output"]),
        vision_parameters=int(tensors["vision_parameters"]),
        shards=int(keys.get("split.count") or 0),
        values={str(key): value for key, value in keys.items() if isinstance(value, (int, float))},
    )
