# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository of the Hub at one commit, as a mirror tells of it: the answers of the Hub's API, as bytes.

Clients keep the list of a commit for ever. So where files are left out, what is left gets a commit of its own, made from the real one and
the choice of files; no two lists ever have the same name. Under the real commit there is the real list, whichever files are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import RepoPath, as_repo_path
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob, RemoteManifest

# Clients of the Hub refuse a larger file by plain HTTP (huggingface_hub, MAX_HTTP_DOWNLOAD_SIZE).
LARGEST_FOR_CLIENTS = 50_000_000_000
# What a mirror tells of a file; where the Hub keeps it with Xet (xetHash) is no business of its clients, who would go there.
TOLD_OF_FILES = ("type", "oid", "size", "path", "lfs")
# Names of files that nginx could not tell from a query or another path.
UNSERVED = frozenset("?#%")


@dataclass(frozen=True)
class Release:
    """What clients see of a repository at one commit."""

    repo: str
    # By which clients know it, and by which the Hub does.
    commit: str
    origin: str
    entries: tuple[Mapping[str, Any], ...] = field(repr=False)
    # Which files were chosen, for people; empty for all.
    choice: Mapping[str, Any] = field(default_factory=dict)
    # The listed files that are there; None: all of them.
    served: frozenset[str] | None = None

    @property
    def is_filtered(self) -> bool:
        """Tell whether files are left out."""
        return self.commit != self.origin

    @cached_property
    def files(self) -> dict[RepoPath, str]:
        """Return the etag of each file by its path: the sha256 of what the Hub keeps in LFS, else the sha1 of git."""
        return {
            RepoPath(str(entry["path"])): str(entry["lfs"]["oid"] if "lfs" in entry else entry["oid"])
            for entry in self.entries
            if entry["type"] == "file" and (self.served is None or entry["path"] in self.served)
        }

    def info(self) -> bytes:
        """Return what the Hub tells of a revision, as far as clients need it."""
        origin = {"origin": {"commit": self.origin, **self.choice}} if self.is_filtered else {}
        return _encoded(
            {
                "id": self.repo,
                "modelId": self.repo,
                "sha": self.commit,
                "private": False,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": path} for path in self.files],
                **origin,
            }
        )

    def lists(self) -> dict[str, tuple[bytes, bytes]]:
        """Return for each folder ('' is the topmost) the list of all that is below it, and of what is in it."""
        below: dict[str, list[Mapping[str, Any]]] = {"": []}
        inside: dict[str, list[Mapping[str, Any]]] = {"": []}
        for entry in self.entries:
            above = _folders_above(str(entry["path"]))
            for folder in above:
                below.setdefault(folder, []).append(entry)
            inside.setdefault(above[0], []).append(entry)
        return {folder: (_encoded(entries), _encoded(inside.get(folder, []))) for folder, entries in below.items()}


def release_of(manifest: RemoteManifest, repo: str, wanted: Callable[[str], bool], choice: Mapping[str, Any]) -> Release:
    """Return what is published of a commit: the wanted files, under a name of its own where that are not all."""
    files, folders = _listed(manifest)
    chosen = _chosen(files, wanted)
    everything = len(chosen) == len(files)
    commit = manifest.revision if everything else synthetic_commit(manifest.revision, chosen)
    return Release(repo, commit, manifest.revision, _with_folders(chosen, folders), {} if everything else choice)


def part_of(manifest: RemoteManifest, repo: str, wanted: Callable[[str], bool]) -> Release:
    """Return the real commit with its real list, of which only the wanted files are there."""
    files, folders = _listed(manifest)
    served = frozenset(str(entry["path"]) for entry in _chosen(files, wanted))
    return Release(repo, manifest.revision, manifest.revision, _with_folders(files, folders), served=served)


def _listed(manifest: RemoteManifest) -> tuple[list[dict[str, Any]], dict[str, Mapping[str, Any]]]:
    try:
        listed = [dict(entry) for entry in json.loads(manifest.data)]
        files = [_told(entry) for entry in listed if entry["type"] == "file"]
        return files, {str(entry["path"]): entry for entry in listed if entry["type"] == "directory"}
    except (ValueError, KeyError, TypeError):
        raise ModelError(
            f"The list of files of '{manifest.ref}' is not what the Hub answers: try again, or report the repository."
        ) from None


def _chosen(files: Sequence[dict[str, Any]], wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the wanted files; ``ModelError`` where one of them has a name that no client could ask for."""
    chosen = [entry for entry in files if wanted(str(entry["path"]))]
    for path in (str(entry["path"]) for entry in chosen):
        if UNSERVED & set(path):
            raise ModelError(
                f"The repository has a file {path!r}, but a mirror cannot serve names with '?', '#' or '%': leave it out by 'ignore'."
            )
    return chosen


def release_of_files(repo: str, blobs: Sequence[RemoteBlob]) -> Release:
    """Return a repository of files that no hub knows, under a commit that is made from their content."""
    files = [_lfs_entry(blob) for blob in blobs]
    commit = synthetic_commit(f"file:{repo}", files)
    return Release(repo, commit, commit, _with_folders(files, {}))


def synthetic_commit(origin: str, files: Iterable[Mapping[str, Any]]) -> str:
    """Return 40 hexadecimal digits for a choice of files: the same for the same files of the same origin."""
    lines = sorted(f"{entry['path']}\0{entry['lfs']['oid'] if 'lfs' in entry else entry['oid']}\0{entry['size']}" for entry in files)
    return hashlib.sha1("\n".join(["onprem.llm", origin, *lines]).encode(), usedforsecurity=False).hexdigest()


def large_files(blobs: Iterable[RemoteBlob]) -> list[str]:
    """Return a sentence for each file that stock clients of the Hub cannot fetch."""
    return [
        f"{blob.name} has {blob.size} bytes, but clients of the Hub refuse files over {LARGEST_FOR_CLIENTS} bytes from a mirror: "
        f"let the module hub_model fetch it where it is needed."
        for blob in blobs
        if blob.size > LARGEST_FOR_CLIENTS
    ]


def _told(entry: Mapping[str, Any]) -> dict[str, Any]:
    as_repo_path(str(entry["path"]), "The repository's list")
    return {key: entry[key] for key in TOLD_OF_FILES if entry.get(key) is not None}


def _lfs_entry(blob: RemoteBlob) -> dict[str, Any]:
    """Describe a file as the Hub does what it keeps in LFS: in git there would be a pointer to it."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{blob.sha256}\nsize {blob.size}\n".encode()
    oid = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()
    lfs = {"oid": blob.sha256, "size": blob.size, "pointerSize": len(pointer)}
    return {"type": "file", "oid": oid, "size": blob.size, "path": as_repo_path(blob.name, "The folder"), "lfs": lfs}


def _with_folders(files: Sequence[Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the files and the folders that they lie in, in the order of their paths."""
    paths = {folder for entry in files for folder in _folders_above(str(entry["path"])) if folder}
    folders = [{"type": "directory", "oid": _oid_of(path, known), "size": 0, "path": path} for path in paths]
    return tuple(sorted([*files, *folders], key=lambda entry: str(entry["path"])))


def _oid_of(path: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    made = hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest()
    return str(known.get(path, {}).get("oid", made))


def _folders_above(path: str) -> list[str]:
    """Return the folder of a path, the one above it and so on, '' last."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(len(parts), -1, -1)]


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
