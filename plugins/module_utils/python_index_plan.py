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
from ansible_collections.onprem.llm.plugins.module_utils.python_folder import FoundFile, WheelFolder, index_file, read_folders
from ansible_collections.onprem.llm.plugins.module_utils.python_index import IndexedFile, pages
from ansible_collections.onprem.llm.plugins.module_utils.python_metadata import read_dist
from ansible_collections.onprem.llm.plugins.module_utils.python_names import DistName, as_dist, is_dist
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

LAYOUT, PLACE = "pypi", "www/pypi"


@dataclass
class IndexPlan:
    """The files that are offered now, those that shall be, and the steps between."""

    folder: MirrorFolder
    sources: dict[str, FoundFile]
    placed: dict[str, Digest]
    files: dict[str, IndexedFile] = field(default_factory=dict)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        return self.folder.actions

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
        """Do it, and remember what was read."""
        self.folder.apply()
        for key in self._keys():
            self.folder.store.write_stamp(key)


def plan_index(store: Store, folders: Sequence[WheelFolder], *, purge: bool) -> IndexPlan:
    """Decide which files are offered: those of the folders, and unless ``purge`` those that were offered before."""
    folder = MirrorFolder(store, LAYOUT, PLACE)
    plan = IndexPlan(folder, read_folders(folders, store.stamps), _placed(folder.root))
    plan.files = {name: found.indexed for name, found in plan.sources.items()}
    for name, digest in plan.placed.items():
        if not purge and name not in plan.files:
            plan.files[name] = _kept(store, name, digest)
    local = {found.indexed.digest: LocalFile(found.path, found.stamp, found.indexed.digest) for found in plan.sources.values()}
    links = {file.place: file.digest for file in plan.files.values()}
    folder.plan(links, _texts(store, plan.files, plan.sources), local, folder.there)
    if folder.place or folder.ingest:
        folder.check_space()
    return plan


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
