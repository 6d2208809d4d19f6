# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of a distribution's packages on the host, and the tools of the distribution that describe them. The folders are only read."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.mirror_folder import LocalFile, MirrorFolder
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest, shown
from ansible_collections.onprem.llm.plugins.module_utils.python_lock import read_lock
from ansible_collections.onprem.llm.plugins.module_utils.stamps import Memory, Stamp, StampBook, hash_file

SUMS = "SHA256SUMS"
TOOL_S = 1800
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def read_packages(folders: Sequence[str], suffix: str, pattern: re.Pattern[str], stamps: StampBook) -> dict[str, LocalFile]:
    """Return the packages of all folders by the name of their file."""
    found: dict[str, LocalFile] = {}
    for folder in folders:
        with explained(f"read the folder of packages {folder}"):
            names = sorted(path.name for path in Path(folder).iterdir())
        sums = read_lock(f"{folder}/{SUMS}").sums if SUMS in names else None
        for name in names:
            if name.endswith(suffix):
                file = _read(f"{folder}/{name}", name, pattern, stamps)
                _judge(file, name, sums, folder)
                twin = found.setdefault(name, file)
                if twin.digest != file.digest:
                    raise ModelError(f"{twin.path} and {file.path} have one name but not the same content: remove the one not wanted.")
    return found


def _read(path: str, name: str, pattern: re.Pattern[str], stamps: StampBook) -> LocalFile:
    if not pattern.fullmatch(name):
        raise ModelError(f"{shown(path)} has no name that a package has: give it the name that it has where it comes from, or remove it.")
    with explained(f"read {path}"):
        if not stat.S_ISREG(Path(path).lstat().st_mode):
            raise ModelError(f"{path} should be a plain file, but something else is there: copy the file itself, or remove it.")
    stamp = Stamp.of(path)
    memory = stamps.recall(path, stamp)
    if not memory:
        digest, stamp = hash_file(path)
        memory = Memory(stamp, digest, {})
        stamps.hold(path, memory)
    return LocalFile(path, stamp, memory.digest)


def _judge(file: LocalFile, name: str, sums: Mapping[str, Digest] | None, folder: str) -> None:
    if sums is None:
        return
    if name not in sums:
        raise ModelError(f"{folder}/{SUMS} does not name {name}: remove the file, or make the list again.")
    if sums[name] != file.digest:
        raise ModelError(f"{file.path} has the sha256 {file.digest}, but {folder}/{SUMS} asks for {sums[name]}: fetch the file again.")


def with_kept(folder: MirrorFolder, links: dict[str, Digest], suffix: str) -> dict[str, Digest]:
    """Return the links, and those that the folder has besides, less those of the same owner."""
    owned, brought = folder.owned, set(links.values())
    for place, digest in folder.kept().items():
        if place.endswith(suffix) and place not in links and place not in owned:
            path = folder.store.blob_path(digest)
            if digest not in brought and not folder.store.holds(digest, path.stat().st_size):
                raise ModelError(f"{folder.root}/{place} is damaged: put the package into a folder again, or set purge to take it out.")
            links[place] = digest
    return links


def run_tool(words: Sequence[str], needs: str, *, cwd: str = "/", env: Mapping[str, str] | None = None, stdin: bytes = b"") -> bytes:
    """Run a tool of the distribution and return what it says; ``needs`` names the package that brings it."""
    try:
        done = subprocess.run(
            list(words),
            cwd=cwd,
            env={**ENVIRONMENT, **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=TOOL_S,
            check=False,
        )
    except FileNotFoundError:
        raise ModelError(f"{words[0]} is needed, but this host has none: install the package {needs}.") from None
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{words[0]} should have ended within {TOOL_S} seconds, but it has not: see what this host is busy with."
        ) from None
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise ModelError(
            f"{words[0]} should have succeeded, but it ended with status {done.returncode}: {shown(said)}. See its manual page."
        )
    return done.stdout


def package_diff(folder: MirrorFolder, actions: Sequence[str]) -> dict[str, str]:
    """Return the difference as Ansible shows it; both sides are equal where nothing changes. Ask before anything is done."""
    before: dict[str, Any] = {place: f"sha256:{digest}" for place, digest in folder.kept().items()}
    after: dict[str, Any] = {place: f"sha256:{digest}" for place, digest in folder.links.items()}
    if before == after and actions:
        before["out of date"] = list(actions)
    texts = (json.dumps(side, indent=2, sort_keys=True) + "\n" if side else "" for side in (before, after))
    return {"before_header": str(folder.root), "after_header": str(folder.root), **dict(zip(("before", "after"), texts))}
