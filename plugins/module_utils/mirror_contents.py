# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mirror offers, read from its tree: models, Python packages, artefacts, and packages of distributions.

The tree is the only record. What cannot be read is left out, for a page for people must not fail where clients do not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST_JSON = 64 << 20
COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
FIELD = re.compile(r"^([A-Za-z-]+): *(.*)$", re.ASCII | re.MULTILINE)


@dataclass(frozen=True)
class HubModel:
    """A repository of Hugging Face's Hub: its branches, the commit of each, and the size of the main one."""

    name: str
    revisions: tuple[tuple[str, str], ...]
    files: int
    size: int


@dataclass(frozen=True)
class OllamaModel:
    """A model of Ollama: its name as a client of this mirror asks for it, without the host."""

    name: str
    size: int


@dataclass(frozen=True)
class Project:
    """A Python package and its versions, from old to new."""

    name: str
    versions: tuple[str, ...]
    files: int
    size: int


@dataclass(frozen=True)
class ArtefactVersion:
    """A version of an artefact, and its files with their sizes."""

    name: str
    version: str
    files: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class PackageTree:
    """A tree for apt (named by its suite) or dnf (named by its folder) and the packages in it with their versions."""

    name: str
    packages: tuple[tuple[str, str], ...]
    size: int
    components: str = ""


@dataclass(frozen=True)
class Contents:
    """All that is there."""

    hub: tuple[HubModel, ...] = ()
    ollama: tuple[OllamaModel, ...] = ()
    projects: tuple[Project, ...] = ()
    artefacts: tuple[ArtefactVersion, ...] = ()
    apt: tuple[PackageTree, ...] = ()
    rpm: tuple[PackageTree, ...] = ()


def read_contents(root: Path) -> Contents:
    """Return what the tree at ``root`` offers."""
    return Contents(
        hub=tuple(_hub(root / "hf")),
        ollama=tuple(_ollama(root / "ollama")),
        projects=tuple(_projects(root / "www" / "pypi" / "simple")),
        artefacts=tuple(_artefacts(root / "www" / "artefacts")),
        apt=tuple(_apt(root / "www" / "apt")),
        rpm=tuple(_rpm(root / "www" / "rpm")),
    )


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            return json.loads(stream.read(LARGEST_JSON))
    except (OSError, ValueError, RecursionError):
        return None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _sum(entries: list[dict[str, Any]]) -> int:
    return sum(size for size in (entry.get("size") for entry in entries) if isinstance(size, int))


def _hub(root: Path) -> Iterator[HubModel]:
    # A repository has one or two parts to its name, and data sets and spaces have one more before it.
    folders = {path.parent for depth in ("*", "*/*", "*/*/*") for path in root.glob(f"{depth}/info")}
    for folder in sorted(folders):
        revisions = []
        for info in sorted((folder / "info").glob("*.json")):
            told, branch = _json(info), info.name[: -len(".json")]
            commit = told.get("sha") if isinstance(told, dict) else None
            if isinstance(commit, str) and COMMIT.fullmatch(commit) and branch != commit:
                revisions.append((branch, commit))
        commits = sorted(path.name for path in (folder / "tree").glob("*") if COMMIT.fullmatch(path.name))
        revisions += [(commit, commit) for commit in commits if commit not in {known for _branch, known in revisions}]
        if revisions:
            # main comes first: it is what clients ask for.
            revisions.sort(key=lambda pair: (pair[0] != "main", pair[0]))
            files = [entry for entry in _dicts(_json(folder / "tree" / revisions[0][1] / ".rec.json")) if entry.get("type") == "file"]
            yield HubModel(str(folder.relative_to(root)), tuple(revisions), len(files), _sum(files))


def _ollama(root: Path) -> Iterator[OllamaModel]:
    for path in sorted(root.glob("*/*/manifests/*")):
        manifest = _json(path)
        if isinstance(manifest, dict):
            layers = _dicts([manifest.get("config")]) + _dicts(manifest.get("layers"))
            yield OllamaModel(f"{path.parts[-4]}/{path.parts[-3]}:{path.name}", _sum(layers))


def _projects(root: Path) -> Iterator[Project]:
    for path in sorted(root.glob("*/index.json")):
        page = _json(path)
        if isinstance(page, dict) and isinstance(page.get("versions"), list):
            files = _dicts(page.get("files"))
            yield Project(path.parent.name, tuple(map(str, page["versions"])), len(files), _sum(files))


def _artefacts(root: Path) -> Iterator[ArtefactVersion]:
    for folder in sorted(root.glob("*/*")):
        files = [(path.name, path.stat().st_size) for path in sorted(folder.glob("*")) if path.is_file() and path.name != "SHA256SUMS"]
        if files:
            yield ArtefactVersion(folder.parent.name, folder.name, tuple(files))


def _apt(root: Path) -> Iterator[PackageTree]:
    for release in sorted(root.glob("dists/*/Release")):
        fields = dict(FIELD.findall(_text(release)))
        found: dict[tuple[str, str], int] = {}
        for path in sorted(release.parent.glob("*/binary-*/Packages")):
            for stanza in _text(path).split("\n\n"):
                told = dict(FIELD.findall(stanza))
                if "Package" in told and "Version" in told:
                    size = told.get("Size", "0")
                    found[told["Package"], told["Version"]] = int(size) if size.isdigit() else 0
        yield PackageTree(release.parent.name, tuple(sorted(found)), sum(found.values()), fields.get("Components", ""))


def _rpm(root: Path) -> Iterator[PackageTree]:
    for repomd in sorted(root.glob("*/repodata/repomd.xml")):
        folder = repomd.parent.parent
        rpms = sorted(folder.glob("*.rpm"))
        # name-version-release.arch.rpm
        names = (path.name[: -len(".rpm")].rpartition(".")[0].rsplit("-", 2) for path in rpms)
        packages = tuple((parts[0], "-".join(parts[1:])) for parts in names)
        yield PackageTree(folder.name, packages, sum(path.stat().st_size for path in rpms))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_JSON).decode("utf-8", "replace")
    except OSError:
        return ""
