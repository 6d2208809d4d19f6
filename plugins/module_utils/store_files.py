# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are written so that a reader never sees half of one, files that vanish, and where hard links reach.

The folders of models belong to the account that serves them, which must not lead whoever writes there elsewhere by a link.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, TypeVar

from ansible_collections.onprem.llm.plugins.module_utils.errors import ModelError, explained
from ansible_collections.onprem.llm.plugins.module_utils.names import Digest
from ansible_collections.onprem.llm.plugins.module_utils.stamps import CHUNK

# What link(2) answers where a hard link is not possible but a copy is.
NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})
# A folder itself, not what a link in its place leads to.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# Of renameat2(2).
AT_FDCWD, RENAME_EXCHANGE = -100, 2
# How often to look at what other runs change meanwhile.
LOOKS = 4

T = TypeVar("T")


def wrong_digest(path: str, expected: Digest, found: Digest) -> ModelError:
    """Return the failure for a file that is not the one that was asked for."""
    return ModelError(
        f"{path} has the sha256 {found}, but {expected} was expected: "
        f"fetch the right file, or correct sha256 if this file is the one you want."
    )


def existing_parent(folder: str) -> str:
    """Return the folder itself or the nearest one above it that exists."""
    path = Path(folder)
    while not path.exists() and path != path.parent:
        path = path.parent
    return str(path)


def inode_of(status: os.stat_result) -> tuple[int, int]:
    """Return what two names of one file have in common: the device and the number of the inode."""
    return status.st_dev, status.st_ino


def same_mount(first: str, second: str) -> bool:
    """Tell whether a hard link between the two is possible: the same file system through the same mount."""
    with explained(f"compare {first} and {second}"):
        return _mount(existing_parent(first)) == _mount(existing_parent(second))


def _mount(path: str) -> tuple[int, str]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # A bind mount has the device of its file system, but link(2) does not cross it.
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
        return os.fstat(descriptor).st_dev, next((line for line in lines if line.startswith("mnt_id:")), "")
    finally:
        os.close(descriptor)


@contextmanager
def unless_gone() -> Iterator[None]:
    """Leave the block where a file is gone that was there a moment ago: runs beside this one move and remove theirs. All else is raised."""
    try:
        yield
    except (FileNotFoundError, ModelError) as exc:
        # A failure in words has what it was made from as its cause.
        cause: BaseException | None = exc
        while cause and not isinstance(cause, FileNotFoundError):
            cause = cause.__cause__
        if not cause:
            raise


def steady(look: Callable[[], T]) -> T:
    """Return what ``look`` finds; look again where a file is gone that was there a moment ago. What fails every time is raised."""
    for _time in range(LOOKS - 1):
        with unless_gone():
            return look()
    return look()


def make_folders(path: Path, *, owner: tuple[int, int] = (-1, -1)) -> None:
    """Make a folder and those above it that do not exist: for all to read, whatever the umask of this run is."""
    missing = takewhile(lambda folder: not folder.exists(), (path, *path.parents))
    for folder in reversed(list(missing)):
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder, FOLDER)
        try:
            os.fchmod(descriptor, 0o755)
            if owner != (-1, -1):
                os.fchown(descriptor, *owner)
        finally:
            os.close(descriptor)


def refuse_link(folder: Path, option: str) -> None:
    """Refuse what must be a folder if it is there, and is a link or a file; ``option`` names the folder of all."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ModelError(f"{folder} must be a folder, but it is a link or a file: remove it, or choose another {option}.")


@contextmanager
def held(folder: Path, root: Path) -> Iterator[Path]:
    """Return a path that leads to a folder below ``root`` whatever takes its name meanwhile. A link on the way is an ``OSError``."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folder.relative_to(root).parts:
            inner = os.open(part, FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def give(path: Path, root: Path, owner: tuple[int, int]) -> None:
    """Give what is below ``root`` to somebody: of a link only the link, and nothing that one leads to."""
    with held(path.parent, root) as folder:
        os.chown(folder / path.name, *owner, follow_symlinks=False)


def write_file(path: Path, data: bytes, temp_folder: Path, *, mode: int = 0o644, owner: tuple[int, int] = (-1, -1)) -> None:
    """Write a small file so that a reader sees the old one or all of the new one."""
    temp = temp_folder / f"write-{os.getpid()}"
    try:
        with os.fdopen(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            if owner != (-1, -1):
                os.fchown(stream.fileno(), *owner)
            os.fsync(stream.fileno())
        settle(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def remove_all(path: Path) -> None:
    """Remove a file or a folder and all in it, if it is there; a link is not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy_hashed(stream: BinaryIO, label: str, digest: Digest, temp: Path) -> int:
    """Copy a stream into a new read-only file and onto the disk; refuse another digest than the one expected. A failure leaves no file."""
    with stream, temp.open("xb") as writer:
        try:
            return _copied(stream, label, digest, writer)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise


def _copied(stream: BinaryIO, label: str, digest: Digest, writer: BinaryIO) -> int:
    found, size = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK):
        found.update(chunk)
        size += writer.write(chunk)
    if found.hexdigest() != digest:
        raise wrong_digest(label, digest, Digest(found.hexdigest()))
    writer.flush()
    os.fchmod(writer.fileno(), 0o444)
    os.fsync(writer.fileno())
    return size


def settle(temp: Path, final: Path, *, sync: bool = True) -> None:
    """Move a finished file to its name and make that last; without ``sync`` the caller does, for many at once."""
    if final.exists() and final.samefile(temp):
        # Of two names of one file, rename(2) would keep both.
        temp.unlink()
    else:
        temp.replace(final)
    if sync:
        sync_folder(final.parent)


def exchanged(first: Path, second: Path) -> bool:
    """Let two files or folders swap their names in one step; False where the kernel, the C library or the file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    failure = ctypes.get_errno()
    if failure in {errno.ENOSYS, errno.EINVAL}:
        return False
    raise OSError(failure, os.strerror(failure), str(second))


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
