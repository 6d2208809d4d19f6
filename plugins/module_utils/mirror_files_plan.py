# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for the mirror to offer plain files by name and version; then does exactly that.

``www/artefacts/<name>/<version>/<file>``  a file, a hard link to the store
``www/artefacts/<name>/<version>/SHA256SUMS``  the digests of all files beside it, as ``sha256sum`` prints and checks them

``plan_files`` writes nothing. Check mode, the diff and the real run all come from the plan it returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import LocalFile, MirrorFolder, Text
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_digest, as_file_name, as_folder, shown
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Origin, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, hash_file
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_files import wrong_digest
from ansible_collections.onprem.llm.plugins.module_utils.store_intake import telling_damage
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Job
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import bytes_held
from ansible_collections.onprem.llm.plugins.module_utils.transfer.repair import bytes_missing

LAYOUT, PLACE, SUMS = "artefacts", "www/artefacts", "SHA256SUMS"


@dataclass(frozen=True)
class Artefact:
    """A file that shall be offered, and where it comes from: a path on the host or an address."""

    place: str
    digest: Digest | None
    src: str = ""
    url: str = ""
    # Bytes, where they are known before anybody is asked.
    size: int | None = None


@dataclass
class FilesPlan:
    """The files that are offered now, those that shall be, and the steps between."""

    folder: MirrorFolder
    kept: dict[str, Digest]
    remote: list[tuple[Artefact, RemoteBlob]] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        return [f"fetch {as_address(artefact.url).plain} ({blob.size} bytes)" for artefact, blob in self.remote] + self.folder.actions

    @property
    def bytes_fetched(self) -> int:
        """Return how much comes over the network; of a file that was begun before, or is damaged, only the rest."""
        return sum(bytes_missing(self.folder.store, blob) for _artefact, blob in self.remote)

    @property
    def needs(self) -> list[Need]:
        """Return the disk space that is needed."""
        return self.folder.needs(sum(blob.size - bytes_held(self.folder.store, blob) for _artefact, blob in self.remote))

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.folder.store.stamps.is_written(key) for key in self._keys())

    def _keys(self) -> list[str]:
        stored = [str(self.folder.store.blob_path(digest)) for digest in sorted(set(self.folder.links.values()))]
        return [*self.read, *stored]

    def diff(self) -> dict[str, str]:
        """Return the difference as Ansible shows it; both sides are equal where nothing changes."""
        before: dict[str, Any] = {"files": _named(self.kept)} if self.kept else {}
        after: dict[str, Any] = {"files": _named(self.folder.links)} if self.folder.links else {}
        if before == after and self.actions:
            before["out of date"] = self.folder.changing or ["what the store has"]
        texts = (json.dumps(side, indent=2, sort_keys=True) + "\n" if side else "" for side in (before, after))
        header = str(self.folder.root)
        return {"before_header": header, "after_header": header, **dict(zip(("before", "after"), texts))}

    @property
    def jobs(self) -> list[Job]:
        """Return what is to be fetched."""
        return [Job(blob, partial(Origin, artefact.url)) for artefact, blob in self.remote]

    def apply(self) -> None:
        """Do it, when what comes from elsewhere is in the store, and remember what was read."""
        self.folder.apply()
        for key in self._keys():
            self.folder.store.write_stamp(key)


def as_artefact(wish: Mapping[str, Any]) -> Artefact:
    """Accept what a person asks for, every part checked."""
    where = f"The artefact {shown(str(wish['name']))}"
    parts = [as_file_name(wish[key], where) for key in ("name", "version", "file")]
    src, url = wish.get("src") or "", wish.get("url") or ""
    address = as_address(url) if url else None
    if bool(src) == bool(url):
        raise ModelError(f"{where} must have either src or url, but it has {'both' if src else 'none'}: name the one place it comes from.")
    if address and not wish.get("sha256"):
        raise ModelError(f"{where} comes from {address} without a sha256: give the digest that its maker publishes.")
    if parts[2] == SUMS:
        raise ModelError(f"{where} names the file {SUMS}, which is the list that is made here: leave it out.")
    digest = as_digest(wish["sha256"], f"{where}: sha256") if wish.get("sha256") else None
    return Artefact("/".join(parts), digest, as_folder(src, f"{where}: src") if src else "", url, wish.get("size"))


def plan_files(store: Store, artefacts: Sequence[Artefact], size_of: Callable[[str], int], *, purge: bool, owner: str = "") -> FilesPlan:
    """Decide which files are offered: those that are asked for, and unless ``purge`` those that others have published before."""
    folder = MirrorFolder(store, LAYOUT, PLACE, owner)
    plan = FilesPlan(folder, {place: digest for place, digest in folder.kept().items() if place.count("/") == 2})
    links: dict[str, Digest] = {}
    local: dict[Digest, LocalFile] = {}
    for artefact in artefacts:
        with telling_damage(store):
            digest = _digest_of(plan, artefact, local, size_of)
        if links.setdefault(artefact.place, digest) != digest:
            raise ModelError(f"{artefact.place} is asked for twice with different content: leave one out.")
    asked, owned, brought = set(links), folder.owned, set(links.values())
    if not purge:
        for place, digest in plan.kept.items():
            if place not in links and place not in owned:
                if digest not in brought:
                    _refuse_damaged(store, place, digest)
                links[place] = digest
    dropped = owned - set(links)
    lists = {f"{place.rpartition('/')[0]}/{SUMS}" for place in dropped}
    folder.plan(links, _sums(links), local, unwanted=folder.there if purge else folder.there & (dropped | lists), asked=asked)
    if plan.actions:
        check_space(plan.needs)
    return plan


def _digest_of(plan: FilesPlan, artefact: Artefact, local: dict[Digest, LocalFile], size_of: Callable[[str], int]) -> Digest:
    store = plan.folder.store
    if artefact.digest and _is_stored(store, artefact.digest):
        return artefact.digest
    if artefact.url and artefact.digest:
        if artefact.digest not in {blob.sha256 for _other, blob in plan.remote}:
            size = artefact.size if artefact.size is not None else size_of(artefact.url)
            plan.remote.append((artefact, RemoteBlob(artefact.place, size, artefact.digest)))
        return artefact.digest
    digest, stamp = _hashed(store, artefact.src)
    if artefact.digest and digest != artefact.digest:
        raise wrong_digest(artefact.src, artefact.digest, digest)
    if not artefact.digest and not _is_stored(store, digest):
        plan.warnings.append(f"{artefact.src} is trusted as it is now, at first sight: give its sha256 to be told of damage.")
    local[digest] = LocalFile(artefact.src, stamp, digest)
    plan.read.append(artefact.src)
    return digest


def _hashed(store: Store, path: str) -> tuple[Digest, Stamp]:
    with explained(f"read {path}"):
        if not Path(path).is_file():
            raise ModelError(f"There is no file {path} on this host: put it there, or correct src.")
    stamp = Stamp.of(path)
    memory = store.stamps.recall(path, stamp)
    if not memory:
        digest, stamp = hash_file(path)
        memory = Memory(stamp, digest, {})
        store.stamps.hold(path, memory)
    return memory.digest, stamp


def _is_stored(store: Store, digest: Digest) -> bool:
    path = store.blob_path(digest)
    return path.is_file() and store.holds(digest, path.stat().st_size)


def _refuse_damaged(store: Store, place: str, digest: Digest) -> None:
    if not _is_stored(store, digest):
        raise ModelError(f"{PLACE}/{place} is damaged: ask for it again with src or url, or set purge to take it out.")


def _sums(links: Mapping[str, Digest]) -> dict[str, Text]:
    folders: dict[str, list[str]] = {}
    for place in sorted(links):
        above, _slash, file = place.rpartition("/")
        folders.setdefault(above, []).append(f"{links[place]}  {file}\n")
    return {f"{above}/{SUMS}": Text.of("".join(lines).encode("ascii")) for above, lines in folders.items()}


def _named(links: Mapping[str, Digest]) -> dict[str, str]:
    return {place: f"sha256:{digest}" for place, digest in links.items()}
