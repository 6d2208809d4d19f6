# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ollama is given of a model that comes over the network: a manifest of Ollama's registry as it is, or one GGUF file of the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json
from ansible_collections.onprem.llm.plugins.module_utils.gguf import Gguf, read_gguf
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_settings import Settings
from ansible_collections.onprem.llm.plugins.module_utils.layouts.ollama_store import (
    CONFIG_TYPE,
    LAYER_TYPE,
    Image,
    Layer,
    encode,
    read_some,
)
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_digest, shown
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.file import whole_model
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf", re.ASCII | re.IGNORECASE)
LARGEST_CONFIG = 4 << 20
Read = Callable[[Digest], bytes]


def wanted_files(manifest: RemoteManifest) -> list[RemoteBlob]:
    """Return the files that Ollama needs; refuse a source that holds no model for it."""
    ref = manifest.ref
    if isinstance(ref, HubRef):
        return [_hub_file(ref, manifest)]
    return list(manifest.blobs)


def refuse_unfit_file(ref: HubRef) -> None:
    """Refuse, by its name alone, what Ollama cannot be given of a repository."""
    if not ref.file:
        raise ModelError(f"Ollama takes one GGUF file of a repository, but the source is '{ref}': add '#' and the name of the file.")
    if not ref.file.lower().endswith(".gguf"):
        raise ModelError(f"Ollama takes a GGUF file, but the source '{ref}' names another: name a file that ends in '.gguf'.")
    if SPLIT.search(ref.file):
        raise ModelError(
            f"The source '{ref}' is one part of a split GGUF, but one file is expected: choose a file that is whole, or join the parts "
            f"with 'llama-gguf-split --merge' and name the result with 'file:'."
        )


def _hub_file(ref: HubRef, manifest: RemoteManifest) -> RemoteBlob:
    refuse_unfit_file(ref)
    for blob in manifest.blobs:
        if blob.name == ref.file:
            return blob
    there = sorted(blob.name for blob in manifest.blobs if blob.name.lower().endswith(".gguf"))
    advice = f"choose one of {', '.join(shown(name) for name in there[:8])}" if there else "choose another repository, it has no GGUF"
    raise ModelError(f"{ref.repo} has no file {shown(ref.file)} at {manifest.revision}: {advice}.")


def projectors(manifest: RemoteManifest) -> list[str]:
    """Return the files of the Hub that would give a model eyes or ears, and that are left out."""
    names = (blob.name for blob in manifest.blobs) if isinstance(manifest.ref, HubRef) else ()
    return sorted(name for name in names if "mmproj" in name.lower() and name.lower().endswith(".gguf"))


def stored_gguf(store: Store, digest: Digest, *, parts: bool = False) -> Gguf:
    """Return what a stored GGUF says of itself, and remember it; refuse what is no whole model. Ollama may keep one in ``parts``."""
    path = str(store.blob_path(digest))
    stamp = Stamp.of(path)
    memory = store.stamps.recall(path, stamp)
    try:
        gguf = Gguf(**memory.facts) if memory and memory.facts else None
    except TypeError:
        # Remembered by another version of this collection.
        gguf = None
    if gguf is None:
        gguf = read_gguf(path)
        store.stamps.hold(path, Memory(stamp, digest, asdict(gguf), memory.verified_at if memory else 0))
    return gguf if parts else whole_model(path, gguf)


def pulled_image(manifest: RemoteManifest, settings: Settings, read: Read | None) -> Image | None:
    """Return the model of a registry: as it is there, or with own settings in the place of those it has.

    ``read(digest)`` returns what a stored layer holds. Where nothing is stored yet (None), own settings cannot be worked in.
    """
    config, layers = _listed(manifest)
    if settings == Settings():
        return Image(config, layers, manifest.data)
    if read is None:
        return None
    texts = {kind: text for kind in ("template", "system", "license") if (text := getattr(settings, kind))}
    replaced = {LAYER_TYPE + kind for kind in [*texts, *(["params"] if settings.parameters else [])]}
    kept = [layer for layer in layers if layer.media_type not in replaced]
    kept += [Layer.of(LAYER_TYPE + kind, text.encode("utf-8")) for kind, text in texts.items()]
    if settings.parameters:
        had = [_object(read(layer.digest), "parameters", manifest) for layer in layers if layer.media_type == LAYER_TYPE + "params"]
        merged = {**{name: value for found in had for name, value in found.items()}, **settings.parameters}
        kept.append(Layer.of(LAYER_TYPE + "params", encode(dict(sorted(merged.items())))))
    if settings.template:
        # A renderer of Ollama's own would be used in the place of any template.
        said = _object(read(config.digest), "config", manifest)
        if {"renderer", "parser"} & set(said):
            config = Layer.of(CONFIG_TYPE, encode({key: value for key, value in said.items() if key not in {"renderer", "parser"}}))
    return Image(config, tuple(kept))


def reader(store: Store) -> Read:
    """Return what reads a small layer from the store."""

    def read(digest: Digest) -> bytes:
        path = store.blob_path(digest)
        try:
            return read_some(path, LARGEST_CONFIG)
        except OSError as exc:
            raise ModelError(f"Cannot read {path}: {exc}. Run again.") from exc

    return read


def _listed(manifest: RemoteManifest) -> tuple[Layer, tuple[Layer, ...]]:
    """Return the config and the layers that a manifest lists, in its order."""
    try:
        said = read_json(manifest.data)
        parts = [said["config"], *said["layers"]]
        listed = [Layer(str(part["mediaType"]), as_digest(str(part["digest"])), int(part["size"])) for part in parts]
    except (ValueError, KeyError, TypeError, ModelError):
        raise ModelError(
            f"The manifest of {manifest.ref} is not one of Ollama's: the server is no registry of models, or broken."
        ) from None
    return listed[0], tuple(listed[1:])


def _object(data: bytes, what: str, manifest: RemoteManifest) -> dict[str, Any]:
    try:
        said = read_json(data)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ModelError(f"The {what} of {manifest.ref} are no JSON object, so own settings cannot be laid over them: leave those out.")
    return said
