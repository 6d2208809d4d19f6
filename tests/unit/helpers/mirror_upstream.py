"""A repository of the Hub and a model of a registry as their sources tell of them, without a network: enough to plan with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef, OllamaRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access, Origin, RemoteBlob, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

FILES: Mapping[str, bytes] = MappingProxyType(
    {
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "config.json": b'{"model_type": "tiny"}',
        "model.safetensors": b"weights" * 100,
        "sub/deep/notes+1 x.txt": b"notes",
        "empty.txt": b"",
    }
)
FIRST, SECOND = "a" * 40, "b" * 40


def sha256(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def is_lfs(name: str) -> bool:
    return name.endswith((".safetensors", ".gguf"))


def etag(name: str, data: bytes) -> str:
    return sha256(data) if is_lfs(name) else git_sha1(data)


def hub_manifest(ref: HubRef, commit: str, files: Mapping[str, bytes] = FILES) -> RemoteManifest:
    """Return what HubSource answers: the tree verbatim, with what a mirror must not pass on."""
    entries: list[dict[str, Any]] = [{"type": "directory", "oid": "c" * 40, "size": 0, "path": "sub"}]
    blobs = []
    for name, data in files.items():
        entry: dict[str, Any] = {"type": "file", "oid": git_sha1(data), "size": len(data), "path": name, "lastCommit": None}
        if is_lfs(name):
            entry |= {"oid": "d" * 40, "lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 134}, "xetHash": "e" * 64}
        entries.append(entry)
        blobs.append(RemoteBlob(name, len(data), sha256(data) if is_lfs(name) else None, "" if is_lfs(name) else git_sha1(data)))
    return RemoteManifest(ref, commit, tuple(blobs), json.dumps(entries).encode())


def ollama_manifest(ref: OllamaRef, text: bytes) -> RemoteManifest:
    config = b"{}"
    layer: dict[str, Any] = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{sha256(text)}", "size": len(text)}
    about: dict[str, Any] = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "digest": f"sha256:{sha256(config)}",
        "size": len(config),
    }
    data = json.dumps({"schemaVersion": 2, "config": about, "layers": [layer]}).encode()
    blobs = (RemoteBlob(layer["mediaType"], len(text), sha256(text)), RemoteBlob(about["mediaType"], len(config), sha256(config)))
    return RemoteManifest(ref, sha256(data), blobs, data)


class StandinSource:
    """Answers what it was told to; without an answer it cannot be reached."""

    def __init__(self, ref: HubRef | OllamaRef, access: Access, answers: Mapping[str, RemoteManifest]) -> None:
        self.ref, self.access, self._answers = ref, access, answers

    def manifest(self) -> RemoteManifest:
        if str(self.ref) not in self._answers:
            raise ModelError("The server does not answer.")
        return self._answers[str(self.ref)]

    def open(self, blob: RemoteBlob) -> Origin:
        raise AssertionError(f"{blob.name} was to be fetched")


def keep(store: Store, name: str, data: bytes) -> None:
    """Put a file into the store as a transfer does."""
    with store.locked():
        store.copy(BytesIO(data), name, sha256(data))
        if not is_lfs(name):
            store.hold_git(git_sha1(data), sha256(data))
