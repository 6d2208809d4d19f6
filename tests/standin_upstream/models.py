"""Writes models into the content of the stand-in, as Ollama's registry would keep them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IMAGE = "application/vnd.ollama.image."
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def add_ollama_model(
    root: Path,
    name: str,
    weights: Path | bytes,
    *,
    texts: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    media_type: str = f"{IMAGE}model",
) -> str:
    """Write ``[namespace/]name:tag``; return the sha256 of its manifest.

    ``texts`` are further layers by the last word of their media type: ``template``, ``params``, ``system``, ``license``;
    a name such as ``license#2`` adds a second layer of a type. A GGUF given as a path becomes a hard link where that is possible.
    """
    path, _colon, tag = name.partition(":")
    namespace, _slash, model = path.rpartition("/")
    layers = [_put(root, media_type, weights)]
    layers += [_put(root, IMAGE + kind.partition("#")[0], text.encode()) for kind, text in (texts or {}).items()]
    image = {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": "135M",
        "file_type": "Q4_1",
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        **(config or {}),
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _put(root, CONFIG_TYPE, json.dumps(image).encode()),
        "layers": layers,
    }
    data = json.dumps(manifest, separators=(",", ":")).encode()
    place = root / "ollama" / (namespace or "library") / model / (tag or "latest")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _put(root: Path, media_type: str, content: Path | bytes) -> dict[str, Any]:
    folder = root / "ollama-blobs"
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        digest = hashlib.sha256(content).hexdigest()
        place = folder / f"sha256-{digest}"
        place.write_bytes(content)
    else:
        with content.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        place = folder / f"sha256-{digest}"
        if not place.exists():
            _link_or_copy(content, place)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": place.stat().st_size}


def _link_or_copy(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)
