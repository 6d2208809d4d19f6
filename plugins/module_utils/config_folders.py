# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders of a set of configuration files: who they belong to, and who may do what with them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.host_files import account_id

# What owner or group is where it was not said: it stays.
ANY = -1


@dataclass(frozen=True)
class Rights:
    """Whose a folder is, and who may do what with it."""

    mode: int
    uid: int
    gid: int

    def allows(self, found: Rights) -> bool:
        """Tell whether a folder with the rights ``found`` is as these rights demand."""
        return found == Rights(self.mode, found.uid if self.uid == ANY else self.uid, found.gid if self.gid == ANY else self.gid)


@dataclass(frozen=True)
class FolderChange:
    """A folder that is not as it should be; ``before`` is None where there is none yet."""

    path: Path
    before: Rights | None
    after: Rights

    def diff(self) -> str:
        """Return a line for each right that changes."""
        if self.before is None:
            return f"{self.path}: a new folder, mode {self.after.mode:04o}\n"
        old, new = self.before, self.after
        text = f"{self.path}: mode {old.mode:04o} -> {new.mode:04o}\n" if old.mode != new.mode else ""
        if new.uid not in (ANY, old.uid):
            text += f"{self.path}: owner {old.uid} -> {new.uid}\n"
        if new.gid not in (ANY, old.gid):
            text += f"{self.path}: group {old.gid} -> {new.gid}\n"
        return text


def ask_folder(folder: Mapping[str, Any], *, check: bool) -> FolderChange | None:
    """Return what must change for ``folder`` to be as it says; None if nothing. In check mode an account may not be there yet."""
    path, mode = Path(folder["path"]), str(folder["mode"])
    if not path.is_absolute():
        raise ModelError(f"'folders' holds the path '{path}', but only absolute paths can be meant: write it from '/' on.")
    try:
        bits = int(mode, 8)
    except ValueError:
        raise ModelError(f"The mode of {path} should be octal digits such as '0755', but it is '{mode}': correct it.") from None
    owner, group = (account_id(folder.get(kind), role, check=check) for kind, role in (("owner", "user"), ("group", "group")))
    wanted = Rights(bits, owner, group)
    with explained(f"look at {path}"):
        if not path.exists():
            return FolderChange(path, None, wanted)
        if not path.is_dir():
            raise ModelError(f"{path} should be a folder, but something else is there: move it away.")
        found = _rights(path)
    return None if wanted.allows(found) else FolderChange(path, found, wanted)


def make_folder(change: FolderChange, made: list[Path]) -> None:
    """Make the folder, and those above it that are missing, with the same rights; add them to ``made``."""
    make_missing(change.path, change.after, made)
    # Another folder of the same set may have brought it, with other rights.
    _set(change.path, change.after)


def make_missing(folder: Path, rights: Rights, made: list[Path]) -> None:
    """Make a folder that is not there, and those above it, with these rights whatever the umask is; add them to ``made``."""
    if folder.is_dir():
        return
    make_missing(folder.parent, rights, made)
    folder.mkdir()
    made.append(folder)
    _set(folder, rights)


def undo_folder(change: FolderChange) -> None:
    """Give a folder the rights from before back."""
    if change.before is not None:
        _set(change.path, change.before)


def _rights(path: Path) -> Rights:
    found = path.stat()
    return Rights(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def _set(path: Path, rights: Rights) -> None:
    # The owner first: a change of owner may take bits of the mode away.
    os.chown(path, rights.uid, rights.gid)
    path.chmod(rights.mode)
