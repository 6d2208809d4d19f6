# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree that the role ``mirror`` serves, beside the blobs of the store in the same folder. nginx learns everything from it.

``hf/<org>/<name>/resolve/<commit>/<path>``           a link to the blob, whose name is the file's ETag
``hf/<org>/<name>/tree/<commit>/[<dir>/].rec.json``   the list of all below a folder, ``.flat.json`` of what is in it
``hf/<org>/<name>/info/<commit>.json``                what the Hub tells of a revision
``.../resolve/<branch>``, ``tree/<branch>``, ``info/<branch>.json``   links to the commit's
``ollama/<namespace>/<model>/manifests/<tag>``        a manifest, byte for byte

A commit appears as a whole, its files before the lists that name them, and a branch or tag changes by one rename. Unfinished files lie in
``hf/.new``, a name that is not served. Everything belongs to the user of this run; nginx only reads.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.layouts.mirror_release import Release
from ansible_collections.onprem.llm.plugins.module_utils.refs import ModelName
from ansible_collections.onprem.llm.plugins.module_utils.store_files import make_folders, sync_folder

COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
BLOB_LINK = re.compile(r"(?:\.\./)+blobs/(?:git/([0-9a-f]{40})|sha256/([0-9a-f]{2})/(\2[0-9a-f]{62}))", re.ASCII)
REC, FLAT = ".rec.json", ".flat.json"
# What a repository has for each commit and each branch, in the order in which it appears.
PARTS = ("resolve", "tree", "info")


class HubFolder:
    """One repository below ``hf/``."""

    def __init__(self, root: str, repo: str) -> None:
        self.root, self.repo = Path(root), repo
        self.path = self.root / "hf" / repo
        self.temp = self.root / "hf" / ".new"
        self._depth = len(self.path.relative_to(self.root).parts)

    def part(self, part: str, revision: str) -> Path:
        """Return where a part of a commit or branch is."""
        return self.path / part / (f"{revision}.json" if part == "info" else revision)

    @property
    def exists(self) -> bool:
        """Tell whether anything of it is there."""
        return os.path.lexists(self.path)

    @property
    def leftovers(self) -> bool:
        """Tell whether a run that was killed has left anything."""
        return os.path.lexists(self.temp)

    def refuse_links(self) -> None:
        """Refuse a tree whose folders are links: they would lead nginx, and this code, elsewhere."""
        for folder in (self.root / "hf", self.path.parent, self.path, *(self.path / part for part in PARTS)):
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise ModelError(f"{folder} must be a folder, but it is a link or a file: remove it, or choose another root.")

    @property
    def commits(self) -> frozenset[str]:
        """Return the commits of which anything is there."""
        found = [path.name[:40] for part in PARTS for path in _entries(self.path / part) if not path.is_symlink()]
        return frozenset(name for name in found if COMMIT.fullmatch(name))

    def origin(self, commit: str) -> str:
        """Return the real commit of one in which files are left out."""
        with suppress(ValueError, KeyError, TypeError):
            return str(json.loads(_content(self.part("info", commit)) or b"")["origin"]["commit"])
        return ""

    @property
    def names(self) -> dict[str, str]:
        """Return what each branch, tag or other name leads to; nothing for one of which a part is missing or differs."""
        revisions = {
            path.name[:-5] if part == "info" else path.name for part in PARTS for path in _entries(self.path / part) if path.is_symlink()
        }
        return {revision: self._commit_of(revision) for revision in sorted(revisions)}

    def _commit_of(self, revision: str) -> str:
        parts = ("info",) if COMMIT.fullmatch(revision) else PARTS
        paths = [self.part(part, revision) for part in parts]
        commits = {str(path.readlink()).removesuffix(".json") if path.is_symlink() else "" for path in paths}
        commit = commits.pop()
        return commit if not commits and COMMIT.fullmatch(commit) else ""

    def links(self, commit: str) -> dict[str, str]:
        """Return the etags of a commit's files by their paths; an empty one for what is no link to a blob."""
        top = str(self.part("resolve", commit))
        return {path[len(top) + 1 :]: self._etag(path[len(top) + 1 :], path) for path in _files(top)}

    def _etag(self, name: str, path: str) -> str:
        with suppress(OSError):
            text = os.readlink(path)  # noqa: PTH115 - for thousands of files it is worth it
            found = BLOB_LINK.fullmatch(text)
            etag = (found.group(1) or found.group(3)) if found else ""
            return etag if etag and text == self.link_text(name, etag) else ""
        return ""

    def link_text(self, name: str, etag: str) -> str:
        """Return what the link of a file of a commit says."""
        blob = f"blobs/git/{etag}" if len(etag) == 40 else f"blobs/sha256/{etag[:2]}/{etag}"
        return "../" * (self._depth + 2 + name.count("/")) + blob

    def holds(self, release: Release) -> list[str]:
        """Return the parts of the release that are there and right."""
        lists = {f"{folder}/{kind}".lstrip("/"): data for folder, pair in release.lists().items() for kind, data in zip((REC, FLAT), pair)}
        top = self.part("tree", release.commit)
        return [
            *(["resolve"] if self.links(release.commit) == release.files else []),
            *(["tree"] if _contents(top) == lists else []),
            *(["info"] if _content(self.part("info", release.commit)) == release.info() else []),
        ]

    def write(self, release: Release, part: str) -> None:
        """Let a part of a commit appear: it is made beside its place and moved there as a whole."""
        make = {"resolve": self._make_links, "tree": self._make_lists, "info": self._make_info}
        new, place = self.temp / part, self.part(part, release.commit)
        make[part](release, new)
        make_folders(place.parent)
        # Only for a part that was damaged is there a moment without it.
        self._put_aside(place)
        new.rename(place)
        sync_folder(place.parent)

    def _make_links(self, release: Release, top: Path) -> None:
        make_folders(top)
        folders = {top}
        for name, etag in release.files.items():
            place = top / name
            if place.parent not in folders:
                make_folders(place.parent)
                folders.add(place.parent)
            place.symlink_to(self.link_text(name, etag))
        for folder in folders:
            sync_folder(folder)

    def _make_lists(self, release: Release, top: Path) -> None:
        for folder, (rec, flat) in release.lists().items():
            make_folders(top / folder)
            for kind, data in ((REC, rec), (FLAT, flat)):
                _write(top / folder / kind, data)
            sync_folder(top / folder)

    def _make_info(self, release: Release, path: Path) -> None:
        make_folders(path.parent)
        _write(path, release.info())

    def point(self, revision: str, commit: str) -> None:
        """Let a branch or tag lead to a commit; one that is itself a commit of the Hub tells only by which other name it is here."""
        for part in ("info",) if COMMIT.fullmatch(revision) else PARTS:
            temp, place = self.temp / "link", self.part(part, revision)
            make_folders(self.temp)
            temp.unlink(missing_ok=True)
            temp.symlink_to(self.part(part, commit).name)
            if place.is_dir() and not place.is_symlink():
                self._put_aside(place)
            temp.replace(place)
            sync_folder(place.parent)

    def forget(self, revision: str) -> None:
        """Take a branch or tag away: first what clients ask first."""
        for part in reversed(PARTS):
            path = self.part(part, revision)
            if path.is_symlink():
                path.unlink()

    def remove(self, commit: str) -> None:
        """Take a commit away: each part at once for a reader, its files last."""
        for part in reversed(PARTS):
            # Where files are left out from now on, the real commit has become a name for what is left.
            if not self.part(part, commit).is_symlink():
                self._put_aside(self.part(part, commit))

    def _put_aside(self, place: Path) -> None:
        if os.path.lexists(place):
            make_folders(self.temp)
            gone = self.temp / "gone"
            place.rename(gone)
            _remove(gone)

    def clear_temp(self) -> None:
        """Remove what this run or a killed one has left unfinished."""
        _remove(self.temp)

    def tidy(self) -> None:
        """Remove folders of the repository in which nothing is left."""
        for folder in (*(self.path / part for part in PARTS), self.path, self.path.parent):
            if folder != self.root / "hf" and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def describe(self, commits: list[str]) -> dict[str, Any]:
        """Return what is there now, for a person to compare."""
        named = {name: commit or "damaged" for name, commit in self.names.items()}
        held = {commit: {name: etag or "not a link to a blob" for name, etag in self.links(commit).items()} for commit in commits}
        return {**({"names": named} if named else {}), **({"commits": held} if held else {})}


def manifest_path(root: str, name: ModelName) -> Path:
    """Return where the manifest of a model of Ollama is or would be."""
    return Path(root) / "ollama" / name.namespace / name.model / "manifests" / name.tag


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fchmod(stream.fileno(), 0o644)
        os.fsync(stream.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _content(path: Path) -> bytes | None:
    with suppress(OSError):
        return None if path.is_symlink() else path.read_bytes()
    return None


def _contents(top: Path) -> dict[str, bytes | None]:
    return {path[len(str(top)) + 1 :]: _content(Path(path)) for path in _files(str(top))}


def _files(top: str) -> list[str]:
    """Return everything below a folder that is not one itself; links are not followed."""
    found: list[str] = []
    if os.path.islink(top):  # noqa: PTH114
        return found
    for folder, folders, names in os.walk(top):
        found += [f"{folder}/{name}" for name in names]
        found += [f"{folder}/{name}" for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
    return sorted(found)
