# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about paths and accounts on this host: what can be a folder, free space, who may pass through, the number of a user."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from ansible_collections.onprem.llm.plugins.module_utils.errors import ADVICE, ModelError
from ansible_collections.onprem.llm.plugins.module_utils.names import LONGEST_PART, as_folder, shown

# What every unit that a role of this collection writes has in it.
MARK = "onprem.llm"
# The next one means to the kernel that nothing changes.
LAST_ACCOUNT = 2**32 - 2


def host_folder(text: str, where: str) -> str:
    """Accept the absolute path of a folder of this host, or of one that can be made there.

    ``ModelError`` where something else is in its place, and where this user cannot see what is.
    """
    folder = as_folder(text, where)
    path = Path(folder)
    if any(len(os.fsencode(part)) > LONGEST_PART for part in path.parts):
        raise ModelError(f"{where} must be the path of a folder, but a part of {shown(folder)} is too long: choose a shorter name.")
    try:
        status = path.stat()
    except FileNotFoundError:
        above = next(place for place in (path, *path.parents) if os.path.lexists(place))
        if not above.exists():
            why = f"{above} is a link to nothing: mount or make what it leads to, or choose another path"
            raise _no_folder(where, folder, why) from None
        return folder
    except OSError as exc:
        advice = ADVICE.get(exc.errno or 0, "choose another path, or correct what is there")
        raise _no_folder(where, folder, f"it cannot be looked at: {exc.strerror}; {advice}") from exc
    if not stat.S_ISDIR(status.st_mode):
        raise _no_folder(where, folder, "what is there is no folder: choose another path, or move that away")
    return folder


def _no_folder(where: str, folder: str, why: str) -> ModelError:
    return ModelError(f"{where} must be a folder, or one that can be made, but it is {shown(folder)}, and {why}.")


def nearest(path: Path) -> Path:
    """Return ``path`` or its nearest parent that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Return the bytes an ordinary user may still write on the file system that holds (or will hold) ``path``."""
    state = os.statvfs(nearest(path))
    return state.f_bavail * state.f_frsize


def blocking_parents(path: Path, user: str) -> list[str]:
    """Return the existing parents of ``path`` that ``user`` may not pass through (no right x), outermost first.

    A user who does not exist yet counts as a stranger to every owner and group.
    """
    uid, gids = _ids(user)
    return [str(parent) for parent in reversed(path.parents) if parent.is_dir() and not _may_pass(parent, uid, gids)]


def _ids(user: str) -> tuple[int, set[int]]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return -1, set()
    return entry.pw_uid, {entry.pw_gid, *(group.gr_gid for group in grp.getgrall() if user in group.gr_mem)}


def _may_pass(folder: Path, uid: int, gids: set[int]) -> bool:
    state = folder.stat()
    if uid == 0:
        return True
    if state.st_uid == uid:
        return bool(state.st_mode & stat.S_IXUSR)
    if state.st_gid in gids:
        return bool(state.st_mode & stat.S_IXGRP)
    return bool(state.st_mode & stat.S_IXOTH)


def account_id(text: str | None, kind: str, *, check: bool) -> int:
    """Return the number of a user or group; -1 if none is asked for, or if check mode runs before it is made."""
    if not text:
        return -1
    if text.isascii() and text.isdigit():
        if int(text) > LAST_ACCOUNT:
            raise ModelError(f"The number of a {kind} must be at most {LAST_ACCOUNT}, but it is {shown(text)}: correct it.")
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid if kind == "user" else grp.getgrnam(text).gr_gid
    except KeyError:
        if check:
            return -1
        raise ModelError(f"The {kind} {text!r} does not exist on this host: create it first, or correct the name.") from None


def has_group(name: str) -> bool:
    """Tell whether the group exists."""
    try:
        return bool(grp.getgrnam(name))
    except KeyError:
        return False


def unit_owner(unit: Path) -> tuple[str, str]:
    """Return whose unit lies at ``unit`` (``none``, ``ours`` or ``foreign``) and its text."""
    if unit.is_symlink():
        return "foreign", ""
    try:
        text = unit.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "none", ""
    return "ours" if MARK in text else "foreign", text
