"""Writes small but complete model folders in Hugging Face's layout."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
SIDE_FILES: dict[str, Any] = {
    "config.json": CONFIG,
    "generation_config.json": {"eos_token_id": 2},
    "tokenizer.json": {"version": "1.0"},
    "tokenizer_config.json": {"eos_token": "<|im_end|>"},
}


def safetensors_bytes(sizes: Mapping[str, int], fill: bytes = b"\1", *, header: bytes | None = None) -> bytes:
    """Return a file with tensors of these many bytes; ``header`` takes the place of a right one."""
    placed: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, size in sizes.items():
        placed[name] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
        end += size
    head = json.dumps(placed).encode() if header is None else header
    return struct.pack("<Q", len(head)) + head + fill * end


def write_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Write new files that anybody may read; what is not bytes is written as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        # Not in place: the old file may be a hard link by now.
        path.unlink(missing_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        path.chmod(0o644)


def write_folder(folder: Path, *, fill: bytes = b"\1", shards: int = 0, listed: bool = False) -> Path:
    """Write a whole model in one file of weights, or in shards with an index; ``fill`` tells one from another of the same size."""
    write_files(folder, SIDE_FILES)
    if shards:
        names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
        write_files(folder, {name: safetensors_bytes({f"tensor-{name}": 512}, fill) for name in names})
        write_files(folder, {"model.safetensors.index.json": {"metadata": {}, "weight_map": {f"tensor-{name}": name for name in names}}})
    else:
        write_files(folder, {"model.safetensors": safetensors_bytes({"a": 512, "b": 512}, fill)})
    if listed:
        write_sums(folder)
    return folder


def write_sums(folder: Path, names: Sequence[str] = ()) -> str:
    """Write SHA256SUMS of all files, or of these, as ``sha256sum`` does; return its digest."""
    chosen = sorted(names or (path.name for path in folder.iterdir() if path.name != "SHA256SUMS"))
    lines = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in chosen)
    write_files(folder, {"SHA256SUMS": lines.encode()})
    return hashlib.sha256(lines.encode()).hexdigest()
