# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One repository in the cache of ``huggingface_hub``, just as its clients (0.36 to 2.4) write it.

``blobs/<etag>``             the files, by the sha256 (LFS) or the sha1 of git that the Hub calls them by
``trees/<commit>.json``      what the commit consists of, so that clients need not ask (since 1.22)
``snapshots/<commit>/...``   the files by their names, as links to ``blobs``
``refs/<branch>``            the commit that a branch or tag stands for

Clients change the same folder while this code runs, so everything appears by one rename: a new snapshot as a whole, and a branch last of
all. Unfinished files lie in ``.onprem-llm``, where no client looks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import RemoteBlob, RemoteManifest
from ansible_collections.onprem.llm.plugins.module_utils.store_files import make_folders, refuse_link, sync_folder, write_file

COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
LINK = re.compile(r"(?:\.\./){2,}blobs/([0-9a-f]{64}|[0-9a-f]{40})", re.ASCII)
TREE_VERSION = 1
LARGEST_TREE = 256 << 20
# What clients put into a new cache, to the letter.
CACHE_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This file is a cache directory tag created by huggingface_hub.\n"
    b"# For information about cache directory tags, see:\n"
    b"#\thttps://bford.info/cachedir/\n"
)


def etag_of(blob: RemoteBlob) -> str:
    """Return what the Hub and its clients call a file's content."""
    return blob.sha256 or blob.git_sha1


class HubCache:
    """The folder of one repository in a cache (``HF_HUB_CACHE``)."""

    def __init__(self, cache_dir: str, repo: str) -> None:
        self.above = Path(cache_dir)
        self.repo = repo
        self.path = self.above / f"models--{repo.replace('/', '--')}"
        self.blobs, self.trees, self.snapshots, self.refs = (self.path / name for name in ("blobs", "trees", "snapshots", "refs"))
        # Of which files clients know that a commit has none.
        self.absences = self.path / ".no_exist"
        self.temp = self.path / ".onprem-llm"
        self.tag = self.above / "CACHEDIR.TAG"

    def blob_path(self, etag: str) -> Path:
        """Return where the content of that name is or would be."""
        return self.blobs / etag

    def snapshot_path(self, commit: str) -> Path:
        """Return the folder of the files of a commit."""
        return self.snapshots / commit

    def tree_path(self, commit: str) -> Path:
        """Return the file that lists a commit."""
        return self.trees / f"{commit}.json"

    def ref_path(self, branch: str) -> Path:
        """Return the file that tells the commit of a branch or tag."""
        return self.refs / branch

    def folders(self, branch: str) -> list[Path]:
        """Return the folders that must be there before a snapshot is, outermost first."""
        above = self.ref_path(branch).relative_to(self.refs).parents if branch else []
        return [self.above, self.path, self.blobs, self.trees, self.snapshots, *reversed([self.refs / folder for folder in above])]

    def refuse_links(self) -> None:
        """Refuse a repository whose folders are links: whoever may write to the cache must not choose where we write."""
        for folder in (self.path, self.blobs, self.trees, self.snapshots, self.refs, self.absences, self.temp):
            refuse_link(folder, "cache_dir")
        with explained(f"read {self.path}"):
            inner = list(self.snapshots.iterdir()) if self.snapshots.is_dir() else []
            # A link to a file in place of a branch is replaced, not written to.
            inner += [path for path in self.refs.rglob("*") if not path.is_file()]
        for folder in inner:
            if folder.is_symlink():
                refuse_link(folder, "cache_dir")

    def commit_of(self, branch: str) -> str:
        """Return the commit of a branch or tag, nothing where the cache does not know it."""
        with suppress(OSError, UnicodeError):
            text = self.ref_path(branch).read_text(encoding="ascii").strip()
            return text if COMMIT.fullmatch(text) else ""
        return ""

    def branches_of(self, commit: str) -> list[str]:
        """Return the branches and tags that stand for a commit."""
        names = [str(path.relative_to(self.refs)) for path in self.refs.rglob("*") if path.is_file() and not path.is_symlink()]
        return sorted(name for name in names if self.commit_of(name) == commit)

    @property
    def commits(self) -> list[str]:
        """Return the commits of which anything is laid out."""
        with explained(f"read {self.snapshots}"):
            return sorted(path.name for path in self.snapshots.iterdir()) if self.snapshots.is_dir() else []

    def links(self, commit: str) -> dict[str, str]:
        """Return the etags of a commit's files by their names; an empty one for what is no link to a blob."""
        top = str(self.snapshot_path(commit))
        return {path[len(top) + 1 :]: self._etag(path[len(top) + 1 :], path) for path in _files(top)}

    def _etag(self, name: str, path: str) -> str:
        with suppress(OSError):
            text = os.readlink(path)  # noqa: PTH115 - for thousands of files it is worth it
            found = LINK.fullmatch(text)
            if found and text == link_text(name, found.group(1)):
                return found.group(1)
        return ""

    def has_tree(self, commit: str, tree: Mapping[str, Any]) -> bool:
        """Tell whether the list of a commit is there and says the same; what a client noted for Xet does not matter."""
        with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
            path = self.tree_path(commit)
            if path.stat().st_size > LARGEST_TREE:
                return False
            there = read_json(path.read_bytes())
            files = {name: {key: value for key, value in entry.items() if key != "xet_hash"} for name, entry in there["files"].items()}
            return {**there, "files": files} == tree
        return False

    def write_tree(self, commit: str, tree: Mapping[str, Any], owner: tuple[int, int]) -> None:
        """Write the list of a commit."""
        write_file(self.tree_path(commit), json.dumps(tree, indent=1).encode(), self.temp, owner=owner)

    def write_ref(self, branch: str, commit: str, owner: tuple[int, int]) -> None:
        """Let a branch or tag stand for a commit."""
        write_file(self.ref_path(branch), commit.encode(), self.temp, owner=owner)

    def write_links(self, commit: str, links: Mapping[str, str], owner: tuple[int, int]) -> None:
        """Give blobs their names: a new snapshot appears as a whole, to one that is there names are added."""
        path = self.snapshot_path(commit)
        whole = not path.exists()
        top = self.temp / commit if whole else path
        make_folders(top, owner=owner)
        for name, etag in links.items():
            place = top / name
            _make_room(top, place.parent)
            make_folders(place.parent, owner=owner)
            temp = place if whole else self.temp / "link"
            temp.symlink_to(link_text(name, etag))
            os.chown(temp, *owner, follow_symlinks=False)
            if not whole:
                temp.replace(place)
        for folder in {top, *((top / name).parent for name in links)}:
            sync_folder(folder)
        if whole:
            top.rename(path)
            sync_folder(self.snapshots)

    def remove_links(self, commit: str, names: Sequence[str]) -> None:
        """Take names away, and the folders that hold nothing else."""
        top = self.snapshot_path(commit)
        for name in names:
            (top / name).unlink(missing_ok=True)
            for folder in (top / name).parents:
                if folder == top or any(folder.iterdir()):
                    break
                folder.rmdir()

    def remove_snapshot(self, commit: str) -> None:
        """Remove all of a commit but its blobs: at once for a reader, its branches first."""
        for branch in self.branches_of(commit):
            self.remove_ref(branch)
        for path in (self.snapshot_path(commit), self.absences / commit):
            if path.is_dir() and not path.is_symlink():
                path.rename(self.temp / "gone")
                shutil.rmtree(self.temp / "gone")
        self.tree_path(commit).unlink(missing_ok=True)

    def remove_ref(self, branch: str) -> None:
        """Forget a branch or tag."""
        path = self.ref_path(branch)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.refs or any(folder.iterdir()):
                break
            folder.rmdir()

    @property
    def leftovers(self) -> bool:
        """Tell whether a run that was killed has left anything."""
        return self.temp.exists()

    def clear_temp(self) -> None:
        """Remove what a run that was killed has left."""
        if self.temp.exists():
            shutil.rmtree(self.temp)

    def remove_if_empty(self) -> None:
        """Remove the folders of the repository if no file is left in them."""
        if not any(_files(str(self.path))):
            for folder, _folders, _names in os.walk(self.path, topdown=False):
                # A client may just be about to put a file there.
                with suppress(OSError):
                    Path(folder).rmdir()

    def describe(self, commit: str, branch: str) -> dict[str, Any]:
        """Return what is there now, for a person to compare."""
        links = self.links(commit) if commit else {}
        named = {branch: self.commit_of(branch)} if branch and self.commit_of(branch) else {}
        return {
            **({"branches": named} if named else {}),
            **({"commit": commit, "files": {name: etag or "not a link to a blob" for name, etag in links.items()}} if links else {}),
        }


def tree_of(manifest: RemoteManifest) -> dict[str, Any]:
    """Return the list of a commit as clients keep it: all its files, also those that are not wanted here.

    They take a file that is not listed for one that does not exist. Where the Hub keeps a file with Xet is left out, for a mirror has none.
    """
    files: dict[str, dict[str, Any]] = {}
    for entry in read_json(manifest.data):
        if entry["type"] == "file":
            lfs = entry.get("lfs")
            extra = {"lfs_sha256": lfs["oid"], "lfs_size": lfs["size"]} if lfs else {}
            files[entry["path"]] = {"size": entry["size"], "blob_id": entry["oid"], **extra}
    return {"format_version": TREE_VERSION, "files": dict(sorted(files.items()))}


def link_text(name: str, etag: str) -> str:
    """Return what the link of a file in a snapshot says."""
    return "../" * (2 + name.count("/")) + f"blobs/{etag}"


def _files(top: str) -> Iterator[str]:
    """Return everything below a folder that is not one itself; links are not followed."""
    for folder, folders, names in os.walk(top):
        yield from (f"{folder}/{name}" for name in names)
        yield from (f"{folder}/{name}" for name in folders if os.path.islink(f"{folder}/{name}"))  # noqa: PTH114


def _make_room(top: Path, folder: Path) -> None:
    """Remove a file or link that stands where a folder of the snapshot must be."""
    for path in reversed([folder, *folder.parents]):
        if top in path.parents and (path.is_symlink() or path.is_file()):
            path.unlink()
