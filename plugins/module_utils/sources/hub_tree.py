# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of a repository's files as the Hub gives it, checked as a whole."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, RepoPath, as_repo_path, shown
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import SHA1, SHA256, hex_of, member, size_of, unexpected
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob

FILE, FOLDER = "file", "directory"


def tree_entry(found: Any, who: str) -> dict[str, Any]:
    """Return one entry with what is known to matter: ``type``, ``oid``, ``size``, ``path`` and for large files ``lfs``.

    Where the Hub keeps a file with Xet (``xetHash``) is left out: it is fetched over HTTP, and no mirror could offer the rest.
    """
    kind = member(found, "type", str, who)
    if kind not in {FILE, FOLDER}:
        raise unexpected(who, f"an entry of the type {shown(kind)}")
    entry: dict[str, Any] = {"type": kind, "oid": hex_of(found, "oid", SHA1, who), "size": size_of(found, "size", who)}
    entry["path"] = as_repo_path(member(found, "path", str, who), who)
    if kind == FILE and found.get("lfs") is not None:
        lfs = member(found, "lfs", dict, who)
        entry["lfs"] = {"oid": hex_of(lfs, "oid", SHA256, who), "size": size_of(lfs, "size", who)}
        if lfs.get("pointerSize") is not None:
            entry["lfs"]["pointerSize"] = size_of(lfs, "pointerSize", who)
        # The file's own, not that of the pointer to it.
        entry["size"] = entry["lfs"]["size"]
    return entry


def checked_tree(entries: Sequence[dict[str, Any]], who: str) -> list[dict[str, Any]]:
    """Return the entries in the order of their paths; refuse lists that two systems would not lay out alike."""
    files = {entry["path"] for entry in entries if entry["type"] == FILE}
    folders = {entry["path"] for entry in entries if entry["type"] == FOLDER}
    if len(files) + len(folders) != len(entries):
        raise unexpected(who, "a list that has a path twice")
    folders.update(folder for path in files for folder in _folders_above(path))
    if both := files & folders:
        raise unexpected(who, f"{shown(min(both))} both as a file and as a folder")
    spellings: dict[str, str] = {}
    for path in sorted(files | folders):
        other = spellings.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
        if other != path:
            raise ModelError(
                f"{who} lists {shown(other)} and {shown(path)}, which differ in case or spelling only, so that some systems would take "
                f"them for one: ask the keeper of the repository to rename one of them."
            )
    return sorted(entries, key=lambda entry: str(entry["path"]))


def _folders_above(path: str) -> list[RepoPath]:
    parts = path.split("/")
    return [RepoPath("/".join(parts[:depth])) for depth in range(1, len(parts))]


def blobs_of(entries: Sequence[dict[str, Any]]) -> tuple[RemoteBlob, ...]:
    """Return the files: known by their sha256 where the Hub keeps them by LFS, else by the sha1 of git."""
    return tuple(
        RemoteBlob(entry["path"], entry["size"], Digest(entry["lfs"]["oid"]))
        if "lfs" in entry
        else RemoteBlob(entry["path"], entry["size"], git_sha1=entry["oid"])
        for entry in entries
        if entry["type"] == FILE
    )


def encoded(entries: Sequence[dict[str, Any]]) -> bytes:
    """Return the list as JSON, the same bytes for the same list whichever server told it."""
    return json.dumps(list(entries), separators=(",", ":")).encode("ascii")
