# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for the mirror to offer just these packages to dnf; then does exactly that.

``www/rpm/<name>/<file>``    the packages, hard links to the store
``www/rpm/<name>/repodata``  what createrepo_c says of them

What is published is read back from the tree, so that a second run needs no tool.
"""

from __future__ import annotations

import contextlib
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import MirrorFolder, record_path
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.package_folders import read_packages, run_tool, with_kept
from ansible_collections.onprem.llm.plugins.module_utils.stamps import hash_file
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

LAYOUT, PLACE = "rpm", "www/rpm"
NEEDS = "createrepo-c (Debian, Ubuntu) or createrepo_c (EL)"
RPM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^-]*\.[a-z0-9_]+\.rpm", re.ASCII)
# Each package in primary.xml, its digest and its file; createrepo_c writes one attribute order only.
PACKAGE = re.compile(r'<checksum type="sha256" pkgid="YES">([0-9a-f]{64})</checksum>.*?<location href="([^"]+)"', re.DOTALL)
# Each file of the description in repomd.xml: what it is, its digest and its place.
LISTED = re.compile(r'<data type="(\w+)">\s*<checksum type="sha256">([0-9a-f]{64})</checksum>.*?<location href="([^"]+)"', re.DOTALL)
LARGEST = 512 << 20


@dataclass
class RpmPlan:
    """The packages, and whether the description of them is as it should be."""

    folder: MirrorFolder
    describe: bool = False
    read: list[str] = field(default_factory=list)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        return self.folder.actions + ([f"write {self.folder.root}/repodata"] if self.describe else [])

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.folder.store.stamps.is_written(key) for key in self.keys())

    def keys(self) -> list[str]:
        """Return what stamps there are to write."""
        return [*self.read, *(str(self.folder.store.blob_path(digest)) for digest in sorted(set(self.folder.links.values())))]

    def apply(self) -> None:
        """Do it."""
        self.folder.apply(self._describe if self.describe else lambda: None)
        for key in self.keys():
            self.folder.store.write_stamp(key)

    def _describe(self) -> None:
        root, listing = self.folder.root, self.folder.store.temp / "rpm-list"
        with explained(f"write {root}"):
            # Where there is no package, no folder was made yet.
            root.mkdir(parents=True, exist_ok=True)
            root.chmod(0o755)
            listing.write_text("".join(f"{place}\n" for place in sorted(self.folder.links)), encoding="utf-8")
        # It writes beside its place and renames; one generation of the files before stays, for a client that has just read of them.
        words = ["createrepo_c", "--quiet", "--checksum", "sha256", "--general-compress-type", "gz", "--retain-old-md", "1"]
        # Of a description that rotted nothing is taken over.
        words += ["--update"] if _sound_lists(root) else []
        run_tool([*words, "--pkglist", str(listing), str(root)], NEEDS)
        listing.unlink()
        with explained(f"write {root}"):
            for path in [root / "repodata", *(root / "repodata").iterdir()]:
                path.chmod(0o755 if path.is_dir() else 0o644)


def published_by(store: Store, owner: str) -> list[str]:
    """Return the repositories in which an owner has published something."""
    if not owner:
        return []
    start = record_path(store, owner, f"{PLACE}/")
    return sorted(path.name[len(start.name) - len(".json") : -len(".json")] for path in start.parent.glob(f"{start.stem}*.json"))


def plan_rpm(store: Store, name: str, folders: Sequence[str], *, purge: bool, owner: str = "") -> RpmPlan:
    """Decide which packages are offered: those of the folders, and unless ``purge`` those that others have published before."""
    folder = MirrorFolder(store, LAYOUT, f"{PLACE}/{name}", owner)
    plan = RpmPlan(folder)
    found = read_packages(folders, ".rpm", RPM, store.stamps)
    plan.read = [file.path for file in found.values()]
    links = {file: package.digest for file, package in found.items()}
    asked = set(links)
    links = links if purge else with_kept(folder, links, ".rpm")
    there = folder.there
    unwanted = {place for place in there if place.endswith(".rpm")} if purge else there & folder.owned
    folder.plan(links, {}, {file.digest: file for file in found.values()}, unwanted=unwanted, asked=asked)
    plan.describe = bool(links or there) and not _is_described(folder.root, links)
    if folder.place or folder.ingest:
        folder.check_space()
    return plan


def _is_described(root: Path, links: Mapping[str, Digest]) -> bool:
    listed = _sound_lists(root)
    return bool(listed) and {place: digest for digest, place in PACKAGE.findall(_text(root / listed["primary"]))} == dict(links)


def _sound_lists(root: Path) -> dict[str, str]:
    """Return the files that describe the packages by what they are; nothing where one is missing or is not what the list of them says."""
    found = LISTED.findall(_text(root / "repodata" / "repomd.xml"))
    listed = {kind: place for kind, _digest, place in found}
    whole = {"primary", "filelists", "other"} <= set(listed)
    return listed if whole and all(_has_digest(root / place, digest) for _kind, digest, place in found) else {}


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and hash_file(str(path))[0] == digest


def _text(path: Path) -> str:
    with contextlib.suppress(OSError, EOFError, zlib.error):
        if path.suffix != ".gz":
            return path.read_text(encoding="utf-8", errors="replace")
        with gzip.open(path, "rb") as stream:
            return stream.read(LARGEST).decode("utf-8", "replace")
    return ""
