# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of the mirror that clients read: blobs of the store by hard links, and small texts that name them.

Links come first, texts after them in their own order, and what is not wanted any more goes last, so that a text never names what is not
there. ``published/<owner>/`` beside the blobs keeps what each owner has asked for, so that it can be withdrawn when nobody asks any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_file_name
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Stamp
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import inode_of, settle, sync_folder, write_file
from ansible_collections.onprem.llm.plugins.module_utils.store_intake import is_needed, refuse_spoilt, way_in
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space

# What a link and its texts need on the disk, at most.
PER_LINK = 64 << 10
# Texts that name other files.
NAMING = (".html", ".json", "SHA256SUMS")


@dataclass(frozen=True)
class Text:
    """A small file: what it must hash to, and how to make it where it is not there."""

    digest: str
    make: Callable[[], bytes]

    @classmethod
    def of(cls, data: bytes) -> Text:
        """Return the text that holds these bytes."""
        return cls(hashlib.sha256(data).hexdigest(), lambda: data)


@dataclass(frozen=True)
class LocalFile:
    """A file that lies on the host, read as a whole before: it may be taken into the store."""

    path: str
    stamp: Stamp
    digest: Digest


@dataclass
class MirrorFolder:
    """What shall be in the folder, and the steps that lead there."""

    store: Store
    layout: str
    # The folder, from the root of the store.
    name: str
    # Who publishes; empty where nobody is to be remembered.
    owner: str = ""
    links: dict[str, Digest] = field(default_factory=dict)
    texts: dict[str, Text] = field(default_factory=dict)
    bytes_copied: int = 0
    # The steps.
    ingest: list[tuple[str, LocalFile]] = field(default_factory=list)
    place: list[str] = field(default_factory=list)
    write: list[str] = field(default_factory=list)
    # Names of damaged blobs in other folders, which would keep the damaged file.
    mend: dict[str, Digest] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    free: list[Digest] = field(default_factory=list)
    ref: bool = False
    asked: frozenset[str] = frozenset()
    record: bool = False

    @property
    def root(self) -> Path:
        """Return the folder."""
        return self.store.root / self.name

    @property
    def noted(self) -> frozenset[Digest]:
        """Return the blobs that the store says the folder uses."""
        return self.store.ref(self.layout, self.name)

    @property
    def there(self) -> set[str]:
        """Return every file in the folder."""
        with explained(f"read {self.root}"):
            paths = [path for path in self.root.rglob("*") if path.is_symlink() or not path.is_dir()]
        return {str(path.relative_to(self.root)) for path in paths}

    @property
    def owned(self) -> frozenset[str]:
        """Return the places that the last run for the same owner asked for."""
        if not self.owner:
            return frozenset()
        path = record_path(self.store, self.owner, self.name)
        with explained(f"read {path}"):
            if not path.exists():
                return frozenset()
            text = path.read_bytes()
        try:
            return frozenset(json.loads(text)["places"])
        except (ValueError, TypeError, KeyError):
            raise ModelError(
                f"{path} should say what '{self.owner}' has published, but it cannot be read as such: remove it, and "
                f"withdraw by hand what nobody asks for any more."
            ) from None

    def kept(self) -> dict[str, Digest]:
        """Return what is offered now, by place: the files in the folder that are blobs which the store says it uses, or damaged ones."""
        paths = {digest: self.store.blob_path(digest) for digest in self.noted}
        known = {inode_of(path.stat()): digest for digest, path in paths.items() if path.exists()}
        places = {place: self.root / place for place in self.there}
        found = {place: known.get(inode_of(path.stat())) for place, path in places.items() if not path.is_symlink()}
        damaged = self._damaged(self.noted, [path for path in places.values() if not path.is_symlink()])
        return {place: digest for place in places if (digest := found.get(place) or damaged.get(str(places[place])))}

    def _damaged(self, digests: Collection[Digest], paths: Collection[Path]) -> dict[str, Digest]:
        """Return which paths lead to a file that this run has found to be a damaged blob, whether it has been replaced or not."""
        stamps = {stamp: digest for digest in digests if (stamp := self.store.damaged_stamp(digest))}
        inodes = {stamp.inode for stamp in stamps}
        found = {str(path): stamps.get(Stamp.of(str(path))) for path in paths if inodes and path.stat().st_ino in inodes}
        return {path: digest for path, digest in found.items() if digest}

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        said = [f"{how} {file.path} into the store" for how, file in self.ingest]
        said += [f"publish {self.root}/{place}" for place in self.place]
        said += [f"publish {path}" for path in self.mend]
        said += [f"write {self.root}/{place}" for place in self.write]
        said += [f"remove {self.root}/{place}" for place in self.remove]
        said += [f"remove {self.store.blob_path(digest)}" for digest in self.free]
        said += [f"note in the store which blobs {self.root} uses"] if self.ref else []
        said += [f"note what '{self.owner}' publishes in {self.root}"] if self.record else []
        return said

    @property
    def changing(self) -> list[str]:
        """Return the places that are not as they should be."""
        return [*self.place, *self.mend, *self.write, *self.remove]

    def plan(
        self,
        links: Mapping[str, Digest],
        texts: Mapping[str, Text],
        local: Mapping[Digest, LocalFile],
        *,
        unwanted: set[str],
        asked: Collection[str],
    ) -> None:
        """Decide how to get from what is there to these links and texts, with these files at hand.

        ``unwanted`` places go. ``asked`` are the places among the links that this run was asked for.
        """
        store, wanted = self.store, set(links.values())
        self.asked = frozenset(asked)
        self.record = bool(self.owner) and self.owned != self.asked
        self.links, self.texts = dict(links), dict(texts)
        for digest, file in local.items():
            refuse_spoilt(store, file.path, digest, file.stamp)
        missing = [file for digest, file in local.items() if is_needed(store, file.path, digest, file.stamp)]
        self.ingest = [(way_in(store, file.path), file) for file in missing]
        renewed = {file.digest for file in missing} | {digest for digest in wanted if store.is_damaged(digest)}
        with explained(f"read {self.root}"):
            self.place = [place for place in sorted(links) if links[place] in renewed or not self._is_placed(place, links[place])]
            self.write = [place for place, text in texts.items() if self._digest_of(place) != text.digest]
            # A page goes before the files that it names.
            self.remove = sorted(unwanted - set(links) - set(texts), key=lambda place: (not place.endswith(NAMING), place))
            self.mend = self._other_names(wanted)
        self.ref = self.noted != wanted
        self.free = store.unused(self.noted - wanted, (self.layout, self.name))
        self.bytes_copied = sum(file.stamp.size for how, file in self.ingest if how == "copy")

    def _other_names(self, wanted: Collection[Digest]) -> dict[str, Digest]:
        if not any(self.store.damaged_stamp(digest) for digest in wanted):
            return {}
        ours = {self.root / place for place in (*self.links, *self.remove)}
        paths = [path for path in sorted((self.store.root / "www").rglob("*")) if path.is_file() and not path.is_symlink()]
        return self._damaged(wanted, [path for path in paths if path not in ours])

    def needs(self, fetched: int = 0) -> list[Need]:
        """Return the disk space that is needed; ``fetched`` are the bytes that come from elsewhere."""
        return [Need(str(self.store.root), self.bytes_copied + fetched + PER_LINK * len(self.place))]

    def check_space(self, fetched: int = 0) -> None:
        """Refuse what does not fit."""
        check_space(self.needs(fetched))

    def _is_placed(self, place: str, digest: Digest) -> bool:
        path, stored = self.root / place, self.store.blob_path(digest)
        return path.is_file() and not path.is_symlink() and stored.is_file() and path.samefile(stored)

    def _digest_of(self, place: str) -> str:
        path = self.root / place
        if path.is_symlink() or not path.is_file():
            return ""
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def apply(self, between: Callable[[], None] = lambda: None) -> None:
        """Do it; what comes from elsewhere is in the store already. ``between`` runs when files are placed, and none was removed."""
        digests = set(self.links.values())
        self.bytes_copied = 0
        if self.record:
            # Until all is done, what was asked for before counts as well.
            self._note(self.owned | self.asked)
        if self.ref:
            self.store.set_ref(self.layout, self.name, {*self.noted, *digests})
        for how, file in self.ingest:
            self._take_in(how, file)
        with explained(f"write {self.root}"):
            for place in self.place:
                self._put(self.root / place, self.store.blob_path(self.links[place]))
            for path, digest in self.mend.items():
                self._put(Path(path), self.store.blob_path(digest))
            for place in self.write:
                write_text(self.store, self.root / place, self.texts[place].make())
            between()
            for place in self.remove:
                self._take_out(place)
        self.store.remove(self.free)
        if self.ref:
            self.store.set_ref(self.layout, self.name, digests)
        if self.record:
            self._note(self.asked)

    def _note(self, places: frozenset[str]) -> None:
        path = record_path(self.store, self.owner, self.name)
        write_text(self.store, path, json.dumps({"places": sorted(places)}, indent=1).encode())

    def _take_in(self, how: str, file: LocalFile) -> None:
        stamps = self.store.stamps
        if self.store.holds(file.digest, file.stamp.size):
            # Another folder of the same run has brought it.
            pass
        elif how != "link" or not self.store.link(file.path, file.digest, file.stamp):
            with explained(f"read {file.path}"), Path(file.path).open("rb") as stream:
                self.bytes_copied += self.store.copy(stream, file.path, file.digest)
        # What was found out about the file is as true of the blob.
        stored = str(self.store.blob_path(file.digest))
        told, known = stamps.recall(file.path, file.stamp), stamps.recall(stored, Stamp.of(stored))
        if told and known:
            stamps.hold(stored, replace(known, facts=told.facts))

    def _put(self, final: Path, stored: Path) -> None:
        _make(final.parent)
        if final.is_symlink():
            final.unlink()
        temp = self.store.temp / f"place-{os.getpid()}"
        os.link(stored, temp)
        settle(temp, final)

    def _take_out(self, place: str) -> None:
        path = self.root / place
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
        with contextlib.suppress(OSError):
            # Until one is not empty.
            while path.parent != self.root:
                path = path.parent
                path.rmdir()


def as_owner(text: str) -> str:
    """Accept the name of someone who publishes; empty is nobody."""
    return as_file_name(text, "owner") if text else ""


def record_path(store: Store, owner: str, name: str) -> Path:
    """Return the file that keeps what an owner has asked for in a folder of the mirror."""
    return store.root / "published" / owner / f"{name.replace('/', '.')}.json"


def write_text(store: Store, path: Path, text: bytes) -> None:
    """Write a small file of the mirror, as a whole for its readers."""
    with explained(f"write {path}"):
        _make(path.parent)
        if path.is_symlink():
            path.unlink()
        write_file(path, text, store.temp)


def _make(folder: Path) -> None:
    """Make a folder that all may read, whatever the umask is."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir()
    folder.chmod(0o755)
