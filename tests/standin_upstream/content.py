"""The content of the stand-in, read from a folder: repositories of the Hub, and models of Ollama's registry."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETTINGS = ".standin.json"
LFS_SUFFIXES = (".safetensors", ".gguf", ".bin", ".pt", ".onnx")
CHUNK = 1 << 20
FRESH_S = 1.0


@dataclass(frozen=True)
class Entry:
    """One file of a repository."""

    path: str
    file: Path
    size: int
    # The id of the blob in git: that of the file, or of the pointer to it where the file itself is kept by LFS.
    oid: str
    sha256: str = ""
    pointer_size: int = 0

    @property
    def etag(self) -> str:
        """Return by what the Hub knows the content."""
        return self.sha256 or self.oid

    def listed(self, *, xet: bool) -> dict[str, Any]:
        """Return the entry as the tree shows it."""
        found: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.sha256:
            found["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": self.pointer_size}
            if xet:
                found["xetHash"] = xet_hash(self.sha256)
        return found


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit."""

    repo: str
    commit: str
    entries: dict[str, Entry]
    settings: dict[str, Any]

    @property
    def branches(self) -> list[str]:
        """Return the names that mean this commit, as long as it is the newest."""
        return ["main", *self.settings.get("branches", [])]


class Digests:
    """Hashes of files, kept beside the content so that two gigabytes are hashed once."""

    def __init__(self, root: Path) -> None:
        self._path = root / ".standin-digests.json"
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        if self._path.exists():
            self._known = json.loads(self._path.read_text(encoding="utf-8"))

    def of(self, file: Path, kind: str) -> str:
        """Return the sha256 of a file, or its id as a blob of git."""
        status = file.stat()
        key = f"{kind}:{file.resolve()}:{status.st_size}:{status.st_mtime_ns}"
        with self._lock:
            if key not in self._known:
                self._known[key] = hash_of(file, kind, status.st_size)
                if status.st_size > CHUNK and os.access(self._path.parent, os.W_OK):
                    self._path.write_text(json.dumps(self._known), encoding="utf-8")
            return self._known[key]


def hash_of(file: Path, kind: str, size: int) -> str:
    """Hash a file."""
    found = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def git_blob(data: bytes) -> str:
    """Return the id of a blob in git."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def xet_hash(sha256: str) -> str:
    """Return some hash of that form: nothing here can be fetched by it, as no mirror could offer that."""
    return hashlib.sha256(f"xet {sha256}".encode()).hexdigest()


class Hub:
    """The repositories under ``hub/<org>/<name>/``."""

    def __init__(self, root: Path, lfs_over: int) -> None:
        self._root, self._lfs_over = root / "hub", lfs_over
        self._digests = Digests(root)
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[float, Snapshot]] = {}
        self._commits: dict[tuple[str, str], Snapshot] = {}

    def exists(self, repo: str) -> bool:
        """Tell whether there is such a repository."""
        return (self._root / repo).is_dir() and ".." not in repo.split("/")

    def settings(self, repo: str) -> dict[str, Any]:
        """Return what is special about a repository."""
        path = self._root / repo / SETTINGS
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def snapshot(self, repo: str, revision: str) -> Snapshot | None:
        """Return the repository at a branch or commit. A commit once seen stays known."""
        with self._lock:
            known = self._commits.get((repo, revision))
            if known:
                return known
            newest = self._read(repo)
        return newest if revision in {newest.commit, *newest.branches} else None

    def _read(self, repo: str) -> Snapshot:
        read_at, newest = self._newest.get(repo, (0.0, None))
        if newest is None or time.monotonic() - read_at > FRESH_S:
            entries = {entry.path: entry for entry in self._entries(self._root / repo)}
            text = json.dumps([[entry.path, entry.etag, entry.size] for entry in entries.values()])
            newest = Snapshot(repo, git_blob(text.encode()), entries, self.settings(repo))
            self._commits[repo, newest.commit] = newest
            self._newest[repo] = (time.monotonic(), newest)
        return newest

    def _entries(self, folder: Path) -> Iterator[Entry]:
        found = (Path(above) / name for above, _folders, names in os.walk(folder, followlinks=True) for name in names)
        for file in sorted(found):
            path = file.relative_to(folder).as_posix()
            if path == SETTINGS:
                continue
            size = file.stat().st_size
            if size > self._lfs_over or path.endswith(LFS_SUFFIXES):
                sha256 = self._digests.of(file, "sha256")
                pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
                yield Entry(path, file, size, git_blob(pointer), sha256, len(pointer))
            else:
                yield Entry(path, file, size, self._digests.of(file, "git"))


def tree_of(snapshot: Snapshot, folder: str, *, recursive: bool, xet: bool) -> list[dict[str, Any]] | None:
    """Return the files and folders below a folder as the Hub lists them; None where there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for path, entry in snapshot.entries.items():
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts)):
            above = prefix + "/".join(parts[:depth])
            found[above] = {"type": "directory", "oid": git_blob(f"tree {above} {snapshot.commit}".encode()), "size": 0, "path": above}
        found[path] = entry.listed(xet=xet)
    if folder and not found:
        return None
    return [item for path, item in sorted(found.items()) if recursive or "/" not in path[len(prefix) :]]


class Models:
    """The manifests under ``ollama/<namespace>/<name>/<tag>`` and the blobs under ``ollama-blobs/sha256-<hex>``."""

    def __init__(self, root: Path) -> None:
        self._root, self._blobs = root / "ollama", root / "ollama-blobs"

    def manifest(self, namespace: str, name: str, reference: str) -> bytes | None:
        """Return the bytes of a manifest by its tag or digest."""
        folder = self._root / namespace / name
        if ".." in {namespace, name, reference} or not folder.is_dir():
            return None
        for path in folder.iterdir():
            data = path.read_bytes()
            if reference in {path.name, f"sha256:{hashlib.sha256(data).hexdigest()}"}:
                return data
        return None

    def blob(self, digest: str) -> Path | None:
        """Return the file of a blob by its 64 hexadecimal digits."""
        path = self._blobs / f"sha256-{digest}"
        return path if path.is_file() else None
