# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of small text files and their folders that is put in place as a whole, or not at all."""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.config_folders import (
    ANY,
    FolderChange,
    Rights,
    ask_folder,
    make_folder,
    make_missing,
    undo_folder,
)
from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.host_files import account_id

PUBLIC_MODE = 0o644
PRIVATE_MODE = 0o600
# A private file of which a group was named that may read it.
GROUP_MODE = 0o640
# The folders above a file that are missing.
PARENT = Rights(0o755, ANY, ANY)


@dataclass(frozen=True)
class Version:
    """What a file holds, and who may do what with it."""

    data: bytes
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Change:
    """A file that is not as it should be; ``before`` is None where there is none yet."""

    path: Path
    before: Version | None
    after: Version

    @property
    def is_private(self) -> bool:
        """Tell whether the file's content is nobody's business."""
        return self.after.mode != PUBLIC_MODE

    def diff(self) -> str:
        """Return a unified diff; of a private file only that it changes."""
        old = self.before or Version(b"", 0, self.after.uid, self.after.gid)
        head = f"{self.path}: mode {old.mode:04o} -> {self.after.mode:04o}\n" if old.mode != self.after.mode else ""
        if (old.uid, old.gid) != (self.after.uid, self.after.gid):
            head += f"{self.path}: owner {old.uid}:{old.gid} -> {self.after.uid}:{self.after.gid}\n"
        if old.data == self.after.data and self.before:
            return head
        if self.is_private:
            return f"{head}{self.path}: the content is private and not shown\n"
        lines = difflib.unified_diff(_lines(old.data), _lines(self.after.data), f"before: {self.path}", f"after: {self.path}")
        return head + "".join(lines)


def plan_folders(folders: Sequence[Mapping[str, Any]], *, check: bool) -> list[FolderChange]:
    """Return what must change so that each of ``folders`` (``path``, ``mode`` and perhaps ``owner`` and ``group``) is there as it says."""
    return [change for change in (ask_folder(folder, check=check) for folder in folders) if change]


def plan(contents: Mapping[str, str], private: Sequence[str], group: str | None = None, *, check: bool = False) -> list[Change]:
    """Return what must change so that each path of ``contents`` holds its text and belongs to the user who runs this.

    ``group`` may read those that are ``private``. In check mode it may not be there yet; then a file's group is no reason to change it.
    """
    strangers = sorted(set(private) - set(contents))
    if strangers:
        raise ModelError(f"'private' names {', '.join(strangers)}, which 'contents' does not hold: name files of 'contents' only.")
    reader = account_id(group, "group", check=check)
    changes = []
    for path, text in contents.items():
        if not Path(path).is_absolute():
            raise ModelError(f"'contents' holds the path '{path}', but only absolute paths can be meant: write it from '/' on.")
        wanted = Version(text.encode(), PUBLIC_MODE, os.geteuid(), os.getegid())
        found = _read(Path(path))
        if path in private and not group:
            wanted = replace(wanted, mode=PRIVATE_MODE)
        elif path in private:
            unknown = found.gid if found else os.getegid()
            wanted = replace(wanted, mode=GROUP_MODE, gid=unknown if reader == -1 else reader)
        if found != wanted:
            changes.append(Change(Path(path), found, wanted))
    return changes


def apply(changes: Sequence[Change], test: Callable[[], str], folders: Sequence[FolderChange] = ()) -> None:
    """Put all changes in place, folders first; if one fails, or ``test`` returns words of complaint, put everything back and raise."""
    made: list[Path] = []
    done: list[Change | FolderChange] = []
    try:
        for folder in folders:
            with explained(f"make the folder {folder.path}"):
                done.append(folder)
                make_folder(folder, made)
        for change in changes:
            with explained(f"write {change.path}"):
                make_missing(change.path.parent, PARENT, made)
                done.append(change)
                _write(change.path, change.after)
        complaint = test()
    except BaseException:
        _undo(done, made)
        raise
    if complaint:
        _undo(done, made)
        raise ModelError(f"The new files did not pass their test, so the ones before were put back. The test said: {complaint}")


def _undo(done: Sequence[Change | FolderChange], made: Sequence[Path]) -> None:
    for change in reversed(done):
        if isinstance(change, FolderChange):
            undo_folder(change)
        elif change.before is not None:
            _write(change.path, change.before)
        else:
            with contextlib.suppress(FileNotFoundError):
                change.path.unlink()
    for directory in reversed(made):
        directory.rmdir()


def _read(path: Path) -> Version | None:
    with explained(f"read {path}"):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{path} should be a plain file, but something else is there: move it away.")
        return Version(path.read_bytes(), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def _write(path: Path, version: Version) -> None:
    handle, spare = tempfile.mkstemp(prefix=".onprem-llm-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(version.data)
            os.fchown(file.fileno(), version.uid, version.gid)
            os.fchmod(file.fileno(), version.mode)
            file.flush()
            os.fsync(file.fileno())
        Path(spare).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(spare).unlink()
        raise


def _lines(data: bytes) -> list[str]:
    return data.decode(errors="replace").splitlines(keepends=True)
