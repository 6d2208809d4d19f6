# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM is given of a repository of the Hub: the files it reads at the top of it, never code, never pickles."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import FILE_NAME, Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef, OllamaRef, SourceRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.folder import (
    SIDE_FILES,
    SUMS,
    WEIGHTS,
    Folder,
    check_text_names,
    read_folder,
    weights_list,
)
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

# The names that save_pretrained gives to the parts of the weights. A repository may hold the same weights once more, in another layout.
SHARD = re.compile(r"model-\d{5,6}-of-\d{5,6}\.safetensors", re.ASCII)


def wanted_files(manifest: RemoteManifest) -> list[RemoteBlob]:
    """Return the files that vLLM reads, judged by their names; refuse a repository that lacks what it needs."""
    blobs = _top(manifest)
    weights = _weights(str(manifest.ref), blobs)
    check_text_names(str(manifest.ref), blobs)
    return [blob for name, blob in sorted(blobs.items()) if name in weights or (SIDE_FILES.fullmatch(name) and name != SUMS)]


def weight_files(manifest: RemoteManifest) -> list[RemoteBlob]:
    """Return the files with the weights that vLLM loads; refuse a repository that has none."""
    blobs = _top(manifest)
    return [blobs[name] for name in sorted(_weights(str(manifest.ref), blobs))]


def _top(manifest: RemoteManifest) -> dict[str, RemoteBlob]:
    """Return the files at the top of the repository, by name."""
    return {blob.name: blob for blob in manifest.blobs if FILE_NAME.fullmatch(blob.name)}


def _weights(label: str, names: Collection[str]) -> set[str]:
    if weights_list(label, names) == WEIGHTS:
        return {WEIGHTS}
    shards = {name for name in names if SHARD.fullmatch(name)}
    return shards or {name for name in names if name.endswith(".safetensors") and not name.startswith("consolidated")}


def refuse_unfit(ref: SourceRef, pinned: Digest | None = None) -> None:
    """Refuse, by its name alone, a source that vLLM cannot be given."""
    if isinstance(ref, OllamaRef):
        raise ModelError(f"vLLM does not load models of Ollama's registry, but the source is '{ref}': name a repository with 'hf:'.")
    if isinstance(ref, HubRef) and ref.file:
        raise ModelError(
            f"vLLM loads a whole repository, but the source '{ref}' names one file: leave '#' and the file out, "
            f"or give it to the engine ollama if it is a GGUF."
        )
    if isinstance(ref, HubRef) and pinned:
        raise ModelError(
            f"sha256 is for sources on the host, but the source is '{ref}': pin it by its commit, as 'hf:{ref.repo}@<commit>'."
        )


def pulled_folder(label: str, digests: Mapping[str, Digest], store: Store) -> Folder:
    """Check what was fetched, file by file, as a folder on the host is checked."""
    paths = {name: store.blob_path(digest) for name, digest in digests.items()}
    folder = read_folder(label, paths, None, store.stamps)
    return replace(folder, files=tuple(replace(file, digest=digests[file.name]) for file in folder.files))
