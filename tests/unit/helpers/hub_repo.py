"""A small repository as the Hub would tell it, whose files are put into a store without any network."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.onprem.llm.plugins.module_utils.layouts.hub_cache_steps import Supply
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.refs import HubRef
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

REPO = "org/tiny"
FILES = {
    "config.json": b'{"architectures": ["Tiny"]}',
    "README.md": b"# Tiny\n",
    "empty.txt": b"",
    "model.safetensors": b"weights" * 500,
    "onnx/model.onnx": b"other weights" * 300,
    "onnx/config.json": b'{"architectures": ["Tiny"]}',
    "sub dir/notes+1.txt": b"notes",
}
COMMIT, LATER = "1" * 40, "2" * 40


def git_sha1(data: bytes) -> str:
    """Return the name that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def sha256(data: bytes) -> Digest:
    """Return the digest of a file."""
    return Digest(hashlib.sha256(data).hexdigest())


def is_lfs(name: str) -> bool:
    """Tell whether the Hub would keep the file with LFS."""
    return name.endswith((".safetensors", ".onnx", ".gguf"))


@dataclass(frozen=True)
class Repo:
    """One commit of the repository."""

    files: Mapping[str, bytes] = field(default_factory=lambda: FILES)
    commit: str = COMMIT
    repo: str = REPO

    def etag(self, name: str) -> str:
        """Return what the Hub calls a file's content."""
        return sha256(self.files[name]) if is_lfs(name) else git_sha1(self.files[name])

    @property
    def tree(self) -> list[dict[str, object]]:
        """Return what the Hub lists."""
        listed: list[dict[str, object]] = [{"type": "directory", "oid": "3" * 40, "size": 0, "path": "onnx"}]
        for name, data in self.files.items():
            entry: dict[str, object] = {"type": "file", "oid": git_sha1(data), "size": len(data), "path": name}
            if is_lfs(name):
                pointer = f"oid sha256:{sha256(data)}".encode()
                entry.update(oid=git_sha1(pointer), lfs={"oid": sha256(data), "size": len(data), "pointerSize": 134}, xetHash="f" * 64)
            listed.append(entry)
        return listed

    @property
    def manifest(self) -> RemoteManifest:
        """Return what a source tells."""
        blobs = [
            RemoteBlob(name, len(data), sha256(data)) if is_lfs(name) else RemoteBlob(name, len(data), None, git_sha1(data))
            for name, data in self.files.items()
        ]
        return RemoteManifest(HubRef(self.repo, self.commit), self.commit, tuple(blobs), json.dumps(self.tree).encode())

    def fetch(self, store: Store) -> None:
        """Put all files into the store, as a pull does."""
        with store.locked():
            for name, data in self.files.items():
                if not store.holds(sha256(data), len(data)):
                    store.copy(io.BytesIO(data), name, sha256(data))
                if not is_lfs(name):
                    store.hold_git(git_sha1(data), sha256(data))

    def supply(self, store: Store) -> Supply:
        """Return what a pull has found out."""
        digests, missing = {}, set()
        for blob in self.manifest.blobs:
            digest = blob.sha256 or store.git_digest(blob.git_sha1, blob.size)
            if digest:
                digests[blob.name] = digest
            if not digest or not store.holds(digest, blob.size):
                missing.add(self.etag(blob.name))
        return Supply(self.manifest, digests, frozenset(missing))
