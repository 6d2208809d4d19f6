# Copyright (c) 2026, onprem.llm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures as sentences: the thing, what was expected, what was found, what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

ADVICE = {
    errno.ENOSPC: "free space there or choose another volume",
    errno.EDQUOT: "raise the quota or choose another volume",
    errno.EROFS: "the file system is read-only, choose another place",
    errno.EACCES: "give the right to the user that runs this task, or set become: true",
    errno.EPERM: "give the right to the user that runs this task, or set become: true",
    errno.EFBIG: "the file system or a limit (ulimit -f) allows no file as large, choose another volume or raise the limit",
    errno.EIO: "the medium or disk is faulty, see the kernel log",
}


class ModelError(Exception):
    """A failure that the user can understand and mend: its text is complete."""


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn what the operating system refuses into one sentence: ``doing`` completes 'Cannot ...'."""
    try:
        yield
    except OSError as exc:
        advice = ADVICE.get(exc.errno or 0)
        raise ModelError(f"Cannot {doing}: {exc.strerror or exc}{'; ' + advice if advice else ''}.") from exc
