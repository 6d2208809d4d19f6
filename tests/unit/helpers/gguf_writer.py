"""Writes small but valid GGUF files, and broken ones."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UINT32, STRING, ARRAY = 4, 8, 9
F32, Q4_1 = 0, 3
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
BLOCKS = {F32: (1, 4), Q4_1: (32, 20)}


@dataclass(frozen=True)
class Tensor:
    """A tensor whose data is some repeated bytes."""

    name: str = "token_embd.weight"
    shape: Sequence[int] = (64, 4)
    kind: int = Q4_1
    fill: bytes = b"\x01"
    offset: int | None = None

    @property
    def size(self) -> int:
        values = 1
        for extent in self.shape:
            values *= extent
        per_block, block_bytes = BLOCKS.get(self.kind, (1, 1))
        return values // per_block * block_bytes


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(content: Any) -> bytes:
    """Encode a value with its type: whole numbers as uint32, texts, lists of texts."""
    if isinstance(content, str):
        return struct.pack("<I", STRING) + text(content)
    if isinstance(content, int):
        return struct.pack("<II", UINT32, content)
    if isinstance(content, bytes):
        return content
    return struct.pack("<IIQ", ARRAY, STRING, len(content)) + b"".join(text(item) for item in content)


def keys(**changes: Any) -> dict[str, Any]:
    """Return the keys of a small language model; a change to None leaves one out, ``__`` stands for a dot."""
    found: dict[str, Any] = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "Tiny",
        "general.file_type": 3,
        "llama.context_length": 2048,
        "llama.embedding_length": 64,
        "tokenizer.ggml.tokens": ["<s>", "</s>", "Paris"],
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    found.update({key.replace("__", "."): changed for key, changed in changes.items()})
    return {key: content for key, content in found.items() if content is not None}


def gguf_bytes(
    *,
    kv: Mapping[str, Any] | None = None,
    tensors: Sequence[Tensor] = (Tensor(),),
    magic: bytes = b"GGUF",
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    """Return a whole file."""
    pairs = keys() if kv is None else kv
    head = magic + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, content in pairs.items():
        head += text(key) + value(content)
    data = b""
    for tensor in tensors:
        data += b"\0" * (-len(data) % alignment)
        offset = len(data) if tensor.offset is None else tensor.offset
        head += text(tensor.name) + struct.pack("<I", len(tensor.shape)) + struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape)
        head += struct.pack("<IQ", tensor.kind, offset)
        data += tensor.fill * (tensor.size // len(tensor.fill))
    return head + b"\0" * (-len(head) % alignment) + data


def write_gguf(path: Path, *, fill: bytes = b"\x01", **options: Any) -> Path:
    """Write a small model; ``fill`` tells one from another of the same size."""
    options.setdefault("tensors", (Tensor(fill=fill),))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf_bytes(**options))
    path.chmod(0o644)
    return path
