# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for the mirror's package index to offer just these files; then does exactly that.

``plan_index`` writes nothing. Check mode, the diff and the real run all come from the plan it returns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import LocalFile, MirrorFolder, Text
from ansible_collections.onprem.llm.plugins.module_utils.names import DIGEST, Digest
from ansible_collections.onprem.llm.plugins.module_utils.python_folder import FoundFile, WheelFolder, index_file, noted_file, read_folders
from ansible_collections.onprem.llm.plugins.module_utils.python_index import IndexedFile, pages
from ansible_collections.onprem.llm.plugins.module_utils.python_metadata import read_dist
from ansible_collections.onprem.llm.plugins.module_utils.python_names import DistName, as_dist, is_dist
from ansible_collections.onprem.llm.plugins.module_utils.python_wheel_set import WantedFile
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Origin, RemoteBlob
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.store_space import Need, check_space
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address
from ansible_collections.onprem.llm.plugins.module_utils.transfer.fetch import Job
from ansible_collections.onprem.llm.plugins.module_utils.transfer.partial import bytes_held
from ansible_collections.onprem.llm.plugins.module_utils.transfer.repair import bytes_missing

LAYOUT, PLACE = "pypi", "www/pypi"
UNKNOWN = Digest("unknown")


@dataclass
class IndexPlan:
    """The files that are offered now, those that shall be, and the steps between."""

    folder: MirrorFolder
    sources: dict[str, FoundFile]
    placed: dict[str, Digest]
    files: dict[str, IndexedFile] = field(default_factory=dict)
    remote: list[tuple[WantedFile, RemoteBlob]] = field(default_factory=list)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        return [f"fetch {as_address(file.url).plain} ({file.size} bytes)" for file, _blob in self.remote] + self.folder.actions

    @property
    def bytes_fetched(self) -> int:
        """Return how much comes over the network; of a file that was begun before, or is damaged, only the rest."""
        return sum(bytes_missing(self.folder.store, blob) for _file, blob in self.remote)

    @property
    def needs(self) -> list[Need]:
        """Return the disk space that is needed."""
        return self.folder.needs(sum(blob.size - bytes_held(self.folder.store, blob) for _file, blob in self.remote))

    @property
    def jobs(self) -> list[Job]:
        """Return what is to be fetched."""
        return [Job(blob, partial(Origin, file.url)) for file, blob in self.remote]

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.folder.store.stamps.is_written(key) for key in self._keys())

    def _keys(self) -> list[str]:
        stored = [str(self.folder.store.blob_path(digest)) for digest in sorted(set(self.folder.links.values()))]
        return [*(found.path for found in self.sources.values()), *stored]

    def diff(self) -> dict[str, str]:
        """Return the difference as Ansible shows it; both sides are equal where nothing changes."""
        before: dict[str, Any] = {"files": {name: f"sha256:{digest}" for name, digest in self.placed.items()}} if self.placed else {}
        after: dict[str, Any] = {"files": {name: f"sha256:{file.digest}" for name, file in self.files.items()}} if self.files else {}
        if before == after and self.actions:
            before["out of date"] = self.folder.changing or ["what the store notes"]
        texts = (json.dumps(side, indent=2, sort_keys=True) + "\n" if side else "" for side in (before, after))
        header = str(self.folder.root)
        return {"before_header": header, "after_header": header, **dict(zip(("before", "after"), texts))}

    def apply(self) -> None:
        """Do it, when what comes from elsewhere is in the store, and remember what was read."""
        self.folder.apply()
        for key in self._keys():
            self.folder.store.write_stamp(key)


def plan_index(
    store: Store, folders: Sequence[WheelFolder], wanted: Sequence[WantedFile] = (), *, purge: bool, owner: str = ""
) -> IndexPlan:
    """Decide which files are offered: those of the folders, those ``wanted`` of indexes, and unless ``purge`` those of others."""
    folder = MirrorFolder(store, LAYOUT, PLACE, owner)
    plan = IndexPlan(folder, read_folders(folders, store.stamps), _placed(folder.root))
    plan.files = {name: found.indexed for name, found in plan.sources.items()}
    for file in wanted:
        _add(plan, file)
    asked, owned = {file.place for file in plan.files.values()}, folder.owned
    for name, digest in plan.placed.items():
        if not purge and name not in plan.files and f"files/{digest[:2]}/{digest}/{name}" not in owned:
            plan.files[name] = _kept(store, name, digest)
    local = {found.indexed.digest: LocalFile(found.path, found.stamp, found.indexed.digest) for found in plan.sources.values()}
    links = {file.place: file.digest for file in plan.files.values()}
    texts = _texts(store, plan.files, plan.sources) if links or folder.there else {}
    folder.plan(links, texts, local, unwanted=folder.there, asked=asked)
    if folder.place or folder.ingest:
        check_space(plan.needs)
    return plan


def _add(plan: IndexPlan, file: WantedFile) -> None:
    """Add a file that comes from an index, or has come before."""
    store = plan.folder.store
    twin = plan.files.get(file.file)
    if twin and twin.digest != file.digest:
        raise ModelError(f"{file.file} is asked for with the sha256 {twin.digest} and with {file.digest}: leave one of the two out.")
    if twin:
        return
    if store.holds(file.digest, file.size):
        plan.files[file.file] = index_file(str(store.blob_path(file.digest)), file.name, store.stamps)[0]
        return
    plan.remote.append((file, RemoteBlob(file.file, file.size, file.digest)))
    # What a wheel says of itself is known when it is here, or was.
    unknown = IndexedFile(file.name, file.digest, file.size, "", UNKNOWN if file.name.is_wheel else None)
    plan.files[file.file] = noted_file(str(store.blob_path(file.digest)), unknown, store.stamps) or unknown


def _texts(store: Store, files: Mapping[str, IndexedFile], sources: Mapping[str, FoundFile]) -> dict[str, Text]:
    """Return the metadata of each wheel, then the page of each project, and at the end the page of all."""
    texts: dict[str, Text] = {}
    for name in sorted(files):
        file = files[name]
        path = sources[name].path if name in sources else str(store.blob_path(file.digest))
        if file.metadata:
            texts[f"{file.place}.metadata"] = Text(file.metadata, partial(_metadata_of, path, file.name))
    made = pages(files.values())
    for page in sorted(made, key=lambda page: (page.count("/") == 1, page)):
        texts[page] = Text.of(made[page])
    return texts


def _metadata_of(path: str, name: DistName) -> bytes:
    return read_dist(path, name).text


def _placed(root: Path) -> dict[str, Digest]:
    """Return the digest of each file that is offered now, by name. The tree itself is the only record."""
    found: dict[str, tuple[int, Digest]] = {}
    with explained(f"read {root}"):
        for path in sorted((root / "files").glob("??/*/*")):
            if is_dist(path.name) and DIGEST.fullmatch(path.parent.name):
                # Of two, a run that was cut off has left the older one.
                age = path.lstat().st_ctime_ns
                if path.name not in found or found[path.name][0] < age:
                    found[path.name] = (age, Digest(path.parent.name))
    return {name: digest for name, (_age, digest) in found.items()}


def _kept(store: Store, name: str, digest: Digest) -> IndexedFile:
    """Return a file that is offered, though no folder brings it any more."""
    path, place = store.blob_path(digest), store.root / PLACE
    if not path.is_file() or not store.holds(digest, path.stat().st_size):
        raise ModelError(
            f"{name} of {place} is damaged or gone from the store: put the file into a folder of wheels again, or set purge to take it out."
        )
    return index_file(str(path), as_dist(name, str(place)), store.stamps)[0]
