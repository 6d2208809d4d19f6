# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of package indexes a lock asks for, some machines' and Pythons' only where that is wanted.

A lock has the digest of every file, so its answer never changes: it is kept in ``locks/`` of the store, and nobody is asked twice.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.foreign_json import read_json
from ansible_collections.onprem.llm.plugins.module_utils.mirror_fetch import remote_size
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import write_text
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, as_digest
from ansible_collections.onprem.llm.plugins.module_utils.python_lock import Lock
from ansible_collections.onprem.llm.plugins.module_utils.python_names import DistName, as_dist, is_dist
from ansible_collections.onprem.llm.plugins.module_utils.python_page import OfferedFile, project_files
from ansible_collections.onprem.llm.plugins.module_utils.python_tags import PYTHON, fits
from ansible_collections.onprem.llm.plugins.module_utils.sources.answers import as_server
from ansible_collections.onprem.llm.plugins.module_utils.sources.remote import Access
from ansible_collections.onprem.llm.plugins.module_utils.store import Store
from ansible_collections.onprem.llm.plugins.module_utils.transfer.addresses import as_address
from ansible_collections.onprem.llm.plugins.module_utils.transfer.client import Client

QUESTIONS_AT_ONCE = 8
MACHINE = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
# What Debian calls a machine, as mirror_apt_architectures does, and what wheels call it.
OF_DEBIAN = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class WheelSet:
    """What is asked for: the files of a lock, from these indexes, for these machines and Pythons (none: for all that the lock has)."""

    lock: Lock
    index_urls: tuple[str, ...]
    machines: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()

    @property
    def clients(self) -> str:
        """Return for which clients it is, in words."""
        return " with ".join(" or ".join(values) for values in (self.machines, [f"CPython {each}" for each in self.pythons]) if values)

    @property
    def key(self) -> str:
        """Return what names the answer."""
        pins = sorted((project, str(version), sorted(digests)) for (project, version), digests in self.lock.pins.items())
        asked = json.dumps([pins, self.index_urls, sorted(self.machines), sorted(self.pythons)])
        return hashlib.sha256(asked.encode()).hexdigest()


@dataclass(frozen=True)
class WantedFile:
    """A file that the lock asks for and an index offers."""

    file: str
    digest: Digest
    url: str
    size: int
    # Its address has, or had, a query, which may be a secret and mostly does for a while only.
    signed: bool = False

    @property
    def name(self) -> DistName:
        """Return its name, taken apart."""
        return as_dist(self.file, as_address(self.url).plain.rpartition("/")[0])

    @property
    def remembered(self) -> dict[str, Any]:
        """Return what is kept of it, which is no query."""
        return asdict(replace(self, url=as_address(self.url).plain))


@dataclass(frozen=True)
class Choice:
    """The answer to a wheel set, and where it is remembered."""

    files: tuple[WantedFile, ...]
    path: Path
    is_known: bool

    def remember(self, store: Store) -> None:
        """Keep the answer for later runs."""
        if not self.is_known:
            write_text(store, self.path, json.dumps([file.remembered for file in self.files], indent=1).encode())


def as_wheel_set(lock: Lock, index_urls: Sequence[str], machines: Sequence[str], pythons: Sequence[str]) -> WheelSet:
    """Accept what a person asks for."""
    if not index_urls:
        raise ModelError(
            f"index_urls of {lock.path} is empty, but at least one index was expected: name one, such as https://pypi.org/simple."
        )
    if lock.sums:
        raise ModelError(f"{lock.path} is a list of files, which does not say of what: give requirements with '--hash=sha256:'.")
    for option, values, pattern, example in (("machines", machines, MACHINE, "x86_64"), ("pythons", pythons, PYTHON, "3.12")):
        for value in values:
            if not pattern.fullmatch(value):
                raise ModelError(f"{option} of {lock.path} has {value!r}, but one like {example} was expected: correct it.")
    for machine in machines:
        if machine in OF_DEBIAN:
            raise ModelError(f"machines of {lock.path} has {machine!r}, which wheels call {OF_DEBIAN[machine]}: correct it.")
    return WheelSet(lock, tuple(as_server(url) for url in index_urls), tuple(machines), tuple(pythons))


def choose(wanted: WheelSet, store: Store, access: Access) -> Choice:
    """Return the files of a set; ask the indexes where no run before has.

    ``ModelError`` where no index offers what a pin asks for, or nothing of it is for these machines and Pythons.
    """
    path = store.root / "locks" / f"{wanted.key}.json"
    with explained(f"read {path}"):
        text = path.read_bytes() if path.is_file() else b""
    known = _known(text, path) if text else None
    if known is not None and all(store.holds(file.digest, file.size) for file in known if file.signed):
        # An earlier version has let other wheels pass, and has kept queries.
        files = tuple(file for file in known if _is_wanted(file.file, wanted))
        if _is_whole(wanted, files):
            return Choice(files, path, is_known=not any(as_address(file.url).has_query for file in known))
    projects = sorted({project for project, _version in wanted.lock.pins})
    with Client(access) as client, ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool:

        def offered(project: str) -> list[OfferedFile]:
            return [file for url in wanted.index_urls for file in project_files(client, url, project)]

        answers = dict(zip(projects, pool.map(offered, projects)))
        chosen = {file.digest: file for pin in wanted.lock.pins for file in _chosen(wanted, pin, answers[pin[0]])}
        if not chosen:
            raise ModelError(f"machines and pythons leave none of the files of {wanted.lock.path} for {wanted.clients}: correct them.")
        sized = list(pool.map(lambda file: _sized(file, access), chosen.values()))
    return Choice(tuple(sorted(sized, key=lambda file: file.file)), path, is_known=False)


def _is_whole(wanted: WheelSet, files: Sequence[WantedFile]) -> bool:
    """Tell whether there is something for every pin that all clients need; an earlier version has let such a pin go without a word."""
    digests = {file.digest for file in files}
    return bool(files) and not any(digests.isdisjoint(wanted.lock.pins[pin]) for pin in wanted.lock.always)


def _known(text: bytes, path: Path) -> list[WantedFile]:
    """Return what is remembered in ``path``; ``ModelError`` where that is damaged."""
    try:
        entries = read_json(text)
        if not isinstance(entries, list):
            raise TypeError
        return [_entry(entry) for entry in entries]
    except (ModelError, TypeError, KeyError, ValueError):
        raise ModelError(
            f"{path} should say which files a lock asks for, but it cannot be read as such: remove it, so that the index is asked again."
        ) from None


def _entry(entry: Any) -> WantedFile:
    file, url, size = entry["file"], entry["url"], entry["size"]
    if not (isinstance(file, str) and isinstance(url, str) and isinstance(size, int) and not isinstance(size, bool) and size >= 0):
        raise TypeError
    address = as_address(url)
    signed = address.has_query or entry.get("signed") is True
    return WantedFile(as_dist(file, "locks").file, as_digest(entry["digest"]), address.url, size, signed)


def _chosen(wanted: WheelSet, pin: tuple[str, object], offered: Sequence[OfferedFile]) -> list[OfferedFile]:
    """Return what is wanted of one project at one version."""
    project, allowed = pin[0], wanted.lock.pins[pin]
    found = [file for file in offered if file.digest in allowed and is_dist(file.file)]
    if not found:
        raise ModelError(
            f"{wanted.lock.path} asks for {project} with one of {len(allowed)} digests, but {' and '.join(wanted.index_urls)} "
            f"offers no such file: name an index that has it, or make the lock again."
        )
    for file in found:
        if as_dist(file.file, wanted.lock.path).project != project:
            raise ModelError(f"{as_address(file.url)} is offered as a file of {project}, which its name is not: name another index.")
    wheels = [file for file in found if file.file.endswith(".whl")]
    # Of a source archive there is need only where nobody has built a wheel.
    fitting = [file for file in wheels or found if _is_wanted(file.file, wanted)]
    if not fitting and pin in wanted.lock.always:
        raise ModelError(
            f"{wanted.lock.path} asks for {project}, but no wheel of it is for {wanted.clients}: "
            f"correct machines and pythons, or make the lock for those clients."
        )
    return fitting


def _is_wanted(file: str, wanted: WheelSet) -> bool:
    return not file.endswith(".whl") or fits(file, wanted.machines, wanted.pythons)


def _sized(file: OfferedFile, access: Access) -> WantedFile:
    size = file.size if file.size is not None else remote_size(file.url, access)
    return WantedFile(file.file, file.digest, file.url, size, as_address(file.url).has_query)
