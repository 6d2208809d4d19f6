# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of a package index: HTML (PEP 503) and JSON (PEP 691), with the metadata of wheels (PEP 658) and sizes (PEP 700).

``simple/index.{html,json}``            all projects
``simple/<project>/index.{html,json}``  the files of one
``files/<2>/<sha256>/<file>``           a file; its address never means another content
``files/<2>/<sha256>/<file>.metadata``  what a wheel says of itself, so that an installer can resolve without fetching it
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.python_names import DistName

HEAD = '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="pypi:repository-version" content="1.0">\n'


@dataclass(frozen=True)
class IndexedFile:
    """One file of the index. Yanked files do not exist here: what nobody shall install is taken out."""

    name: DistName
    digest: Digest
    size: int
    requires_python: str = ""
    metadata: Digest | None = None

    @property
    def place(self) -> str:
        """Return where it lies, from the root of the index."""
        return f"files/{self.digest[:2]}/{self.digest}/{self.name.file}"

    @property
    def address(self) -> str:
        """Return its address as the page of its project gives it: relative, so that the tree works below any prefix."""
        return f"../../{quote(self.place)}"


def pages(files: Iterable[IndexedFile]) -> dict[str, bytes]:
    """Return the text of every page by its place."""
    projects: dict[str, list[IndexedFile]] = {}
    for file in sorted(files, key=lambda file: (file.name.version.key, file.name.file)):
        projects.setdefault(file.name.project, []).append(file)
    names = sorted(projects)
    links = [f'<a href="{name}/">{name}</a>' for name in names]
    made = {
        "simple/index.html": _html("Packages", links),
        "simple/index.json": _json({"projects": [{"name": name} for name in names]}),
    }
    for name in names:
        made[f"simple/{name}/index.html"] = _html(name, [_link(file) for file in projects[name]])
        made[f"simple/{name}/index.json"] = _json(_project(name, projects[name]))
    return made


def _html(title: str, links: Iterable[str]) -> bytes:
    lines = "".join(f"{link}<br>\n" for link in links)
    return f"{HEAD}<title>{escape(title)}</title>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{lines}</body>\n</html>\n".encode()


def _link(file: IndexedFile) -> str:
    attributes = [f'href="{escape(file.address)}#sha256={file.digest}"']
    if file.requires_python:
        attributes.append(f'data-requires-python="{escape(file.requires_python)}"')
    if file.metadata:
        # The second is what it was called until 2023.
        attributes += [f'{name}="sha256={file.metadata}"' for name in ("data-core-metadata", "data-dist-info-metadata")]
    return f"<a {' '.join(attributes)}>{escape(file.name.file)}</a>"


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps({"meta": {"api-version": "1.1"}, **content}, indent=1, sort_keys=True) + "\n").encode()


def _project(name: str, files: list[IndexedFile]) -> dict[str, Any]:
    versions = list(dict.fromkeys(str(file.name.version) for file in files))
    return {"name": name, "versions": versions, "files": [_entry(file) for file in files]}


def _entry(file: IndexedFile) -> dict[str, Any]:
    entry: dict[str, Any] = {"filename": file.name.file, "url": file.address, "hashes": {"sha256": file.digest}, "size": file.size}
    if file.requires_python:
        entry["requires-python"] = file.requires_python
    if file.metadata:
        entry["core-metadata"] = entry["dist-info-metadata"] = {"sha256": file.metadata}
    return entry
