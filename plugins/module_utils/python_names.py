# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of Python distributions: ``name-version[-build]-python-abi-platform.whl`` and ``name-version.tar.gz`` become a safe type once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import shown

# A file and its ``.metadata`` beside it both need a name that a file system takes.
LONGEST_NAME = 240
PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
# The binary distribution format: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
WHEEL = re.compile(
    r"(?P<project>[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?)-(?P<version>[^-]+)(?:-(?P<build>[0-9][A-Za-z0-9_.]*))?"
    r"-(?P<python>[A-Za-z0-9_.]+)-(?P<abi>[A-Za-z0-9_.]+)-(?P<platform>[A-Za-z0-9_.]+)\.whl",
    re.ASCII,
)
SDIST = re.compile(r"(?P<project>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)-(?P<version>[^-]+)\.tar\.gz", re.ASCII)
# Version specifiers (PEP 440), as packaging reads them.
VERSION = re.compile(
    r"v?(?:(?P<epoch>[0-9]{1,9})!)?(?P<release>[0-9]{1,19}(?:\.[0-9]{1,19}){0,19})"
    r"(?:[-_.]?(?P<pre>alpha|beta|preview|pre|a|b|c|rc)[-_.]?(?P<pre_n>[0-9]{0,19}))?"
    r"(?:-(?P<post_alone>[0-9]{1,19})|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_n>[0-9]{0,19}))?"
    r"(?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_n>[0-9]{0,19}))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.ASCII | re.IGNORECASE,
)
PRE_NAMES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
LAST = float("inf")


@dataclass(frozen=True)
class PythonVersion:
    """A version as PEP 440 defines it."""

    epoch: int
    release: tuple[int, ...]
    pre: tuple[str, int] | None = None
    post: int | None = None
    dev: int | None = None
    local: str = ""

    def __str__(self) -> str:
        """Return its one normal spelling."""
        epoch = f"{self.epoch}!" if self.epoch else ""
        pre = f"{self.pre[0]}{self.pre[1]}" if self.pre else ""
        post = f".post{self.post}" if self.post is not None else ""
        dev = f".dev{self.dev}" if self.dev is not None else ""
        return f"{epoch}{'.'.join(map(str, self.release))}{pre}{post}{dev}{'+' if self.local else ''}{self.local}"

    @property
    def key(self) -> tuple[Any, ...]:
        """Return what sorts versions from old to new, and is the same for 1.0 and 1.0.0."""
        release = self.release
        while len(release) > 1 and not release[-1]:
            release = release[:-1]
        pre: tuple[Any, ...] = self.pre or (("~",) if self.dev is None or self.post is not None else ("",))
        post = -1 if self.post is None else self.post
        dev = LAST if self.dev is None else self.dev
        # Of a local version's parts numbers come after words.
        local = tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in self.local.split(".")) if self.local else ()
        return (self.epoch, release, pre, post, dev, local)


@dataclass(frozen=True)
class DistName:
    """A file that an installer of Python packages takes."""

    file: str
    project: str
    version: PythonVersion
    is_wheel: bool


def normalised(project: str) -> str:
    """Return the one spelling under which an index lists a project (PEP 503)."""
    return re.sub(r"[-_.]+", "-", project).lower()


def as_project(text: str, where: str) -> str:
    """Accept the name of a project and return it normalised."""
    if len(text) > LONGEST_NAME or not PROJECT.fullmatch(text):
        raise ModelError(f"{where} names the project {shown(text)}, but letters, digits, '.', '_' and '-' were expected: fetch it again.")
    return normalised(text)


def as_version(text: str, where: str) -> PythonVersion:
    """Accept a version of PEP 440."""
    found = VERSION.fullmatch(text.strip()) if len(text) <= LONGEST_NAME else None
    if not found:
        raise ModelError(
            f"{where} has the version {shown(text)}, but one like 1.2.3, 1.2.3rc1 or 1.2.3+cu129 was expected: fetch it again."
        )
    pre = (found["pre"] or "").lower()
    post = found["post_alone"] or (found["post_n"] or "0" if found["post"] else None)
    return PythonVersion(
        epoch=int(found["epoch"] or 0),
        release=tuple(int(part) for part in found["release"].split(".")),
        pre=(PRE_NAMES.get(pre, pre), int(found["pre_n"] or 0)) if pre else None,
        post=None if post is None else int(post),
        dev=int(found["dev_n"] or 0) if found["dev"] else None,
        local=_local(found["local"]),
    )


def _local(text: str | None) -> str:
    parts = re.split(r"[-_.]", (text or "").lower())
    return ".".join(str(int(part)) if part.isdigit() and len(part) < 20 else part for part in parts)


def is_dist(file: str) -> bool:
    """Tell whether a file says by its name that it is a wheel or a source archive."""
    return file.endswith((".whl", ".tar.gz"))


def as_dist(file: str, where: str) -> DistName:
    """Accept the name of a wheel or of a source archive."""
    is_wheel = file.endswith(".whl")
    found = (WHEEL if is_wheel else SDIST).fullmatch(file) if len(file) <= LONGEST_NAME else None
    if not found:
        form = "name-version[-build]-python-abi-platform.whl" if is_wheel else "name-version.tar.gz"
        raise ModelError(
            f"{where} has the file {shown(file)}, but a name like {form} was expected: "
            f"give it the name that it has where it comes from, or remove it."
        )
    # In the name of a file a '-' of the version is written '_'.
    return DistName(file, normalised(found["project"]), as_version(found["version"], f"The name of {where}/{file}"), is_wheel)
