# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what must happen for the mirror to offer just these packages to apt; then does exactly that.

``www/apt/pool/[epoch-<n>/]<file>``                    the packages, hard links to the store
``www/apt/dists/<suite>/<component>/binary-<arch>/``   what apt-ftparchive says of them, also by hash, so that no client sees half a change
``www/apt/dists/<suite>/{Release,InRelease}``          the digests of these, signed
``www/apt/llm-mirror.asc``                             the key, for clients

What is published is read back from the tree, so that a second run needs none of the tools but gpg.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import explained
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import MirrorFolder, write_text
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.package_folders import read_packages, run_tool, with_kept
from ansible_collections.onprem.llm.plugins.module_utils.signing_key import SigningKey
from ansible_collections.onprem.llm.plugins.module_utils.store import Store

LAYOUT, PLACE, KEY = "apt", "www/apt", "llm-mirror.asc"
NEEDS = "apt-utils"
DEB = re.compile(r"[a-z0-9][a-z0-9+.-]*_(?:[0-9]+%3a)?[A-Za-z0-9.+~-]+_(?P<arch>[a-z0-9-]+)\.deb", re.ASCII)
# How apt and dpkg write the epoch of a version in the name of a file. An archive has none there: clients differ in how they ask for a '%'.
EPOCH = re.compile(r"_([0-9]+)%3a", re.ASCII)
PLACE_OF_EPOCH = re.compile(r"pool/epoch-([0-9]+)/([^_/]+)_([^/]+)", re.ASCII)
SIGNED = ("InRelease", "Release.gpg", "Release")
FILENAME = re.compile(r"^Filename: *(.+)$", re.MULTILINE)
# Digests that apt-ftparchive gives if it is not told otherwise, by the words for them in a Release file.
OTHERS = {"MD5Sum": "MD5", "SHA1": "SHA1", "SHA512": "SHA512"}
OTHER = re.compile(rf"^(?:{'|'.join(OTHERS)}):", re.MULTILINE)
SHA256 = re.compile(r"^SHA256: *([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Suite:
    """How the tree presents itself to apt."""

    name: str
    component: str
    architectures: tuple[str, ...]

    @property
    def place(self) -> str:
        """Return the folder of the suite."""
        return f"dists/{self.name}"

    def lists(self) -> dict[str, str]:
        """Return the folder of each architecture's list of packages, from the folder of the suite."""
        return {arch: f"{self.component}/binary-{arch}" for arch in self.architectures}

    def settings(self) -> dict[str, str]:
        """Return what the Release file says besides digests and its date."""
        return {
            "Origin": "onprem.llm",
            "Label": "onprem.llm mirror",
            "Suite": self.name,
            "Codename": self.name,
            "Architectures": " ".join(self.architectures),
            "Components": self.component,
        }


@dataclass
class AptPlan:
    """The packages, and whether the lists, their signature and the key are as they should be."""

    folder: MirrorFolder
    suite: Suite
    key: SigningKey
    given_key: str = field(default="", repr=False)
    make_key: bool = False
    sign: bool = False
    read: list[str] = field(default_factory=list)
    # The folders of suites that are no more asked for.
    old: list[str] = field(default_factory=list)

    @property
    def packages(self) -> list[str]:
        """Return the packages by the names of their files."""
        return sorted(_file_of(place) for place in self.folder.links)

    @property
    def changed(self) -> bool:
        """Tell whether anything would be done."""
        return bool(self.actions)

    @property
    def actions(self) -> list[str]:
        """Say in words what would be done, in the order in which it is done."""
        said = [f"{'import' if self.given_key else 'make'} the key in {self.key.home}"] if self.make_key else []
        lists = [f"write and sign {self.folder.root}/{self.suite.place}"] if self.sign else []
        return said + self.folder.actions + lists + [f"remove {self.folder.root}/{place}" for place in self.old]

    @property
    def learned(self) -> bool:
        """Tell whether hashing found out what later runs should remember, though nothing has to change."""
        return not all(self.folder.store.stamps.is_written(key) for key in self.keys())

    def keys(self) -> list[str]:
        """Return what stamps there are to write."""
        return [*self.read, *(str(self.folder.store.blob_path(digest)) for digest in sorted(set(self.folder.links.values())))]

    def apply(self) -> None:
        """Do it."""
        if self.make_key:
            self.key.make(self.given_key)
        self.folder.apply(self._change_lists)
        for key in self.keys():
            self.folder.store.write_stamp(key)

    def _change_lists(self) -> None:
        if self.sign:
            self._write_lists()
        for suite in (self.folder.root / place for place in self.old):
            with explained(f"remove {suite}"):
                for name in SIGNED:
                    (suite / name).unlink(missing_ok=True)
                shutil.rmtree(suite)

    def _write_lists(self) -> None:
        """Let the distribution's tool describe the packages, in a copy of the tree; then move its lists into place, the signed one last."""
        work = self.folder.store.root / "apt-work"
        with explained(f"write {work}"):
            shutil.rmtree(work, ignore_errors=True)
            (work / "pool").mkdir(parents=True)
            for place in self.folder.links:
                (work / place).parent.mkdir(exist_ok=True)
                os.link(self.folder.root / place, work / place)
        try:
            self._publish(work, self._describe(work))
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _describe(self, work: Path) -> list[str]:
        """Make the lists and the Release file below ``work``; return the places of the lists."""
        suite, places = work / self.suite.place, []
        for arch, name in self.suite.lists().items():
            text = run_tool(["apt-ftparchive", "--arch", arch, "packages", "pool"], NEEDS, cwd=str(work))
            with explained(f"write {suite}"):
                (suite / name).mkdir(parents=True)
                (suite / name / "Packages").write_bytes(text)
                # No time in it, so that the same packages make the same list.
                (suite / name / "Packages.gz").write_bytes(gzip.compress(text, mtime=0))
            places += [f"{name}/Packages", f"{name}/Packages.gz"]
        # Of the digests that it is told, apt asks by the strongest, and there are only copies by their sha256.
        settings = {**self.suite.settings(), "Acquire-By-Hash": "yes", **dict.fromkeys(OTHERS.values(), "false")}
        options = [word for name, value in settings.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
        release = run_tool(["apt-ftparchive", *options, "release", str(suite)], NEEDS)
        with explained(f"write {suite}"):
            (suite / "Release").write_bytes(release)
        return places

    def _publish(self, work: Path, places: Sequence[str]) -> None:
        store, suite = self.folder.store, self.folder.root / self.suite.place
        made = work / self.suite.place
        inline, detached = self.key.sign(made / "Release")
        write_text(store, self.folder.root / KEY, self.key.public())
        texts = {place: (made / place).read_bytes() for place in places}
        wanted = {suite / _by_hash(place, text): text for place, text in texts.items()}
        old = [path for path in _copies(suite) if path not in wanted]
        # A client that has just read the list before may still ask for what it names: one generation stays, of what did not rot.
        newest = sorted(filter(_is_itself, old), key=lambda path: path.stat().st_mtime_ns, reverse=True)[: len(places)]
        for path, text in [*wanted.items(), *((suite / place, text) for place, text in texts.items())]:
            write_text(store, path, text)
        write_text(store, suite / "Release", (made / "Release").read_bytes())
        write_text(store, suite / "Release.gpg", detached)
        write_text(store, suite / "InRelease", inline)
        for path in old:
            if path not in newest:
                path.unlink()


def plan_apt(
    store: Store, folders: Sequence[str], suite: Suite, key: SigningKey, *, given_key: str, purge: bool, owner: str = ""
) -> AptPlan:
    """Decide which packages are offered: those of the folders, and unless ``purge`` those that others have published before."""
    folder = MirrorFolder(store, LAYOUT, PLACE, owner)
    plan = AptPlan(folder, suite, key, given_key)
    found = read_packages(folders, ".deb", DEB, store.stamps)
    plan.read = [file.path for file in found.values()]
    links = {_place_of(name): file.digest for name, file in found.items()}
    asked = set(links) | ({suite.place} if folders or folder.owned else set())
    links = links if purge else with_kept(folder, links, ".deb")
    there = folder.there
    unwanted = {place for place in there if place.startswith("pool/")} if purge else there & folder.owned
    folder.plan(links, {}, {file.digest: file for file in found.values()}, unwanted=unwanted, asked=asked)
    plan.old = _old_suites(folder, suite, purge=purge)
    if not links and not there:
        # Nobody has ever asked for packages, so there is nothing to sign.
        return plan
    if not folders and not plan.actions:
        # Nothing is asked for and nothing goes. The tree may have been carried here with its signature, and the key is elsewhere.
        return plan
    fingerprint = key.fingerprint if Path(key.home).is_dir() else ""
    plan.make_key = not fingerprint
    plan.sign = plan.make_key or not _is_published(folder, suite, key, links)
    if folder.place or folder.ingest:
        folder.check_space()
    return plan


def _place_of(file: str) -> str:
    """Return where a package is offered: two epochs of a version are two packages, though archives name their files alike."""
    found = EPOCH.search(file)
    return f"pool/epoch-{found.group(1)}/{EPOCH.sub('_', file)}" if found else f"pool/{file}"


def _file_of(place: str) -> str:
    found = PLACE_OF_EPOCH.fullmatch(place)
    return f"{found.group(2)}_{found.group(1)}%3a{found.group(3)}" if found else place.rpartition("/")[2]


def _old_suites(folder: MirrorFolder, suite: Suite, *, purge: bool) -> list[str]:
    """Return the suites that are no more asked for: all but this one with ``purge``, else those that the same owner asked for before."""
    paths = [path for path in sorted((folder.root / "dists").glob("*")) if path.is_dir() and not path.is_symlink()]
    others = [f"dists/{path.name}" for path in paths if path.name != suite.name]
    asked = [place for place in folder.owned if place.startswith("dists/")]
    # An owner who has packages and no suite was noted by an earlier version, and all suites were made for them.
    return others if purge or (folder.owned and not asked) else [place for place in others if place in asked]


def _is_published(folder: MirrorFolder, suite: Suite, key: SigningKey, links: Mapping[str, Digest]) -> bool:
    root = folder.root / suite.place
    inline = _text(root / "InRelease")
    settings = "".join(f"\n{name}: {value}" for name, value in suite.settings().items())
    if OTHER.search(inline) or any(line not in f"\n{inline}" for line in settings.split("\n") if line):
        return False
    for arch, name in suite.lists().items():
        told = _text(root / name / "Packages")
        wanted = {place: digest for place, digest in links.items() if _arch(place) in {arch, "all"}}
        if _listed(told) != wanted:
            return False
        for place in (f"{name}/Packages", f"{name}/Packages.gz"):
            path = root / place
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"
            copy = root / name / "by-hash" / "SHA256" / digest
            if f" {digest} " not in inline or not copy.is_file():
                return False
    if not all(_is_itself(path) for path in _copies(root)):
        return False
    whole = (root / "Release").is_file() and (root / "Release.gpg").is_file() and _text(folder.root / KEY) == key.public().decode()
    signed = whole and key.has_signed(root / "InRelease") and key.has_signed(root / "Release", root / "Release.gpg")
    return signed and _text(root / "Release").strip() in inline


def _copies(suite: Path) -> list[Path]:
    """Return the lists that are offered by their hash, those of the generation before among them."""
    return sorted(suite.glob("*/binary-*/by-hash/SHA256/*"))


def _is_itself(path: Path) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def _by_hash(place: str, text: bytes) -> str:
    return f"{place.rpartition('/')[0]}/by-hash/SHA256/{hashlib.sha256(text).hexdigest()}"


def _listed(text: str) -> dict[str, str]:
    """Return the digest of each file that a list names."""
    found = ((FILENAME.search(stanza), SHA256.search(stanza)) for stanza in text.split("\n\n"))
    return {name.group(1): digest.group(1) for name, digest in found if name and digest}


def _arch(place: str) -> str:
    found = DEB.fullmatch(place.rpartition("/")[2])
    return found["arch"] if found else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
